"""Averages over structures: the evidence against a grid, pools of draws, the right one wins."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import teorell as tl
import torch
from numpy.typing import NDArray
from teorell import InputError
from teorell.arrays import Array
from teorell.learn.transformer import forecast
from teorell.learn.transformer.averaging import ROUTES, SATURABLE, before, chosen, pooled
from teorell.learn.transformer.decoding import log_likelihood
from teorell.learn.transformer.mixture import gaussian, joined, prior
from teorell.learn.transformer.structures import COMPARTMENTS, STRUCTURES
from teorell.learn.transformer.weighing import Weighed, weigh

TIMES = np.array([2.0, 8.0])  # h, measured
MEASURED = np.log([[2.2, 1.0]])
NOISE, LIMIT, BELOW = np.array([0.2]), np.array([-30.0]), np.zeros((1, 2), bool)
MASK = torch.ones(1, 1, dtype=torch.float64)
ALL = [each.name for each in STRUCTURES]
EQUAL = np.zeros((2, 1))
DOSE = {"time": [0.0], "amount": [100.0]}


def fit(z: Array, volume: float) -> Array:
    """log likelihood of standard log clearances, (values,): one compartment, in closed form."""
    rate = 5.0 * np.exp(1.6 * z) / volume
    levels = math.log(100.0 / volume) - rate[:, None] * TIMES
    return log_likelihood(levels[:, None], MEASURED, BELOW, NOISE, LIMIT)[:, 0]


def by_weights(volume: float, mean: float = 0.0, draws: int = 2000, seed: int = 0) -> Weighed:
    def target(z: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        score = fit(z.reshape(-1), volume).reshape(z.shape[:2])
        return score - 0.5 * (z[..., 0] ** 2 + math.log(2 * math.pi)), z

    centred = torch.full((1, 1), mean, dtype=torch.float64)
    near = gaussian(centred, torch.full((1, 1, 1), 0.25, dtype=torch.float64), MASK, {1.0: 1.0})
    proposal = joined([(0.9, near), (0.1, prior(MASK))])
    return weigh(proposal, target, draws=draws, least=800.0, rounds=4, seed=seed)


def by_grid(volume: float) -> tuple[float, Array, Array]:
    """The integral of likelihood times prior by brute force; points, and shares of the posterior"""
    z = np.linspace(-6.0, 6.0, 20001)
    density = np.exp(fit(z, volume) - 0.5 * z**2) / math.sqrt(2 * math.pi)
    return float(density.sum() * (z[1] - z[0])), z, density / density.sum()


@pytest.mark.parametrize("mean", [0.0, 1.5])
def test_the_evidence_is_the_integral_on_a_grid(mean: float) -> None:
    """Within its Monte Carlo error, whose size is that of evidences of other seeds in one round;
    in several it is an upper bound, as each proposal gives its share of draws exactly (Owen 2000).
    """
    exact = math.log(by_grid(40.0)[0])
    found = [by_weights(40.0, mean, seed=seed) for seed in range(30)]
    apart = np.array([one.log_evidence[0] - exact for one in found])
    error = np.array([one.evidence_error()[0] for one in found])
    assert (error < 0.05).all()
    assert (np.abs(apart) < 4 * error).all()
    size = apart.std() / np.sqrt((error**2).mean())
    assert size < 1.5
    assert size > 0.6 or mean


def test_two_structures_are_averaged_as_on_a_grid() -> None:
    """The same samples by two volumes: probabilities, means and quantiles of both together."""
    volumes = (40.0, 33.0)
    grids = [by_grid(volume) for volume in volumes]
    total = sum(evidence for evidence, _, _ in grids)
    exact = [evidence / total for evidence, _, _ in grids]
    each = [by_weights(volume, draws=4000, seed=k) for k, volume in enumerate(volumes)]
    whole, found = pooled(each, EQUAL)
    error = exact[0] * exact[1] * math.hypot(*(float(one.evidence_error()[0]) for one in each))
    assert 0.05 < exact[0] < 0.95
    assert abs(found[0, 0] - exact[0]) < 4 * error
    share = sum(p * of for p, (_, _, of) in zip(exact, grids, strict=True))
    z = grids[0][1]
    assert abs(whole.mean()[0, 0] - share @ z) < 4 * whole.error()[0, 0]
    for level in (0.05, 0.5, 0.95):
        reached = np.interp(whole.quantiles((level,))[0, 0, 0], z, np.cumsum(share))
        assert abs(reached - level) < 4 * math.sqrt(level * (1 - level) / whole.effective[0])
    assert whole.log_evidence[0] == pytest.approx(math.log(total / 2), abs=0.1)
    assert whole.weights.sum() == pytest.approx(1.0)


def test_two_identical_structures_are_one() -> None:
    """One half each, the same forecast, and draws worth twice as many."""
    one = by_weights(40.0)
    whole, found = pooled([one, one], EQUAL)
    np.testing.assert_allclose(found, 0.5)
    np.testing.assert_allclose(whole.mean(), one.mean())
    assert whole.effective[0] == pytest.approx(2 * one.effective[0])
    assert whole.taken[0] == 2 * one.taken[0]
    assert whole.log_evidence[0] == pytest.approx(one.log_evidence[0])
    levels = (0.05, 0.5, 0.95)
    np.testing.assert_allclose(whole.quantiles(levels), one.quantiles(levels), atol=0.01)


def test_what_was_more_probable_before_stays_so_in_proportion() -> None:
    """By Bayes' rule; and the evidence is the mean of both, by these probabilities."""
    each = [by_weights(40.0), by_weights(33.0)]
    equal, odds = pooled(each, EQUAL)[1], np.array([[0.9], [0.1]])
    whole, found = pooled(each, np.log(7 * odds))
    np.testing.assert_allclose(found[0] / found[1], 9 * equal[0] / equal[1])
    logs = [one.log_evidence[0] for one in each]
    assert whole.log_evidence[0] == pytest.approx(np.log(odds[:, 0] @ np.exp(logs)))


