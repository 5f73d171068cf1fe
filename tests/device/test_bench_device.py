"""bench/device.py from its first line to its last, on a device that a fake driver plays: what it
checks, counts and writes. No figure of it means anything here.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from device_case import driver
from device_kernels import uncompiled
from fake_driver import FakeDriver
from folders import ROOT
from teorell import benchmark
from teorell.device import devices, executor, teams
from teorell.device.compiler import Compiled

__all__ = ["driver"]  # a fixture


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    monkeypatch.delitem(sys.modules, "device", raising=False)
    import device

    return device


def of_interpreter(text: str, kernels: Sequence[str], architecture: str) -> Compiled:
    """The kernels of a model by those that interpret it, which have the same bits."""
    (asked,) = kernels
    made = uncompiled(text, kernels, architecture)
    name = re.sub(r"Emitted<.*OnDevice<(.*)>, .*>>$", r"Interpreted<\1>>", asked)
    return Compiled(made.code, {asked: name}, {})


def test_all_of_it(
    driver: FakeDriver, bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(executor, "kernels_of", of_interpreter)
    bench.main(["--models", "A", "--sizes", "2", "5", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert "Fake 0 (sm_90, 2 multiprocessors), driver for CUDA 13.2" in said
    assert "nvQSP" in said
    assert "not measured: " in said
    with (tmp_path / "device.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["what"], row["where"], row["patients"]) for row in rows}
    assert found == {
        (kind, f"device, {each}", n)
        for kind in bench.KINDS for each in bench.EXECUTORS for n in ("2", "5")
    } | {(kind, "CPU, all threads", "5") for kind in bench.KINDS}  # fmt: skip
    assert all(float(row["patients/s"]) > 0.0 for row in rows)
    assert {row["device"] for row in rows} == {said.splitlines()[0]}
    # What goes over grows with the patients by what became of each alone: no column, no value.
    for each in bench.EXECUTORS:
        few, more = (
            row for row in rows if (row["what"], row["where"]) == ("forward", f"device, {each}")
        )
        of_launches = [int(row["bytes from it"]) - 40 * int(row["launches"]) for row in (few, more)]
        assert of_launches[1] - of_launches[0] == 3 * 32
        assert int(more["bytes to it"]) - int(few["bytes to it"]) == 3 * 4  # a condition, not yet
    table = (tmp_path / "device.md").read_text()
    assert "| A | forward | machine_code | 5 |" in table
    assert "| A | gradient | interpreter | 5 |" in table
    assert (tmp_path / "device.png").read_bytes()[:4] == b"\x89PNG"


def test_what_differs_from_the_cpu_is_told(
    driver: FakeDriver, bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(executor, "kernels_of", of_interpreter)
    one = bench.case("A")
    device = devices.open_device(0)
    right = bench.check(one, "forward", "interpreter", device, 3)
    assert right["largest relative difference"] == right["statuses that differ"] == 0
    monkeypatch.setattr(bench, "there", lambda device, given: {**given, "fu": 1.001 * given["fu"]})
    wrong = bench.check(one, "forward", "interpreter", device, 3)
    assert 1e-5 < wrong["largest relative difference"] < 1.0


def test_the_large_model(bench: Any) -> None:
    one = bench.case("110 states")
    found, outcome = one.run("forward", one.people(2), executor="interpreter")
    assert found["values"].shape == (2, 97, 1)
    assert (outcome.status == 0).all()
    assert found["values"].max() > 0.0


def test_teams_are_asked_for(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, asked = bench.case("110 states"), []
    assert one.executors() == (*bench.EXECUTORS, "team")
    assert bench.case("A").executors() == bench.EXECUTORS

    def simulate(*given: Any, executor: str, **options: Any) -> Any:
        asked.append((executor, teams.teams_pay(1 << 40, 0, given[0])))
        return SimpleNamespace(values=1.0, steps=2)

    monkeypatch.setattr(bench.tl, "simulate", simulate)
    found, _ = one.run("forward", {}, executor="team")
    assert asked == [(None, True)]
    assert found["steps"] == 2


def test_without_a_device_it_says_so(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.devices, "driver_missing", lambda: "there is no driver")
    with pytest.raises(SystemExit) as ended:
        bench.main([])
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.err == "Nothing is measured: there is no driver.\n"
    assert not told.out


def test_a_curve_ends_with_its_time(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock[0])

    def run(n: int) -> None:
        clock[0] += 0.001 * n

    sizes = (10, 100, 1000, 10_000)
    found = list(bench.curve(run, sizes, ends=5.0))
    assert [row["patients"] for row in found] == [10, 100, 1000]
    assert all(row["patients/s"] == pytest.approx(1000.0) for row in found)

    def full(n: int) -> None:
        if n > 10:
            raise MemoryError("no room")
        run(n)

    assert [row["patients"] for row in bench.curve(full, sizes, ends=1e9)] == [10]


def test_models_as_polynomials(bench: Any) -> None:
    """What nvQSP takes: problem B is of the second degree, A is none."""
    peers, problem = bench.device_peers, benchmark.problem("B")
    constant, (begins, columns, linear), (rows, first, second, quadratic), start = (
        peers.polynomials(problem, 3)
    )
    states = len(problem.model.state_names)
    order = [problem.depot, *(k for k in range(states) if k != problem.depot)]
    y = np.random.default_rng(2).uniform(0.0, 50.0, states)
    namespace: dict[str, Any] = {"math": np}
    exec(benchmark.rhs_source(problem.model), namespace)
    for patient, numbers in enumerate(problem.matrix(3)):
        exact, amounts = [0.0] * states, np.empty(states)
        amounts[order] = y
        namespace["rhs"](0.0, amounts, exact, numbers)
        found = constant[patient].copy()
        for i in range(states):
            for k in range(begins[i], begins[i + 1]):
                found[i] += linear[patient, k] * y[columns[k]]
            for k in range(rows[i], rows[i + 1]):
                found[i] += quadratic[patient, k] * y[first[k]] * y[second[k]]
        np.testing.assert_allclose(found, np.array(exact)[order], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(start, problem.start(3)[:, order])
    with pytest.raises(peers.NotMeasured, match="this model is none"):
        peers.polynomials(benchmark.problem("A"), 3)
