"""Enzymes and transporters of liver and gut, and the gut's segments: their papers' own words."""

from __future__ import annotations

import numpy as np
import pytest
import teorell as tl
from teorell.physiology.checks import SPECIES
from teorell.physiology.gut import gut
from teorell.physiology.maturation import ENZYMES, enzyme
from teorell.physiology.reference_adults import REFERENCE
from teorell.physiology.sources import SOURCES
from teorell.physiology.transporters import TRANSPORTERS, transporter


def test_enzymes_mature() -> None:
    """CYP3A4 at a month and a year, from the formula of Johnson et al. (2006)."""
    assert float(enzyme("CYP3A4").ontogeny(1.0)) == pytest.approx(1.0 / 1.31)
    for name in ENZYMES:
        one = enzyme(name)
        if one.growth is None:
            with pytest.raises(tl.InputError, match=f"ontogeny of {name} .*CYP3A4"):
                one.ontogeny(1.0)
            continue
        assert float(one.ontogeny(30.0)) == pytest.approx(1.0, abs=0.06), name
        steps = one.ontogeny(np.linspace(0.0, 30.0, 500))
        assert (np.diff(steps) > 0.0).all(), name
        assert set(one.sources.values()) <= set(SOURCES)
    with pytest.raises(tl.InputError, match="Did you mean 'CYP3A4'"):
        enzyme("CYP3A5")


def test_enzymes_of_the_gut() -> None:
    """CYP3A is four fifths of what was found of cytochromes, CYP2C9 15 % (Paine et al. 2006), and
    there is less of it along the gut (Paine et al. 1997).
    """
    found = {name: enzyme(name).gut for name in ENZYMES}
    mean = {name: told["small_intestine"] for name, told in found.items() if told}
    assert mean["CYP3A4"] / sum(mean.values()) == pytest.approx(0.8, abs=0.03)
    assert mean["CYP2C9"] / sum(mean.values()) == pytest.approx(0.15, abs=0.02)
    assert found["CYP3A4"]["duodenum"] > found["CYP3A4"]["ileum"]


def test_transporters_mature() -> None:
    """Table 1 of Prasad et al. (2016): half of the rise at half_age; almost five times as much OCT1
    in the grown up as in newborns.
    """
    for name in TRANSPORTERS:
        one = transporter(name)
        assert set(one.sources.values()) <= set(SOURCES)
        assert one.liver is not None or one.jejunum is not None
        if one.growth is None:
            with pytest.raises(tl.InputError, match=f"ontogeny of {name} .*OATP1B3"):
                one.ontogeny(1.0)
            continue
        steps = one.ontogeny(np.linspace(0.0, 30.0, 500))
        assert (np.diff(steps) >= 0.0).all(), name
        assert steps[-1] == 1.0
        birth, rise, half, _ = one.growth
        at_half = float(one.ontogeny(half)) / float(one.ontogeny(0.0))
        assert at_half == pytest.approx((birth + rise / 2.0) / birth, rel=1e-12)
    two_weeks = float(transporter("OCT1").ontogeny(14.0 / 365.25))
    assert 1.0 / two_weeks == pytest.approx(5.0, rel=0.1)
    with pytest.raises(tl.InputError, match="Did you mean 'P-gp'"):
        transporter("P-pg")


def test_the_gut() -> None:
    """From the acid stomach to the left colon; transit through the small intestine is 199 min."""
    found = gut()
    assert found["small_intestine", "transit"].value == pytest.approx(199.0 / 60.0, abs=0.01)
    along = ("stomach", "duodenum", "small_intestine_proximal", "small_intestine_distal")
    values = [found[segment, "ph"].value for segment in along]
    assert values == sorted(values)
    assert found["caecum", "ph"].value < values[-1]
    shares = [found[each, "length_share"].value for each in ("duodenum", "jejunum", "ileum")]
    assert sum(shares) == pytest.approx(1.0, rel=1e-12)
    # the mucosa is a cylinder of that length with folds, villi and microvilli: these make it 60 to
    # 120 times larger (Helander & Fandriks 2014)
    radius, length = found["small_intestine", "inner_radius"], found["small_intestine", "length"]
    cylinder = 2e-4 * np.pi * radius.value * length.value  # m2
    folded = cylinder * found["small_intestine", "folds"].value
    assert 60.0 < found["small_intestine", "mucosa"].value / folded < 120.0
    for k, sex in enumerate(("male", "female")):
        parts = ("small_intestine", "large_intestine")
        flow = sum(found[each, f"flow_share_{sex}"].value for each in parts)
        assert flow == pytest.approx(REFERENCE["gut"].flow[k], rel=1e-12)
    for species in SPECIES:
        assert 1.0 < gut(species)["stomach", "ph"].value < 5.0
    assert gut("beagle") is gut("dog")
    with pytest.raises(tl.InputError, match="Did you mean 'rat'"):
        gut("rta")


@pytest.mark.parametrize(
    "age", [-1.0, np.nan, np.inf, "x", None, [1.0, -0.1], 10**400, [[1], [2, 3]]]
)
def test_what_is_no_age(age: object) -> None:
    for protein in (enzyme("CYP3A4"), transporter("P-gp")):
        with pytest.raises(tl.InputError, match="age is"):
            protein.ontogeny(age)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [None, 3, [], "CYP3A"])
def test_what_is_no_name(name: object) -> None:
    for of, word in ((enzyme, "enzyme"), (transporter, "transporter"), (gut, "species")):
        with pytest.raises(tl.InputError, match=f"unknown {word} "):
            of(name)  # type: ignore[operator]