def test_saturable_structures_are_less_probable_before() -> None:
    shares = np.exp(before(chosen(("first-1", "first-2", "first-1-mm"), ALL)))
    np.testing.assert_allclose(shares, [0.45, 0.45, SATURABLE])
    for one in ("oral", "iv", ("oral", "oral-whole-body")):
        what = chosen(one, ALL)
        shares = np.exp(before(what))
        assert shares.sum() == pytest.approx(1.0)
        assert shares[[each.saturable for each in what]].sum() == pytest.approx(SATURABLE)
    np.testing.assert_allclose(np.exp(before(chosen(("first-1-mm", "zero-1-mm"), ALL))), 0.5)


def test_companions_tell_which_structure_is_probable() -> None:
    """One late sample tells nothing of absorption; a companion with early ones does, whom both
    structures fit with other parameters; of two it is the same in either order, nearly.
    """
    times = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0])
    early = {"time": times, "concentration": curve(times, transit=True)}
    late = {"time": [10.0], "concentration": curve(np.array([10.0]), transit=True)}
    both = ("first-1", "transit-1")

    def share(*companions: Any) -> float:
        told = [(DOSE, each, None) for each in companions]
        found = forecast(DOSE, late, [24.0], structure=both, noise=0.05, companions=told)
        assert sum(found.structures.values()) == pytest.approx(1.0)
        return found.structures["transit-1"]

    assert 0.2 < share() < 0.8
    assert share(early) > 0.99
    assert share(late, early) > 0.99
    assert share(early, late) > 0.99


def test_draws_never_taken_and_structures_without_weight_count_for_nothing() -> None:
    """Two patients: one in whom the second structure is impossible, one in whom both are."""
    values = np.array([[5.0, 5.0], [7.0, 7.0], [0.0, 0.0]])[..., None]
    weights = np.array([[0.5, np.nan], [0.5, np.nan], [0.0, 0.0]])
    fine = Weighed(
        values, weights, values, np.array([2.0, 0.0]), np.array([2, 2]), np.array([-3.0, -np.inf])
    )
    lost = fine._replace(
        weights=np.full((3, 2), np.nan), effective=np.zeros(2), taken=np.array([3, 1]),
        log_evidence=np.full(2, -np.inf),
    )  # fmt: skip
    whole, found = pooled([fine, lost], EQUAL)
    assert found[:, 0].tolist() == [1.0, 0.0]
    assert whole.effective.tolist() == [2.0, 0.0]
    assert whole.taken.tolist() == [5, 3]
    assert whole.mean()[0, 0] == pytest.approx(6.0)
    assert sorted(whole.values[:5, 0, 0].tolist()) == [0.0, 5.0, 5.0, 7.0, 7.0]
    assert np.isnan(found[:, 1]).all()


