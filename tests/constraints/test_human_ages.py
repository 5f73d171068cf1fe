"""What is plausible and typical of humans of any age: measured people, sampled people, bodies, and
wrong ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from folders import DATA
from teorell.constraints import ConstraintSet, plausible, typical
from teorell.physiology.ranges import age_ranges
from teorell.physiology.vocabulary import BODY

BANDS = (
    (0.0, 2.0),
    (2.0, 6.0),
    (6.0, 12.0),
    (12.0, 18.0),
    (18.0, 40.0),
    (40.0, 60.0),
    (60.0, 81.0),
)


@pytest.fixture(scope="module")
def people() -> tl.Population:
    return tl.Population.sample(30000, seed=21)


@pytest.fixture(scope="module")
def survey() -> dict[str, Any]:
    """The people of NHANES: filtration by CKD-EPI 2009 from 18 years, by creatinine and height
    (Schwartz 2009) before; what was not measured is NaN.
    """
    path = DATA / "httk" / "nhanes_2013_2018_individuals.csv.gz"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against NHANES as httk has it: {path} is not here")
    rows = pd.read_csv(path)
    female, age = (rows.riagendr == "Female").to_numpy(), rows.ridexagm.to_numpy() / 12 + 1 / 24
    ratio = rows.lbxscr.to_numpy() / np.where(female, 0.7, 0.9)
    grown = 141 * np.minimum(ratio, 1) ** np.where(female, -0.329, -0.411)
    grown *= np.maximum(ratio, 1) ** -1.209 * 0.993**age * np.where(female, 1.018, 1.0)
    return {
        "age": age, "female": female.astype(float), "body_weight": rows.bmxwt.to_numpy(),
        "height": rows.bmxhtlenavg.to_numpy() / 100, "haematocrit": rows.lbxhct.to_numpy() / 100,
        "gfr": np.where(age < 18, 0.413 * rows.bmxhtlenavg / rows.lbxscr, grown),
    }  # fmt: skip


def outside(c: ConstraintSet, survey: dict[str, Any]) -> dict[str, Any]:
    """Who violates what can be tested; nobody violates what was not measured."""
    missing = {name: np.isnan(survey[name]) for name in ("haematocrit", "gfr")}
    given = {**survey, **{name: np.where(no, 1.0, survey[name]) for name, no in missing.items()}}
    found = c.only("measured").violations(given).violated
    return {name: each & ~missing.get(name, False) for name, each in found.items()}


def test_measured_people_are_plausible(survey: dict[str, Any]) -> None:
    """At least 99.5 % of them in everything that was measured, of every age and sex."""
    found = np.any(list(outside(plausible(), survey).values()), axis=0)
    assert found.mean() < 0.005
    for low, high in BANDS:
        for female in (0.0, 1.0):
            some = (survey["age"] >= low) & (survey["age"] < high) & (survey["female"] == female)
            assert found[some].mean() < 0.01, (low, high, female)


def test_measured_people_are_typical_of_their_age(survey: dict[str, Any]) -> None:
    for name, each in outside(typical(), survey).items():
        known = ~np.isnan(survey.get(name, survey["age"]))
        assert 0.03 < each[known].mean() < 0.07, name
        for low, high in BANDS:
            some = (survey["age"] >= low) & (survey["age"] < high) & known
            if some.any() and (name, high) != ("gfr", 18.0):
                assert 0.02 < each[some].mean() < 0.09, (name, low, high)


def test_sampled_people_are_plausible(people: tl.Population) -> None:
    found = plausible().violations(people)
    assert found.rates["masses"] == found.rates["flows"] == 0.0
    for name, rate in found.rates.items():
        if name != "any":
            assert rate <= 0.005, name
    assert found.any.mean() < 0.012
    # each of those measured as often as another: the weights of a few would count for all
    asked = {"age": (18.0, 80.0), "gfr": (1.0, 30.0), "survey_weights": False}
    ill = tl.Population.sample(2000, **asked, seed=3)  # type: ignore[arg-type]
    assert plausible().violations(ill).any.mean() < 0.03


def test_sampled_people_are_typical(people: tl.Population) -> None:
    found = typical().violations(people).rates
    for name, rate in found.items():
        if name not in ("masses", "flows", "any"):
            assert 0.03 < rate < 0.07, name


@pytest.mark.parametrize("make", [plausible, typical])
@pytest.mark.parametrize("age", [0.0, 0.4, 1.0, 5.0, 11.0, 16.0, 30.0, 55.0, 79.0])
@pytest.mark.parametrize("sex", ["male", "female"])
def test_reference_bodies_are_typical(make: Any, age: float, sex: str) -> None:
    """But for weight and body mass index: ICRP's adults are leaner than today's, though within."""
    found = make().violations(tl.Body.human(age, sex))
    assert not found.any.any(), [name for name, each in found.violated.items() if each[0]]


def test_what_nobody_is(people: tl.Population) -> None:
    """A wrong unit, a child's size of an adult, organs of another, and who it is said of."""
    body = {name: tl.Body.human(40.0)[name] for name in ("age", *BODY)}
    c = plausible()
    assert not c.violations(body).any.any()
    for change, names in (
        ({"height": 176.0}, {"height", "body mass index"}),
        ({"age": 5.0}, {"height", "body weight"}),
        ({"haematocrit": 45.0}, {"haematocrit"}),
        ({"gfr": 0.1}, {"gfr"}),
        ({"mass_liver": 12.0}, {"masses", "mass of liver"}),
        ({"flow_kidney": 1.0}, {"flows", "filtration fraction"}),
        ({"mass_brain": 0.2, "mass_bone": body["mass_bone"] + 1.25}, {"mass of brain"}),
    ):
        found = c.violations({**body, **change}).violated
        assert names <= {name for name, each in found.items() if each.any()}, change


