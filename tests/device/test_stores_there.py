"""Stores of populations that devices have computed: the bytes of those from the CPU, whatever the
devices, the interruptions and the workers.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stores_case as case
import teorell as tl
from device_kernels import on_fake_devices
from teorell.device.driver import DriverError
from teorell.engine.executors import instruction_sets
from teorell.errors import InputError

pytestmark = pytest.mark.skipif(
    not instruction_sets()[0]["fma"],
    reason="NOT RUN: this processor has no fused multiply-add",
)
OPTIONS = {"chunk": case.CHUNK, "reductions": [tl.Cmax("depot", end=12.0)]}


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL) -> Any:
    fake = on_fake_devices(monkeypatch, library, count=2)
    yield fake
    gc.collect()
    assert not fake.memory, "memory of a device was left"
    assert not fake.locked, "memory of the host was left"


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The store that the CPU makes."""
    path = tmp_path / f"here.{getattr(request, 'param', 'parquet')}"
    tl.simulate_to(path, *case.ALL, **OPTIONS)
    return path


@pytest.mark.parametrize(
    ("here", "device"),
    [
        (case.KINDS[0], "cuda"), (case.KINDS[0], ["cuda:0", "cuda:1"]), ("parquet", "cuda:1"),
        ("parquet", "cuda:all"), ("parquet", "cpu"),
    ],
    indirect=["here"],
)  # fmt: skip
def test_the_bytes_of_the_cpu(driver: Any, here: Path, device: Any) -> None:
    there = here.with_name(f"there{here.suffix}")
    said: list[int] = []
    stored = tl.simulate_to(
        there, *case.ALL, device=device, progress=lambda done, _: said.append(done), **OPTIONS
    )
    assert (stored.patients, stored.chunks) == (case.N, 8)
    assert stored.failed > 0
    assert case.contents(there) == case.contents(here)
    assert said[-1] == case.N
    used = {call[1] for call in driver.named("current")} if driver.named("launch") else set()
    assert used <= {0, 1}
    assert (not used) == (device == "cpu")
    if device == "cuda:1":
        assert used == {1}


def test_goes_on_where_the_cpu_stopped_and_the_other_way_round(driver: Any, here: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done >= 20:
            raise Stop

    for number, (first, then) in enumerate((("cpu", "cuda:all"), ("cuda:all", "cpu"))):
        path = here.with_name(f"again{number}{here.suffix}")
        with pytest.raises(Stop):
            tl.simulate_to(path, *case.ALL, device=first, progress=stop, **OPTIONS)
        tl.simulate_to(path, *case.ALL, device=then, **OPTIONS)
        assert case.contents(path) == case.contents(here)
    driver.failing = {"launch": "CUDA_ERROR_LAUNCH_FAILED"}
    path = here.with_name(f"failed{here.suffix}")
    with pytest.raises(DriverError, match="LAUNCH_FAILED"):
        tl.simulate_to(path, *case.ALL, device="cuda", **OPTIONS)
    driver.failing = {}
    tl.simulate_to(path, *case.ALL, device="cuda", **OPTIONS)
    assert case.contents(path) == case.contents(here)


def test_workers_have_a_device_each(driver: Any, here: Path) -> None:
    path = here.with_name(f"workers{here.suffix}")
    with ThreadPoolExecutor(2) as pool:
        tl.simulate_to(path, *case.ALL, executor=pool, device="cuda", **OPTIONS)
        assert driver.named("launch")
        assert case.contents(path) == case.contents(here)
        for device in (["cuda:0", "cuda:1"], "cuda:all"):
            with pytest.raises(InputError, match=r"Give 'cuda', and each worker a CUDA_VISIBLE"):
                tl.simulate_to(path, *case.ALL, executor=pool, device=device, **OPTIONS)


def test_refused_before_anything_is_made(driver: Any, tmp_path: Path) -> None:
    path = tmp_path / f"never.{case.KINDS[0]}"
    for device, said in (
        ("gpu", "unknown device 'gpu'"), ("cuda:9", "there is no device 'cuda:9'"),
        (["cuda:0", "cuda:0"], "and each once"), ([], "a list names CUDA devices"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            tl.simulate_to(path, *case.ALL, device=device, **OPTIONS)
    assert not path.exists()


def test_a_worker_without_a_device_says_so(tmp_path: Path) -> None:
    """In a process of its own, as a worker of Dask is: the device is the worker's, not ours."""
    path = tmp_path / f"worker.{case.KINDS[0]}"
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.raises(InputError, match=r"(device|there is no device) 'cuda:77'|cuda:77'? cannot"),
    ):
        tl.simulate_to(path, *case.ALL, executor=pool, device="cuda:77", **OPTIONS)


def test_functions_of_patients(driver: Any, here: Path) -> None:
    """A population that is never in memory."""

    def people(start: int, stop: int) -> dict[str, np.ndarray]:
        return {name: column[start:stop] for name, column in case.PEOPLE.items()}

    path = here.with_name(f"functions{here.suffix}")
    given = (case.MODEL, people, case.SHARED, case.TIMES)
    other = here.with_name(f"other{here.suffix}")
    tl.simulate_to(path, *given, patients=case.N, chunk=9, device="cuda:all")
    tl.simulate_to(other, *given, patients=case.N, chunk=9)
    assert case.contents(path) == case.contents(other)
