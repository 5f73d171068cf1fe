"""Teams: a warp that solves one patient. Their kernels, on the host, give the bits of the CPU for
values and gradients, whatever order lanes run in; where they are chosen.
"""

from __future__ import annotations

import ctypes
import dataclasses
import sys
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import teorell as tl
from device_case import TIMES, switching
from device_kernels import EveryKernel, compiled_library, launching, on_fake_devices
from fake_driver import FakeDriver
from folders import ROOT
from team_case import bench, conflicts, decoded, large
from teorell.benchmark import reference_models
from teorell.device import launch, recorded, teams
from teorell.device.team_programs import WORDS, team_words
from teorell.engine.batch import Options
from teorell.engine.executors import METHODS, instruction_sets
from teorell.lowering import Programs, lower
from teorell.memo import Memo
from test_emitted import chain, with_everything

__all__ = ["bench"]  # a fixture


@pytest.fixture(scope="module")
def of_teams(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if sys.platform != "linux":
        pytest.skip("NOT RUN: fibres are contexts of Linux")
    place = tmp_path_factory.mktemp("teams") / "teams.so"
    compiled_library(ROOT / "cuda" / "shim_teams.cpp", place)
    return launching(place)


@pytest.fixture
def driver(
    monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL, of_teams: ctypes.CDLL, bench: None
) -> Iterator[FakeDriver]:
    if not instruction_sets()[0]["fma"]:
        pytest.skip("NOT RUN: this processor has no fused multiply-add")
    fake = on_fake_devices(monkeypatch, library)
    assert isinstance(fake.kernels, EveryKernel)
    for function, method, shared in product(teams.FUNCTIONS, METHODS, (True, False)):
        fake.kernels.of_models[teams.kernel_of_teams(function, method, shared)] = of_teams
    monkeypatch.setattr(teams, "MORE_STATES_THAN", 0)
    monkeypatch.setattr(teams, "TEAMS", 1000)
    yield fake
    assert not fake.memory


def problem(name: str) -> tuple[Any, ...]:
    """Model, parameters, doses, times, reductions."""
    rng = np.random.default_rng(8)
    dose = tl.Regimen.bolus
    if name == "switching":
        people = {"ka": rng.lognormal(0.0, 0.5, 5), "vmax": rng.lognormal(2.0, 0.3, 5)}
        people["ka"][2] = 1e308  # who cannot be solved
        reductions = [tl.Cmax("cp", end=20.0, name="peak"), tl.AUC("cp", end=20.0, name="area")]
        doses = dose(100, into="depot", every=12, doses=2)
        doses = doses + tl.Regimen.infusion(50, into="central", duration=1.5)
        return switching(), people, doses, TIMES * 0.75, reductions
    if name == "everything":
        return with_everything(), {"k": rng.lognormal(0.0, 0.2, 2)}, None, TIMES / 8, []
    if name == "chain":
        return chain(), {"rate": rng.lognormal(0.5, 0.2, 2)}, dose(4, into="x0"), TIMES / 6, []
    people = {"ka": [0.8, 1.5], "V_liver": [1.5, 2.0]}
    return (
        large(),
        people,
        dose(100, into="stomach"),
        TIMES[:4] / 4,
        [tl.Cmax("cp_drug", end=1.5, name="peak")],
    )


def solved(given: tuple[Any, ...], **options: Any) -> tl.Solution:
    *first, reductions = given
    return tl.simulate(*first, reductions=reductions, **options)


def same(there: tl.Solution, here: tl.Solution) -> None:
    """Bit by bit."""
    moved = there.cpu()
    np.testing.assert_array_equal(moved.values, here.values)
    for name in ("status", "steps", "rejected", "failure_time", "condition"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
    for name, each in here.reductions.items():
        np.testing.assert_array_equal(moved.reductions[name], each, err_msg=name)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["switching", "everything", "chain", "110 states"])
def test_bits_of_the_cpu(
    driver: FakeDriver, of_teams: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, name: str,
    shared: bool,
) -> None:  # fmt: skip
    """In launches of a few steps, whose lanes and blocks run in orders of their own."""
    if not shared:
        monkeypatch.setattr(teams, "SHARED", 0)
    monkeypatch.setattr(launch, "FIRST_STEPS", 7)
    monkeypatch.setattr(launch, "MOST_STEPS", 7)
    of_teams.teorell_shuffle(2 + shared)
    given = problem(name)
    same(solved(given, device="cuda"), solved(given))
    launched = driver.named("launch")
    assert len(launched) > 3
    assert all("by_teams" in call[1] and call[3] == 32 for call in launched)
    (bytes_of_a_block,) = set(driver.shared)
    assert (8 * lower(given[0]).layout.slots < bytes_of_a_block) == shared


@pytest.mark.parametrize(
    ("name", "shared"),
    [("switching", True), ("everything", False), ("chain", False), ("110 states", True)],
)
def test_gradients_of_the_cpu(
    driver: FakeDriver, of_teams: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, name: str,
    shared: bool,
) -> None:  # fmt: skip
    """With room for few steps at first, so that patients are solved again, and states too."""
    monkeypatch.setattr(teams, "SHARED", 1 << 20 if shared else 0)
    monkeypatch.setattr(launch, "FIRST_STEPS", 5)
    monkeypatch.setattr(launch, "MOST_STEPS", 5)
    monkeypatch.setattr(recorded, "FIRST_ROOM", 40)
    of_teams.teorell_shuffle(4 + shared)
    *given, reductions = problem(name)
    loss = {each.name: 0.3 + k for k, each in enumerate(reductions)} if shared else None
    weights = np.random.default_rng(6).normal(size=(1, len(given[3]), 1))
    options = {"reductions": reductions} if loss else {}
    there = tl.value_and_grad(loss or weights, *given, device="cuda", **options)[1]
    here = tl.value_and_grad(loss or weights, *given, **options)[1]
    moved = there.cpu()
    for one in ("parameters", "initial"):
        for key, known in getattr(here, one).items():
            np.testing.assert_array_equal(getattr(moved, one)[key], known, err_msg=key)
    for line, known in zip(there.of_doses or (), here.of_doses or (), strict=True):
        for field, each in vars(known).items():
            np.testing.assert_array_equal(getattr(line, field), each, err_msg=field)
    launched = [call[1] for call in driver.named("launch")]
    assert sum("pull_patients_back_by_teams" in one for one in launched) > 3
    assert not any("patients" in one and "<" in one and "teams" not in one for one in launched)


def test_other_method(driver: FakeDriver) -> None:
    given = problem("switching")
    same(solved(given, device="cuda", method="rodas4p2"), solved(given, method="rodas4p2"))


def test_a_missing_barrier_shows(
    driver: FakeDriver, of_teams: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One instruction of solve, a round too early, where it need not find what it waits for."""

    def hasty(programs: Programs) -> np.ndarray:
        words = team_words(programs)
        first, rounds = words[3], words[4]
        whole = words[first : first + rounds * WORDS * 32].reshape(rounds, WORDS // 2, 32, 2)
        idle = next(lane for lane in range(32) if not whole[-2, :, lane].any())
        whole[-2, :, idle] = whole[-1, :, 0]
        whole[-1, :, 0] = 0
        assert conflicts(decoded(words, 1, 32)[-2])
        return words

    monkeypatch.setattr(teams, "team_words", hasty)
    monkeypatch.setattr(teams, "_words", Memo(1))
    given = problem("chain")
    here = solved(given, max_steps=20)
    for seed in range(5):
        of_teams.teorell_shuffle(seed)
        there = solved(given, device="cuda", max_steps=20).cpu()
        if not np.array_equal(there.values, here.values, equal_nan=True):
            return
    pytest.fail("no order of lanes shows it")


def test_ctrl_c_leaves_nothing(driver: FakeDriver) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    driver.on_launch = stop
    with pytest.raises(KeyboardInterrupt):
        solved(problem("switching"), device="cuda")


# ---------------------------------------------------------------- the choice


CHOICE = Options(1e-6, np.array([1e-9]))
WIDE_DRIVER = SimpleNamespace(
    multiprocessors=lambda number: 132, shared_memory=lambda number: 228 * 1024
)
WIDE: Any = SimpleNamespace(number=0, driver=WIDE_DRIVER)


def chosen(
    programs: Programs, patients: int, options: Options = CHOICE, function: str = "solve_patients"
) -> teams.Team | None:
    batch: Any = SimpleNamespace(programs=programs, patients=patients)
    return teams.teams_for(function, batch, options, WIDE)


def test_where_teams_are_chosen(bench: None, monkeypatch: pytest.MonkeyPatch) -> None:
    small, big = lower(reference_models.problem_b()), lower(large())
    interpreter = dataclasses.replace(CHOICE, executor="interpreter")
    for programs, patients, given, wanted in (
        (big, 1, CHOICE, True),
        (big, 12 * 132, CHOICE, True),
        (big, 12 * 132 + 1, CHOICE, False),
        (big, 1, interpreter, False),
        (small, 1, CHOICE, False),
    ):
        assert (chosen(programs, patients, given) is not None) == wanted
    assert chosen(big, 1, function="push_patients_forward") is None
    reverse = lower(large(), derivatives="vjp")  # of which four fit a multiprocessor
    assert chosen(reverse, 4 * 132) is not None
    assert chosen(reverse, 4 * 132 + 1) is None
    monkeypatch.setattr(teams, "SHARED", 0)
    assert chosen(reverse, 12 * 132) is not None
    monkeypatch.undo()
    team = chosen(big, 1)
    assert team is not None
    assert team.shared == 8 * int(team.words[0]) < 48 * 1024


def test_more_slots_than_a_team_can_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teams, "MORE_STATES_THAN", 0)
    lowered = lower(reference_models.problem_a())
    far = dataclasses.replace(lowered, layout=dataclasses.replace(lowered.layout, slots=70_000))
    assert chosen(lowered, 1) is not None
    assert chosen(far, 1) is None
