"""Mixtures, importance weights against a grid, MAP, and the floor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import teorell as tl
import torch
from numpy.typing import NDArray
from teorell.arrays import Array
from teorell.learn.transformer.decoding import log_likelihood
from teorell.learn.transformer.floors import floor, maximum
from teorell.learn.transformer.inference import Effort, target_of
from teorell.learn.transformer.maximum import Normal, mode
from teorell.learn.transformer.mixture import Mixture, gaussian, joined, prior
from teorell.learn.transformer.priors import PARAMETERS
from teorell.learn.transformer.studies import Studies, draw
from teorell.learn.transformer.weighing import Weighed, weigh

TIMES = np.array([2.0, 8.0, 20.0])  # h; the first two are measured
MEASURED = np.array([[math.log(2.2), math.log(1.0)]])
NOISE = np.array([0.2])


def clearance() -> Callable[[Array], Array]:
    """log concentrations (values, TIMES) of standard log clearances: one compartment, V 40 L."""
    model = tl.Model("one parameter")
    (cl,) = model.parameters(cl=5.0)
    (central,) = model.states("central", unit="mg")
    model.flow(central, None, cl / 40.0 * central)
    model.output("cp", central / 40.0)
    dose = tl.Regimen.bolus(100.0, into="central")

    def curve(z: Array) -> Array:
        values = tl.simulate(model, {"cl": 5.0 * np.exp(1.6 * z)}, dose, TIMES, threads=1)
        found: Array = np.log(np.maximum(values.values[..., 0], 1e-30))
        return found

    return curve


def on_a_grid(
    curve: Callable[[Array], Array], below: NDArray[np.bool_], limit: Array
) -> tuple[Array, Array, Array]:
    """The posterior by brute force: points, shares, curves."""
    z = np.linspace(-5.0, 5.0, 20001)
    levels = curve(z)
    fit = log_likelihood(levels[:, None, :2], MEASURED, below, NOISE, limit)[:, 0]
    density = np.exp(fit - 0.5 * z**2 - (fit - 0.5 * z**2).max())
    return z, density / density.sum(), levels


MASK = torch.ones(1, 1, dtype=torch.float64)


def at(mean: float, sd: float) -> Mixture:
    column = torch.tensor([[mean]], dtype=torch.float64)
    return gaussian(column, torch.full((1, 1, 1), sd**2, dtype=torch.float64), MASK, {1.0: 1.0})


@pytest.mark.parametrize("censored", [False, True])
@pytest.mark.parametrize(("mean", "sd"), [(0.0, 0.3), (2.0, 0.2), (-1.0, 2.0)])
def test_weights_are_those_of_the_posterior_on_a_grid(
    mean: float, sd: float, censored: bool
) -> None:
    """Good, far-off and wide proposals end with the same posterior, within Monte Carlo error."""
    curve = clearance()
    below, limit = np.array([[False, censored]]), np.array([math.log(1.0)])
    z, share, levels = on_a_grid(curve, below, limit)

    def target(draws: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        found = curve(draws.reshape(-1)).reshape(*draws.shape[:2], 3)
        fit = log_likelihood(found[..., :2], MEASURED, below, NOISE, limit)
        normal = -0.5 * (draws[..., 0] ** 2 + math.log(2 * math.pi))
        return fit + normal, np.concatenate([found, draws], axis=-1)

    proposal = joined([(0.9, at(mean, sd)), (0.1, prior(MASK))])
    found = weigh(proposal, target, draws=2000, least=1500.0, rounds=5, seed=3)
    assert found.effective[0] >= 1500
    assert found.weights.sum() == pytest.approx(1.0)
    exact = np.append(share @ levels, share @ z)
    apart = found.mean()[0] - exact
    assert (np.abs(apart) < 4 * found.error()[0] + 1e-3).all()
    assert found.error()[0, -1] < 0.02
    cumulated = np.cumsum(share)
    wanted = (0.05, 0.5, 0.95)
    for level, quantile in zip(wanted, found.quantiles(wanted)[0, -1], strict=True):
        reached = np.interp(quantile, z, cumulated)
        assert abs(reached - level) < 4 * math.sqrt(level * (1 - level) / found.effective[0])


def test_more_draws_where_they_are_needed() -> None:
    """Of a patient whose proposal is right one round; of one that is far off, several."""
    mask = torch.ones(2, 1, dtype=torch.float64)
    mean = torch.tensor([[0.0], [6.0]], dtype=torch.float64)
    proposal = gaussian(mean, torch.ones(2, 1, 1, dtype=torch.float64), mask, {1.0: 1.0})

    def normal(draws: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        return -0.5 * draws[..., 0] ** 2, draws

    found = weigh(proposal, normal, draws=400, least=300.0, rounds=6)
    assert found.taken[0] == 400
    assert found.effective[0] == pytest.approx(400)
    assert found.taken[1] > 400
    assert found.effective[1] >= 300
    assert (np.abs(found.mean()[:, 0]) < 5 * found.error()[:, 0]).all()
    assert not found.weights[400:, 0].any()


def test_draws_that_fail_have_no_weight() -> None:
    def half(draws: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        x = np.where(draws > 0, draws, np.nan)
        return np.zeros(draws.shape[:2]), x

    found = weigh(prior(MASK), half, draws=500, least=1.0, rounds=0)
    assert (found.values[found.weights > 0] > 0).all()

    def none(draws: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        return np.full(draws.shape[:2], np.nan), draws

    assert weigh(prior(MASK), none, draws=50, least=1.0, rounds=1).effective[0] == 0


def test_a_mixture_is_the_density_of_its_draws() -> None:
    """Against the formula written out: two correlated Gaussians, one parameter masked."""
    mask = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    rows = [[0.5, 9.0, 0.3], [9.0, 1.0, 9.0], [0.3, 9.0, 0.8]]
    covariance = torch.tensor([rows], dtype=torch.float64)
    mean = torch.tensor([[1.0, 7.0, -1.0]], dtype=torch.float64)
    one = gaussian(mean, covariance, mask, {1.0: 0.7, 3.0: 0.3})
    z = one.draw(200_000, torch.Generator().manual_seed(0))
    assert not z[..., 1].any()
    kept = z[:, 0][:, [0, 2]].numpy()
    inner = np.array([[0.5, 0.3], [0.3, 0.8]])
    np.testing.assert_allclose(kept.mean(axis=0), [1.0, -1.0], atol=0.02)
    np.testing.assert_allclose(np.cov(kept.T), (0.7 + 0.3 * 9) * inner, atol=0.05)
    apart = kept[:5] - [1.0, -1.0]
    squares = np.einsum("si,ij,sj->s", apart, np.linalg.inv(inner), apart)
    norm = 2 * np.pi * np.sqrt(np.linalg.det(inner))
    expected = 0.7 * np.exp(-squares / 2) / norm + 0.3 * np.exp(-squares / 18) / (9 * norm)
    np.testing.assert_allclose(one.log_density(z[:5])[:, 0].exp().numpy(), expected, rtol=1e-9)


def weighed(values: Array, weights: Array, effective: float) -> Weighed:
    """Draws of one number of one patient."""
    whole = values[:, None, None]
    taken = np.array([len(values)])
    return Weighed(whole, weights[:, None], whole, np.array([effective]), taken)


def test_weighed_quantiles_by_hand() -> None:
    """With n = 3: positions of the halves, 1/4 and 3/4 apart, as of plain draws; a line between."""
    values, weights = np.array([3.0, 1.0, 2.0, 9.0]), np.array([0.25, 0.25, 0.5, 0.0])
    found = weighed(values, weights, 3.0)
    # positions (3 (cumulated - half) + 1/2) / 4: 1 at .21875, 2 at .5, 3 at .78125, 9 at .875
    middle = (0.21875 + 0.5) / 2
    quantiles = found.quantiles((0.01, 0.21875, middle, 0.5, 0.78125))[0, 0]
    np.testing.assert_allclose(quantiles, [1.0, 1.0, 1.5, 2.0, 3.0])
    assert found.mean()[0, 0] == pytest.approx(2.0)
    assert found.error()[0, 0] == pytest.approx(math.sqrt(2 / 16))


def test_bands_of_few_draws_hold_one_more_as_often_as_they_say() -> None:
    """50 draws: a band of 90 % between ordered draws would hold 88 %."""
    x = np.random.default_rng(0).standard_normal((51, 4000, 1))
    taken = np.full(4000, 50)
    found = Weighed(x[:50], np.full((50, 4000), 0.02), x[:50], np.full(4000, 50.0), taken)
    low, high = np.moveaxis(found.quantiles((0.05, 0.95))[:, 0], -1, 0)
    held = (low < x[50, :, 0]) & (x[50, :, 0] < high)
    assert abs(held.mean() - 0.9) < 3 * math.sqrt(0.09 / 4000)


def patients(samples: int, names: Any = ("first-1", "iv-2-mm")) -> Studies:
    return draw(
        5, 0, 1, structures=names, kinds=("repeated",), studies=2, patients=2, queries=4,
        samples=samples,
    )  # fmt: skip


def test_the_mode_is_where_the_slope_is_zero() -> None:
    """MAP: no point nearby is more probable; without samples it is the prior's centre."""
    given = patients(5, ("first-2",))
    _, found = maximum(given)
    target, rows = target_of(given), np.arange(4)
    best = target(found.standard[None], rows)[0][0]
    rng = np.random.default_rng(0)
    steps = 0.03 * rng.standard_normal((200, *found.standard.shape))
    sides = found.standard + steps * given.what().mask()
    assert (target(sides, rows)[0] < best + 2e-3).all()  # of the solver's tolerance
    assert not maximum(patients(0))[1].standard.any()


