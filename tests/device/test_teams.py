"""Teams: a warp that solves one patient. Their programs do what the model's do, without conflicts
within a round; their kernels, on the host, give the bits of the CPU whatever order lanes run in.
"""

from __future__ import annotations

import ctypes
import dataclasses
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import program_oracle
import pytest
import teorell as tl
from device_kernels import EveryKernel, compiled_library, launching, on_fake_devices
from fake_driver import FakeDriver
from folders import ROOT
from teorell.benchmark import reference_models
from teorell.device import launch, recorded, team_programs, teams
from teorell.device.team_programs import NONE, TEAM_PROGRAMS, WORDS, team_words
from teorell.engine.batch import Options
from teorell.engine.executors import METHODS, instruction_sets
from teorell.engine.pieces import reads
from teorell.lowering import Programs, lower
from teorell.lowering.program import Instruction, Op
from teorell.memo import Memo
from test_emitted import chain, with_everything

TIMES = np.linspace(0.0, 30.0, 16)
OPERANDS = {Op.SELECT: 3} | dict.fromkeys((Op.DIV, Op.MIN, Op.MAX, Op.LT, Op.LE), 2)


def large() -> tl.Model:
    """110 states."""
    import compile_time

    return compile_time.large_model()


MODELS = {
    "everything": with_everything,
    "A": reference_models.problem_a,
    "B": reference_models.problem_b,
    "110 states": large,
}


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")


# ---------------------------------------------------------------- programs


def decoded(words: np.ndarray, program: int, lanes: int) -> list[list[Instruction]]:
    """The rounds of a program, by the format that team_words tells."""
    first, count = words[1 + 2 * program], words[2 + 2 * program]
    whole = words[first : first + count * WORDS * lanes].astype(np.int64)
    rounds = whole.reshape(count, WORDS // 2, lanes, 2).transpose(0, 2, 1, 3)
    return [[instruction(lane.ravel()) for lane in each if lane.any()] for each in rounds]


def instruction(word: np.ndarray) -> Instruction:
    op, plus, minus, dst = word[0] & 15, word[0] >> 4 & 15, word[0] >> 8 & 255, word[0] >> 16
    slots = [int(half) for one in word[1:] for half in (one & 0xFFFF, one >> 16)]
    if op != Op.SUM:
        return Instruction(Op(op), int(dst), tuple(slots[: OPERANDS.get(op, 1)]))
    pairs = list(zip(slots[2::2], slots[3::2], strict=True))
    start = () if slots[0] == NONE else (slots[0],)
    return Instruction(
        Op.SUM, int(dst), start, tuple(pairs[:plus]), tuple(pairs[plus : plus + minus])
    )


def conflicts(together: Sequence[Instruction]) -> list[int]:
    """Slots that one of them writes and another reads or writes."""
    found = []
    for i, item in enumerate(together):
        others = [each for j, each in enumerate(together) if j != i]
        if any(item.dst == each.dst or item.dst in reads(each) for each in others):
            found.append(item.dst)
    return found


@pytest.fixture(params=MODELS)
def programs(request: pytest.FixtureRequest, bench: None) -> Programs:
    return lower(MODELS[request.param](), derivatives="vjp")


@pytest.mark.parametrize("lanes", [8, 32])
def test_rounds_have_no_conflicts(programs: Programs, lanes: int) -> None:
    words = team_words(programs, lanes)
    joined = 0
    for k in range(len(TEAM_PROGRAMS)):
        rounds = decoded(words, k, lanes)
        for each in rounds:
            assert 0 < len(each) <= lanes
            assert not conflicts(each)
            assert all(item.dst < words[0] - 1 for item in each)
        # without the barrier between two rounds there would be some
        joined += sum(bool(conflicts([*a, *b])) for a, b in pairwise(rounds))
    assert joined > 20


@pytest.mark.parametrize("lanes", [8, 32])
def test_rounds_in_any_order_do_what_the_program_does(
    programs: Programs, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the oracle, on numbers drawn at random; constants are what they are."""
    at, words = programs.layout, team_words(programs, lanes)
    rng = np.random.default_rng(3)
    shuffle = random.Random(4).shuffle
    results = [*range(at.temp), *range(at.temp + at.n_temp, at.scratch)]
    # y, w, Y, z of the stage that is reversed lie behind all slots
    stage = [*range(at.block, at.block + 3 * at.n), *range(at.u, at.u + at.n)]
    behind = range(at.slots, at.slots + len(stage))
    for k, name in enumerate(TEAM_PROGRAMS):
        wanted = rng.uniform(0.5, 2.0, (words[0], 3))
        wanted[at.const : at.const + at.n_const] = programs.constants[:, None]
        found = wanted.copy()
        found[behind] = wanted[stage]
        found[words[0] - 1] = np.nan
        program_oracle.execute(getattr(programs, name), wanted)
        for each in decoded(words, k, lanes):
            shuffle(each)
            with monkeypatch.context() as patch:
                patch.setattr(program_oracle, "instructions", lambda items: items)
                program_oracle.execute(each, found)
        if name in team_programs.STAGE_REVERSED:
            found[stage] = found[behind]
        np.testing.assert_array_equal(found[results], wanted[results], err_msg=name)


def test_too_many_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = lower(reference_models.problem_a())
    monkeypatch.setattr(teams, "MORE_STATES_THAN", 0)
    far = dataclasses.replace(lowered, layout=dataclasses.replace(lowered.layout, slots=70_000))
    with pytest.raises(ValueError, match="70000 slots"):
        team_words(far)
    assert chosen(lowered, 1) is not None
    assert chosen(far, 1) is None


def test_header_fits() -> None:
    assert 1 + 2 * len(TEAM_PROGRAMS) <= team_programs.HEADER


# ---------------------------------------------------------------- kernels


@pytest.fixture(scope="module")
def of_teams(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if sys.platform != "linux":
        pytest.skip("NOT RUN: fibres are contexts of Linux")
    place = tmp_path_factory.mktemp("teams") / "teams.so"
    compiled_library(ROOT / "cuda" / "shim_teams.cpp", place)
    return launching(place)


@pytest.fixture
def driver(
    monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL, of_teams: ctypes.CDLL
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


def switching() -> tl.Model:
    """Saturable elimination, a switch in time, a condition on a state, an event."""
    made = tl.Model("device")
    ka, vmax, km, v = made.parameters(ka=1.2, vmax=9.0, km=2.0, v=20.0)
    depot, central = made.states("depot", "central")
    made.flow(depot, central, ka * depot)
    half = tl.where(made.time > 20.0, 0.5, 1.0)
    made.flow(central, None, vmax * half * (central / v) / (km + central / v))
    peaks = made.level("peaks")
    made.event(when=central > 2.5 * v, then={peaks: peaks + 1.0, depot: 0.9 * depot})
    made.output("cp", central / v)
    made.output("peaks", peaks)
    return made


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