def test_ranges_are_linear_between_knots() -> None:
    """The expressions against NumPy's interpolation, and constant beyond the last knot."""
    body = {name: tl.Body.human(40.0)[name] for name in ("age", *BODY)}
    for make, kind in ((plausible, "plausible"), (typical, "typical")):
        c = make().only("measured")
        for age in (0.03, 0.6, 7.7, 19.0, 50.5, 80.0, 99.0):
            for female in (0.0, 1.0):
                low, high = age_ranges(kind)["height"].at(np.array(age), np.array(female))
                inside = {
                    "age": age,
                    "female": female,
                    **{n: body[n] for n in body if n in c.inputs},
                }
                inside |= {"age": age, "female": female}
                for height, bad in (
                    (low * 0.9999, True), (low * 1.0001, False), (high * 0.9999, False),
                    (high * 1.0001, True),
                ):  # fmt: skip
                    found = c.violations({**inside, "height": float(height)}).violated["height"]
                    assert found[0] == bad, (kind, age, female, height)


def test_typical_is_within_plausible() -> None:
    wide, narrow = age_ranges("plausible"), age_ranges("typical")
    assert set(wide) == set(narrow)
    ages = np.linspace(0.0, 100.0, 1001)
    for name in wide:
        for female in (np.zeros(1001), np.ones(1001)):
            low, high = wide[name].at(ages, female)
            lower, upper = narrow[name].at(ages, female)
            assert (low <= lower).all(), name
            assert (lower < upper).all(), name
            assert (upper <= high).all(), name


def test_projection_leaves_age_and_sex(people: tl.Population) -> None:
    """The nearest typical people: identities hold, nobody is older or of another sex."""
    some = people[:200]
    c = typical()
    found = c.project(some)
    moved = {name: np.asarray(found.values[name]) for name in c.inputs}
    ok = ~np.isnan(moved["body_weight"])
    assert ok.mean() > 0.95
    np.testing.assert_array_equal(moved["age"][ok], some["age"][ok])
    np.testing.assert_array_equal(moved["female"][ok], some["female"][ok])
    again = c.violations({name: each[ok] for name, each in moved.items()})
    assert again.rates["masses"] == again.rates["flows"] == 0.0
    assert again.any.mean() < 0.02
