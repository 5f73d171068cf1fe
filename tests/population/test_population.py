"""Populations: measured margins, correlations and cells; identities; seeds; tables in and out."""

from __future__ import annotations

import csv
import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from folders import DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell.constraints import human_adult
from teorell.pbpk import MIDAZOLAM, THEOPHYLLINE, whole_body
from teorell.physiology.vocabulary import (
    BODY,
    FLOWS,
    MASSES,
    MORE,
    SHARES,
    SPLANCHNIC,
    flow_share_to,
    flow_to,
    mass_of,
)
from teorell.population.donors import donors
from teorell.population.draws import normals, rounds, uniforms
from teorell.population.sample import EACH

N = 40000
MEASURED = ("age", "body_weight", "height", "haematocrit", "gfr")


@pytest.fixture(scope="module")
def people() -> tl.Population:
    return tl.Population.sample(N, seed=11)


@pytest.fixture(scope="module")
def survey() -> dict[str, Any]:
    """The survey's people, from its own file and by formulas written here; the shipped rows where
    it is not there.
    """
    path = DATA / "httk" / "nhanes_2013_2018_individuals.csv.gz"
    if not path.exists():
        table = donors()
        return {
            "age": table.age, "female": table.female, "body_weight": table.weight,
            "height": table.height, "haematocrit": table.haematocrit, "gfr": table.gfr,
            "weight": table.survey_weight,
        }  # fmt: skip
    rows = pd.read_csv(path)
    female = (rows.riagendr == "Female").to_numpy()
    kappa, alpha = np.where(female, 0.7, 0.9), np.where(female, -0.329, -0.411)
    ratio = rows.lbxscr.to_numpy() / kappa
    gfr = 141 * np.minimum(ratio, 1) ** alpha * np.maximum(ratio, 1) ** -1.209
    gfr *= 0.993 ** (rows.ridexagm.to_numpy() / 12) * np.where(female, 1.018, 1.0)
    young = rows.ridexagm.to_numpy() < 18 * 12
    gfr = np.where(young, 0.413 * rows.bmxhtlenavg / rows.lbxscr, gfr)
    return {
        "age": rows.ridexagm.to_numpy() / 12, "female": female,
        "body_weight": rows.bmxwt.to_numpy(), "height": rows.bmxhtlenavg.to_numpy() / 100,
        "haematocrit": rows.lbxhct.to_numpy() / 100, "gfr": np.asarray(gfr),
        "weight": rows.wtmec6yr.to_numpy(),
    }  # fmt: skip


def check_identities(people: tl.Population) -> None:
    weight, output = people["body_weight"], people["cardiac_output"]
    close = {"rtol": 4e-15, "atol": 0.0}
    np.testing.assert_allclose(sum(people[mass_of(part)] for part in MASSES), weight, **close)
    np.testing.assert_allclose(sum(people[flow_to(organ)] for organ in FLOWS), output, **close)
    hepatic = [flow_share_to(organ) for organ in ("liver", *SPLANCHNIC)]
    share = sum(people[flow_to(organ)] for organ in ("liver", *SPLANCHNIC)) / output
    np.testing.assert_allclose(sum(people[name] for name in hepatic), share, rtol=1e-14)
    for name in people.columns:
        assert people[name].min() >= 0.0, name


def test_identities(people: tl.Population) -> None:
    check_identities(people)
    assert set(people.columns) == {*BODY, *MORE, *SHARES}
    index = people["body_weight"] / people["height"] ** 2
    np.testing.assert_allclose(people["body_mass_index"], index, rtol=1e-15)


@pytest.mark.parametrize(
    "species", ["mouse", "rat", "rabbit", "dog", "beagle", "monkey", "minipig"]
)
def test_identities_of_animals(species: str) -> None:
    animals = tl.Population.sample(500, species=species, seed=2)
    check_identities(animals)
    median = tl.Body.of(species)
    for name in ("body_weight", "cardiac_output", "mass_liver", "flow_kidney"):
        assert np.median(animals[name]) == pytest.approx(median[name], rel=0.06), name


