"""Elimination and absorption against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import teorell as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell import pbpk
from teorell.pbpk.absorption.permeability import absorption_rate, fraction_absorbed
from teorell.pbpk.drug import Drug
from teorell.pbpk.elimination.bound_uptake import albumin_in_plasma_to_liver, unbound_in_liver
from teorell.pbpk.elimination.filtration import GLOMERULAR_FILTRATION
from teorell.pbpk.elimination.in_vitro import (
    from_hepatocytes,
    from_microsomes,
    unbound_with_hepatocytes,
)
from teorell.pbpk.elimination.liver import LIVERS, extraction, intrinsic
from teorell.physiology.composition import DENSITIES
from teorell.physiology.reference_adults import (
    BLOOD_DENSITY,
    BLOOD_MASS,
    CARDIAC_OUTPUT,
    MASS,
    REFERENCE,
    hepatic_flow,
)

TIGHT = {"rtol": 1e-10, "atol": 1e-13}
SOLUBLE = Drug(name="soluble", molar_mass=200.0, log_p=0.5, fu=0.5, blood_to_plasma=0.8)


def area(model: tl.Model, dose: tl.Regimen, **parameters: float) -> float:
    """Under cp until nothing is left, mg h/L."""
    solution = tl.simulate(model, parameters or None, dose, [3000.0], outputs=["auc"], **TIGHT)
    solution.raise_for_status()
    return float(solution.values[0, 0, 0])


@settings(max_examples=50, deadline=None)
@given(share=st.floats(1e-6, 0.999), flow=st.floats(1.0, 200.0))
def test_livers_are_inverted(share: float, flow: float) -> None:
    for liver in LIVERS:
        clearance = intrinsic(liver, share * flow, flow)
        assert extraction(liver, clearance, flow) == pytest.approx(share, rel=1e-9)


def test_livers_order_and_limits() -> None:
    """Parallel tube > dispersion > well stirred, all alike for slow metabolism; far out, an
    intrinsic clearance of 1e9 extracts all, without overflow.
    """
    for ratio in (0.1, 1.0, 5.0):
        stirred, tube, between = (
            extraction(name, ratio * 90.0, 90.0)
            for name in ("well_stirred", "parallel_tube", "dispersion")
        )
        assert stirred < between < tube
        assert tube == pytest.approx(1.0 - np.exp(-ratio), rel=1e-12)
        assert stirred == pytest.approx(ratio / (1.0 + ratio), rel=1e-12)
    for name in LIVERS:
        assert extraction(name, 1e-6, 90.0) == pytest.approx(1e-6 / 90.0, rel=1e-6)
        assert extraction(name, 1e9, 90.0) == pytest.approx(1.0, abs=1e-6)
    # Roberts & Rowland (1986): between well stirred (D = infinity) and parallel tube (D = 0)
    r, d = 2.0, 0.17
    a = np.sqrt(1 + 4 * r * d)
    escaping = 4 * a / (
        (1 + a) ** 2 * np.exp((a - 1) / (2 * d)) - (1 - a) ** 2 * np.exp(-(a + 1) / (2 * d))
    )  # fmt: skip
    assert extraction("dispersion", r, 1.0) == pytest.approx(1.0 - escaping, rel=1e-12)
    with pytest.raises(tl.InputError, match="Did you mean 'parallel_tube'"):
        extraction("paralel_tube", 1.0, 1.0)
    with pytest.raises(tl.InputError, match="not below the liver's blood flow"):
        intrinsic("dispersion", 90.0, 90.0)


@pytest.mark.parametrize("liver", LIVERS)
def test_the_model_clears_as_its_liver_says(liver: str) -> None:
    """From a published clearance it comes back; from hepatocytes, what scaling by hand gives."""
    drug = pbpk.drug("propranolol")
    model = pbpk.whole_body(drug, liver=liver)
    dose = tl.Regimen.bolus(10.0, into="venous")
    assert 10.0 / area(model, dose) == pytest.approx(drug.clearance, rel=1e-7)

    cells = replace(SOLUBLE, hepatocyte_clint=20.0, incubation_fu=0.8)
    # uL/min/1e6 -> L/h of blood: 99e6 cells a g, 1,800 g of liver
    by_hand = 20.0 / 0.8 * 99.0 * 1800.0 * 60.0 * 1e-6 * 0.5 / 0.8
    share = extraction(liver, by_hand, hepatic_flow())
    clearance = share * hepatic_flow() * 0.8  # of plasma
    model = pbpk.whole_body(cells, liver=liver)
    assert 10.0 / area(model, dose) == pytest.approx(clearance, rel=1e-7)


@given(fu=st.floats(1e-4, 1.0), ratio=st.floats(1.0, 100.0))
def test_bound_drug_that_hepatocytes_take_up(fu: float, ratio: float) -> None:
    """Between what is unbound in plasma and all of it, more with the ratio; bound over unbound is
    the plasma's over the ratio.
    """
    unbound = unbound_in_liver(fu, ratio)
    assert fu * (1.0 - 1e-12) <= unbound <= 1.0 + 1e-12
    assert unbound_in_liver(fu, 1.0) == fu
    assert unbound_in_liver(1.0, ratio) == 1.0
    assert unbound <= unbound_in_liver(fu, 2.0 * ratio) * (1.0 + 1e-12)
    assert (1.0 / unbound - 1.0) * ratio == pytest.approx(1.0 / fu - 1.0, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("liver", LIVERS)
def test_the_model_clears_what_albumin_gives(liver: str) -> None:
    """The liver alone sees it: filtration is of what is unbound in plasma."""
    ratio = albumin_in_plasma_to_liver(pbpk.read_composition())
    assert ratio == pytest.approx(1.0 / 0.086)  # Rodgers & Rowland (2006), of the liver
    drug = replace(SOLUBLE, fu=0.02, liver_clint=100.0, plasma_to_liver=ratio)
    model, dose = pbpk.whole_body(drug, liver=liver), tl.Regimen.bolus(10.0, into="venous")
    blood = unbound_in_liver(0.02, ratio) / 0.8 * 100.0 * REFERENCE["liver"].mass.man
    clearance = extraction(liver, blood, hepatic_flow()) * hepatic_flow() * 0.8
    assert 10.0 / area(model, dose) == pytest.approx(clearance, rel=1e-7)

    of_filtration = replace(drug, liver_clint=None, gfr_fraction=1.0)
    plain = replace(of_filtration, plasma_to_liver=1.0)
    areas = [area(pbpk.whole_body(each, liver=liver), dose) for each in (of_filtration, plain)]
    assert areas[0] == areas[1]

    # a published clearance comes back whatever binds
    told = replace(pbpk.drug("propranolol"), plasma_to_liver=ratio)
    assert 10.0 / area(pbpk.whole_body(told, liver=liver), dose) == pytest.approx(
        told.clearance, rel=1e-7
    )


def test_gradients_through_bound_uptake() -> None:
    drug = replace(SOLUBLE, fu=0.02, liver_clint=100.0, plasma_to_liver=11.0)
    model, dose, times = pbpk.whole_body(drug), tl.Regimen.bolus(10.0, into="venous"), [2.0, 8.0]
    names = ["fu", "plasma_to_liver", "clint"]
    _, gradient = tl.value_and_grad(
        np.ones((1, 2, 1)), model, None, dose, times, ["cp"], wrt=names, **TIGHT
    )
    told = pbpk.parameters_of(drug)
    for name in names:
        h = 1e-4 * told[name]
        ends = [
            tl.simulate(model, {name: told[name] + s}, dose, times, outputs=["cp"], **TIGHT)
            for s in (h, -h)
        ]
        slope = (ends[0].values.sum() - ends[1].values.sum()) / (2.0 * h)
        assert np.ravel(gradient.parameters[name])[0] == pytest.approx(slope, rel=1e-5)


def test_in_vitro_scaling() -> None:
    assert from_hepatocytes(10.0) == pytest.approx(10.0 * 99.0 * 60.0 / 1e6 * 1e3)
    assert from_microsomes(10.0, 0.5) == pytest.approx(20.0 * 32.0 * 60.0 / 1e6 * 1e3)
    # no more binding the more a drug is ionised
    assert unbound_with_hepatocytes(-12.0) == unbound_with_hepatocytes(-0.067 / 0.144) > 0.95
    # Kilford et al. (2008): hydrophilic drugs are not bound, log D of 5 leaves 1 / (1 + 13.2)
    assert unbound_with_hepatocytes(0.0) == pytest.approx(1 / (1 + 0.625 * 10**-1.126))
    assert unbound_with_hepatocytes(5.0) == pytest.approx(
        1 / (1 + 0.625 * 10 ** (0.072 * 25 + 0.067 * 5 - 1.126))
    )


def test_filtration() -> None:
    """With filtration alone: fu GFR in a kidney that its blood passes once."""
    drug = replace(SOLUBLE, gfr_fraction=1.0)
    filtered = 0.5 * GLOMERULAR_FILTRATION
    assert filtered == pytest.approx(0.5 * 7.5 * (73.0 / 70.0) ** 0.75)
    flow = CARDIAC_OUTPUT.man * REFERENCE["kidney"].flow.man * 0.8
    expected = flow * filtered / (flow + filtered)
    model = pbpk.whole_body(drug)
    dose = tl.Regimen.bolus(10.0, into="venous")
    assert 10.0 / area(model, dose) == pytest.approx(expected, rel=1e-7)
    half = 10.0 / area(model, dose, glomerular_filtration=GLOMERULAR_FILTRATION / 2)
    assert half == pytest.approx(flow * filtered / (2 * flow + filtered), rel=1e-7)


def test_saturable_metabolism() -> None:
    """Small doses are cleared by vmax / km; a liver full of drug removes vmax."""
    linear = replace(SOLUBLE, liver_clint=20.0)
    drug = replace(SOLUBLE, vmax=10.0, km=0.5)
    model = pbpk.whole_body(drug)
    small = tl.Regimen.bolus(1e-5, into="venous")
    assert area(model, small) == pytest.approx(area(pbpk.whole_body(linear), small), rel=1e-5)
    large = tl.Regimen.bolus(1e6, into="venous")
    solution = tl.simulate(model, None, large, [1.0, 2.0], ["metabolised_liver"], **TIGHT)
    gone = np.diff(solution.values[0, :, 0])[0]
    assert gone == pytest.approx(10.0 * REFERENCE["liver"].mass.man, rel=1e-3)
    model.check_conservation([state for state in model.state_names if state != "auc"])
    with pytest.raises(tl.InputError, match="vmax and km, and the liver is 'dispersion'"):
        pbpk.whole_body(drug, liver="dispersion")


def test_transit_through_seven_segments() -> None:
    """What is absorbed on the way: Yu & Amidon's closed form; gut wall metabolism on top."""
    drug = replace(SOLUBLE, absorption_rate=0.4, gut_availability=0.7, gfr_fraction=1.0)
    model = pbpk.whole_body(drug, absorption="transit")
    dose = tl.Regimen.bolus(10.0, into="stomach_lumen")
    solution = tl.simulate(
        model, None, dose, [500.0], ["faeces", "metabolised_gut", "urine"], **TIGHT
    )
    faeces, gut, urine = solution.values[0, 0]
    absorbed = float(fraction_absorbed(0.4))
    assert absorbed == pytest.approx(1 - (1 + 0.4 * 199 / 60 / 7) ** -7, rel=1e-12)
    assert faeces == pytest.approx(10.0 * (1.0 - absorbed), rel=1e-7)
    assert gut == pytest.approx(10.0 * absorbed * 0.3, rel=1e-7)
    assert urine == pytest.approx(10.0 * absorbed * 0.7, rel=1e-6)
    model.check_conservation([state for state in model.state_names if state != "auc"])
    # what is absorbed follows from the rate: told beside it, it would be dropped
    with pytest.raises(tl.InputError, match="unknown parameter 'fraction_absorbed'"):
        tl.simulate(model, {"fraction_absorbed": 0.5}, dose, [1.0])
    columns = pbpk.parameters_of([drug, drug], absorption="transit")
    both = tl.simulate(model, columns, dose, [500.0], ["faeces"], **TIGHT)
    np.testing.assert_array_equal(both.values[1, 0, 0], faeces)
    assert absorption_rate(1.75) == pytest.approx(2 * 1e-4 * 3600)
    with pytest.raises(tl.InputError, match="unknown model of absorption 'tranzit'"):
        pbpk.whole_body(drug, absorption="tranzit")


