"""Populations on disk: the bits of one simulation, whatever the store, the chunks, the
interruptions and the executor.
"""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import teorell as tl
from folders import child_environment
from teorell import InputError, Regimen

N = 300
TIMES = np.linspace(0.0, 24.0, 13)


class Stop(Exception):
    pass


def one_compartment():
    model = tl.Model("one compartment")
    cl, v = model.parameters(cl=1.0, v=10.0)
    central = model.state("central")
    model.flow(central, None, cl / v * central)
    model.output("cp", central / v, unit="mg/L")
    model.output("amount", central)
    return model


MODEL = one_compartment()
CL = np.random.default_rng(0).uniform(0.5, 3.0, N)
REGIMEN = Regimen.bolus(
    np.random.default_rng(1).uniform(50.0, 100.0, N), into="central", every=12, doses=2
)
ALL = (MODEL, {"cl": CL}, REGIMEN, TIMES)


def values(stored):
    """(patients, times, outputs)"""
    data = stored.open()
    if hasattr(data, "to_table"):
        frame = data.to_table().to_pandas().sort_values(["patient", "time"])
        return frame[["cp", "amount"]].to_numpy().reshape(N, TIMES.size, 2)
    return np.stack([data["cp"].to_numpy(), data["amount"].to_numpy()], axis=-1)


@pytest.fixture(params=["zarr", "parquet"])
def path(request, tmp_path):
    return tmp_path / f"population.{request.param}"


def test_one_simulation_in_chunks(path):
    stored = tl.simulate_to(path, *ALL, chunk=64)
    assert (stored.patients, stored.failed, stored.chunks) == (N, 0, 5)
    np.testing.assert_array_equal(values(stored), tl.simulate(*ALL).values)


def test_an_interrupted_run_goes_on_to_the_same_bits(path):
    def interrupt(done, total):
        if done >= 150:
            raise Stop

    with pytest.raises(Stop):
        tl.simulate_to(path, *ALL, chunk=32, progress=interrupt)
    seen = []
    stored = tl.simulate_to(path, *ALL, chunk=32, progress=lambda done, total: seen.append(done))
    assert 0 < seen[0] < N
    assert seen[-1] == N
    np.testing.assert_array_equal(values(stored), tl.simulate(*ALL).values)
    seen.clear()
    tl.simulate_to(path, *ALL, chunk=32, progress=lambda done, total: seen.append(done))
    assert set(seen) <= {N}


def test_a_killed_process_leaves_what_it_finished(path):
    code = f"""
        import time
        import teorell as tl, test_streaming as t
        def slow(done, total):
            print(done, flush=True); time.sleep(0.05)
        tl.simulate_to({str(path)!r}, *t.ALL, chunk=20, progress=slow)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 100:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    stored = tl.simulate_to(path, *ALL, chunk=20)
    np.testing.assert_array_equal(values(stored), tl.simulate(*ALL).values)


def test_another_simulation_is_refused(path):
    tl.simulate_to(path, *ALL, chunk=64)
    with pytest.raises(InputError):
        tl.simulate_to(path, *ALL, chunk=64, rtol=1e-8)
    with pytest.raises(InputError):
        tl.simulate_to(path, MODEL, {"cl": CL + 1.0}, REGIMEN, TIMES, chunk=64)
    stored = tl.simulate_to(path, *ALL, chunk=64, rtol=1e-8, resume=False)
    np.testing.assert_array_equal(values(stored), tl.simulate(*ALL, rtol=1e-8).values)


def test_nothing_that_others_wrote_is_removed(path):
    path.mkdir()
    (path / "thesis.txt").write_text("two years of work")
    with pytest.raises(InputError):
        tl.simulate_to(path, *ALL, resume=False)
    assert (path / "thesis.txt").read_text() == "two years of work"


def spawned(workers):
    """Processes that are not forked: a fork of threads is not safe, and Python says so from 3.12
    on.
    """
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, spawned])
def test_executors_give_the_same_bits(path, pool):
    with pool(2) as executor:
        stored = tl.simulate_to(path, *ALL, chunk=50, executor=executor)
    np.testing.assert_array_equal(values(stored), tl.simulate(*ALL).values)


@pytest.mark.filterwarnings("default")  # what Dask and its servers warn of is theirs
def test_a_dask_cluster_gives_the_same_bits(path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        stored = tl.simulate_to(path, *ALL, chunk=50, executor=client)
    np.testing.assert_array_equal(values(stored), tl.simulate(*ALL).values)


def test_patients_that_are_made_when_they_are_needed(path):
    asked = []

    def parameters(start, stop):
        asked.append((start, stop))
        return {"cl": CL[start:stop]}

    with pytest.raises(InputError, match="patients"):
        tl.simulate_to(path, MODEL, parameters, Regimen.bolus(80, into="central"), TIMES, chunk=64)
    given = (Regimen.bolus(80, into="central"), TIMES)
    stored = tl.simulate_to(path, MODEL, parameters, *given, patients=N, chunk=64)
    np.testing.assert_array_equal(values(stored), tl.simulate(MODEL, {"cl": CL}, *given).values)
    assert (256, N) in asked


def test_failures_are_told(path):
    model = tl.Model("growth")
    rate = model.parameter("rate", 0.0)
    x = model.state("x", 1.0)
    model.rate(x, rate * x * x)
    rates = np.where(np.arange(50) % 10 == 3, 5.0, 0.0)
    stored = tl.simulate_to(path, model, {"rate": rates}, None, [0.0, 1.0], chunk=20)
    assert stored.failed == 5
    with pytest.raises(tl.SimulationError, match="5 of 50 patients failed"):
        stored.raise_for_status()


def test_memory_does_not_grow_with_the_population(tmp_path):
    """30,000 patients have 240 MB of values here."""
    pytest.importorskip("resource")
    code = f"""
        import resource, numpy as np, teorell as tl
        import test_streaming as t
        at = np.linspace(0.0, 24.0, 500)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        few, many = {{"cl": np.ones(2000)}}, {{"cl": np.ones(30_000)}}
        tl.simulate_to({str(tmp_path / "a.zarr")!r}, t.MODEL, few, None, at, chunk=1000)
        before = peak()
        tl.simulate_to({str(tmp_path / "b.zarr")!r}, t.MODEL, many, None, at, chunk=1000)
        print(peak() - before)
    """
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True,
        env=child_environment(),
    )  # fmt: skip
    assert float(shown.stdout) < 100.0


@pytest.mark.parametrize(("change", "message"), [
    ({"path": "population.csv"}, "zarr"),
    ({"chunk": 0}, "chunk"),
    ({"executor": object()}, "submit"),
    ({"patients": 7}, "patients"),
])  # fmt: skip
def test_bad_input(tmp_path, change, message):
    given = dict(change)
    path = tmp_path / str(given.pop("path", "population.zarr"))
    with pytest.raises((InputError, TypeError), match=message):
        tl.simulate_to(path, *ALL, **given)
    assert not path.exists()