@pytest.mark.parametrize("age", [(0.0, 18.0), (18.0, 80.0)])
@pytest.mark.parametrize("female", [False, True])
def test_margins(
    people: tl.Population, survey: dict[str, Any], age: tuple[float, float], female: bool
) -> None:
    """Means, and medians, within 3 % of the United States' as the survey's weights tell them,
    spread within 5 %; children from a sample of their own, that standard errors are below 1 %.
    """
    if age[0] == 0.0:
        people = tl.Population.sample(N, age=age, seed=12)
    theirs = (survey["age"] >= age[0]) & (survey["age"] < age[1]) & (survey["female"] == female)
    ours = (people["age"] >= age[0]) & (people["age"] < age[1]) & (people["female"] == female)
    for name in MEASURED[1:]:
        x, y = survey[name][theirs], people[name][ours]
        weight = survey["weight"][theirs]
        if name == "gfr" and age[0] < 12.0:
            y = y[people["age"][ours] >= 12.0]
        if name == "haematocrit":
            y = y[people["age"][ours] >= 1.0]
        x, weight = x[~np.isnan(x)], weight[~np.isnan(x)]
        order = np.argsort(x)
        part = np.cumsum(weight[order]) / weight.sum()
        mean = np.average(x, weights=weight)
        spread = np.sqrt(np.average((x - mean) ** 2, weights=weight))
        assert y.mean() == pytest.approx(mean, rel=0.03), name
        assert np.median(y) == pytest.approx(np.interp(0.5, part, x[order]), rel=0.03), name
        assert y.std() == pytest.approx(spread, rel=0.05), name


@pytest.mark.parametrize("female", [False, True])
def test_correlations(people: tl.Population, survey: dict[str, Any], female: bool) -> None:
    theirs = (survey["age"] >= 18.0) & (survey["female"] == female)
    ours = (people["age"] >= 18.0) & (people["female"] == female)
    covariance = np.cov(
        [survey[name][theirs] for name in MEASURED], aweights=survey["weight"][theirs]
    )
    sd = np.sqrt(np.diag(covariance))
    x = covariance / np.outer(sd, sd)
    y = np.corrcoef([people[name][ours] for name in MEASURED])
    assert np.abs(x - y).max() < 0.05


@pytest.mark.parametrize(
    ("age", "sex", "bmi", "gfr"),
    [
        ((2.0, 6.0), "male", None, None),
        ((12.0, 16.0), "female", None, None),
        ((30.0, 45.0), "female", (30.0, 40.0), None),
        ((60.0, 80.0), "male", None, (30.0, 60.0)),
        ((18.0, 80.0), None, (18.5, 25.0), (90.0, 120.0)),
    ],
)
def test_cells(
    survey: dict[str, Any],
    age: tuple[float, float],
    sex: str | None,
    bmi: tuple[float, float] | None,
    gfr: tuple[float, float] | None,
) -> None:
    """Conditional cells: everybody within what was asked, and means as the survey's cell has."""
    some = tl.Population.sample(8000, age=age, sex=sex, bmi=bmi, gfr=gfr, seed=4)
    index = survey["body_weight"] / survey["height"] ** 2
    inside = (survey["age"] >= age[0]) & (survey["age"] < age[1])
    for pair, column, own in ((bmi, index, "body_mass_index"), (gfr, survey["gfr"], "gfr")):
        if pair is not None:
            inside &= (column >= pair[0]) & (column <= pair[1])
            assert some[own].min() >= pair[0] * (1.0 - 1e-12)
            assert some[own].max() <= pair[1] * (1.0 + 1e-12)
    if sex is not None:
        inside &= survey["female"] == (sex == "female")
        assert (some["female"] == (sex == "female")).all()
    assert some["age"].min() >= age[0]
    assert some["age"].max() <= age[1]
    for name in MEASURED:
        x = survey[name][inside]
        if np.isnan(x).any():
            continue
        # the mean of the cell is known to its standard error; 3 % of it are asked for
        mean = np.average(x, weights=survey["weight"][inside])
        slack = 0.03 * mean + 2.0 * x.std() / np.sqrt(8000)
        assert abs(some[name].mean() - mean) < slack, name
    check_identities(some)


@pytest.mark.parametrize("survey_weights", [False, True])
def test_thin_tails(survey: dict[str, Any], survey_weights: bool) -> None:
    """Quantiles of the filtration rate of women of 60 to 80 years, 2.5 % of whom have less than 33
    mL/min/1.73 m2: within 3 % of the survey's, whatever the seed.
    """
    cell = (survey["age"] >= 60.0) & (survey["age"] < 80.0) & (survey["female"] == 1.0)
    x = survey["gfr"][cell]
    weight = survey["weight"][cell] if survey_weights else np.ones(x.size)
    order = np.argsort(x)
    below = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    at = [0.025, 0.1, 0.5, 0.975]
    for seed in (1, 2, 3, 4):
        some = tl.Population.sample(
            6 * x.size, age=(60, 80), sex="female", survey_weights=survey_weights, seed=seed
        )
        y = np.quantile(some["gfr"], at)
        np.testing.assert_allclose(y, np.interp(at, below, x[order]), rtol=0.03)