def test_where_blood_is_drawn() -> None:
    """Infused for long, a drug is as high in an arm as in its artery; once it wanes the arm is
    above the blood that the liver has cleared, and by no more than what the liver takes.
    """
    drug = replace(SOLUBLE, liver_clint=200.0)
    model, sites = pbpk.whole_body(drug), ["cp", "cp_arm", "cp_arterial"]
    hours = 400.0
    infused = tl.Regimen.infusion(1000.0, into="venous", duration=hours)
    late = tl.simulate(model, None, infused, [hours - 1.0], sites, **TIGHT).values[0, 0]
    np.testing.assert_allclose(late, late[0], rtol=1e-9)

    after = tl.simulate(model, None, infused, [hours + 5.0, hours + 6.0], sites, **TIGHT).values[0]
    ratio = after[:, 1] / after[:, 0]
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-3)  # one rate of decay
    share = extraction("well_stirred", 0.5 / 0.8 * 200.0 * REFERENCE["liver"].mass.man,
                       hepatic_flow())  # fmt: skip
    assert 1.02 < ratio[1] < 1.0 / (1.0 - share)

    # by hand: what leaves muscle and skin, each in equilibrium with its tissue, by their flows
    names = ("muscle", "skin")
    seen = tl.simulate(
        model, None, infused, [hours + 5.0], ["cp_arm", "c_muscle", "c_skin"], **TIGHT
    ).values[0, 0]
    table = pbpk.partition_coefficients(drug, methods="berezhkovskiy")
    blood = BLOOD_MASS.man / BLOOD_DENSITY
    total, flows = 0.0, 0.0
    for name, concentration in zip(names, seen[1:], strict=True):
        tissue = MASS[name].man / DENSITIES[name]
        held = REFERENCE[name].blood * blood
        volume = table[name]["berezhkovskiy"] * tissue / drug.ratio + held
        flow = REFERENCE[name].flow.man
        total += flow * concentration * (tissue + held) / volume
        flows += flow
    assert seen[0] == pytest.approx(total / flows / drug.ratio, rel=1e-12)
