"""What a store holds, whatever happens while it is written: killed at every step, on executors of
every kind.
"""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from folders import child_environment
from stores_case import (
    ALL,
    CHUNK,
    KINDS,
    MODEL,
    PEOPLE,
    REGIMEN,
    SHARED,
    TABLE,
    TIMES,
    Bare,
    Doses,
    N,
    contents,
    one_a_patient,
)
from teorell.schedule.given_doses import dose_table
from teorell.storage import chunks
from teorell.storage.manifest import Manifest


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    return tmp_path / f"population.{request.param}"


@pytest.fixture
def whole():
    """One simulation of everybody. Some fail, most do not."""
    solution = tl.simulate(*ALL)
    assert 0 < np.count_nonzero(solution.status) < N / 2
    return solution


@pytest.fixture
def finished(path):
    """The files of a store that nothing interrupted."""
    other = path.with_name(f"finished{path.suffix}")
    tl.simulate_to(other, *ALL, chunk=CHUNK)
    return contents(other)


def test_a_zarr_is_the_dataset_of_the_solution(tmp_path, whole):
    zarr = pytest.importorskip("zarr")
    stored = tl.simulate_to(tmp_path / "population.zarr", *ALL, chunk=CHUNK)
    data = stored.open()
    assert data.drop_vars(["rate", "k"]).load().identical(whole.to_xarray())
    assert data["rate"].attrs == {"units": "mg/h"}
    np.testing.assert_array_equal(data["rate"], PEOPLE["rate"])
    np.testing.assert_array_equal(data["k"], PEOPLE["k"])
    assert zarr.open_group(stored.path)["amount"].chunks == (CHUNK, TIMES.size)


def test_a_parquet_is_the_table_of_the_solution(tmp_path, whole, monkeypatch):
    monkeypatch.setattr("teorell.storage.stores.ROWS", 20)  # several row groups a chunk
    stored = tl.simulate_to(tmp_path / "population.parquet", *ALL, chunk=CHUNK)
    table = whole.to_dataframe().assign(status=np.repeat(whole.status, TIMES.size))
    pd.testing.assert_frame_equal(pd.read_parquet(stored.path), table, check_exact=True)
    data = stored.open()
    assert data.count_rows() == N * TIMES.size
    assert data.schema.field("amount").metadata == {b"units": b"mg"}
    patients = pd.read_parquet(stored.path / "_patients")
    assert patients["patient"].tolist() == list(range(N))
    for name in ("status", "failure_time", "steps", "rejected"):
        np.testing.assert_array_equal(patients[name], getattr(whole, name))
    np.testing.assert_array_equal(patients["rate"], PEOPLE["rate"])


@pytest.mark.parametrize(
    ("parameters", "regimen", "same"),
    [
        (pd.DataFrame(PEOPLE), REGIMEN, (PEOPLE, REGIMEN)),
        (
            lambda start, stop: {"rate": PEOPLE["rate"][start:stop]},
            SHARED,
            ({"rate": PEOPLE["rate"]}, SHARED),
        ),
        ({"k": 0.4}, lambda start, stop: REGIMEN.part(start, stop), ({"k": 0.4}, REGIMEN)),
        (PEOPLE, one_a_patient(), (PEOPLE, one_a_patient())),
        (PEOPLE, dose_table(REGIMEN, MODEL.state_names, N), (PEOPLE, REGIMEN)),
        ({"k": 0.4}, Doses(), ({"k": 0.4}, REGIMEN)),
        (
            {"k": tl.stepwise([0.0, 3.0], TABLE[:, :2])},
            SHARED,
            ({"k": tl.stepwise([0.0, 3.0], TABLE[:, :2])}, SHARED),
        ),
    ],
)
def test_every_kind_of_population(path, parameters, regimen, same):
    stored = tl.simulate_to(
        path, MODEL, parameters, regimen, TIMES, chunk=CHUNK, patients=N, samples="before"
    )
    expected = tl.simulate(MODEL, *same, TIMES, samples="before")
    data = stored.open()
    if path.suffix == ".parquet":
        amount = data.to_table()["amount"].to_numpy().reshape(N, -1)
    else:
        amount = data["amount"].to_numpy()
    np.testing.assert_array_equal(amount, expected["amount"])
    assert np.isfinite(amount).mean() > 0.5


