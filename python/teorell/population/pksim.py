"""Populations of PK-Sim as CSV files, in and out.

A row is an individual, a column a path such as "Organism|Liver|Volume [l]". PK-Sim's organs hold
their blood, at about 1 kg/L, and there is no rest of the body; here masses are without blood. So:

- in: an organ holds the part of its volume as blood that the reference man's does
  (`reference_adults`); the rest of the volume is its mass. All blood is what the organs and the
  blood pools (veins, arteries, portal vein) hold; the rest of the body is nothing.
- out: the same backwards; organs that would hold nearly all blood hold less. The rest of the body
  and its flow go to the muscle. Of the blood of the pools two fifths each are the veins' and the
  portal vein's: PK-Sim tells these apart, and ICRP 89 does not.

Files of R's ospsuite have the columns without units, which then are these, and Gender as a word.
Flows are "Specific blood flow rate [l/min/kg organ]" times the volume. All other columns are kept
as covariates by their path, and written again. A filtration rate is not told by such a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.cells import is_missing, number_of
from teorell.errors import InputError, suggestion
from teorell.physiology.checks import WORDS
from teorell.physiology.maturation import albumin, alpha1_acid_glycoprotein
from teorell.physiology.reference_adults import BLOOD_MASS, REFERENCE
from teorell.physiology.vocabulary import FLOWS, MASSES, flow_to, mass_of
from teorell.population.cells import checked, refuse
from teorell.population.table import Parts, completed
from teorell.population.table_file import read_columns
from teorell.tables import write_csv

__all__ = ["read_pksim", "write_pksim"]

Column = NDArray[Any]
ORGANS = {
    "Lung": "lung", "Fat": "adipose", "Bone": "bone", "Brain": "brain", "Gonads": "gonads",
    "Heart": "heart", "Kidney": "kidney", "Muscle": "muscle", "Skin": "skin", "Stomach": "stomach",
    "SmallIntestine": "small_intestine", "LargeIntestine": "large_intestine", "Spleen": "spleen",
    "Pancreas": "pancreas", "Liver": "liver",
}  # fmt: skip
POOLS = ("VenousBlood", "ArterialBlood", "PortalVein")
FLOW = "Organism|{}|Specific blood flow rate [l/min/kg organ]"
VOLUME = "Organism|{}|Volume [l]"
# path -> our name, and what a number is multiplied by
PERSON = {
    "Organism|Weight [kg]": ("body_weight", 1.0),
    "Organism|BMI [kg/dm²]": ("body_mass_index", 100.0),
    "Organism|Age [year(s)]": ("age", 1.0),
    "Organism|Height [dm]": ("height", 0.1),
    "Organism|Hematocrit": ("haematocrit", 1.0),
}
PARTS = ("small_intestine", "large_intestine")  # of the gut


def _held(ours: str) -> float:
    """The part of an organ's volume that is blood, of the reference man."""
    name = "gut" if ours in PARTS else ours
    blood = REFERENCE[name].blood * BLOOD_MASS.man
    return blood / (REFERENCE[name].mass.man + blood)


INDEX_CLOSE = 0.01  # what a body mass index may be off, relative: files round
MOST_HELD = 0.9  # of all blood: some is left for the pools of people with large organs
HELD = {ours: _held(ours) for ours in ORGANS.values()}


def read_pksim(path: Path) -> Parts:
    """The people of a population file of PK-Sim. InputError, with column or row, for what is
    missing, no number, negative, or does not add up.
    """
    table = _with_units(path, read_columns(path, comments="#"))
    columns: dict[str, Column] = {"female": _female(path, table["Gender"])}
    for label, (name, factor) in PERSON.items():
        columns[name] = checked(name, _numbers(path, table, label) * factor, str(path))
    _check_index(path, columns)
    volume = {organ: _numbers(path, table, VOLUME.format(organ)) for organ in (*ORGANS, *POOLS)}
    for theirs, ours in ORGANS.items():
        columns[mass_of(ours)] = volume[theirs] * (1.0 - HELD[ours])
        if theirs != "Lung":
            columns[flow_to(ours)] = (
                60.0 * volume[theirs] * _numbers(path, table, FLOW.format(theirs))
            )
    for name in (mass_of("gut"), flow_to("gut")):
        parts = [columns[name.replace("gut", each)] for each in PARTS]
        columns[name] = parts[0] + parts[1]
    for each in PARTS:
        del columns[flow_to(each)]
    blood = [volume[pool] for pool in POOLS]
    blood += [volume[theirs] * HELD[ours] for theirs, ours in ORGANS.items()]
    columns["mass_blood"] = np.sum(blood, axis=0)
    columns["mass_rest"], columns["flow_rest"] = np.zeros((2, len(table["Gender"])))
    columns["albumin"] = albumin(columns["age"])
    columns["alpha1_acid_glycoprotein"] = alpha1_acid_glycoprotein(columns["age"])
    del columns["body_mass_index"]  # follows
    read = {"IndividualId", "Gender", *PERSON, *map(VOLUME.format, (*ORGANS, *POOLS)),
            *map(FLOW.format, ORGANS)}  # fmt: skip
    others = {name: column for name, column in table.items() if name not in read}
    return Parts(completed(columns, str(path)), table["IndividualId"], others, {})