def test_rounds() -> None:
    """All places once in each round, in an order of its own; a person's place does not depend on
    how many people there are, nor its round's order on chance in others.
    """
    place = rounds(5, 103, 10)
    for k in range(10):
        assert sorted(place[10 * k : 10 * k + 10]) == list(range(10))
    assert len({tuple(place[10 * k : 10 * k + 10]) for k in range(10)}) == 10
    np.testing.assert_array_equal(rounds(5, 37, 10), place[:37])
    assert (rounds(6, 103, 10) != place).any()
    assert rounds(5, 4, 1).tolist() == [0, 0, 0, 0]
    first = np.array([rounds(seed, 1, 10)[0] for seed in range(500)])
    assert np.bincount(first, minlength=10).min() > 25  # 50 of each are expected


def test_survey_weights(survey: dict[str, Any]) -> None:
    """With the weights, adults as in the United States; without, as the survey asked them."""
    grown = survey["age"] >= 18.0
    for weighted, weight in ((True, survey["weight"][grown]), (False, np.ones(int(grown.sum())))):
        some = tl.Population.sample(20000, age=(18.0, 80.0), survey_weights=weighted, seed=1)
        for name in MEASURED:
            mean = np.average(survey[name][grown], weights=weight)
            assert some[name].mean() == pytest.approx(mean, rel=0.01), (name, weighted)
    same = tl.Population.sample(5, seed=1)
    np.testing.assert_array_equal(
        same["age"], tl.Population.sample(5, survey_weights=True, seed=1)["age"]
    )
    with pytest.raises(TypeError, match="survey_weights is 'no'"):
        tl.Population.sample(5, survey_weights="no")  # type: ignore[arg-type]


def test_a_very_age() -> None:
    """Growth curves: WHO (2006) medians of boys at birth, 1 and 2 years, within 15 %: the survey's
    are heavier. Everybody has the age asked for.
    """
    for age, weight in ((0.0, 3.35), (1.0, 9.65), (2.0, 12.15)):
        some = tl.Population.sample(2000, age=age, sex="male", seed=3)
        assert (some["age"] == age).all()
        assert np.median(some["body_weight"]) == pytest.approx(weight, rel=0.15), age


def test_the_body_differs_as_told(people: tl.Population) -> None:
    """About what is typical of the person: cardiac output 16 %, the liver 24 %, flows 5 %."""
    grown = people[people["age"] >= 18.0]
    typical = tl.Population.from_dataframe(
        {name: grown[name] for name in ("age", "female", "height", "body_weight", "gfr")}
    )
    for name, low, high in (
        ("cardiac_output", 0.15, 0.17),
        ("mass_liver", 0.22, 0.26),
        ("mass_muscle", 0.08, 0.11),
        ("flow_share_brain", 0.03, 0.06),
    ):
        spread = np.log(grown[name] / typical[name])
        assert low < spread.std() < high, name
        assert abs(np.median(spread)) < 0.01, name
    # flows of a person sum to the output, so the liver's mass and the fat's go against each other
    assert np.corrcoef(grown["mass_muscle"], grown["body_weight"])[0, 1] > 0.6


def test_renal_impairment() -> None:
    """The kidneys' blood goes down with filtration: a fifth of the plasma is still filtered."""
    ill = tl.Population.sample(2000, age=(18.0, 80.0), gfr="severe", seed=5)
    well = tl.Population.sample(2000, age=(18.0, 80.0), gfr="normal", seed=5)
    for some in (ill, well):
        plasma = some["flow_kidney"] * (1.0 - some["haematocrit"])
        assert 0.1 < np.median(some["glomerular_filtration"] / plasma) < 0.25
    assert np.median(ill["flow_share_kidney"]) < 0.4 * np.median(well["flow_share_kidney"])
    assert ill["haematocrit"].mean() < well["haematocrit"].mean() - 0.02  # anaemia, as measured


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**62),
    few=st.integers(1, 40),
    more=st.integers(0, 200),
    species=st.sampled_from(["human", "rat"]),
)
def test_a_person_depends_on_seed_and_place_alone(
    seed: int, few: int, more: int, species: str
) -> None:
    some = tl.Population.sample(few, species=species, seed=seed)
    many = tl.Population.sample(few + more, species=species, seed=seed)
    for name in some:
        np.testing.assert_array_equal(some[name], many[name][:few])


def test_seeds() -> None:
    """Blocks of people are one stream; another seed gives other people."""
    ends = tl.Population.sample(16390, seed=9)[16380:]
    again = tl.Population.sample(20000, seed=9)[16380:16390]
    np.testing.assert_array_equal(ends["mass_liver"], again["mass_liver"])
    assert not (tl.Population.sample(10, seed=1)["age"] == tl.Population.sample(10)["age"]).any()


def test_normals_are_normal() -> None:
    """Against the normal distribution: Kolmogorov-Smirnov of 72,000 numbers, and no correlation of
    neighbours.
    """
    from scipy import stats

    z = normals(next(uniforms(3, 2000, EACH))[:, 2:])
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(z.T) - np.eye(z.shape[1])).max() < 0.1


