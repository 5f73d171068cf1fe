"""One vocabulary of a body: the model, virtual adults and the constraints mean the same by a name.

Virtual adults are drawn, and the very same are given to the model and to the constraints.
"""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import teorell as tl
from teorell.constraints import human_adult
from teorell.pbpk import DRUGS, MIDAZOLAM, THEOPHYLLINE, virtual_adults, whole_body
from teorell.physiology.adults import Adults
from teorell.physiology.reference_adults import GFR, HAEMATOCRIT, HEIGHT
from teorell.physiology.vocabulary import (
    BODY,
    FLOWS,
    MASSES,
    SHARES,
    VOCABULARY,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
    unit,
)

N = 2000


@pytest.fixture(scope="module")
def people() -> Adults:
    return virtual_adults(N, 5, THEOPHYLLINE)


def test_a_name_says_its_unit() -> None:
    expected = {"mass_share_": "1", "flow_share_": "1", "mass_": "kg", "flow_": "L/h"}
    for name in VOCABULARY:
        prefix = next((each for each in expected if name.startswith(each)), "")
        if prefix:
            assert unit(name) == expected[prefix], name
    assert set(BODY) | set(SHARES) == set(VOCABULARY)
    assert set(BODY) & set(SHARES) == {"body_weight"}
    with pytest.raises(KeyError):
        unit("mass_tail")


@pytest.mark.parametrize("name", DRUGS)
def test_the_model_speaks_it(name: str) -> None:
    model = whole_body(DRUGS[name])
    assert model.parameter_names[: len(SHARES)] == SHARES
    for each in (*SHARES, "haematocrit"):
        info = model.parameter_info(each)
        assert (info.unit, info.description) == (unit(each), VOCABULARY[each].meaning)
    # no other parameter takes a name of a body
    assert set(model.parameter_names) & set(VOCABULARY) == {*SHARES, "haematocrit"}


def test_the_constraints_speak_it() -> None:
    c = human_adult()
    assert set(c.inputs) == set(BODY)
    assert c._units == {name: unit(name) for name in c.inputs}


def test_virtual_adults_speak_it(people: Adults) -> None:
    assert tuple(people) == (*SHARES, "fu", "clint", "ka")
    assert tuple(people.body) == BODY
    for column in (*people.values(), *people.body.values()):
        assert column.shape == (N,)
        assert column.dtype == np.float64


def test_shares_and_kilograms_are_of_the_same_people(people: Adults) -> None:
    body, weight = people.body, people["body_weight"]
    output = people["cardiac_index"] * weight**0.75
    close = {"rtol": 1e-12, "atol": 0.0}
    np.testing.assert_array_equal(body["body_weight"], weight)
    np.testing.assert_allclose(body["cardiac_output"], output, **close)
    for shares, amounts, whole in (
        ([mass_share_of(part) for part in MASSES], [mass_of(part) for part in MASSES], weight),
        ([flow_share_to(organ) for organ in FLOWS], [flow_to(organ) for organ in FLOWS], output),
    ):
        np.testing.assert_allclose(sum(people[name] for name in shares), 1.0, **close)
        np.testing.assert_allclose(sum(body[name] for name in amounts), whole, **close)
        for share, amount in zip(shares, amounts, strict=True):
            np.testing.assert_allclose(body[amount], people[share] * whole, **close)


def test_what_does_not_vary_is_the_reference_mans(people: Adults) -> None:
    body = people.body
    fixed = {"female": 0.0, "height": HEIGHT.man, "haematocrit": HAEMATOCRIT, "gfr": GFR}
    for name, number in fixed.items():
        assert (body[name] == number).all(), name
    surface = np.sqrt(1.76 * 73.0 / 36.0)
    assert pytest.approx(125.0 * (73 / 70) ** 0.75) == GFR * surface / 1.73  # mL/min


def test_the_same_people_are_simulated_and_checked(people: Adults) -> None:
    c = human_adult()
    found = c.violations(people)
    identities = c.only("identities").residuals(people)
    assert max(values.max() for values in identities.values()) < 1e-12
    rates = {name: float(each.mean()) for name, each in found.violated.items()}
    # The model draws masses as shares of the body weight. Brain, gonads and blood grow with it,
    # which the constraints do not allow, and men of one height are as often thin or stout as their
    # weight says.
    above = {name for name, rate in rates.items() if rate > 0.05}
    assert above == {
        "mass of brain", "mass of gonads", "mass of blood", "mass of gut", "mass of bone",
        "body mass index",
    }  # fmt: skip
    assert max(rate for name, rate in rates.items() if name.startswith("flow")) < 0.01
    assert rates["filtration fraction"] < 0.01
    assert rates["gfr"] == rates["height"] == rates["haematocrit"] == 0.0

    regimen = tl.Regimen.bolus(320.0, into="stomach_lumen")
    some = Adults({name: column[:20] for name, column in people.items()})
    solution = tl.simulate(whole_body(THEOPHYLLINE), some, regimen, [0.0, 2.0, 8.0], ["cp"])
    assert solution.success.all()
    plain = tl.simulate(whole_body(THEOPHYLLINE), {**some}, regimen, [0.0, 2.0, 8.0], ["cp"])
    np.testing.assert_array_equal(solution.values, plain.values)
    np.testing.assert_array_equal(c.violations(some).any, found.any[:20])


def test_valid_people_can_be_simulated(people: Adults) -> None:
    """Those whom the constraints accept, picked from the dict."""
    valid = ~human_adult().violations(people).any
    assert 0.2 < valid.mean() < 0.6
    chosen = Adults({name: column[valid] for name, column in people.items()})
    assert not human_adult().violations(chosen).any.any()


def test_adults_are_a_dict(people: Adults) -> None:
    for same in (pickle.loads(pickle.dumps(people)), copy.deepcopy(people), people.copy()):
        assert type(same) is Adults
        np.testing.assert_equal(dict(same), dict(people))
        np.testing.assert_equal(same.body, people.body)
    assert type({**people}) is dict
    heavier = people | {"body_weight": people["body_weight"] * 1.1}
    assert type(heavier) is Adults
    # the body is that of the numbers which are there now
    np.testing.assert_allclose(heavier.body["mass_liver"], 1.1 * people.body["mass_liver"])
    fatter = people | {"mass_share_adipose": 2.0 * people["mass_share_adipose"]}
    np.testing.assert_allclose(
        sum(fatter.body[mass_of(part)] for part in MASSES), people["body_weight"], rtol=1e-12
    )
    one = Adults({name: column[0] for name, column in people.items()})
    assert one.body["mass_liver"] == people.body["mass_liver"][:1]


def test_people_who_are_not_whole() -> None:
    people = virtual_adults(3, 1)
    del people["mass_share_liver"]
    with pytest.raises(tl.InputError, match="no 'mass_share_liver'"):
        human_adult().penalty(people)
    people["mass_share_liver"] = np.full(2, 0.02)
    with pytest.raises(
        tl.InputError, match=r"'mass_share_liver' has 2 numbers and 'body_weight' 3"
    ):
        _ = people.body


@pytest.mark.parametrize("name", [name for name in SHARES if "_share_" in name])
def test_an_old_name_is_answered_with_the_new_one(name: str) -> None:
    with pytest.raises(tl.InputError, match=f"Did you mean '{name}'"):
        tl.simulate(
            whole_body(MIDAZOLAM), {name.replace("_share", ""): 0.1},
            tl.Regimen.bolus(1.0, into="venous"), [0.0, 1.0],
        )  # fmt: skip
