"""The methods by name, and the coefficients of all organs by one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from teorell.errors import InputError, suggestion
from teorell.pbpk.partition.chemistry import Chemistry
from teorell.pbpk.partition.pksim_standard import (
    cells_to_water_from_lipophilicity,
    pksim_standard,
)
from teorell.pbpk.partition.poulin_theil import berezhkovskiy, poulin_theil
from teorell.pbpk.partition.rodgers_rowland import rodgers_rowland
from teorell.pbpk.partition.schmitt import schmitt
from teorell.pbpk.partition.values import Value
from teorell.physiology.tissue_composition import Composition, Contents, read_composition

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "check_composition",
    "check_method",
    "of_organs",
    "of_tissues",
]

ADIPOSE = "adipose"
DEFAULT_METHOD = "berezhkovskiy"


def _rodgers_rowland(
    drug: Chemistry, name: str, tissue: Contents, composition: Composition
) -> Value:
    rows = "rodgers_rowland"
    if drug.cells_to_water is None and drug.bases:
        cells = composition.fluid("pksim_standard", "red_cells")
        drug = replace(drug, cells_to_water=cells_to_water_from_lipophilicity(drug, cells))
    return rodgers_rowland(
        drug,
        tissue,
        composition.fluid(rows, "plasma"),
        composition.fluid(rows, "red_cells"),
        composition.fluid(rows, "cells")["ph"],
        name == ADIPOSE,
    )


def _poulin_theil(drug: Chemistry, name: str, tissue: Contents, composition: Composition) -> Value:
    return poulin_theil(drug, tissue, composition.fluid("poulin_theil", "plasma"), name == ADIPOSE)


def _berezhkovskiy(drug: Chemistry, name: str, tissue: Contents, composition: Composition) -> Value:
    plasma = composition.fluid("poulin_theil", "plasma")
    return berezhkovskiy(drug, tissue, plasma, name == ADIPOSE)


def _schmitt(drug: Chemistry, name: str, tissue: Contents, composition: Composition) -> Value:
    return schmitt(drug, tissue)


def _pksim_standard(
    drug: Chemistry, name: str, tissue: Contents, composition: Composition
) -> Value:
    return pksim_standard(drug, tissue)


Method = Callable[[Chemistry, str, Contents, Composition], Value]
# name -> the formula, and whose rows of a composition it reads
METHODS: Mapping[str, tuple[Method, str]] = MappingProxyType(
    {
        "rodgers_rowland": (_rodgers_rowland, "rodgers_rowland"),
        "poulin_theil": (_poulin_theil, "poulin_theil"),
        "berezhkovskiy": (_berezhkovskiy, "poulin_theil"),
        "schmitt": (_schmitt, "schmitt"),
        "pksim_standard": (_pksim_standard, "pksim_standard"),
    }
)


def check_method(method: object) -> str:
    """The name of a method; InputError, with the nearest one, for another."""
    if not isinstance(method, str) or method not in METHODS:
        raise InputError(
            f"unknown method of partition coefficients {method!r} (there are {len(METHODS)}). "
            f"{suggestion(str(method), METHODS)}"
        )
    return method


def of_tissues(method: str, drug: Chemistry, composition: Composition) -> dict[str, Value]:
    """Tissue:plasma, total to total, of every tissue whose composition the method knows."""
    rows = METHODS[check_method(method)][1]
    return {
        name: _of(method, drug, name, tissue, composition)
        for name, tissue in composition.tissues(rows).items()
    }


def of_organs(
    method: str, drug: Chemistry, composition: Composition, organs: Iterable[str]
) -> dict[str, Value]:
    """The same of organs of the whole-body model; where a tissue is not known, of what stands in
    for it.
    """
    rows = METHODS[check_method(method)][1]
    return {
        name: _of(method, drug, name, composition.organ(rows, name), composition) for name in organs
    }


def check_composition(composition: object) -> Composition:
    """A composition, the human's for None; InputError for anything else."""
    if composition is None:
        return read_composition()
    if not isinstance(composition, Composition):
        raise InputError(
            f"composition is {composition!r:.60} (what read_composition returns is needed). Give "
            "teorell.pbpk.read_composition(path)."
        )
    return composition


def _of(
    method: str, drug: Chemistry, name: str, tissue: Contents, composition: Composition
) -> Value:
    try:
        return METHODS[method][0](drug, name, tissue, composition)
    except KeyError as error:
        raise InputError(
            f"{composition.source} has no {error.args[0]} for {METHODS[method][1]} "
            f"({composition.species}; {name}, plasma or red cells). Add its row."
        ) from None
