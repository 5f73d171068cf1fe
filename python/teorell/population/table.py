"""Populations as tables: DataFrames and mappings of columns, a row a person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import unmasked
from teorell.cells import is_missing
from teorell.errors import InputError
from teorell.physiology.checks import WORDS, check_species, sex_of
from teorell.physiology.human import numbers_of_humans, too_light, unlike_the_age
from teorell.physiology.reference_adults import FLOW_EXPONENT
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    MORE,
    VOCABULARY,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
    unit,
)
from teorell.population.cells import checked, refuse

__all__ = ["Parts", "completed", "parts_of_table"]

Column = NDArray[Any]
LABELLED = re.compile(r"(.*?)\s*\[([^\[\]]*)\]\s*")
IDS = ("id", "individualid", "subject")
PERSON = ("age", "height", "body_weight")
ROUNDING = 1e-14  # relative
CLOSE = 1e-3  # what masses and flows may miss their sums by, relative


class Parts(NamedTuple):
    """What a table tells of people: see the arguments of `Population`."""

    columns: dict[str, Column]
    ids: Column | None
    covariates: dict[str, Column]
    units: dict[str, str]


def parts_of_table(frame: Any, species: str, place: str = "the table") -> Parts:
    """The people of a DataFrame or a mapping of columns; see `Population.from_dataframe`."""
    check_species(species)
    given, units = _labelled(_columns(frame), place)
    ids = next((given.pop(name) for name in [*given] if name.casefold() in IDS), None)
    if "sex" in given:
        if "female" in given:
            raise InputError(f"{place} has sex and female (which is meant?). Leave one out.")
        given["female"] = _female(given.pop("sex"), place)
    known = {name: checked(name, given[name], place) for name in given if _is_known(name)}
    others = {name: column for name, column in given.items() if name not in known}
    masses = [mass_of(part) for part in MASSES]
    flows = [flow_to(organ) for organ in FLOWS]
    told = [name for name in (*masses, *flows) if name in known]
    if told:
        columns = completed(known, place)
    elif species == "human":
        columns = _typical(known, others, place)
    else:
        raise InputError(
            f"{place} of {species}s has no masses and flows (they are needed of animals). Give "
            f"{masses[0]} and the others."
        )
    return Parts(
        columns,
        ids,
        {name: _covariate(column) for name, column in others.items()},
        {name: of for name, of in units.items() if name in others},
    )


def completed(known: Mapping[str, Column], place: str) -> dict[str, Column]:
    """Columns of bodies whose masses and flows are told, with sums and shares made exact.

    InputError for a number that is missing or negative, and for masses and flows that do not add up
    to the weight and the cardiac output, where these are told.
    """
    columns = dict(known)
    for whole, names, of in (
        ("body_weight", [mass_of(part) for part in MASSES], "masses"),
        ("cardiac_output", [flow_to(organ) for organ in FLOWS], "flows"),
    ):
        lacking = [name for name in names if name not in columns]
        if lacking:
            raise InputError(
                f"{place} has {of} and no {lacking[0]!r} (all are needed). Add it, or leave all "
                "out."
            )
        _settle(columns, whole, np.sum([columns[name] for name in names], axis=0), place)
    metabolic = columns["body_weight"] ** FLOW_EXPONENT
    _settle(columns, "cardiac_index", columns["cardiac_output"] / metabolic, place)
    for part in MASSES:
        share = columns[mass_of(part)] / columns["body_weight"]
        _settle(columns, mass_share_of(part), share, place)
    for organ in FLOWS:
        share = columns[flow_to(organ)] / columns["cardiac_output"]
        _settle(columns, flow_share_to(organ), share, place)
    if "height" in columns:
        _settle(columns, "body_mass_index", columns["body_weight"] / columns["height"] ** 2, place)
    return columns


def _settle(columns: dict[str, Column], name: str, follows: Column, place: str) -> None:
    """A number that follows from others: kept where it is told and agrees to rounding, replaced
    where it is CLOSE. InputError for another one.
    """
    if name in columns:
        told = columns[name]
        off = np.abs(told - follows)
        refuse(
            place, off > CLOSE * np.abs(follows), f"{name} is another than the others add up to",
            lambda row: f"{told[row]:.6g} and {follows[row]:.6g}",
        )  # fmt: skip
        follows = np.where(off <= ROUNDING * np.abs(follows), told, follows)
    columns[name] = follows


def _typical(known: Mapping[str, Column], others: Iterable[str], place: str) -> dict[str, Column]:
    """Typical bodies of people whose age, sex, height and weight are told."""
    for name in (*PERSON, "female"):
        if name not in known:
            what = "female (1 or 0) or sex" if name == "female" else name
            near = [each for each in others if each.casefold() in what]
            remedy = f"Is it {near[0]!r}? Rename it." if near else "Add the column."
            raise InputError(
                f"{place} has no {what!r} (a body is made of age, sex, height and weight, or of "
                f"all masses and flows). {remedy}"
            )
    sized = known["age"], known["female"] > 0.5, known["height"], known["body_weight"]
    refuse(
        place, unlike_the_age(*sized), "nobody of this age has this height and weight",
        lambda row: f"{sized[0][row]:g} years, {sized[2][row]:g} m, {sized[3][row]:g} kg",
    )  # fmt: skip
    index = known["body_weight"] / known["height"] ** 2
    refuse(
        place, too_light(*sized), "the lean parts alone would weigh more than the body",
        lambda row: f"body mass index {index[row]:.3g} kg/m2",
    )  # fmt: skip
    columns = numbers_of_humans(*sized, gfr=known.get("gfr"), haematocrit=known.get("haematocrit"))
    for name, column in known.items():  # what follows from the others may be told; it must agree
        off = np.abs(columns[name] - column) > CLOSE * np.abs(column)
        refuse(
            place, off, f"{name} is another than follows from age, sex, height and weight",
            lambda row, a=column, b=columns[name]: f"{a[row]:.6g} and {b[row]:.6g}",
        )  # fmt: skip
    return columns


def _columns(frame: Any) -> dict[str, Column]:
    """name -> (rows,) of a DataFrame or a mapping."""
    if hasattr(frame, "columns") and len(set(frame.columns)) != len(frame.columns):
        raise InputError("the table has two columns of one name (which is meant?). Rename one.")
    try:
        names: Iterable[Any] = frame.columns if hasattr(frame, "columns") else frame.keys()
        given = {str(name): frame[name] for name in names}
    except AttributeError:
        raise TypeError(
            f"people are a {type(frame).__name__} (columns with names are needed). Give a "
            "DataFrame or a mapping."
        ) from None
    for name, values in given.items():
        unmasked(values, f"column {name!r}")
    found = {name: np.asarray(values) for name, values in given.items()}
    sizes = {name: column.shape for name, column in found.items()}
    for name, shape in sizes.items():
        if len(shape) != 1 or shape != next(iter(sizes.values())):
            raise InputError(
                f"column {name!r} has the shape {shape} (one number a person is needed). Give (n,)."
            )
    return found


def _labelled(
    columns: Mapping[str, Column], place: str
) -> tuple[dict[str, Column], dict[str, str]]:
    """Columns by their names without units, and the units; InputError for another unit than the
    vocabulary's, and for two columns of one name.
    """
    found: dict[str, Column] = {}
    units: dict[str, str] = {}
    for label, column in columns.items():
        match = LABELLED.fullmatch(label)
        name, of = match.groups() if match else (label.strip(), "")
        if not name:
            raise InputError(f"{place} has a column without a name (each needs one). Name it.")
        if name in found:
            raise InputError(f"{place} has two columns {name!r} (which is meant?). Rename one.")
        if of and _is_known(name) and of != unit(name):
            raise InputError(
                f"column {label!r} of {place} (its unit here is {unit(name)}). Convert it."
            )
        found[name] = column
        if of:
            units[name] = of
    return found, units


def _is_known(name: str) -> bool:
    return name in VOCABULARY or name in MORE


def _female(column: Column, place: str) -> Column:
    """1 for women of words such as "female"."""
    words = [each.strip() if isinstance(each, str) else each for each in column.tolist()]
    bad = [not isinstance(word, str) or word.casefold() not in WORDS for word in words]
    refuse(place, bad, f"sex is none of {', '.join(WORDS)}", lambda row: repr(words[row]))
    return np.array([sex_of(word) for word in words], np.float64)


def _covariate(column: Column) -> Column:
    """Numbers and dates as they are, other things as text; "" where a cell is missing."""
    if column.dtype.kind in "fiubM":
        return column
    cells = column.tolist()
    return np.array(
        [each if isinstance(each, str) else "" if is_missing(each) else str(each) for each in cells]
    )
