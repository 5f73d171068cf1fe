"""Whether a change moved a bit: the results of two copies of teorell, compared byte by byte: python
bench/same_bytes.py BEFORE AFTER

Values, gradients, Jacobians, reductions and steady states of problems A and B and of the whole
body, by both executors and every method that both have. What differs is told with the largest
relative difference; the exit code is 1 if anything does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from copies import Copy, add_copies, copies

PATIENTS = 11  # no multiple of any register
EXECUTORS = ("machine_code", "interpreter")


# ---------------------------------------------------------------- in a process of one copy


def cases(tl: Any) -> Iterator[tuple[str, Any, dict[str, Any], str, list[str]]]:
    """Name, model, people, the state that takes doses, outputs.

    The people are those that this copy draws: they are compared too.
    """
    from teorell import benchmark
    from teorell.pbpk import THEOPHYLLINE, virtual_adults, whole_body

    for kind in ("A", "B"):
        problem = benchmark.problem(kind)
        drawn = problem.patients(PATIENTS)
        people = {name: np.ascontiguousarray(drawn[name]) for name in problem.model.parameter_names}
        yield kind, problem.model, people, "STO", [problem.outputs[problem.venous]]
    drawn = virtual_adults(PATIENTS, seed=7, drug=THEOPHYLLINE)
    people = {name: np.ascontiguousarray(values) for name, values in drawn.items()}
    yield "whole body", whole_body(THEOPHYLLINE), people, "stomach_lumen", ["cp", "c_liver"]


def results(methods: list[str]) -> Iterator[tuple[str, Any]]:
    """Every array, by a name that does not depend on the names of parameters."""
    import teorell as tl

    times = np.linspace(0.0, 36.0, 19)
    for name, model, people, into, outputs in cases(tl):
        for number, column in enumerate(people.values()):
            yield f"{name}: people {number}", column
        doses = {
            "repeated": tl.Regimen.bolus(100.0, into=into, every=12.0, doses=3)
            + tl.Regimen.infusion(50.0, into=into, duration=1.5, time=5.0),
            "steady state": tl.Regimen.bolus(100.0, into=into, every=12.0, steady_state=True),
        }
        by = [*list(people)[:3], (0, "amount")]
        reductions = [
            tl.Cmax(outputs[0], end=36.0), tl.Tmax(outputs[0], end=36.0),
            tl.AUC(outputs[0], start=1.0, end=30.0),
            tl.TimeAbove(outputs[0], threshold=0.1, end=36.0),
        ]  # fmt: skip
        for executor in EXECUTORS:
            for method in methods:
                options = {"executor": executor, "method": method, "rtol": 1e-7, "threads": 1}
                for what, regimen in doses.items():
                    given = (model, people, regimen, times, outputs)
                    label = f"{name}, {what}, {executor}, {method}"
                    solved = tl.simulate(*given, reductions=reductions, **options)
                    for field in ("values", "status", "steps", "rejected"):
                        yield f"{label}: {field}", getattr(solved, field)
                    for number, reduced in enumerate(solved.reductions.values()):
                        yield f"{label}: reduction {number}", reduced
                    yield f"{label}: jacobian", tl.jacobian(*given, wrt=by, **options).derivatives
                    value, gradient = tl.value_and_grad(1.0, *given, **options)
                    yield f"{label}: loss", np.asarray(value)
                    columns = [gradient.parameters[each] for each in model.parameter_names]
                    yield f"{label}: gradient", np.concatenate([np.ravel(c) for c in columns])
                    yield f"{label}: of states", np.stack(list(gradient.initial.values()))
                    lines = [(line.amount, line.time) for line in gradient.doses]
                    yield f"{label}: of doses", np.array(lines, dtype=np.float64)


# ---------------------------------------------------------------- of both


def arrays_of(copy: Copy, methods: list[str], folder: Path) -> dict[str, np.ndarray]:
    """The results of one copy."""
    path = folder / f"{copy.name}.npz"
    copy.run(__file__, "--child", str(path), "--method", *methods, cache=folder / copy.name)
    with np.load(path) as found:
        return dict(found)


def difference(old: np.ndarray | None, new: np.ndarray | None) -> str | None:
    """What is told of two arrays; None if they have the same bytes."""
    if old is None or new is None:
        return f"only {'after' if old is None else 'before'}"
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"{old.dtype} {old.shape} before, {new.dtype} {new.shape} after"
    if old.tobytes() == new.tobytes():
        return None
    a, b = old.astype(np.float64), new.astype(np.float64)
    other = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not other.any():
        return "the same numbers, other bytes"
    with np.errstate(all="ignore"):
        relative = np.abs(a - b)[other] / np.maximum(np.abs(a), np.abs(b))[other]
    known = relative[np.isfinite(relative)]
    most = f" by up to {known.max():.1e}" if known.size else ""
    rest = f", {other.sum() - known.size} not finite in one" if known.size < other.sum() else ""
    return f"{other.sum()} of {a.size}{most}{rest}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    if "--child" not in sys.argv:
        add_copies(parser)
    parser.add_argument("--method", nargs="+", default=["rodas5p", "rodas4p2"])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        np.savez(options.child, **dict(results(options.method)))
        return
    pair = copies(options)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for copy in pair:
            print(copy.check(folder / copy.name))
        old, new = (arrays_of(copy, options.method, folder) for copy in pair)
    told = {name: difference(old.get(name), new.get(name)) for name in {**old, **new}}
    cases: dict[str, list[str]] = {}
    for name, text in told.items():
        if text is not None:
            case, what = name.split(": ")
            cases.setdefault(case, []).append(f"{what} {text}")
    for case, texts in cases.items():
        print(f"{case}: {'; '.join(texts)}")
    count = sum(map(len, cases.values()))
    by = ", by so much of themselves" if count else ""
    print(f"{len(told)} arrays, {count} of them differ{by}")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