def test_it_is_simulated(people: tl.Population) -> None:
    some = people[:50]
    model, regimen = whole_body(THEOPHYLLINE), tl.Regimen.bolus(1.0, into="venous")
    found = tl.simulate(model, some, regimen, [0.0, 8.0], "cp")
    plain = tl.simulate(model, {name: some[name] for name in SHARES}, regimen, [0.0, 8.0], "cp")
    np.testing.assert_array_equal(found.values, plain.values)
    assert found.success.all()
    with pytest.raises(tl.InputError, match="unknown parameter 'clitn'"):
        tl.simulate(model, some.with_parameters(clitn=1.0), regimen, [0.0, 8.0], "cp")
    drawn = some.vary({"clint": (10.0, 0.3)}, seed=1, drug="theophylline")
    tl.simulate(model, drawn, regimen, [0.0, 8.0], "cp")
    with pytest.raises(tl.InputError, match="were drawn for theophylline"):
        tl.simulate(whole_body(MIDAZOLAM), drawn, regimen, [0.0, 8.0], "cp")


def test_constraints_take_it(people: tl.Population) -> None:
    found = human_adult().violations(people[people["age"] >= 18.0])
    assert found.rates["masses"] == found.rates["flows"] == 0.0


def test_vary() -> None:
    """Medians, coefficients of variation and the correlation of logarithms of 40,000."""
    some = tl.Population.sample(N, seed=3).vary(
        {"clint": (10.0, 0.3), "ka": (1.0, 0.5), "fu": (0.1, 0.0)},
        correlations={("clint", "ka"): 0.6}, seed=3, units={"clint": "L/h/kg"},
    )  # fmt: skip
    assert np.median(some["clint"]) == pytest.approx(10.0, rel=0.01)
    assert some["clint"].std() / some["clint"].mean() == pytest.approx(0.3, rel=0.03)
    logs = np.log([some["clint"], some["ka"]])
    assert np.corrcoef(logs)[0, 1] == pytest.approx(0.6, abs=0.01)
    assert (some["fu"] == 0.1).all()
    assert some.unit("clint") == "L/h/kg"
    # apart from the bodies of the same seed
    assert abs(np.corrcoef(logs[0], some["body_weight"])[0, 1]) < 0.02
    few = tl.Population.sample(10, seed=4).vary({"clint": (10.0, 0.3)}, seed=3)
    more = tl.Population.sample(30, seed=5).vary({"clint": (10.0, 0.3)}, seed=3)
    np.testing.assert_array_equal(few["clint"], more["clint"][:10])


