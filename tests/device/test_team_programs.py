"""Programs of teams: without conflicts within a round, and in any order of its lanes they do what
the model's programs do.
"""

from __future__ import annotations

import dataclasses
import random
from itertools import pairwise

import numpy as np
import program_oracle
import pytest
from team_case import bench, conflicts, decoded, large
from teorell.benchmark import reference_models
from teorell.device import team_programs
from teorell.device.team_programs import TEAM_PROGRAMS, team_words
from teorell.lowering import Programs, lower
from test_emitted import with_everything

__all__ = ["bench"]  # a fixture

MODELS = {
    "everything": with_everything,
    "A": reference_models.problem_a,
    "B": reference_models.problem_b,
    "110 states": large,
}


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


def test_header_fits() -> None:
    assert 1 + 2 * len(TEAM_PROGRAMS) <= team_programs.HEADER


def test_too_many_slots() -> None:
    lowered = lower(reference_models.problem_a())
    far = dataclasses.replace(lowered, layout=dataclasses.replace(lowered.layout, slots=70_000))
    with pytest.raises(ValueError, match="70000 slots"):
        team_words(far)
