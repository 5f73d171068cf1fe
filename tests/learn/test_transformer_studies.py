"""Simulated studies: physics of the decoders, regimens, seeds, and what is never shared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from teorell import InputError
from teorell.learn.transformer.decoding import (
    Doses,
    centre,
    curves,
    jacobian,
    log_likelihood,
    to_logs,
    to_standard,
)
from teorell.learn.transformer.learner import Transformer
from teorell.learn.transformer.priors import PARAMETERS
from teorell.learn.transformer.regimens import KINDS, regimens
from teorell.learn.transformer.structures import STRUCTURES, structure
from teorell.learn.transformer.studies import HELD_OUT, MOST_SAMPLES, TRAINING, Studies

LEARNER = Transformer(Transformer.configurations["tiny"])
AT = {name: place for place, name in enumerate(PARAMETERS)}


def once(amount: float, duration: float = 0.0) -> Doses:
    return Doses(*(np.array([[x]]) for x in (0.0, amount, duration)))


def logs(**values: float) -> Any:
    found = centre(np.array([70.0]))
    for name, value in values.items():
        found[0, AT[name]] = np.log(value)
    return found


def test_one_compartment_has_its_closed_forms() -> None:
    t = np.array([[9.0, 0.5, 2.0, 24.0, 5.0]])  # in any order
    ka, k, v = 1.3, 5.0 / 30.0, 30.0
    values = logs(cl=5.0, v=v, ka=ka, dur=3.0, mtt=2.0, km=1e9)
    bolus = 100 / v * np.exp(-k * t)
    oral = 100 * ka / (v * (ka - k)) * (np.exp(-k * t) - np.exp(-ka * t))
    rise = np.minimum(t, 3.0)
    zero = 100 / 3.0 / 5.0 * (1 - np.exp(-k * rise)) * np.exp(-k * (t - rise))
    for name, dose, exact in (
        ("iv-1", once(100.0), bolus),
        ("iv-1-mm", once(100.0), bolus),  # far below km it is linear
        ("first-1", once(100.0), oral),
        ("zero-1", once(100.0), zero),
        ("iv-1", once(100.0, 3.0), zero),
    ):
        found = curves(structure(name), values, dose, t)
        np.testing.assert_allclose(found, np.log(exact), atol=2e-4, err_msg=name)


@pytest.mark.parametrize("name", ["iv-1", "first-2", "transit-1", "zero-1", "iv-3"])
def test_clearance_is_dose_over_area(name: str) -> None:
    """Whatever the absorption and the compartments: AUC = dose / CL."""
    t = np.linspace(0.0, 200.0, 8001)[None]
    values = logs(cl=8.0, v=20.0, v2=15.0, v3=10.0, q3=4.0)
    level = np.exp(curves(structure(name), values, once(100.0), t))
    area = np.sum((level[0, 1:] + level[0, :-1]) / 2 * np.diff(t[0]))
    assert area == pytest.approx(100 / 8.0, rel=2e-3)


def test_what_saturates_is_cleared_more_slowly() -> None:
    t = np.array([[1.0, 4.0, 12.0]])
    many = [curves(structure("iv-1-mm"), logs(km=km), once(500.0), t) for km in (0.1, 1.0, 1e6)]
    assert (many[0] > many[1]).all()
    assert (many[1] > many[2]).all()


def test_slopes_are_those_of_differences() -> None:
    what, t = structure("transit-2-mm"), np.array([[1.0, 30.0, 6.0]])
    z = logs()
    _, slopes = jacobian(what, z, once(50.0), t)
    for place, at in enumerate(what.places):
        h = np.zeros_like(z)
        h[0, at] = 0.01
        up, down = (curves(what, z + sign * h, once(50.0), t) for sign in (1, -1))
        np.testing.assert_allclose(slopes[..., place], (up - down) / 0.02, atol=3e-3)


def test_slopes_stay_finite_where_nothing_is_left() -> None:
    """A curve far below the solver's tolerance: its logarithm is a floor, with slope 0."""
    levels, slopes = jacobian(
        structure("iv-1"), logs(cl=500.0, v=5.0), once(100.0), np.array([[0.1, 24.0]])
    )
    assert np.isfinite(levels).all()
    assert slopes[0, 0, 0] == pytest.approx(-0.1 * 500 / 5, rel=1e-3)  # of log CL: -k t
    assert not slopes[0, 1].any()


