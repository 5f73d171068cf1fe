"""Bodies in the whole-body model: nothing is lost or made in any of them, and derivatives by what a
body is made of.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import teorell as tl
from teorell import pbpk
from teorell.model.graph import constant, symbol
from teorell.pbpk.drug_parameters import parameters_of
from teorell.physiology.checks import SPECIES

DRUG = replace(pbpk.drug("metoprolol"), gfr_fraction=1.0)
SINKS = ["urine", "faeces", "metabolised_liver", "metabolised_gut"]
BODIES = {
    **{species: tl.Body.of(species) for species in SPECIES},
    "newborn": tl.Body.human(age=0),
    "child": tl.Body.human(age=2.5, sex="female"),
    "centenarian": tl.Body.human(age=100, sex="female"),
    "heavy": tl.Body.human(age=50, height=1.5, weight=180),
    "no filtration": tl.Body.human(age=60, gfr=0),
}


@pytest.fixture(scope="module")
def model() -> tl.Model:
    """The whole-body model, and what is in the body: lumina, organs and blood."""
    model = pbpk.whole_body(DRUG)
    total = constant(0.0)
    for name in model.state_names:
        if name not in (*SINKS, "auc"):
            total = total + symbol("state", name)
    model.output("inside", total)
    return model


@pytest.mark.parametrize("name", BODIES)
def test_nothing_is_lost(model: tl.Model, name: str) -> None:
    """What is in the body and what has left is the dose, at any time; in the end all has left."""
    point = parameters_of(DRUG) | BODIES[name].parameters
    dose = tl.Regimen.bolus(10.0, into="stomach_lumen")
    times = [0.01, 0.1, 1.0, 10.0, 1e5]
    solution = tl.simulate(model, point, dose, times, ["inside", *SINKS], rtol=1e-9, atol=1e-12)
    solution.raise_for_status()
    amounts = solution.values[0]
    np.testing.assert_allclose(amounts.sum(axis=1), 10.0, rtol=1e-7)
    assert amounts[0, 0] > 5.0
    assert amounts[-1, 0] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("name", ["man", "minipig", "newborn"])
def test_gradients_reach_what_a_body_is_made_of(name: str) -> None:
    """d (weighted concentrations) by each number of the body that the model has and that is not 0,
    against differences.
    """
    model = pbpk.whole_body(DRUG)
    body = BODIES["human" if name == "man" else name].parameters
    drug = parameters_of(DRUG)
    point = drug | body
    declared = model.parameter_names
    wrt = [each for each in body if each in declared and body[each] > 0.0]
    assert {"body_weight", "cardiac_index", "glomerular_filtration"} <= set(wrt)
    assert len(wrt) > 25
    dose = tl.Regimen.bolus(10.0, into="stomach_lumen")
    weights, times = np.array([[[1.0], [2.0], [0.5]]]), [0.3, 1.0, 5.0]
    options = {"rtol": 1e-10, "atol": 1e-13}

    names = [(each, sign) for each in wrt for sign in (1.0, -1.0)]
    steps = {each: 1e-4 * max(abs(point[each]), 1e-3) for each in wrt}
    columns = {
        key: np.array([value + sign * steps[key] * (each == key) for each, sign in names])
        if key in wrt
        else value
        for key, value in point.items()
    }
    moved = tl.simulate(model, columns, dose, times, ["cp"], **options).values
    totals = (moved * weights).sum(axis=(1, 2))
    differences = (totals[::2] - totals[1::2]) / (2.0 * np.array([steps[each] for each in wrt]))

    value, gradient = tl.value_and_grad(
        weights, model, point, dose, times, ["cp"], wrt=wrt, **options
    )
    found = np.array([float(np.asarray(gradient.parameters[each]).sum()) for each in wrt])
    scale = abs(value) / np.array([max(abs(point[each]), 1e-3) for each in wrt])
    np.testing.assert_allclose(found / scale, differences / scale, rtol=1e-4, atol=1e-7)
    assert (np.abs(found) > 0.0).sum() > 20
