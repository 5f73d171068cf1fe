"""What docs/how_to_add.md says is enough where sources must change: a dummy method, instruction,
kind of dose and rule of doses are added to a copy of the package by the steps of their guides, and
used, forwards and in both derivatives.

A step is a change of a file that the guide names; a file that the guide names and the dummy leaves
is told, with the reason. So the guides have no place too few, and none too many.
"""

from __future__ import annotations

from pathlib import Path

import dummy_instruction
import dummy_kind_of_dose
import dummy_method
import dummy_rule_of_doses
import pytest
from folders import ROOT
from patched_copy import PatchedCopy
from test_places import GUIDES

DUMMIES = {
    "A method": dummy_method,
    "An instruction": dummy_instruction,
    "A kind of dose": dummy_kind_of_dose,
    "A rule of doses": dummy_rule_of_doses,
}


@pytest.mark.parametrize("title", DUMMIES)
def test_a_dummy_goes_where_the_guide_says(title: str) -> None:
    """Every file that it changes is a place of the guide, and no place is left out untold."""
    changed, left = {*DUMMIES[title].STEPS}, {*DUMMIES[title].LEFT}
    (guide,) = [each for each in GUIDES if each.title == title]
    named = {place for place in guide.places if guide.within(place)}
    assert sorted(changed | left) == sorted(named)
    assert not changed & left


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> PatchedCopy:
    """A copy with the dummies that need a core: one core for all of them."""
    copy = PatchedCopy(tmp_path_factory.mktemp("changed"))
    for steps in (
        dummy_method.STEPS,
        dummy_instruction.STEPS,
        dummy_instruction.FUNCTION,
        dummy_kind_of_dose.STEPS,
    ):
        copy.apply(steps)
    copy.build()
    return copy


def test_a_method(changed: PatchedCopy) -> None:
    changed.run(dummy_method.__file__)
    tests = str(ROOT / "tests" / "engine" / "test_tableau.py")
    told = changed.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "two_stages", tests)
    assert "passed" in told


def test_an_instruction(changed: PatchedCopy) -> None:
    changed.run(dummy_instruction.__file__)


def test_a_kind_of_dose(changed: PatchedCopy) -> None:
    changed.run(dummy_kind_of_dose.__file__)


def test_a_rule_of_doses(tmp_path: Path) -> None:
    copy = PatchedCopy(tmp_path)
    copy.apply(dummy_rule_of_doses.STEPS)
    copy.run(dummy_rule_of_doses.__file__)
