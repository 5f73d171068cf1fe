"""Figures of virtual people, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from teorell import InputError
from teorell.learn.diffusion.exposure import worst_quantile
from teorell.learn.diffusion.fidelity import (
    area_under_curve,
    correlation_error,
    derived,
    discriminator,
    nearest_is_of_first,
    violation_rates,
    worst_ks,
)
from teorell.learn.diffusion.physics import limits_of_people
from teorell.learn.diffusion.sampler import LEAST_NOISE, MOST_NOISE, noise_levels
from teorell.learn.diffusion.vectors import COLUMNS, MASS_COLUMNS, real_people


def test_area_under_the_curve() -> None:
    # pairs (positive, negative): 0.8 > 0.1, 0.8 > 0.5, 0.5 > 0.1, 0.5 = 0.5 counts half
    found = area_under_curve([0.1, 0.5, 0.5, 0.8], [0, 0, 1, 1])
    assert found.value == pytest.approx(3.5 / 4)
    assert area_under_curve([1, 2, 3, 4], [0, 0, 1, 1]).value == 1.0
    assert area_under_curve([1, 2, 3, 4], [1, 1, 0, 0]).value == 0.0
    # no difference: variance (1/4 + (a + b - 2) / 12) / (a b), of a = b = 100
    chance = area_under_curve(np.zeros(200), np.arange(200) % 2)
    assert chance.value == 0.5
    half = 1.959964 * np.sqrt((0.25 + 198 / 12) / 1e4)
    assert chance.high - 0.5 == pytest.approx(half, rel=1e-5)
    with pytest.raises(InputError, match="one group is empty"):
        area_under_curve([1.0], [True])


def test_distances_of_distributions() -> None:
    rows = np.ones((4, len(COLUMNS)))
    other = np.ones((4, len(COLUMNS)))
    rows[:, 3], other[:, 3] = [1, 2, 3, 4], [3, 4, 5, 6]
    assert worst_ks(rows, other) == (0.5, COLUMNS[3])
    assert worst_ks(rows, rows)[0] == 0.0


def test_correlation_errors() -> None:
    rng = np.random.default_rng(0)
    rows = np.exp(rng.standard_normal((5000, len(COLUMNS))))
    other = rows.copy()
    assert correlation_error(rows, other) == 0.0
    other[:, 2] = rows[:, 1]  # one pair of p (p - 1) / 2 is correlated; others by chance
    p = len(COLUMNS) - 1
    assert correlation_error(rows, other) == pytest.approx(1 / (p * (p - 1) / 2), rel=0.6)


def test_neighbours() -> None:
    first, second = np.array([[0.0], [10.0]]), np.array([[5.0], [20.0]])
    found = nearest_is_of_first(np.array([[1.0], [6.0], [9.0], [100.0]]), first, second)
    assert found.value == 0.5
    copied = nearest_is_of_first(first, first, second)
    assert copied.value == 1.0
    with pytest.raises(InputError, match="groups of 2 and 1"):
        nearest_is_of_first(first, first, second[:1])


def test_rates_of_violation() -> None:
    people = real_people(200, 4)
    constraints = limits_of_people()
    assert violation_rates(constraints, people, 1e-6)["any"].value == 0.0
    people[:10, COLUMNS.index("haematocrit")] = 0.9
    people[5:20, COLUMNS.index("mass_muscle")] *= 1.02  # masses no longer add up
    people[20, COLUMNS.index("flow_skin")] = np.nan
    people[21, COLUMNS.index("mass_skin")] = -1.0
    rates = violation_rates(constraints, people)
    assert rates["haematocrit"].value == 12 / 200
    assert rates["masses"].value == 17 / 200
    assert rates["inequalities"].value == 12 / 200
    assert rates["any"].value == 22 / 200
    n, p, z = 200, 22 / 200, 1.959963984540054
    centre, half = p + z * z / 2 / n, z * np.sqrt(p * (1 - p) / n + z * z / 4 / n**2)
    assert rates["any"].low == pytest.approx((centre - half) / (1 + z * z / n))


def test_a_discriminator_finds_what_is_there() -> None:
    pytest.importorskip("sklearn", reason="NOT RUN: needs scikit-learn")
    people, others = real_people(800, 5), real_people(800, 6)
    same = discriminator(people, others)
    assert same.low < 0.5 < same.high
    broken = others.copy()
    places = [COLUMNS.index(name) for name in MASS_COLUMNS]
    broken[:, places] *= np.random.default_rng(0).normal(1.0, 0.01, (800, 1))
    hidden = discriminator(people, broken)
    assert hidden.value < 0.6  # no column shows it
    assert discriminator(people, broken, more=True).value > 0.95  # the sum does
    assert derived(people).shape[1] > people.shape[1]


def test_percentiles_of_exposure() -> None:
    some = np.arange(1.0, 102.0)[:, None].repeat(2, 1)
    other = some.copy()
    other[:, 1] *= 1.25
    assert worst_quantile(some, some) == 0.0
    assert worst_quantile(some, other) == pytest.approx(0.2)
    assert worst_quantile(other, some) == pytest.approx(0.25)


def test_levels_of_noise_fall() -> None:
    levels = noise_levels(5).numpy()
    assert levels[0] == pytest.approx(MOST_NOISE)
    assert levels[4] == pytest.approx(LEAST_NOISE)
    assert levels[5] == 0.0
    middle = ((MOST_NOISE ** (1 / 7) + LEAST_NOISE ** (1 / 7)) / 2) ** 7
    assert levels[2] == pytest.approx(middle)