# Dies at the n-th rename, fsync or text: between any two things that reach the disk, or halfway
# through the manifest.
KILLED = """
import os, pathlib, signal, sys
import stores_case
left = int(sys.argv[2])
def deadly(function):
    def call(*args, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return call
os.replace, os.fsync = deadly(os.replace), deadly(os.fsync)
pathlib.Path.replace = deadly(pathlib.Path.replace)
write_text = pathlib.Path.write_text
def half(path, text, **options):
    if left == 0:
        write_text(path, text[: len(text) // 2], **options)
    return deadly(write_text)(path, text, **options)
pathlib.Path.write_text = half
stores_case.tl.simulate_to(sys.argv[1], *stores_case.ALL, chunk=stores_case.CHUNK)
"""


@pytest.mark.parametrize("seed", range(2))
def test_killed_again_and_again(path, finished, seed):
    steps = np.random.default_rng(seed).integers(0, 100, 6)
    codes = [killed_after(path, number) for number in (0, 1, *steps.tolist())]
    assert -9 in codes
    tl.simulate_to(path, *ALL, chunk=CHUNK)
    assert contents(path) == finished


def killed_after(path: Path, number: int) -> int:
    command = [sys.executable, "-c", KILLED, str(path), str(number)]
    return subprocess.run(command, check=False, env=child_environment()).returncode


@pytest.mark.parametrize("seed", range(3))
def test_only_missing_chunks_are_computed(path, finished, seed, monkeypatch):
    last = int(np.random.default_rng(seed).integers(1, N - CHUNK))

    def stop(done, total):
        assert total == N
        if done > last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tl.simulate_to(path, *ALL, chunk=CHUNK, progress=stop)
    record = json.loads((path / "_teorell.json").read_text())
    ((start, done),) = record["complete"] or [[0, 0]]
    assert (start, done) == (0, last // CHUNK)
    computed = []

    def counted(model, parameters, *others, **options):
        computed.append(parameters["rate"].size)
        return tl.simulate(model, parameters, *others, **options)

    monkeypatch.setattr(chunks, "simulate", counted)
    stored = tl.simulate_to(path, *ALL, chunk=CHUNK)
    assert sum(computed) == N - done * CHUNK
    assert contents(path) == finished
    assert tl.simulate_to(path, *ALL, chunk=CHUNK, threads=1) == stored
    assert sum(computed) == N - done * CHUNK


def spawned(workers):
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, spawned])
def test_the_same_files_from_a_pool(path, finished, pool):
    with pool(2) as executor:
        tl.simulate_to(path, *ALL, chunk=CHUNK, executor=executor)
    assert contents(path) == finished