@pytest.mark.parametrize(
    ("parameters", "correlations", "words"),
    [
        ({}, {}, "no parameter to vary"),
        ({"a": (0.0, 0.3)}, {}, "median 0"),
        ({"a": (1.0, -0.3)}, {}, "variation -0.3"),
        ({"a": 1.0}, {}, "a median and a coefficient"),
        ({"a": (np.nan, 0.3)}, {}, "median nan"),
        ({"a": (1.0, 0.3), "b": (1.0, 0.3)}, {("a", "c"): 0.5}, "correlation of 'c'"),
        ({"a": (1.0, 0.3), "b": (1.0, 0.3)}, {("a", "b"): 1.5}, "is 1.5"),
        ({"a": (1.0, 0.3), "b": (1.0, 0.3)}, {("a", "a"): 0.5}, "two names"),
        (
            {"a": (1.0, 0.3), "b": (1.0, 0.3), "c": (1.0, 0.3)},
            {("a", "b"): 0.9, ("b", "c"): 0.9, ("a", "c"): -0.9},
            "contradict",
        ),
    ],
)
def test_what_is_no_distribution(parameters: Any, correlations: Any, words: str) -> None:
    with pytest.raises(tl.InputError, match=words):
        tl.Population.sample(3).vary(parameters, correlations=correlations, seed=1)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"age": -1}, tl.InputError, "age is -1"),
        ({"age": 200}, tl.InputError, "age is 200 .0 to 100 years"),
        ({"age": (60, 101)}, tl.InputError, "age is 101"),
        ({"age": (9, 3)}, tl.InputError, "from 9 to 3"),
        ({"age": np.nan}, tl.InputError, "age is nan"),
        ({"age": "old"}, TypeError, "a number or two"),
        ({"sex": "x"}, tl.InputError, "sex is 'x'"),
        ({"species": "rabit"}, tl.InputError, "Did you mean 'rabbit'"),
        ({"species": "pig"}, tl.InputError, "no table of the pig"),
        ({"species": "rat", "age": 3}, tl.InputError, "age of the rat"),
        ({"bmi": 25}, TypeError, "two numbers"),
        ({"bmi": (200, 300)}, tl.InputError, "bmi is 200"),
        ({"bmi": (22, 22)}, tl.InputError, "from 22 to 22"),
        ({"gfr": "sever"}, tl.InputError, "Did you mean 'severe'"),
        ({"gfr": (15, 30), "age": (0, 5)}, tl.InputError, "children below 12"),
        ({"gfr": (0, 5), "age": (18, 22), "bmi": (18, 19)}, tl.InputError, "nobody measured"),
        ({"seed": -1}, tl.InputError, "seed is -1"),
        ({"seed": 1.5}, TypeError, "seed is 1.5"),
    ],
)
def test_what_cannot_be_sampled(options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        tl.Population.sample(3, **options)


def test_a_narrow_age() -> None:
    """Ages fill the range asked for, however narrow, and do not pile up at its ends."""
    some = tl.Population.sample(400, age=(30.0, 30.2), seed=1)["age"]
    assert 30.0 <= some.min() < 30.01
    assert 30.19 < some.max() <= 30.2
    assert np.unique(some).size > 390
    table = {**TRIAL, "arm": pd.Series(["a", None])}
    assert tl.Population.from_dataframe(table)["arm"].tolist() == ["a", ""]


def test_more_than_memory() -> None:
    with pytest.raises(MemoryError):
        tl.Population.sample(10**13)


def test_how_many() -> None:
    for n in (0, -3):
        with pytest.raises(tl.InputError, match=f"n is {n}"):
            tl.Population.sample(n)
    for n in (2.5, True, "ten"):
        with pytest.raises(TypeError, match="n is"):
            tl.Population.sample(n)  # type: ignore[arg-type]
    with pytest.warns(tl.InputWarning, match=r"only \d+ of"):
        tl.Population.sample(3, age=(18, 80), sex="female", gfr=(2, 4))


def test_some_of_the_people(people: tl.Population) -> None:
    women = people[people["female"] > 0.5]
    assert (women["female"] == 1.0).all()
    np.testing.assert_array_equal(women.ids, np.flatnonzero(people["female"] > 0.5))
    one = people[7]
    assert len(one) == 1
    assert one["mass_liver"][0] == people["mass_liver"][7]
    assert people[-1].ids == [N - 1]
    np.testing.assert_array_equal(people[[5, 3]].ids, [5, 3])
    np.testing.assert_array_equal(people.part(2, 5).ids, [2, 3, 4])
    for key, words in (
        ("mass_livr", "Did you mean 'mass_liver'"),
        (people["age"] > 500, "no person is left"),
        ([], "no person is left"),
        (np.array([True, False]), "a mask of shape"),
    ):
        with pytest.raises(tl.InputError, match=words):
            people[key]
    with pytest.raises(TypeError, match="by a float"):
        people[1.5]
    with pytest.raises(IndexError):
        people[N]
    same = pickle.loads(pickle.dumps(people[:3]))
    np.testing.assert_array_equal(same["mass_liver"], people["mass_liver"][:3])


def test_populations_together() -> None:
    """People one after the other, with ids that tell them apart; what differs is refused."""
    men = tl.Population.sample(3, age=(18, 80), sex="male", seed=1).with_covariates(arm=["a"] * 3)
    women = tl.Population.sample(2, age=(18, 80), sex="female", seed=1).with_covariates(arm="b")
    both = tl.Population.together([men, women])
    assert both["female"].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert both.ids.tolist() == [0, 1, 2, 3, 4]
    assert both["arm"].tolist() == ["a", "a", "a", "b", "b"]
    for name in men.columns:
        np.testing.assert_array_equal(both[name][:3], men[name])
        np.testing.assert_array_equal(both[name][3:], women[name])
    assert tl.Population.together([men[[2, 1]], men[:1]]).ids.tolist() == [2, 1, 0]
    assert tl.Population.together([men, women], ids=list("vwxyz")).ids.tolist() == list("vwxyz")
    rats = tl.Population.sample(2, species="rat", seed=1).with_covariates(arm="b")
    for some, words in (
        ([], "no population"),
        ([men, rats], "population 1 is of the species 'rat'"),
        ([men, women.with_covariates(x=1.0)], "population 0 has no 'x' among its covariates"),
        ([men.vary({"cl": (1.0, 0.1)}, seed=1, drug="a"), women], "of the drug ''"),
        (
            [
                each.with_covariates(units={"x": unit}, x=1.0)
                for each, unit in ((men, "mg"), (women, "g"))
            ],
            "'x' is in 'g' in population 1 and in 'mg'",
        ),
    ):
        with pytest.raises(tl.InputError, match=words):
            tl.Population.together(some)
    with pytest.raises(TypeError, match="a dict among populations"):
        tl.Population.together([men, {}])  # type: ignore[list-item]


def test_covariates() -> None:
    some = tl.Population.sample(3, seed=1).with_covariates(genotype=["pm", "em", "em"], dose=2.0)
    assert some["genotype"].tolist() == ["pm", "em", "em"]
    assert some["dose"].tolist() == [2.0, 2.0, 2.0]
    assert set(some.labels()) >= {"age", "female", "genotype", "dose"}
    for columns, words in (
        ({"age": [1.0, 2.0, 3.0]}, "is a number of the body"),
        ({"x": [1.0, 2.0]}, "'x' has 2 numbers and there are 3"),
        ({"x": [1.0, np.nan, 2.0]}, "nan for person 1"),
    ):
        with pytest.raises(tl.InputError, match=words):
            some.with_covariates(**columns)
    with pytest.raises(tl.InputError, match="a unit of 'y'"):
        some.with_covariates(units={"y": "mg"}, x=1.0)
    with pytest.raises(tl.InputError, match="there already"):
        some.with_parameters(dose=1.0)


# Tables


def test_through_csv(tmp_path: Path) -> None:
    """The same bits, text that would run in a spreadsheet, units, ids."""
    some = tl.Population.sample(20, seed=1).with_covariates(
        units={"dose": "mg"}, dose=np.linspace(0.1, 2.0, 20), code=["=1+1"] * 19 + ["-"]
    )
    path = some.to_csv(tmp_path / "people.csv")
    again = tl.Population.read_csv(path)
    for name in some:
        np.testing.assert_array_equal(again[name], some[name], err_msg=name)
    np.testing.assert_array_equal(again.ids, some.ids)
    assert again.unit("dose") == "mg"
    head = path.read_text().partition("\n")[0]
    assert "height [m]" in head
    assert "gfr [mL/min/1.73 m2]" in head


def test_missing_covariates_and_blanks(tmp_path: Path) -> None:
    """A covariate of numbers stays one where a cell is missing, of words one of words."""
    path = tmp_path / "people.csv"
    path.write_text(
        "id,age,sex,height,body_weight,crp,site\na,40, F ,1.7,70,,x\nb,50,M,1.8,80,5,NA\n"
    )
    people = tl.Population.read_csv(path)
    assert people["female"].tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(people["crp"], [np.nan, 5.0])
    assert people["site"].tolist() == ["x", "NA"]
    smoker = pd.array([True, None], dtype="boolean")
    mixed = tl.Population.from_dataframe(
        {**TRIAL, "id": np.array([1, "one"], object), "smoker": smoker}
    )
    assert mixed["smoker"].tolist() == ["True", ""]
    assert mixed.ids.tolist() == [1, "one"]
    arms = mixed.with_covariates(arm=["a", None], centre=pd.Categorical(["x", None]))
    assert arms["arm"].tolist() == ["a", ""]
    assert arms["centre"].tolist() == ["x", ""]
    with pytest.raises(tl.InputError, match="what chooses people has masked elements"):
        mixed[np.ma.masked_array([True, True], [False, True])]


def test_through_a_dataframe() -> None:
    some = tl.Population.sample(5, seed=1).with_covariates(arm=list("abaab"))
    frame = some.to_dataframe()
    assert frame.attrs["units"]["mass_liver"] == "kg"
    again = tl.Population.from_dataframe(frame)
    for name in some:
        np.testing.assert_array_equal(again[name], some[name], err_msg=name)


def test_people_of_a_trial() -> None:
    """Age, sex, height and weight are enough: each is the body of these."""
    table = {
        "id": ["x", "y"], "age [y]": [3, 70], "sex": ["female", "man"], "height [m]": [0.95, 1.7],
        "body_weight [kg]": [14, 80], "gfr": [100.0, 25.0], "genotype": ["pm", "em"],
    }  # fmt: skip
    people = tl.Population.from_dataframe(table)
    body = tl.Body.human(70.0, "man", 1.7, 80.0, gfr=25.0)
    for name in body:
        assert people[name][1] == pytest.approx(body[name], rel=1e-14), name
    assert people.ids.tolist() == ["x", "y"]
    assert people["genotype"].tolist() == ["pm", "em"]


TRIAL = {"age": [3, 70], "female": [1, 0], "height": [0.95, 1.7], "body_weight": [14, 80]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": [3, 200]}, "row 1, counted from 0: age out of reason .0 to 100 y"),
        ({"age": [3, np.nan]}, "row 1, .*age is missing"),
        ({"age": np.ma.masked_array([3, 70], [0, 1])}, "column 'age' has masked elements"),
        ({"crp": np.ma.masked_array([3.0, 7.0], [0, 1])}, "column 'crp' has masked elements"),
        ({"age": [True, True]}, "row 0, .*age is no number .True"),
        ({"female": pd.array([True, None], dtype="boolean")}, "row 1, .*female is missing"),
        ({"id": ["x", ""]}, "person 1, .*no id"),
        ({"age": ["three", "70"]}, "row 0, .*age is no number"),
        ({"age": [True, False]}, "row 0, .*age is no number"),
        ({"age": [10**400, 70]}, "row 0, .*age out of reason"),
        ({"height": [1.9, 1.7]}, "row 0, .*nobody of this age has .*3 years, 1.9 m"),
        ({"body_weight": [14, 20]}, "row 1, .*nobody of this age has .*1.7 m, 20 kg"),
        ({"body_weight": [14, 600]}, "row 1, .*nobody of this age has .*1.7 m, 600 kg"),
        ({"": [1, 2]}, "a column without a name"),
        ({"height": [95, 170]}, "row 0, .*height out of reason .0.2 to 2.8 m"),
        ({"height": None}, "no 'height'"),
        ({"female": None}, "female .1 or 0. or sex"),
        ({"sex": ["f", "m"]}, "sex and female"),
        ({"body_weight": [14, 30]}, "row 1, .*lean parts"),
        ({"id": ["x", "x"]}, "id 'x' names persons 0 and 1"),
        ({"mass_liver": [0.4, 1.8]}, "masses and no 'mass_lung'"),
        ({"height [cm]": [95, 170], "height": None}, "its unit here is m"),
        ({"height [m]": [0.95, 1.7]}, "two columns 'height'"),
        ({"cardiac_output": [300.0, 300.0]}, "cardiac_output is another"),
        ({"female": [1, 2]}, "row 1, .*female out of reason"),
        ({"gfr": [100, -1]}, "row 1, .*gfr out of reason"),
        ({"id": ["x", None]}, "person 1, .*no id"),
        ({"age": None, "AGE": [3, 70]}, "Is it 'AGE'"),
        ({"age": [3, 70, 4]}, "column 'female' has the shape"),
    ],
)
def test_a_table_with_a_mistake(change: dict[str, Any], words: str) -> None:
    table = {name: value for name, value in {**TRIAL, **change}.items() if value is not None}
    with pytest.raises(tl.InputError, match=words):
        tl.Population.from_dataframe(table)


