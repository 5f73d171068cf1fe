"""What a change costs: two copies of teorell in turns, ratios within each pair: python
bench/before_after.py BEFORE AFTER

Processor time of the import, of the first result of a model (no compiled one is kept), and of the
forward solve and the gradient by all parameters of many patients, problems A and B, one thread. The
copies take turns, before-after and after-before, each time in processes of their own.

With --instructions it counts instructions with valgrind's callgrind instead, of a few patients: the
same on a machine that has other work. What is counted is the difference of two runs that differ in
nothing else. Valgrind knows no AVX-512: the build for AVX2 is counted. With --compilation too it
counts what compiling a model takes, which is slow under valgrind.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from copies import Copy, add_copies, copies

PATIENTS = {"A": 2000, "B": 500}  # of a timed run
FEW, MORE = 8, 72  # patients of the two counted runs, and of the first result
WORK = ["forward", "gradient"]
COUNTED = re.compile(r"Collected\s*:\s*(\d+)")
VALGRIND = (
    "env",
    "TEORELL_ISA=v3",
    "valgrind",
    "--tool=callgrind",
    "--callgrind-out-file=/dev/null",
)


# ---------------------------------------------------------------- in a process of one copy


class Work:
    """The runs of one problem, with public names of any version."""

    def __init__(self, kind: str) -> None:
        import numpy as np
        import teorell as tl
        from teorell import benchmark

        self.np, self.tl = np, tl
        self.problem = benchmark.problem(kind)
        self.times = benchmark.TIMES
        self.outputs = [self.problem.outputs[self.problem.venous]]
        self.regimen = tl.Regimen.bolus(
            benchmark.DOSE, into="STO", every=benchmark.EVERY, doses=benchmark.DOSES
        )
        self.options = {"rtol": 1e-6, "atol": 1e-9, "threads": 1, "samples": "before"}

    def people(self, n: int) -> dict[str, object]:
        drawn = self.problem.patients(n)
        names = self.problem.model.parameter_names
        return {name: self.np.ascontiguousarray(drawn[name]) for name in names}

    def run(self, what: str, n: int) -> float:
        """Processor seconds of the forward solve or the gradient of n patients."""
        given = (self.problem.model, self.people(n), self.regimen, self.times, self.outputs)
        begin = time.process_time()
        if what == "forward":
            self.tl.simulate(*given, **self.options).raise_for_status()
        else:
            _, gradient = self.tl.value_and_grad(1.0, *given, **self.options)
            gradient.raise_for_status()
        return time.process_time() - begin


def timed(kinds: list[str], works: list[str], patients: float) -> dict[str, float]:
    """Processor seconds by name."""
    begin = time.process_time()
    import teorell as tl

    found = {"import": time.process_time() - begin}
    del tl
    for kind in kinds:
        work = Work(kind)
        n = max(FEW, round(patients * PATIENTS[kind]))
        for what in works:
            found[f"{kind} {what}, first result"] = work.run(what, FEW)
            found[f"{kind} {what}"] = min(work.run(what, n) for _ in range(3))
    return found


# ---------------------------------------------------------------- of both


def in_pairs(pair: tuple[Copy, Copy], options: argparse.Namespace) -> None:
    """The timed figures of both, in turns, and their ratios."""

    def run(copy: Copy, patients: float) -> dict[str, float]:
        child = ("--child", "timed", "--patients", str(patients), "--problem", *options.problem)
        child += ("--work", *options.work)
        with tempfile.TemporaryDirectory() as cache:
            told, _ = copy.run(__file__, *child, cache=Path(cache))
        result: dict[str, float] = json.loads(told)
        return result

    for copy in pair:
        run(copy, 0.0)  # Python compiles its modules once
    found: dict[str, list[dict[str, float]]] = {copy.name: [] for copy in pair}
    for number in range(options.rounds):
        for copy in pair if number % 2 == 0 else pair[::-1]:
            found[copy.name].append(run(copy, options.patients))
    header(f"{options.rounds} pairs, ms of processor")
    for name in found["before"][0]:
        old, new = ([run[name] for run in found[copy.name]] for copy in pair)
        row(name, 1e3 * statistics.median(old), 1e3 * statistics.median(new), old, new)


def by_instructions(pair: tuple[Copy, Copy], options: argparse.Namespace) -> None:
    """The counted figures of both."""
    found = {}
    for copy in pair:
        found[copy.name] = counted(copy, options)
        print(f"{copy.name}: counted", file=sys.stderr)
    header("millions of instructions")
    for name, old in found["before"].items():
        new = found["after"][name]
        row(name, old / 1e6, new / 1e6, [old], [new])


def counted(copy: Copy, options: argparse.Namespace) -> dict[str, float]:
    """Instructions by name."""
    kinds, works = options.problem, options.work
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)

        def count(*arguments: str) -> int:
            _, told = copy.run(*arguments, cache=cache, prefix=VALGRIND)
            (number,) = COUNTED.findall(told)
            return int(number)

        # Python compiles its modules once
        child = ("--child", "timed", "--patients", "0", "--problem", *kinds, "--work", *works)
        copy.run(__file__, *child, cache=cache / "other")
        nothing = count("-c", "import numpy")
        found: dict[str, float] = {"import": count("-c", "import teorell, numpy") - nothing}
        for kind in kinds:
            for what in works:

                def run(n: int, kind: str = kind, what: str = what) -> int:
                    return count(__file__, "--child", what, "--problem", kind, "--count", str(n))

                if options.compilation:
                    found[f"{kind} {what}, compilation"] = run(FEW) - run(FEW)
                else:  # compiled without valgrind, for the processor that it has
                    child = (__file__, "--child", what, "--problem", kind, "--count", str(FEW))
                    copy.run(*child, cache=cache, prefix=("env", "TEORELL_ISA=v3"))
                few, more = run(FEW), run(MORE)
                found[f"{kind} {what}, a patient"] = (more - few) / (MORE - FEW)
    return found


def header(unit: str) -> None:
    """The first line of the table."""
    print(f"{unit:28}{'before':>12}{'after':>12}   after / before")


def row(name: str, old: float, new: float, olds: list[float], news: list[float]) -> None:
    """One line of the table."""
    # of a run with the one that took turns with it; medians, least and greatest
    ratios = sorted(after / before for before, after in zip(olds, news, strict=True))
    spread = f"  ({ratios[0]:.3f}-{ratios[-1]:.3f})" if len(ratios) > 1 else ""
    print(f"{name:28}{old:12.3f}{new:12.3f}   {statistics.median(ratios):.3f}{spread}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    if "--child" not in sys.argv:
        add_copies(parser)
    parser.add_argument("--problem", nargs="+", choices=["A", "B"], default=["A", "B"])
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK)
    parser.add_argument("--rounds", type=int, default=7, help="pairs (default 7)")
    parser.add_argument(
        "--patients", type=float, default=1.0, help="times 2000 of A and 500 of B (default 1)"
    )
    parser.add_argument("--instructions", action="store_true", help="count them with valgrind")
    parser.add_argument("--compilation", action="store_true", help="count that of models too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "timed":
        print(json.dumps(timed(options.problem, options.work, options.patients)))
        return
    if options.child:
        Work(options.problem[0]).run(options.child, options.count)
        return
    if options.instructions and shutil.which("valgrind") is None:
        parser.error("valgrind is not there (it counts instructions). Install it.")
    pair = copies(options)
    with tempfile.TemporaryDirectory() as cache:
        for copy in pair:
            print(copy.check(Path(cache)))
    (by_instructions if options.instructions else in_pairs)(pair, options)


if __name__ == "__main__":
    main()
