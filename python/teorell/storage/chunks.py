"""The chunks of a population, simulated here or by the workers of an executor.

Here they come one after the other, there a few at a time.
"""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError, count
from teorell.model import Model
from teorell.progress import Progress
from teorell.results.solution import Solution
from teorell.schedule.given_doses import Given
from teorell.simulate import simulate
from teorell.storage.contents import Chunk
from teorell.storage.slices import Population, among

__all__ = ["PER_PATIENT", "Task", "check_executor", "check_size", "elsewhere", "here"]

PER_PATIENT = {"status": "int32", "failure_time": "float64", "steps": "int64", "rejected": "int64"}
UNKNOWN = 8  # chunks in flight where the executor does not say how many workers it has

Results = Generator[tuple[Chunk, dict[str, NDArray[Any]]], None, None]


@dataclass(frozen=True, eq=False)
class Task:
    """What all chunks share."""

    model: Model
    times: Array | None  # (times,)
    outputs: tuple[str, ...]
    options: Mapping[str, Any]  # of simulate
    patients: int


def here(
    task: Task, population: Population, chunks: Iterable[Chunk], report: Progress | None, done: int
) -> Results:
    """Each chunk and its arrays by name, in order. done: patients before them."""
    for chunk in chunks:
        of_all = None if report is None else _counted(report, done, task.patients)
        yield chunk, simulate_chunk(task, chunk, *_part(population, chunk), of_all)
        done += chunk.stop - chunk.start


def elsewhere(
    executor: Any, task: Task, population: Population, chunks: Iterable[Chunk]
) -> Results:
    """Each chunk and its arrays by name, as the executor's workers finish them.

    What is outstanding when the caller stops is cancelled.
    """
    limit = _in_flight(executor)
    running: dict[int, tuple[Chunk, Any]] = {}
    finished: SimpleQueue[int] = SimpleQueue()

    def result() -> tuple[Chunk, dict[str, NDArray[Any]]]:
        chunk, future = running.pop(finished.get())
        return chunk, future.result()

    try:
        for chunk in chunks:
            if len(running) == limit:
                yield result()
            future = executor.submit(simulate_chunk, task, chunk, *_part(population, chunk))
            running[chunk.number] = chunk, future
            if hasattr(future, "add_done_callback"):
                future.add_done_callback(lambda _, number=chunk.number: finished.put(number))
            else:
                finished.put(chunk.number)  # the oldest is waited for
        while running:
            yield result()
    finally:
        for _, future in running.values():
            if hasattr(future, "cancel"):
                future.cancel()


def simulate_chunk(
    task: Task,
    chunk: Chunk,
    parameters: Mapping[str, Any],
    regimen: Given,
    progress: Progress | None = None,
) -> dict[str, NDArray[Any]]:
    """Simulate one chunk, here or in a worker: nothing but the arguments is needed."""
    with among(chunk.start, chunk.stop, task.patients):
        options = {"progress": progress, **task.options}
        solution = simulate(
            task.model, parameters, regimen, task.times, task.outputs or None, **options
        )
    check_size(solution.status.size, chunk)
    return _arrays(solution, chunk.start)


def _arrays(solution: Solution, start: int) -> dict[str, NDArray[Any]]:
    """All of a solution that is stored, by name: (patients, times) or (patients,).

    start: the number of its first patient.
    """
    arrays = {"patient": start + np.arange(solution.status.size)}
    arrays |= {name: solution[name] for name in solution.outputs}
    arrays |= solution.reductions
    arrays |= {name: getattr(solution, name) for name in PER_PATIENT}
    given = solution.parameters or {}
    return arrays | {
        name: value for name, value in given.items() if isinstance(value, np.ndarray) and value.ndim
    }


def check_size(patients: int, chunk: Chunk) -> None:
    """InputError unless the chunk has as many patients as asked for."""
    if patients != chunk.stop - chunk.start:
        raise InputError(
            f"start {chunk.start} and stop {chunk.stop} gave {count(patients, 'patient')} (those "
            f"from start to stop - 1 are {chunk.stop - chunk.start}). Let the functions return "
            "these."
        )


def check_executor(executor: Any, model: Model) -> None:
    """InputError for what takes no tasks, and for a model that cannot be sent."""
    if not callable(getattr(executor, "submit", None)):
        raise InputError(
            f"executor is a {type(executor).__name__} (chunks are submitted to it). Give a "
            "ProcessPoolExecutor, a dask.distributed.Client, or None; machine code or interpreter, "
            "the results are the same."
        )
    try:
        pickle.dumps(model)
    except Exception as error:
        raise InputError(
            f"the model cannot be sent to workers ({error}). Make it a plain teorell.Model."
        ) from None


def _part(population: Population, chunk: Chunk) -> tuple[Mapping[str, Any], Given]:
    """Parameters and regimen of the patients of a chunk."""
    with among(chunk.start, chunk.stop, population.patients):
        return population.part(chunk.start, chunk.stop)


def _counted(report: Progress, before: int, patients: int) -> Progress:
    """A report on one chunk as a report on the population; before: patients done by then."""
    return lambda done, _: report(before + done, patients)


def _in_flight(executor: Any) -> int:
    """How many chunks an executor is given at once: two a worker, one at work and one ready."""
    workers = getattr(executor, "_max_workers", None)  # concurrent.futures
    if workers is None and callable(getattr(executor, "nthreads", None)):  # a Client of dask
        workers = sum(executor.nthreads().values())
    return 2 * workers if isinstance(workers, int) and workers > 0 else UNKNOWN