def test_every_structure_has_its_own_name_and_parameters() -> None:
    assert len({each.name for each in STRUCTURES}) == len(STRUCTURES) == 26
    for each in STRUCTURES:
        assert structure(each.name) == each
        assert set(each.values(logs())) <= set(each.model.parameter_names)
        assert each.mask().sum() == len(each.parameters)
    with pytest.raises(InputError, match="Did you mean 'first-2'"):
        structure("frist-2")


def test_standard_parameters_and_back() -> None:
    rng = np.random.default_rng(0)
    z, weight = rng.normal(size=(5, len(PARAMETERS))), rng.uniform(40, 120, 5)
    np.testing.assert_allclose(to_standard(to_logs(z, weight), weight), z, atol=1e-12)
    heavy = centre(np.array([140.0, 70.0]))
    assert heavy[0, AT["cl"]] - heavy[1, AT["cl"]] == pytest.approx(0.75 * np.log(2))


def test_likelihood_by_hand() -> None:
    """One sample, one at the limit, one missing."""
    levels = np.array([[0.2, -1.0, 5.0]])
    measured, below = np.array([[0.5, -0.7, np.nan]]), np.array([[False, True, False]])
    found = log_likelihood(levels, measured, below, np.array([0.3]), np.array([-0.7]))
    normal = -0.5 - np.log(0.3 * np.sqrt(2 * np.pi))
    assert found[0] == pytest.approx(normal + np.log(0.8413447460685429), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_regimens_are_in_order(kind: str) -> None:
    for seed in range(20):
        times, amounts = regimens(kind, np.random.default_rng(seed), 3, 60.0)
        assert (np.isfinite(times) == np.isfinite(amounts)).all()
        assert (times[:, 0] == 0).all()
        assert not (np.diff(times, axis=1) <= 0).any()
        assert not (amounts <= 0).any()
        assert np.nanmax(times) < 60.0


def same(one: Studies, other: Studies) -> bool:
    flat = [[*each[:6], *each.doses, *each[7:]] for each in (one, other)]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*flat, strict=True))


def test_a_step_has_its_own_studies_and_always_the_same() -> None:
    assert same(LEARNER.studies(3, TRAINING), LEARNER.studies(3, TRAINING))
    assert not same(LEARNER.studies(3, TRAINING), LEARNER.studies(4, TRAINING))


def test_no_drug_and_no_patient_is_held_out_and_trained_on() -> None:
    """Every number that tells patients apart is on one side only, for another seed too."""
    other = Transformer(replace(LEARNER.configuration, training=replace(LEARNER.training, seed=1)))
    held_out = [LEARNER.studies(k, HELD_OUT).logs for k in (0, 1)]
    trained = [one.studies(k, TRAINING).logs for one in (LEARNER, other) for k in range(4)]
    assert not np.intersect1d(np.concatenate(held_out), np.concatenate(trained)).size


def test_samples_scatter_about_the_truth_as_they_say() -> None:
    given = LEARNER.studies(0, TRAINING)
    apart = []
    for place in np.unique(given.structure):
        part = given.rows(given.structure == place)
        levels = curves(part.what(), part.logs, part.doses, part.sample_time)
        seen = np.isfinite(part.sample) & ~part.below
        apart.append(((part.sample - levels) / part.noise[:, None])[seen])
        limit = np.broadcast_to(part.limit[:, None], seen.shape)
        assert (part.sample[part.below] == limit[part.below]).all()
    z = np.concatenate(apart)
    assert len(z) > 30
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert np.sum(z**2) < len(z) + 5 * np.sqrt(2 * len(z))
    assert np.isfinite(given.sample).sum(axis=1).max() <= MOST_SAMPLES
