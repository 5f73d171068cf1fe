"""Training people: more of the young, what each counts for, and cells that they are compared in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from teorell.learn.configuration import Training
from teorell.learn.diffusion.cells import CELLS, rejected
from teorell.learn.diffusion.learner import Diffusion, DiffusionLearner
from teorell.learn.diffusion.limits import TOLD
from teorell.learn.diffusion.physics import limits_of_people, violated
from teorell.learn.diffusion.training_people import EDGES, training_people
from teorell.learn.diffusion.vectors import column, real_people

AGE = TOLD.index("age")


def test_there_are_enough_of_each_age_and_weights_undo_it() -> None:
    people = training_people(6000, 21, young=0.5)
    age = column(people.rows, "age")
    assert len(people.rows) == 6000
    np.testing.assert_array_equal(people.rows[:3000], real_people(3000, 21))
    counts, _ = np.histogram(age, [*EDGES, 81.0])
    assert counts.min() >= 500
    assert np.all(np.diff(people.weights) > 0)
    assert people.weights[-1] == 1.0
    odds, usual = people.odds(age), column(people.rows[:3000], "age")
    for low in EDGES[2:]:  # of the sampler's 3000 one may be a newborn, or none
        assert odds[age >= low].sum() / odds.sum() == pytest.approx((usual >= low).mean(), abs=1e-3)
    assert not np.any(list(violated(limits_of_people(), people.rows).values()))


def test_without_the_young_they_are_the_samplers() -> None:
    people = training_people(300, 22)
    np.testing.assert_array_equal(people.rows, real_people(300, 22))
    assert (people.odds(column(people.rows, "age")) == 1.0).all()


def test_a_person_counts_for_as_much_as_the_oldest_who_is_as_told_would() -> None:
    learner = DiffusionLearner(Diffusion(Training(check_every=0), people=4000, young=0.5))
    people = learner.people
    age = column(people.rows, "age")
    newborn = np.flatnonzero(age < EDGES[1])[:3]
    intervals = np.tile([0.0, 1.0], (3, len(TOLD), 1))
    share = (age < EDGES[1]).mean()
    intervals[1, AGE] = [0.0, 0.5 * share]  # other newborns alone
    intervals[2, AGE] = [0.3 * share, 0.3 * share]  # known
    found = learner._counts(newborn, intervals)
    assert found[0] == people.weights[0] < 0.1
    assert found[1:].tolist() == [1.0, 1.0]
    batch = learner.batch(0)
    assert ((batch["counts"] > 0) & (batch["counts"] <= 1)).all()
    assert torch.isfinite(learner.loss(learner.network(), batch))


def test_people_of_a_cell_are_of_all_its_ages() -> None:
    for cell in CELLS[2:]:
        low, high = cell.wanted.limits["age"]
        age = column(rejected(cell, 400, 23), "age")
        at = (age - low) / (high - low)
        assert ((at > 0) & (at < 1)).all()
        # uniform within a month of life, donors apart: none stands on an end
        assert np.abs(np.quantile(at, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.12
