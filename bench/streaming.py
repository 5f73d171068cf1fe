"""What writing costs: patients per second of simulate, and of simulate_to a .zarr and a .parquet:
python bench/streaming.py

The three take turns on the same patients of problem A, 97 samples of one output; each store is made
anew, and synced. Comparing the digests of a store, which writing computes too, is told as a share
of the processor time of writing it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import teorell as tl
import zarr
from teorell import benchmark
from teorell.engine.executors import available_threads
from teorell.storage.streaming import Stored


class Measured(NamedTuple):
    """Of `simulate` and of each store, by name."""

    seconds: dict[str, list[float]]  # of each round
    shares: dict[str, float]  # digests, of the processor time of writing
    sizes: dict[str, int]  # bytes on disk
    free: int  # bytes where the stores were made


def measured(
    given: tuple[Any, ...], settings: dict[str, Any], options: argparse.Namespace
) -> Measured:
    """The three contenders in turns."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        stores = [Path(folder) / f"population.{kind}" for kind in ("zarr", "parquet")]

        def to(path: Path) -> Callable[[], object]:
            return lambda: tl.simulate_to(
                path, *given, chunk=options.chunk, resume=False, **settings
            )

        contenders = {"simulate": lambda: tl.simulate(*given, **settings)} | {
            path.suffix: to(path) for path in stores
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        shares: dict[str, float] = {}
        for _ in range(options.repeats):
            for name, run in contenders.items():
                begin, used = time.perf_counter(), time.process_time()
                made = run()
                seconds[name].append(time.perf_counter() - begin)
                if isinstance(made, Stored):
                    written = time.process_time()
                    made.verify()
                    shares[name] = (time.process_time() - written) / (written - used)
        sizes = {
            path.suffix: sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            for path in stores
        }
        free = shutil.disk_usage(folder).free
    return Measured(seconds, shares, sizes, free)


def report(found: Measured, patients: int, memory: int) -> None:
    """memory: bytes of curves and parameters."""
    print(
        f"curves and parameters: {memory / 1e6:,.0f} MB in memory; free where the stores were "
        f"made: {found.free / 1e9:,.0f} GB"
    )
    for name, times in found.seconds.items():
        rates = sorted(patients / each for each in times)
        ratio = statistics.median(
            each / alone for each, alone in zip(times, found.seconds["simulate"], strict=True)
        )
        size = (
            f", {found.sizes[name] / 1e6:,.0f} MB on disk, digests {found.shares[name]:.1%}"
            if name in found.sizes
            else ""
        )
        print(
            f"{name:>9}: {statistics.median(rates):,.0f} ({rates[0]:,.0f}-{rates[-1]:,.0f}) "
            f"patients/s, {ratio:.2f} times the time of simulate{size}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument(
        "--chunk",
        type=int,
        default=20_000,
        help="patients a chunk (default 20,000: 16 MB of values)",
    )
    parser.add_argument("--threads", type=int, help="default: all processors this process may use")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the stores are made (default: the system's temporary folder)",
    )
    options = parser.parse_args()

    problem = benchmark.problem("A")
    drawn = problem.patients(options.patients)
    people = {name: np.ascontiguousarray(drawn[name]) for name in problem.model.parameter_names}
    regimen = tl.Regimen.bolus(
        benchmark.DOSE, into="STO", every=benchmark.EVERY, doses=benchmark.DOSES
    )
    given = (problem.model, people, regimen, benchmark.TIMES, [problem.outputs[problem.venous]])
    settings = {"rtol": 1e-6, "atol": 1e-9, "threads": options.threads, "samples": "before"}
    tl.simulate(problem.model, None, *given[2:], **settings)  # compiles

    print(f"{benchmark.describe_machine()}; zarr {zarr.__version__}, pyarrow {pyarrow.__version__}")
    threads = options.threads or available_threads()
    print(
        f"{options.patients:,} patients of A, {len(people)} parameters each, 97 samples of one "
        f"output, chunks of {options.chunk:,}; rtol 1e-6, atol 1e-9 mg, threads {threads}; "
        f"{options.repeats} rounds, taking turns; load {os.getloadavg()[0]:.1f} at the start"
    )
    memory = 8 * options.patients * (len(benchmark.TIMES) + len(people))
    report(measured(given, settings, options), options.patients, memory)


if __name__ == "__main__":
    main()
