"""`simulate_to`: a population of any size, chunk by chunk of patients, into a store on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import check_flag, is_tensor
from teorell.errors import InputError
from teorell.model import Model
from teorell.progress import Progress, reporting
from teorell.results.failures import SHOWN, failure, unusual_parameters
from teorell.schedule.event_table import EventTable
from teorell.simulation.given import from_table, problem_of
from teorell.simulation.problem import Problem
from teorell.storage.chunks import PER_PATIENT, Task, check_executor, elsewhere, here
from teorell.storage.contents import Chunk, Contents, chunks_of
from teorell.storage.lock import locked
from teorell.storage.manifest import Manifest, digest, digest_of, version_of_teorell
from teorell.storage.on_devices import devices_of, workers_of
from teorell.storage.opening import begun, check_place, complete, finished, size_of, unchanged
from teorell.storage.plan import contents_of
from teorell.storage.slices import Population, population_of
from teorell.storage.stores import Store, store_at

__all__ = ["Stored", "simulate_to"]

WHO = ("patient", "status", "failure_time", "steps")  # of patients that failed
HOW = ("threads", "executor", "isa")  # options that change no bit


@dataclass(frozen=True)
class Stored:
    """A population on disk: where it is, and how its simulation went."""

    path: Path
    patients: int
    failed: int  # patients whose status is not 0
    chunks: int
    chunk: int  # patients in each of them, the last may have fewer
    time_unit: str = ""

    def open(self) -> Any:
        """The store to read from: an xarray Dataset of a .zarr, a pyarrow Dataset of a .parquet.

        They read from disk what is asked of them. InputError if chunks are not there any more, or
        have another length than was written; `verify` compares what they hold.
        """
        store = store_at(self.path)
        complete(store, self.patients, self.chunk)
        return store.open(self.chunks)

    def verify(self) -> None:
        """Read everything once, and compare it with what was written.

        InputError as of `open`, and for the first chunk of which a byte is another one.
        """
        store = store_at(self.path)
        unchanged(store, complete(store, self.patients, self.chunk))

    def raise_for_status(self) -> None:
        """Raise SimulationError if any patient failed.

        It says who, why, what to do, and what is unusual in their chunk. InputError as of `open`.
        """
        if not self.failed:
            return
        store = store_at(self.path)
        complete(store, self.patients, self.chunk)
        found: list[list[NDArray[Any]]] = []
        ids: list[NDArray[Any]] = []
        unusual: list[list[str]] = []
        for chunk in chunks_of(self.patients, self.chunk):
            rows = np.flatnonzero(store.read(chunk, ["status"])["status"])
            if not rows.size:
                continue
            read = [*WHO, "id"] if ids else WHO
            columns = store.read(chunk, None if len(unusual) < SHOWN else read)
            ids += [columns["id"][rows]] if "id" in columns else []
            known = {
                name: column
                for name, column in columns.items()
                if name not in ("patient", "id", *PER_PATIENT)
            }
            unusual += unusual_parameters(rows[: SHOWN - len(unusual)], known)
            found.append([columns[name][rows] for name in WHO])
        failed, status, time, steps = (
            np.concatenate(column) for column in zip(*found, strict=True)
        )
        listed = "`patients` of this error holds all"
        raise failure(
            self.patients, failed, status, time, steps, self.time_unit, unusual, listed,
            ids=np.concatenate(ids) if ids else None,
        )  # fmt: skip


def simulate_to(
    path: str | os.PathLike[str],
    model: Model,
    parameters: Any = None,
    regimen: Any = None,
    times: Any = None,
    outputs: Sequence[str] | str | None = None,
    *,
    patients: int | None = None,
    chunk: int | None = None,
    executor: Any = None,
    device: str | Sequence[str] | None = None,
    progress: bool | Progress | None = None,
    resume: bool = True,
    **options: Any,
) -> Stored:
    """Simulate a population into a folder on disk, chunk by chunk of patients.

    Only a few chunks are ever in memory. The store holds the bits that one `teorell.simulate` would
    return, whatever the chunks, executors and interruptions.

    path: ends in .zarr (xarray.open_zarr opens it as Solution.to_xarray would return it) or
        .parquet (a folder: the table of Solution.to_dataframe and `status`, and in its folder
        `_patients` a row a patient). Both also keep the parameters that are arrays.
    model, times, outputs, options: as for teorell.simulate; all patients share one sequence of
        times, and the windows of reductions, which are stored with one number a patient. With
        reductions times may be None: then no curve is stored.
    parameters, regimen: as for teorell.simulate, sliced and never copied whole; a regimen may be
        any object whose `.part(start, stop)` is what simulate takes for the patients start to
        stop - 1. Or an EventTable in place of the parameters, which has the doses too; its subjects
        are sampled at `times`, and these see all that happens at them. Either may be a function of
        (start, stop) instead. It is called in this process, and has to give the same patients
        whenever it is asked.
    patients: how many there are, where only functions could tell.
    chunk: patients simulated at once; None is 64 MB of values.
    executor: None runs here, on all threads. Or an object whose `submit(function, *args)` returns
        futures (those of concurrent.futures, dask.distributed.Client): chunks run there, each on
        one thread unless `threads` is given, at most two a worker at a time; they are written here.
    device: "cuda", "cuda:1" or the like, a list of them, or "cuda:all": each takes one chunk at a
        time, while this process writes those before it; the store has the bytes that it has from
        the CPU. With an executor a name, of a device as each worker counts them ("cuda": the first
        of those in its CUDA_VISIBLE_DEVICES). None or "cpu" is the CPU.
    progress: True draws a bar; a callable is called with the patients done and all.
    resume: a store that was interrupted goes on where it stopped, if everything is as it was (what
        functions return is not compared); one that is finished stays as it is, and one that has
        lost chunks gets them again. What is there is read once, and compared with what was written.
        False starts afresh.

    Raises InputError or TypeError before anything runs if something does not fit, or if the path
    holds another simulation, or anything that this function has not written, or is being written by
    another call. Of functions the first chunk is checked by then, each other one before it runs.
    ImportError without zarr or pyarrow.
    """
    store = store_at(path)
    check_flag(resume, "resume")
    if is_tensor(times):
        raise InputError(
            "times are a torch tensor (a store holds no derivatives). Give .numpy() of them."
        )
    if isinstance(parameters, EventTable):
        if times is None:
            raise InputError(
                "an event table has times of each subject (a store has one grid for all). Give "
                "times= beside it, one sequence for all subjects."
            )
        from_table(parameters, regimen, None)  # refuses doses beside it
        parameters, regimen = parameters.parameters, parameters.regimen
    from_table(None, regimen, times)  # refuses tables
    whole = problem_of(model, None, None, times, outputs, progress=progress, **options)
    devices = devices_of(device, executor)
    if executor is not None:
        check_executor(executor, model)
        options["threads"] = 1 if options.get("threads") is None else options["threads"]
        if devices:
            options["device"] = devices
    population = population_of(model, parameters, regimen, patients)
    contents = contents_of(whole, population, chunk)
    simulation = _simulation(whole, population, contents)
    check_place(store)
    manifest = finished(store, simulation) if resume else None
    if manifest is None:
        task = Task(
            model=model,
            times=contents.times if contents.times.size else None,
            outputs=whole.outputs,
            options=options,
            patients=population.patients,
        )
        with locked(store.path):
            with _writing(store):
                manifest = begun(store, contents, simulation, resume)
            with workers_of(executor, devices) as workers:
                _fill(store, contents, manifest, task, population, workers, progress)
    return Stored(
        path=store.path,
        patients=population.patients,
        failed=manifest.failed,
        chunks=manifest.complete.size,
        chunk=contents.chunk,
        time_unit=model.time_unit,
    )


def _fill(
    store: Store,
    contents: Contents,
    manifest: Manifest,
    task: Task,
    population: Population,
    executor: Any,
    progress: bool | Progress | None,
) -> None:
    """Simulate and write the chunks that are not complete; executor, progress: of simulate_to."""
    chunks = [each for each in contents.chunks() if not manifest.complete[each.number]]
    done = population.patients - sum(each.stop - each.start for each in chunks)
    with reporting(progress, population.patients) as report:
        if executor is None:
            results = here(task, population, chunks, report, done)
        else:
            results = elsewhere(executor, task, population, chunks)
        with closing(results):
            for each, found in results:
                labels = population.labels(each.start, each.stop, found)
                arrays = found | {name: _storable(column) for name, column in labels.items()}
                _check_names(arrays, each, contents)
                with _writing(store):
                    store.write(contents, each, arrays)
                    names = sorted(contents.variables)
                    manifest.mark(
                        each.number,
                        size=size_of(store, each.number, names),
                        digest=digest_of(store.files(each.number, names)),
                        failed=int(np.count_nonzero(arrays["status"])),
                    )
                del arrays, found  # or they would be in memory while the next is simulated
                done += each.stop - each.start
                if report is not None:
                    report(done, population.patients)


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    """What goes wrong on the disk in a sentence, as the OSError that it is."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        number = () if error.errno is None else (error.errno,)
        raise OSError(
            *number,
            f"{store.path} cannot be written further ({why}). What is there is kept: put that "
            "right, and the same call goes on where it stopped.",
        ) from error