class LastFirst:
    """Of each four chunks the last is finished first; it does not say how many workers it has."""

    def __init__(self):
        self.pool, self.futures, self.most = ThreadPoolExecutor(8), [], 0
        self.done = [threading.Event() for _ in range(N // CHUNK + 1)]

    def submit(self, function, *args):
        number = len(self.futures)
        future = self.pool.submit(self.work, pickle.dumps((function, args)))
        self.futures.append(future)
        future.add_done_callback(lambda _: self.done[number].set())
        self.most = max(self.most, sum(not future.done() for future in self.futures))
        return future

    def work(self, sent):
        function, (task, chunk, *rest) = pickle.loads(sent)
        assert task.options["threads"] == 1
        if chunk.number % 4 < 3:
            self.done[chunk.number + 1].wait(60)
        return function(task, chunk, *rest)


def test_chunks_are_written_as_they_finish(path, finished, monkeypatch):
    monkeypatch.setattr(chunks, "UNKNOWN", 4)
    order, mark = [], Manifest.mark
    monkeypatch.setattr(
        Manifest,
        "mark",
        lambda manifest, chunk, **more: order.append(chunk) or mark(manifest, chunk, **more),
    )
    executor, seen = LastFirst(), []
    tl.simulate_to(
        path, *ALL, chunk=CHUNK, executor=executor, progress=lambda done, total: seen.append(done)
    )
    assert order == [3, 2, 1, 0, 7, 6, 5, 4]
    assert executor.most == 4
    assert contents(path) == finished
    assert np.diff(seen, prepend=0).tolist() == [min(CHUNK, N - CHUNK * number) for number in order]


class Breaks:
    """Two chunks are finished, the third raises, and those after it are never begun."""

    def __init__(self):
        self.futures = []

    def submit(self, function, *args):
        future = Future()
        if len(self.futures) < 2:
            future.set_result(function(*args))
        elif len(self.futures) == 2:
            future.set_exception(RuntimeError("the worker is gone"))
        self.futures.append(future)
        return future


def test_a_worker_that_breaks(path, finished):
    """What is finished stays, what is outstanding is cancelled, and the next call does the rest."""
    executor = Breaks()
    with pytest.raises(RuntimeError, match="the worker is gone"):
        tl.simulate_to(path, *ALL, chunk=CHUNK, executor=executor)
    assert [future.cancelled() for future in executor.futures] == [
        number > 2 for number in range(8)
    ]
    assert json.loads((path / "_teorell.json").read_text())["complete"] == [[0, 2]]
    tl.simulate_to(path, *ALL, chunk=CHUNK)
    assert contents(path) == finished


def test_ctrl_c_cancels(path, finished):
    def stop(done, total):
        raise KeyboardInterrupt

    executor = Breaks()
    with pytest.raises(KeyboardInterrupt):
        tl.simulate_to(path, *ALL, chunk=CHUNK, executor=executor, progress=stop)
    assert sum(future.cancelled() for future in executor.futures) == 5
    tl.simulate_to(path, *ALL, chunk=CHUNK)
    assert contents(path) == finished


def test_futures_without_callbacks(path, finished):
    tl.simulate_to(path, *ALL, chunk=CHUNK, executor=Bare())
    assert contents(path) == finished


def test_afresh(path, finished):
    """Other arrays, fewer chunks: nothing of the old store is left."""
    tl.simulate_to(path, MODEL, {"k": TABLE[:, 0]}, SHARED, TIMES, chunk=3, method="rodas4p2")
    tl.simulate_to(path, *ALL, chunk=CHUNK, resume=False)
    assert contents(path) == finished


def test_an_empty_folder_will_do(path, finished):
    path.mkdir()
    tl.simulate_to(path, *ALL, chunk=CHUNK)
    assert contents(path) == finished


def test_who_failed(path, whole):
    stored = tl.simulate_to(path, *ALL, chunk=CHUNK)
    assert stored.failed == np.count_nonzero(whole.status) > 5
    with pytest.raises(tl.SimulationError) as mine:
        stored.raise_for_status()
    with pytest.raises(tl.SimulationError) as all_at_once:
        whole.raise_for_status()
    np.testing.assert_array_equal(mine.value.patients, all_at_once.value.patients)

    def without_unusual(error):  # the rest of the population is the chunk here
        return [line.split("; unusual")[0] for line in str(error.value).splitlines()[:-1]]

    assert without_unusual(mine) == without_unusual(all_at_once)
    assert str(mine.value).endswith("more: `patients` of this error holds all.")
    assert pickle.loads(pickle.dumps(stored)) == stored


LARGE = """
import resource, sys
import numpy as np
import stores_case
tl, model = stores_case.tl, stores_case.two_outputs()
times = np.linspace(0.0, 1.0, 1000)
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e3
def run(path, patients):
    function = lambda start, stop: {"k": np.full(stop - start, 0.3)}
    options = {"patients": patients, "rtol": 1e-3}
    tl.simulate_to(path, model, function, stores_case.SHARED, times, ["depot"], **options)
run(sys.argv[1], 10)
before = peak()
run(sys.argv[2], 50_000)
print(peak() - before)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="NOT RUN: needs /proc, where the peak is told"
)
def test_memory(path):
    """400 MB of values, in chunks of 64 MB, need less than 150 MB."""
    command = [sys.executable, "-c", LARGE, str(path.with_name(f"small{path.suffix}")), str(path)]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, env=child_environment()
    )
    assert 60.0 < float(output.stdout) < 150.0