def write_pksim(
    path: Path, ids: Column, people: Mapping[str, Column], covariates: Mapping[str, Column]
) -> Path:
    """Write people as PK-Sim imports a population. people: the numbers of their bodies. InputError
    for people whose age or size is not known, as animals.
    """
    lacking = [name for name, _ in PERSON.values() if name not in people]
    if lacking:
        raise InputError(
            f"no {lacking[0]!r} of these (PK-Sim's files have people of known age and size). Give "
            "humans, from tl.Population.sample for example."
        )
    columns: dict[str, Column] = {
        "IndividualId": ids,
        "Gender": np.where(people["female"] > 0.5, 2, 1),
    }
    kept = {name: each for name, each in covariates.items() if name not in columns}
    for name, default in (("RaceIndex", 0), ("Population Name", "teorell")):
        columns[name] = kept.pop(name, np.full(ids.size, default))
    for label, (name, factor) in PERSON.items():
        columns[label] = people[name] / factor
    mass, flow = _with_rest(people)
    blood = people["mass_blood"]
    held = {ours: mass[ours] * HELD[ours] / (1.0 - HELD[ours]) for ours in ORGANS.values()}
    whole = np.sum(list(held.values()), axis=0)
    less = np.minimum(1.0, MOST_HELD * blood / whole)
    for theirs, ours in ORGANS.items():
        volume = mass[ours] + held[ours] * less
        columns[VOLUME.format(theirs)] = volume
        if theirs != "Lung":
            columns[FLOW.format(theirs)] = flow[ours] / (60.0 * volume)
    pools = blood - whole * less
    for pool, part in zip(POOLS, (0.4, 0.2, 0.4), strict=True):
        columns[VOLUME.format(pool)] = part * pools
    columns |= {name: each for name, each in kept.items() if name not in columns}
    rows = zip(*(each.tolist() for each in columns.values()), strict=True)
    return write_csv(path, list(columns), rows)


def _with_rest(people: Mapping[str, Column]) -> tuple[dict[str, Column], dict[str, Column]]:
    """Masses (kg) and flows (L/h) of PK-Sim's organs: the muscle has what the rest has."""
    mass = {part: people[mass_of(part)] for part in MASSES if part not in ("gut", "rest", "blood")}
    flow = {organ: people[flow_to(organ)] for organ in FLOWS if organ not in ("gut", "rest")}
    mass["muscle"] = mass["muscle"] + people["mass_rest"]
    flow["muscle"] = flow["muscle"] + people["flow_rest"]
    for part in PARTS:
        name = mass_of(part)
        mass[part] = people.get(name, 0.5 * people["mass_gut"])
        flow[part] = people["flow_gut"] * mass[part] / people["mass_gut"]
    return mass, flow


def _with_units(path: Path, table: Mapping[str, Column]) -> dict[str, Column]:
    """The table with the names of PK-Sim, units among them. InputError for a column that is not
    there, is there twice, or has another unit.
    """
    needed = ["IndividualId", "Gender", *PERSON, *map(VOLUME.format, (*ORGANS, *POOLS))]
    needed += [FLOW.format(organ) for organ in ORGANS if organ != "Lung"]
    bare: dict[str, list[str]] = {}
    for name in table:
        bare.setdefault(name.partition(" [")[0], []).append(name)
    result = dict(table)
    for name in needed:
        there = bare.get(name.partition(" [")[0], [])
        if not there:
            raise InputError(
                f"{path} has no column {name!r} (of a population of PK-Sim). "
                f"{suggestion(name, table)}"
            )
        if len(there) > 1:
            raise InputError(
                f"{path} has columns {there[0]!r} and {there[1]!r} (which counts?). Remove one."
            )
        if there[0] not in (name, name.partition(" [")[0]):
            raise InputError(f"{path} has {there[0]!r} (needed is {name!r}). Convert it.")
        result[name] = result.pop(there[0])
    return result


def _female(path: Path, gender: Column) -> Column:
    """1 for women, of 1 and 2 or of words."""
    if gender.dtype.kind in "iuf" and np.isin(gender, (1, 2)).all():
        return np.where(gender == 2, 1.0, 0.0)
    words = [str(each).casefold() for each in gender.tolist()]
    if not set(words) <= set(WORDS):
        raise InputError(
            f"{path}: Gender is 1 or MALE, 2 or FEMALE (others are there). Correct the column."
        )
    return np.array([float(WORDS[each]) for each in words])


def _check_index(path: Path, columns: Mapping[str, Column]) -> None:
    """InputError where the body mass index is not the weight's and the height's."""
    told, is_ = columns["body_mass_index"], columns["body_weight"] / columns["height"] ** 2
    refuse(
        str(path),
        np.abs(told / is_ - 1.0) > INDEX_CLOSE,
        "BMI is another than the weight's and the height's",
        lambda row: f"{told[row]:.4g} and {is_[row]:.4g} kg/m2",
    )


def _numbers(path: Path, table: Mapping[str, Column], name: str) -> Column:
    column = table[name]
    if column.dtype.kind not in "fiu":
        cells = column.tolist()
        lacking = (each for each in cells if is_missing(each) or number_of(each) in (None, np.inf))
        wrong = next(lacking, cells[0])
        raise InputError(
            f"{path}: column {name!r} has cells of text, such as {str(wrong)!r:.30} (numbers "
            "are needed, with decimal points). Correct them."
        )
    numbers = column.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0.0)))
    if bad.size:
        raise InputError(
            f"{path}: {name!r} of individual {table['IndividualId'][bad[0]]} is "
            f"{numbers[bad[0]]:g} (0 or more is needed). Correct it."
        )
    return numbers