def curve(times: Array, *, transit: bool) -> Array:
    """mg/L after 100 mg in 40 L at 5 L/h: four steps at 1/h each, or absorption at 1/h."""
    model = tl.Model("truth")
    names = ("a", "b", "c", "d", "e") if transit else ("a", "e")
    chain = model.states(*names, unit="mg")
    for here, there in pairwise(chain):
        model.flow(here, there, 1.0 * here)
    model.flow(chain[-1], None, 5.0 / 40.0 * chain[-1])
    model.output("cp", chain[-1] / 40.0)
    found = tl.simulate(model, {}, tl.Regimen.bolus(100.0, into="a"), times, threads=1)
    return np.asarray(found.values)[..., 0].reshape(-1)


@pytest.mark.parametrize("transit", [False, True])
def test_the_structure_that_data_are_from_wins(transit: bool) -> None:
    """Early samples tell a chain of compartments from absorption in one step, by far."""
    times = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0])
    samples = {"time": times, "concentration": curve(times, transit=transit)}
    found = forecast(DOSE, samples, [24.0], structure=("first-1", "transit-1"), noise=0.05)
    assert found.structures["transit-1" if transit else "first-1"] > 0.99
    assert sum(found.structures.values()) == pytest.approx(1.0)
    assert found.median[0] == pytest.approx(curve(np.array([24.0]), transit=transit)[0], rel=0.25)


def test_a_forecast_over_a_route() -> None:
    """All oral structures of compartments; each with its parameters and evidence."""
    samples = {"time": [2, 10], "concentration": [1.8, 0.9]}
    found = forecast(DOSE, samples, [12, 24], structure="oral")
    names = [each.name for each in ROUTES["oral"]]
    assert list(found.structures) == list(found.evidence) == list(found.parameters) == names
    assert set(found.parameters["first-1"]) == {"cl", "v", "ka"}
    assert 100 < found.effective <= found.draws
    assert "structures: " in str(found)
    alone = forecast(DOSE, samples, [12, 24], structure="first-1")
    assert alone.structures == {"first-1": 1.0}
    assert "structures" not in str(alone)
    assert alone.evidence["first-1"] == found.evidence["first-1"]  # the first has the same seed
    infused = {"time": [0], "amount": [100], "duration": [1.0]}
    by_vein = forecast(infused, samples, [12, 24], structure=["iv", "iv-whole-body"])
    assert set(by_vein.structures) == {each.name for each in ROUTES["iv"]} | {"iv-whole-body"}


def test_routes_are_all_structures_of_compartments() -> None:
    assert len(ROUTES["oral"]) + len(ROUTES["iv"]) == len(COMPARTMENTS)
    assert [each.name for each in chosen("oral", ["first-1", "iv-1"])] == ["first-1"]
    assert [each.name for each in chosen(("first-2",), ALL)] == ["first-2"]


@pytest.mark.parametrize(
    ("asked", "known", "message"),
    [
        ((), ALL, "names none"),
        ("iv", ["first-1"], "names none of this checkpoint"),
        (["first-1", "first-5"], ALL, "unknown structure 'first-5'"),
        (("orall",), ALL, "Did you mean 'oral'"),
        (("first-1", "iv-1"), ALL, "mix routes"),
        (("oral", "iv"), ALL, "mix routes"),
        (("first-1", "first-1"), ALL, "'first-1' is there twice"),
        (("oral", "first-1"), ALL, "is there twice"),
        ("zero-3", ["first-1"], "trained without it"),
        (None, ALL, "a name, or a tuple"),
        (("first-1", 2), ALL, "a name, or a tuple"),
        (np.nan, ALL, "a name, or a tuple"),
    ],
)
def test_what_is_refused(asked: Any, known: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen(asked, known)