def test_the_mode_without_samples_is_the_centre_of_any_prior() -> None:
    """And with samples a prior that is sure of itself is not moved by them."""
    size = len(PARAMETERS)
    given = patients(0, ("first-2",))
    own = Normal(np.linspace(-1.0, 1.0, size), np.linspace(0.2, 2.0, size))
    mask = given.what().mask()
    np.testing.assert_allclose(mode(given, prior=own).standard, [own.mean * mask] * 4, atol=1e-6)
    sure = own._replace(sd=np.full(size, 1e-5))
    moved = mode(patients(5, ("first-2",)), prior=sure).standard - own.mean * mask
    assert np.abs(moved).max() < 1e-3


def test_a_density_of_fewer_parameters_is_the_same() -> None:
    mask = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    factor = torch.tensor([[[[2.0, 0, 0], [9.0, 3.0, 0], [0.5, 9.0, 1.5]]]], dtype=torch.float64)
    mean = torch.tensor([[[0.3, 5.0, -0.7]]], dtype=torch.float64)
    one = Mixture(torch.zeros(1, 1, dtype=torch.float64), mean, factor, mask)
    z = torch.randn(5, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    has = np.array([0, 2])
    torch.testing.assert_close(one.only(has).log_density(z[..., has]), one.log_density(z))


def test_the_floor_is_the_prior_where_nothing_is_known() -> None:
    """Without samples the posterior mean is that of draws of the prior."""
    given = patients(0, ("first-1",))
    _, about = maximum(given)
    effort = Effort(draws=4000, least=200.0, rounds=2)
    found = floor(given, about, effort)
    z = np.random.default_rng(1).standard_normal((4000, 4, given.logs.shape[1]))
    values = target_of(given)(z * given.what().mask(), np.arange(4))[1]
    error = np.hypot(values.std(axis=0) / np.sqrt(4000), found["error"])
    assert (np.abs(values.mean(axis=0) - found["mean"]) < 4 * error).all()
    assert (found["effective"] >= 200).all()
