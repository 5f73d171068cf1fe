"""Coordinates of people: they invert, what adds up does so, and people can be held."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from teorell import InputError, Population
from teorell.learn.diffusion.conditions import Shares, random_intervals
from teorell.learn.diffusion.limits import TOLD, height_limits, index_limits, told_of
from teorell.learn.diffusion.ratios import Ratios
from teorell.learn.diffusion.raw import Raw
from teorell.learn.diffusion.scores import MOST, Scores
from teorell.learn.diffusion.vectors import (
    COLUMNS,
    FLOW_COLUMNS,
    MASS_COLUMNS,
    column,
    population_of,
    real_people,
    rows_of,
)

INFINITY = float("inf")


@pytest.fixture(scope="module")
def people() -> torch.Tensor:
    return torch.from_numpy(real_people(3000, 11))


@pytest.fixture(scope="module")
def ratios(people: torch.Tensor) -> Ratios:
    found = Ratios()
    found.fit(people)
    return found


def unbounded(n: int) -> torch.Tensor:
    return torch.tensor([[[-INFINITY, INFINITY]] * len(TOLD)] * n, dtype=torch.float64)


@pytest.mark.parametrize("kind", [Ratios, Raw])
def test_coordinates_invert_on_people_never_seen(kind: type, people: torch.Tensor) -> None:
    coordinates = kind()
    coordinates.fit(people)
    others = torch.from_numpy(real_people(500, 12))
    z = coordinates.encode(others)
    assert z.shape == (500, coordinates.size)
    again = coordinates.decode(z, others[:, 0], most=INFINITY)
    off = ((again - others) / others.std(0).clamp(min=1e-300)).abs().max()
    assert off < 1e-12
    assert (coordinates.encode(again) - z).abs().max() < 1e-9  # a score may have a steep line


def test_training_people_are_standard(ratios: Ratios, people: torch.Tensor) -> None:
    z = ratios.encode(people)
    for sex in (0, 1):
        some = z[people[:, 0] == sex]
        assert some.mean(0).abs().max() < 0.05
        covariance = torch.cov(some[:, 4:].T)
        torch.testing.assert_close(
            covariance, torch.eye(len(covariance)).double(), atol=0.05, rtol=0
        )


def test_what_adds_up_does_so_whatever_the_coordinates(ratios: Ratios) -> None:
    z = 2.0 * torch.randn(200, ratios.size, generator=torch.Generator().manual_seed(0)).double()
    female = (torch.arange(200) % 2).double()
    rows = ratios.decode(z, female)
    for parts, whole in ((MASS_COLUMNS, "body_weight"), (FLOW_COLUMNS, "cardiac_output")):
        total = torch.stack([column(rows, name) for name in parts]).sum(0)
        assert (total / column(rows, whole) - 1).abs().max() < 1e-13
    assert (rows[:, 1:] > 0).all()
    assert torch.equal(rows[:, 0], female)


def test_held_people_have_what_was_asked(ratios: Ratios, people: torch.Tensor) -> None:
    z, female = ratios.encode(people[:50]), people[:50, 0]
    limits = unbounded(50)
    free = ratios.held(z, female, limits)
    torch.testing.assert_close(free, z.clamp(max=MOST, min=-2 * MOST), atol=1e-12, rtol=0)
    for name, value in (("age", 30.0), ("body_weight", 70.0), ("body_mass_index", 25.0)):
        limits[:, TOLD.index(name)] = value
    moved = ratios.decode(ratios.held(z, female, limits), female)
    told = told_of(moved)
    expected = torch.tensor([30.0, (70.0 / 25.0) ** 0.5, 70.0, 25.0]).double().expand(50, -1)
    torch.testing.assert_close(told[:, :4], expected, atol=0, rtol=1e-6)


def test_limits_of_sizes_follow_from_each_other() -> None:
    limits = unbounded(1)
    assert height_limits(limits).tolist() == [[0.0, INFINITY]]
    limits[:, TOLD.index("body_weight")] = torch.tensor([60.0, 80.0])
    limits[:, TOLD.index("body_mass_index")] = torch.tensor([20.0, 25.0])
    low, high = height_limits(limits)[0].tolist()
    assert (low, high) == (pytest.approx((60 / 25) ** 0.5), pytest.approx((80 / 20) ** 0.5))
    index = index_limits(limits, torch.tensor([1.6]).double())[0].tolist()
    assert index == [pytest.approx(60 / 1.6**2), 25.0]


def test_scores_are_normal_deviates_of_ranks() -> None:
    values = torch.arange(1.0, 20002.0).double()[:, None].repeat(2, 1)
    female = torch.repeat_interleave(torch.tensor([0.0, 1.0]).double(), 20001)
    values[20001:] *= 3.0
    scores = Scores(1)
    scores.fit(values, female, torch.ones(len(values)).double())
    both = torch.tensor([0.0, 1.0]).double()
    middle = scores(torch.tensor([[10001.0], [30003.0]]).double(), both)
    assert middle.abs().max() < 1e-3
    quartile = scores(torch.tensor([[5001.0], [45003.0]]).double(), both)[:, 0].tolist()
    assert quartile == [pytest.approx(-0.6745, abs=1e-3), pytest.approx(0.6745, abs=1e-3)]
    ends = scores(torch.tensor([[1.0], [60003.0]]).double(), both)[:, 0].tolist()
    assert ends == [pytest.approx(-MOST), pytest.approx(MOST)]


def test_scores_of_people_who_count_for_less() -> None:
    # twice as many below 1 as above, each of half the weight: one uniform distribution
    values = torch.cat([torch.linspace(0, 1, 20001), torch.linspace(1, 2, 10001)[1:]]).double()
    odds = torch.where(values < 1, 0.5, 1.0).double()
    scores = Scores(1)
    scores.fit(values[:, None].repeat(2, 1), torch.tensor([0.0, 1.0]).repeat_interleave(30001),
               odds.repeat(2))  # fmt: skip
    asked = torch.tensor([[0.5], [1.0], [1.5]]).double()
    found = scores(asked, torch.tensor([0.0, 1.0, 0.0]))[:, 0].tolist()
    assert found == [pytest.approx(x, abs=1e-3) for x in (-0.6745, 0.0, 0.6745)]


def test_an_interval_tells_nothing_but_that_a_person_is_inside() -> None:
    rng = np.random.default_rng(1)
    shares = rng.random((200_000, 5))
    intervals = random_intervals(shares, rng)
    low, high = intervals[..., 0], intervals[..., 1]
    assert ((low <= shares) & (shares <= high)).all()
    partial = (high > low) & (high - low < 1.0)
    place = ((shares - low) / np.where(partial, high - low, 1.0))[partial]
    for kind in (
        low[partial] == 0.0,
        high[partial] == 1.0,
        (low > 0)[partial] & (high < 1)[partial],
    ):
        counts, _ = np.histogram(place[kind], bins=10, range=(0, 1))
        # multinomial of 10 equal parts: each within five standard deviations
        assert np.abs(counts - kind.sum() / 10).max() < 5 * np.sqrt(0.09 * kind.sum())
    assert (low == high).mean() == pytest.approx(0.3, abs=0.01)


def test_shares_of_training_people() -> None:
    shares = Shares()
    told = torch.arange(1001.0).double()[:, None].repeat(1, 5)
    shares.fit(told)
    asked = torch.tensor([[-INFINITY, 0.0, 250.0, 1000.0, INFINITY]]).double()
    assert shares(asked)[0].tolist() == pytest.approx([0.0, 0.0, 0.25, 1.0, 1.0])
    assert shares.least_and_most("height") == (0.0, 1000.0)


def test_rows_become_people_and_rows_again() -> None:
    rows = real_people(40, 3)
    people = population_of(rows)
    assert np.abs(rows_of(people) / np.where(rows == 0, 1, rows) - (rows != 0)).max() < 1e-14
    sampled = Population.sample(40, seed=3)
    for name in ("albumin", "alpha1_acid_glycoprotein", "glomerular_filtration", "cardiac_index"):
        same = population_of(rows_of(sampled))
        np.testing.assert_allclose(same[name], sampled[name], rtol=1e-13)


def test_people_who_lack_a_column_are_refused() -> None:
    told = {"age": [30.0], "sex": ["male"], "height": [1.8], "body_weight": [80.0]}
    typical = Population.from_dataframe(told)
    assert rows_of(typical).shape == (1, len(COLUMNS))
    bare = {k: typical[k] for k in typical if k.startswith(("mass_", "flow_")) and "share" not in k}
    with pytest.raises(InputError, match="no 'female'"):
        rows_of(Population.from_dataframe(bare))
