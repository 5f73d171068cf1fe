"""Partition coefficients: one formula for numbers, arrays and expressions, limits, the table of
composition.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import teorell as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell.model.expression import derivative, evaluate, symbol
from teorell.pbpk.partition.chemistry import NO_ACID, NO_BASE, Chemistry
from teorell.pbpk.partition.methods import METHODS, of_organs, of_tissues
from teorell.pbpk.partition.rodgers_rowland import cells_to_water, rodgers_rowland
from teorell.physiology.tissue_composition import COMPOSITION_TABLE, read_composition
from teorell.physiology.vocabulary import ORGANS

HUMAN = read_composition()
PKA = st.floats(-2.0, 16.0)
KINDS = st.tuples(st.lists(PKA, max_size=2), st.lists(PKA, max_size=2))


def chemistry(log_p: float, fu: float, acids: list[float], bases: list[float]) -> Chemistry:
    return Chemistry(log_p, fu, tuple(acids), tuple(bases), 3.0)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None)
@given(log_p=st.floats(-3.0, 7.0), fu=st.floats(1e-3, 1.0), kind=KINDS)
def test_numbers_arrays_and_expressions_agree(
    method: str, log_p: float, fu: float, kind: tuple[list[float], list[float]]
) -> None:
    acids, bases = kind
    numbers = of_tissues(method, chemistry(log_p, fu, acids, bases), HUMAN)
    # groups that are not there, in any order
    padded = chemistry(log_p, fu, [NO_ACID, *acids], [NO_BASE, *bases, NO_BASE])
    filled = of_tissues(method, padded, HUMAN)
    arrays = of_tissues(
        method,
        Chemistry(
            np.full(2, log_p),
            np.array([fu, 1.0]),
            tuple(np.full(2, pka) for pka in padded.acids),
            tuple(np.full(2, pka) for pka in padded.bases),
            np.full(2, 3.0),
        ),
        HUMAN,
    )
    names = ["log_p", "fu", *(f"a{k}" for k in range(len(padded.acids)))]
    names += [f"b{k}" for k in range(len(padded.bases))]
    symbols = {name: symbol("parameter", name) for name in names}
    known = dict(zip(symbols.values(), (log_p, fu, *padded.acids, *padded.bases), strict=True))
    n = 2 + len(padded.acids)
    parts = list(symbols.values())
    expressions = of_tissues(
        method, Chemistry(parts[0], parts[1], tuple(parts[2:n]), tuple(parts[n:]), 3.0), HUMAN
    )
    for tissue, kp in numbers.items():
        assert kp > 0.0
        assert filled[tissue] == pytest.approx(kp, rel=1e-14)
        assert arrays[tissue][0] == pytest.approx(kp, rel=1e-13)
        assert float(evaluate(expressions[tissue], known)) == pytest.approx(kp, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("acids", "bases"), [([], []), ([4.5], []), ([], [9.4]), ([], [6.0]), ([3.0], [8.5, 5.0])]
)
def test_gradients(method: str, acids: list[float], bases: list[float]) -> None:
    """Symbolic derivatives by log P, fu and every pKa against central differences."""
    point = [2.0, 0.2, *acids, *bases]
    names = [symbol("parameter", f"x{k}") for k in range(len(point))]

    def kp(values: list) -> dict:  # type: ignore[type-arg]
        n = 2 + len(acids)
        return of_tissues(
            method, Chemistry(values[0], values[1], (*values[2:n],), (*values[n:],), 4.0), HUMAN
        )

    known = dict(zip(names, point, strict=True))
    expressions, step = kp(names), 1e-5
    for k, name in enumerate(names):
        high, low = ([x + s * (j == k) for j, x in enumerate(point)] for s in (step, -step))
        up, down = kp(high), kp(low)
        for tissue, expression in expressions.items():
            slope = float(evaluate(derivative(expression, name), known))
            expected = (up[tissue] - down[tissue]) / (2 * step)
            assert slope == pytest.approx(expected, rel=1e-6, abs=1e-7 * up[tissue]), tissue


def test_limits() -> None:
    """A neutral, hydrophilic drug that nothing binds lies in water alone."""
    drug = Chemistry(-12.0, 1.0)
    for method, rows in (("rodgers_rowland", "rodgers_rowland"), ("pksim_standard", None)):
        for tissue, kp in of_tissues(method, drug, HUMAN).items():
            part = HUMAN.tissues(method)[tissue]
            if rows:
                water = part["extracellular_water"] + part["intracellular_water"]
                expected = water + 0.7 * part["neutral_phospholipids"]
            else:  # protein takes up 0.163 of its volume whatever the lipophilicity
                expected = part["water"] + 0.81 / 24.92 * 5.0 * part["protein"]
            assert kp == pytest.approx(expected, rel=1e-9)
    # an acid far above its pKa is as soluble in cells as the difference of pH allows
    acid = Chemistry(0.0, 1.0, acids=(1.0,))
    assert acid.ionised(7.0) / acid.ionised(7.4) == pytest.approx(10**-0.4, rel=1e-12)
    # fu only scales what Schmitt and PK-Sim say
    half, whole = (
        of_tissues("pksim_standard", Chemistry(2.0, fu), HUMAN)["liver"] for fu in (0.5, 1.0)
    )
    assert whole == pytest.approx(2 * half, rel=1e-14)


def test_red_cells() -> None:
    """Concentrations in cells and plasma make up that of blood again."""
    fu, haematocrit, ratio = 0.3, 0.44, 1.2
    cells = cells_to_water(ratio, haematocrit, fu) * fu  # over plasma
    assert haematocrit * cells + (1 - haematocrit) == pytest.approx(ratio, rel=1e-14)
    rows = "rodgers_rowland"
    base = Chemistry(1.0, 0.5, bases=(9.0,))
    plasma, red_cells = (HUMAN.fluid(rows, name) for name in ("plasma", "red_cells"))
    with pytest.raises(tl.InputError, match="no concentration in red cells"):
        rodgers_rowland(base, HUMAN.tissues(rows)["liver"], plasma, red_cells, 7.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("species", ["human", "rat", "dog"])
def test_every_organ_of_the_model_has_a_composition(method: str, species: str) -> None:
    composition = read_composition(species=species)
    drug = Chemistry(2.0, 0.3, bases=(8.0,))
    assert tuple(of_organs(method, drug, composition, ORGANS)) == ORGANS


def test_fractions_of_the_table_fit_into_their_tissue() -> None:
    for species in ("human", "rat"):
        composition = read_composition(species=species)
        for method, tissues in composition.methods.items():
            for tissue, told in tissues.items():
                parts = {k: v for k, v in told.items() if k not in ("ph", "cells", "interstitium")}
                total = sum(
                    value / (1000.0 if name == "acidic_phospholipids" and value > 0.2 else 1.0)
                    for name, value in parts.items()
                    if "ratio" not in name
                )
                # lipids by weight, water by volume: the papers' own rounding
                assert total < 1.1, (method, tissue)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0.135", "wet"), "line 2: extracellular_water is 'wet'"),
        (("0.135", "nan"), "line 2: extracellular_water is nan"),
        (("0.135", "13.5"), "line 2: extracellular_water is 13.5 L/L"),
        (("0.135", "-0.1"), "line 2: extracellular_water is -0.1"),
        (("0.135,L/L", "0.135,%"), "line 2: extracellular_water in '%'"),
        (("extracellular_water", "extra_water"), "unknown quantity 'extra_water'"),
        (("intracellular_water,0.017", "extracellular_water,0.017"), "line 3: told before"),
        (("quantity,value", "quantity,number"), "line 1: no column 'value'"),
        ((",0.135", ""), "line 2: 7 cells, and 8 columns"),
    ],
)
def test_mistakes_in_the_table(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = COMPOSITION_TABLE.read_text().replace(*change, 1)
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(tl.InputError, match=message):
        read_composition(tmp_path / "own.csv")