def test_masses_that_do_not_add_up() -> None:
    frame = tl.Population.sample(5, seed=1).to_dataframe()
    for column, factor, words in (
        ("mass_muscle", 1.1, "row 3, .*body_weight is another"),
        ("flow_brain", 2.0, "row 3, .*cardiac_output is another"),
        ("mass_share_liver", 1.1, "row 3, .*mass_share_liver is another"),
        ("mass_liver", -1.0, "row 3, .*mass_liver out of reason"),
    ):
        other = frame.copy()
        other.loc[3, column] *= factor
        with pytest.raises(tl.InputError, match=words):
            tl.Population.from_dataframe(other)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty .no rows, not even a header"),
        ("age,female,height,body_weight\n30,0,1.8,NA\n", "row 0, .*body_weight is missing"),
        ("age,female,height,body_weight\n", "has no people"),
        ("age,female,height,body_weight\n30,0,1.8\n", "line 2: 3 cells .4 are needed"),
        ("age,age,height,body_weight\n30,0,1.8,80\n", "two columns 'age'"),
        ("age,female,height,body_weight\n30,0,1.8,8_0\n", "row 0, .*body_weight"),
        ("age;female;height;body_weight\n30;0;1.8;80\n", "semicolons"),
        ('age,female,height,body_weight\n30,0,1.8,"80\n', "line [23]: no CSV"),
        ("age,female,height,body_weight\n30,0,1.8,1e999\n", "body_weight out of reason"),
        ("age,,height,body_weight\n30,0,1.8,80\n", "without a name"),
        ("age,female\0,height\n30,0,1.8\n", "binary"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(content)
    with pytest.raises(tl.InputError, match=words):
        tl.Population.read_csv(path)


# PK-Sim


def pksim_file() -> Path:
    path = DATA / "osp_nca" / "pop.csv"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against a population of PK-Sim: {path} is not here")
    return path


def test_a_population_of_pk_sim(tmp_path: Path) -> None:
    """Sizes as the file has them, identities, the flows PK-Sim computes, and the way back."""
    path = pksim_file()
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    people = tl.Population.read_pksim(path)
    check_identities(people)
    assert len(people) == len(rows) == 10
    for name, label, factor in (
        ("body_weight", "Organism|Weight [kg]", 1.0),
        ("height", "Organism|Height [dm]", 0.1),
        ("age", "Organism|Age [year(s)]", 1.0),
        ("haematocrit", "Organism|Hematocrit", 1.0),
    ):
        told = [factor * float(row[label]) for row in rows]
        np.testing.assert_allclose(people[name], told, rtol=1e-12)
    brain = [
        60.0
        * float(row["Organism|Brain|Volume [l]"])
        * float(row["Organism|Brain|Specific blood flow rate [l/min/kg organ]"])
        for row in rows
    ]
    np.testing.assert_allclose(people["flow_brain"], brain, rtol=1e-12)
    # the typical body of the same people is near
    typical = tl.Population.from_dataframe(
        {name: people[name] for name in ("age", "female", "height", "body_weight")}
    )
    for name in ("mass_blood", "mass_brain", "mass_liver", "cardiac_output"):
        assert people[name].mean() == pytest.approx(typical[name].mean(), rel=0.25), name

    again = tl.Population.read_pksim(people.to_pksim(tmp_path / "again.csv"))
    for name in people:
        if people[name].dtype.kind == "f":
            np.testing.assert_allclose(again[name], people[name], rtol=1e-12, err_msg=name)
    assert again.covariates.keys() == people.covariates.keys()
    model = whole_body(THEOPHYLLINE)
    found = tl.simulate(model, people, tl.Regimen.bolus(100.0, into="venous"), [8.0], "cp")
    assert found.success.all()


def test_people_for_pk_sim(tmp_path: Path) -> None:
    """Volumes add up to the weight, as in PK-Sim's own files; the rest goes to the muscle."""
    people = tl.Population.sample(300, seed=1)
    path = people.to_pksim(tmp_path / "people.csv")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    volumes = [name for name in rows[0] if name.endswith("|Volume [l]")]
    whole = np.array([sum(float(row[name]) for name in volumes) for row in rows])
    np.testing.assert_allclose(whole, people["body_weight"], rtol=1e-12)
    again = tl.Population.read_pksim(path)
    for name in ("body_weight", "cardiac_output", "flow_liver", "flow_gut", "age", "female"):
        np.testing.assert_allclose(again[name], people[name], rtol=1e-12)
    grown = people["age"] >= 18.0
    np.testing.assert_allclose(again["mass_liver"][grown], people["mass_liver"][grown], rtol=0.15)
    with pytest.raises(tl.InputError, match="no 'body_mass_index'"):
        tl.Population.sample(3, species="rat").to_pksim(path)


def test_a_file_of_pk_sim_with_a_mistake(tmp_path: Path) -> None:
    text = tl.Population.sample(3, seed=1).to_pksim(tmp_path / "people.csv").read_text()
    lines = text.splitlines()
    for content, words in (
        (text.replace("Organism|Liver|Volume [l]", "Organism|Livr|Volume [l]"), "Did you mean"),
        ("\n".join([lines[0], lines[1][: len(lines[1]) // 2]]), "line 2: .* cells"),
        (text.replace("Gender", "Sex"), "no column 'Gender'"),
        (text.replace("\n0,1,", "\n0,3,").replace("\n0,2,", "\n0,3,"), "Gender is 1"),
        (lines[0], "has no people"),
    ):
        path = tmp_path / "wrong.csv"
        path.write_text(content)
        with pytest.raises(tl.InputError, match=words):
            tl.Population.read_pksim(path)


def test_it_is_shown(people: tl.Population) -> None:
    some = people[:5].with_covariates(name=["<b>"] * 5)
    assert "5 people" in repr(some)
    html = some._repr_html_()
    assert "<table>" in html
    assert "mass_liver" in html
    assert "<b>" not in html


def test_the_shipped_rows_are_the_surveys() -> None:
    path = DATA / "httk" / "nhanes_2013_2018_individuals.csv.gz"
    if not path.exists():
        pytest.skip(f"NOT CHECKED against NHANES as httk has it: {path} is not here")
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    table = donors()
    assert table.age.size == len(rows)
    assert table.weight.sum() == pytest.approx(sum(float(row["bmxwt"]) for row in rows), rel=1e-12)
    blood = sum(float(row["lbxhct"]) for row in rows if row["lbxhct"])
    assert np.nansum(table.haematocrit) == pytest.approx(blood / 100.0, rel=1e-12)
    assert int(table.female.sum()) == sum(row["riagendr"] == "Female" for row in rows)


def test_durations_are_no_numbers() -> None:
    """NumPy counts them among whole numbers; 40 hours are no 40 years."""
    hours: Any = np.timedelta64(40, "h")
    with pytest.raises(TypeError, match=r"age is .* .a number of years is needed"):
        tl.Body.human(hours)
    for wrong in (
        lambda: tl.Population.sample(hours),
        lambda: tl.Population.sample(3, seed=hours),
        lambda: tl.Population.sample(3, age=hours),
    ):
        with pytest.raises(TypeError):
            wrong()
