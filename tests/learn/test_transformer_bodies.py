"""The whole-body model as a decoder: its curves, its weights, what it teaches, and the learner's
own values.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import teorell as tl
import torch
from numpy.typing import NDArray
from teorell import InputError
from teorell.arrays import Array
from teorell.learn.configuration import Training
from teorell.learn.trainer import train
from teorell.learn.transformer.configuration import TransformerConfiguration
from teorell.learn.transformer.decoding import Doses, centre, curves, jacobian, log_likelihood
from teorell.learn.transformer.learner import Transformer
from teorell.learn.transformer.mixture import gaussian, joined, prior
from teorell.learn.transformer.priors import PARAMETERS, SPREADS
from teorell.learn.transformer.structures import BODIES, STRUCTURES, structure
from teorell.learn.transformer.studies import HELD_OUT, TRAINING
from teorell.learn.transformer.teacher import ORGANS, organs
from teorell.learn.transformer.weighing import weigh
from teorell.pbpk import Drug, whole_body

AT = {name: place for place, name in enumerate(PARAMETERS)}
TINY = Transformer.configurations["tiny"]
ORAL, IV = structure("oral-whole-body"), structure("iv-whole-body")
SMALL = replace(TINY, structures=("iv-1",), groups=1, bodies=("oral-whole-body",), physics=0.3)


def once(amount: float) -> Doses:
    return Doses(*(np.array([[x]]) for x in (0.0, amount, 0.0)))


def logs(**values: float) -> Any:
    found = centre(np.array([70.0]))
    for name, value in values.items():
        found[0, AT[name]] = np.log(value)
    return found


def test_a_curve_is_that_of_the_drugs_own_model() -> None:
    """The same numbers, told as a drug and a body: the same bits of the solver, to its tolerance"""
    z = logs(
        lipophilicity=10**1.2, ionised=10**1.5, unbound=0.25, clint=30.0, filtration=6.0,
        absorbed=3.0, ka=0.7, size=81.0, cardiac=15.0, fat=0.3, affinity=1.0,
    )  # fmt: skip
    drug = Drug(
        name="the same", molar_mass=250.0, log_p=1.2, bases=(7.4 + 1.5,), fu=0.2, liver_clint=30.0,
        gfr_fraction=1.0, absorption_rate=0.7, fraction_absorbed=0.75,
    )  # fmt: skip
    person = {
        "body_weight": 81.0, "cardiac_index": 15.0, "glomerular_filtration": 6.0,
        "mass_share_adipose": 0.3,
    }  # fmt: skip
    t = np.array([0.5, 3.0, 20.0])
    for what, into in ((ORAL, "stomach_lumen"), (IV, "venous")):
        dose = tl.Regimen.bolus(100.0, into=into, time=0.0)
        found = tl.simulate(whole_body(drug), person, dose, t, "cp_arm", rtol=1e-8)
        expected = np.log(found.values.reshape(1, -1))
        np.testing.assert_allclose(curves(what, z, once(100.0), t[None]), expected, atol=2e-4)


def test_slopes_are_those_of_differences() -> None:
    z, t = logs(unbound=3.0, absorbed=0.5), np.array([[1.0, 30.0, 6.0]])
    _, slopes = jacobian(ORAL, z, once(50.0), t)
    assert slopes.shape == (1, 3, len(ORAL.parameters))
    for place, at in enumerate(ORAL.places):
        h = np.zeros_like(z)
        h[0, at] = 0.01
        up, down = (curves(ORAL, z + sign * h, once(50.0), t) for sign in (1, -1))
        np.testing.assert_allclose(slopes[..., place], (up - down) / 0.02, atol=3e-3)


def test_what_oral_doses_alone_have() -> None:
    assert set(ORAL.parameters) - set(IV.parameters) == {"ka", "absorbed"}
    assert not set(IV.parameters) & {"cl", "v", "km"}


def test_far_out_in_the_tails_there_are_curves_still() -> None:
    """Draws of a wide proposal: at the bounds, not refused."""
    z = np.random.default_rng(0).standard_normal((40, len(PARAMETERS))) * 6.0
    many = Doses(*(np.tile(x, (40, 1)) for x in once(100.0)))
    found = curves(ORAL, centre(np.full(40, 70.0)) + SPREADS * z, many, np.full((40, 1), 8.0))
    assert np.isfinite(found).mean() > 0.9


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 0.4), (1.5, 0.3)])
def test_weights_are_those_of_the_posterior_on_a_grid(mean: float, sd: float) -> None:
    """Intrinsic clearance alone is unknown, of a whole body: quadrature against weighed draws."""
    times = np.array([[2.0, 9.0, 24.0]])  # h; the first two are measured
    truth = logs(unbound=0.5)
    place = AT["clint"]
    noise, limit, below = np.array([0.2]), np.array([-30.0]), np.zeros((1, 2), bool)

    def curve(z: Array) -> Array:
        many = np.tile(truth, (len(z), 1))
        many[:, place] += SPREADS[place] * z
        dose = once(100.0).repeated(len(z))
        return curves(IV, many, dose, np.tile(times, (len(z), 1)))

    measured = curve(np.array([0.7]))[:, :2] + np.array([[0.1, -0.15]])
    z = np.linspace(-4.0, 4.0, 801)
    levels = curve(z)
    fit = log_likelihood(levels[:, None, :2], measured, below, noise, limit)[:, 0]
    share = np.exp(fit - 0.5 * z**2 - (fit - 0.5 * z**2).max())
    share /= share.sum()

    def target(draws: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        found = curve(draws.reshape(-1)).reshape(*draws.shape[:2], 3)
        score = log_likelihood(found[..., :2], measured, below, noise, limit)
        normal = -0.5 * (draws[..., 0] ** 2 + math.log(2 * math.pi))
        return score + normal, np.concatenate([found, draws], axis=-1)

    mask = torch.ones(1, 1, dtype=torch.float64)
    centred = torch.full((1, 1), mean, dtype=torch.float64)
    near = gaussian(centred, torch.full((1, 1, 1), sd**2, dtype=torch.float64), mask, {1.0: 1.0})
    found = weigh(
        joined([(0.9, near), (0.1, prior(mask))]), target, draws=500, least=300.0, rounds=6, seed=1
    )
    exact = np.append(share @ levels, share @ z)
    assert found.effective[0] >= 300
    assert (np.abs(found.mean()[0] - exact) < 4 * found.error()[0] + 1e-3).all()


def test_organs_are_taught_where_the_truth_has_some() -> None:
    learner = Transformer(SMALL)
    given = learner.studies(0, TRAINING)
    found = organs(given)
    assert found.shape == (*given.query_time.shape, len(ORGANS))
    body = np.array([STRUCTURES[place].is_body for place in given.structure])
    assert np.isnan(found[~body]).all()
    assert np.isfinite(found[body]).all()
    assert (found[body] >= given.limit[body, None, None]).all()
    batch = learner.batch(0)
    with_organs = learner.loss(learner.network(), batch)
    plain = Transformer(replace(SMALL, physics=0.0))
    assert "organs" not in plain.batch(0)
    assert torch.isfinite(with_organs)


def test_an_organ_in_equilibrium_has_its_partition_coefficient() -> None:
    """A drug that nothing clears: in the end every organ is to plasma as Kp says."""
    z = logs(clint=1e-8, filtration=1e-8, unbound=1.0, lipophilicity=10.0)
    t = np.array([[400.0]])
    muscle, plasma = curves(IV, z, once(100.0), t, ("c_muscle", "cp"))[0, 0]
    other = curves(IV, z, once(300.0), t, ("c_muscle", "cp"))[0, 0]
    assert other - [muscle, plasma] == pytest.approx(math.log(3.0), abs=1e-4)
    doubled = curves(IV, z + np.log(2.0) * (np.arange(z.size) == AT["affinity"]), once(100.0), t,
                     ("c_muscle", "cp"))[0, 0]  # fmt: skip
    # tissue's own part doubles, blood inside it does not
    assert 1.7 < np.exp(doubled[0] - doubled[1] - muscle + plasma) < 2.0 + 1e-6


def test_studies_of_bodies_have_their_own_drugs_and_always_the_same() -> None:
    learner = Transformer(replace(SMALL, bodies=tuple(each.name for each in BODIES)))
    one, again = learner.studies(2, TRAINING), learner.studies(2, TRAINING)
    for a, b in zip((*one[:6], *one.doses, *one[7:]), (*again[:6], *again.doses, *again[7:]),
                    strict=True):  # fmt: skip
        assert np.array_equal(a, b, equal_nan=True)
    held_out = [learner.studies(k, HELD_OUT).logs for k in (0, 1)]
    trained = [learner.studies(k, TRAINING).logs for k in range(4)]
    assert not np.intersect1d(np.concatenate(held_out), np.concatenate(trained)).size
    body = np.isin(one.structure, [STRUCTURES.index(each) for each in BODIES])
    assert body.sum() == 2 * SMALL.studies * SMALL.patients


def test_a_batch_of_bodies_is_learned_by_heart() -> None:
    found = Transformer(replace(SMALL, studies=1)).batch(0)
    body = found["tokens"].decoder >= len(STRUCTURES) - len(BODIES)
    found["fine"] &= body[:, None]  # compartments beside them do not count

    class OneBatch(Transformer):
        def batch(self, step: int) -> Any:
            return found

    training = Training(steps=150, learning_rate=8e-3, warmup=10, check_every=0)
    losses = train(OneBatch(replace(SMALL, training=training, studies=1))).losses
    assert losses[-1] < 0 < losses[0]


def test_a_training_that_was_interrupted_has_the_same_bits(tmp_path: Path) -> None:
    learner = Transformer(replace(SMALL, training=replace(TINY.training, steps=5, check_every=2)))
    whole = train(learner)
    train(learner, tmp_path, stop=2)
    resumed = train(learner, tmp_path)
    assert torch.equal(whole.losses, resumed.losses)
    for name, x in whole.network.state_dict().items():
        assert torch.equal(x, resumed.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"structures": ("first2",)}, "Did you mean 'first-2'"),
        ({"structures": "first-2"}, "a tuple of names"),
        ({"structures": ()}, "structures are empty"),
        ({"structures": ("iv-1", "iv-1")}, "there twice"),
        ({"structures": ("oral-whole-body",)}, "there is none such"),
        ({"bodies": ("whole-body",)}, "there is none such"),
        ({"kinds": ("singel",)}, "Did you mean 'single'"),
        ({"kinds": ()}, "kinds are empty"),
        ({"studies": 0}, "studies is 0"),
        ({"patients": -1}, "patients is -1"),
        ({"groups": 2.5}, "groups is 2.5"),
        ({"queries": math.nan}, "queries is nan"),
        ({"layers": True}, "layers is True"),
        ({"width": 30}, "not a multiple of 4 heads"),
        ({"heads": 0}, "heads is 0"),
        ({"components": 0}, "components is 0"),
        ({"evaluated": 0}, "evaluated is 0"),
        ({"weight": 0.0}, "weight is 0"),
        ({"weight": math.nan}, "weight is nan"),
        ({"physics": -0.1}, "physics is -0.1"),
        ({"physics": math.inf}, "physics is inf"),
        ({"training": 100}, "a Training is needed"),
    ],
)
def test_a_configuration_checks_its_values(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TransformerConfiguration(**changed)