def _storable(column: NDArray[Any]) -> NDArray[Any]:
    """A column of ids or covariates as stores have it: float64, int64 or text."""
    if column.dtype.kind in "fiub":
        return column.astype(np.float64 if column.dtype.kind == "f" else np.int64)
    return column.astype(str)


def _check_names(arrays: Mapping[str, NDArray[Any]], chunk: Chunk, contents: Contents) -> None:
    """InputError where a chunk has other arrays than the first one."""
    other = sorted(arrays.keys() ^ contents.variables.keys())
    if other:
        raise InputError(
            f"parameter {other[0]!r} is an array for some patients and not for those from "
            f"{chunk.start} on (the function of start and stop returned others before). Let it "
            "return the same names always."
        )


def _simulation(whole: Problem, population: Population, contents: Contents) -> dict[str, Any]:
    """Everything that decides a bit of the store, as plain JSON.

    Checks all numbers that are not a function's.
    """
    options = {name: value for name, value in whole.options.items() if name not in HOW}
    options["atol"] = options["atol"].tolist()
    options["samples"] = "before" if options.pop("before") else "after"
    options["start"] = "equilibrium" if whole.equilibrium else "initial"
    return {
        "model": digest(whole.model.content().encode()),
        "times": digest(contents.times.tobytes()),
        "outputs": list(whole.outputs),
        "reductions": whole.reductions.content(),
        "patients": contents.patients,
        "chunk": contents.chunk,
        "stored": sorted(contents.variables),
        "version": version_of_teorell(),
        **options,
        **population.fingerprint(whole.model),
    }
