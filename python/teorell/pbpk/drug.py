"""What the whole-body model has to know of a drug, checked when it is written down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from teorell.errors import InputError
from teorell.pbpk.drug_fields import (
    LIVER,
    OPTIONAL,
    PKA,
    PLASMA_PH,
    RANGES,
    RATIO,
    RATIO_OF_ACIDS,
    SURVEYED_CLINT_SD,
    SURVEYED_KA_SD,
)
from teorell.pbpk.drug_text import text_of
from teorell.pbpk.elimination.bound_uptake import unbound_in_liver
from teorell.pbpk.elimination.in_vitro import CELLS_PER_GRAM, from_hepatocytes, from_microsomes
from teorell.pbpk.elimination.liver import check_liver, intrinsic
from teorell.pbpk.partition.chemistry import Chemistry
from teorell.pbpk.partition.methods import DEFAULT_METHOD, check_method
from teorell.pbpk.partition.rodgers_rowland import cells_to_water
from teorell.physiology.reference_adults import (
    CARDIAC_OUTPUT,
    HAEMATOCRIT,
    METABOLIC_WEIGHT,
    REFERENCE,
    hepatic_flow,
)

__all__ = ["Drug"]


@dataclass(frozen=True, kw_only=True)
class Drug:
    """A drug: its chemistry, how it leaves the body, how it enters, and usual doses.

    How the liver clears it is told in one way: by the clearance of plasma in an adult, by
    incubations of hepatocytes or microsomes, by its intrinsic clearance, or by vmax and km. None of
    them: the liver does not clear it. InputError for what is no such number.

    sources: field -> where its number comes from; several fields may share a line ("log_p, acids").
    estimated: names of fields whose numbers were not measured but predicted or assumed.
    """

    name: str
    molar_mass: float  # g/mol
    log_p: float  # log10 of the octanol:water partition coefficient of the neutral form
    acids: tuple[float, ...] = ()  # pKa of groups that lose a proton
    bases: tuple[float, ...] = ()  # pKa of groups that gain one
    fu: float  # fraction unbound in plasma
    # concentration ratio; None: not measured, `ratio` has what is usual
    blood_to_plasma: float | None = None
    clearance: float | None = None  # L/h of plasma after an intravenous dose, adult of 73 kg
    fraction_renal: float = 0.0  # of that clearance
    hepatocyte_clint: float | None = None  # uL/min per 1e6 hepatocytes
    microsome_clint: float | None = None  # uL/min per mg of microsomal protein
    incubation_fu: float = 1.0  # fraction unbound in these incubations
    cells_per_gram: float = CELLS_PER_GRAM  # 1e6 hepatocytes in a g of the liver
    liver_clint: float | None = None  # L/h per kg of liver, of unbound drug
    # concentration of the protein that binds it, plasma over liver: above 1 hepatocytes take up of
    # what is bound in plasma (`teorell.pbpk.elimination.bound_uptake`)
    plasma_to_liver: float = 1.0
    vmax: float | None = None  # mg/h per kg of liver, with km
    km: float | None = None  # mg/L of unbound drug
    gfr_fraction: float = 0.0  # of filtered unbound drug that is excreted
    absorption_rate: float = 1.0  # 1/h, from the intestinal lumen
    # of an oral dose that enters the gut wall; the remainder leaves with the faeces
    fraction_absorbed: float = 1.0
    gut_availability: float = 1.0  # of that, what escapes metabolism in the gut wall
    clint_sd: float = SURVEYED_CLINT_SD  # of the log of the intrinsic clearance between people
    absorption_sd: float = SURVEYED_KA_SD  # of the log of the absorption rate between people
    oral_dose: float | None = None  # mg, what the command line gives unless told
    iv_dose: float | None = None  # mg
    iv_duration: float = 0.5  # h
    # published Vss, L/kg, to which partition coefficients are scaled; None: as predicted
    volume: float | None = None
    # the method of partition coefficients that its numbers were made with, which the model takes
    # unless told; None: the model's default
    partition: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    estimated: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"a drug's name is {self.name!r} (text is needed). Give it a name.")
        for kind in ("acids", "bases"):
            object.__setattr__(self, kind, self._pkas(kind, getattr(self, kind)))
        for name, (low, high, unit) in RANGES.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            object.__setattr__(self, name, self._number(name, value, low, high, unit))
        self._check_liver()
        if self.partition is not None:
            check_method(self.partition)
        if not isinstance(self.sources, Mapping):
            raise InputError(
                f"{self.name}: sources is {self.sources!r:.60} (field -> source is needed). Give a "
                "dict."
            )
        known = {each.name for each in fields(self)}
        for name in self.estimated:
            if name not in known:
                raise InputError(
                    f"{self.name}: estimated holds {name!r} (a drug has no such number). Name "
                    "fields of Drug."
                )
        object.__setattr__(self, "estimated", frozenset(self.estimated))
        object.__setattr__(self, "sources", MappingProxyType(dict(self.sources)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "sources": dict(self.sources)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, sources=MappingProxyType(state["sources"]))

    def __hash__(self) -> int:
        return hash((self.name, self.molar_mass, self.log_p, self.fu))

    def describe(self) -> str:
        """A line for each number that is told or assumed: its unit, how it is known, its source."""
        return text_of(self)

    @property
    def ratio(self) -> float:
        """blood_to_plasma, or where it was not measured what is usual: RATIO_OF_ACIDS, or RATIO."""
        if self.blood_to_plasma is not None:
            return self.blood_to_plasma
        base = bool(self.bases) and self.bases[-1] > PLASMA_PH
        acid = bool(self.acids) and self.acids[0] < PLASMA_PH
        return RATIO_OF_ACIDS if acid and not base else RATIO

    def chemistry(self, haematocrit: float = HAEMATOCRIT) -> Chemistry:
        """What the methods of partition coefficients read."""
        cells = cells_to_water(self.ratio, haematocrit, self.fu)
        return Chemistry(self.log_p, self.fu, self.acids, self.bases, cells)

    @property
    def clint(self) -> float:
        """Unbound intrinsic clearance, L/h per kg of liver, of a well-stirred liver."""
        return self.clint_of("well_stirred")

    def method(self, partition: str | None = None) -> str:
        """The method of partition coefficients: the one that is told, its own, or the default."""
        return check_method(self.partition or DEFAULT_METHOD if partition is None else partition)

    def clint_of(self, liver: str) -> float:
        """Unbound intrinsic clearance, L/h per kg of liver; where the clearance of plasma is known,
        the one that gives it to the reference man with this model of the liver.
        """
        check_liver(liver)
        if self.clearance is not None:
            hepatic = self.clearance * (1.0 - self.fraction_renal) / self.ratio
            blood = intrinsic(liver, hepatic, hepatic_flow(), self.name) * self.ratio
            unbound = unbound_in_liver(self.fu, self.plasma_to_liver)
            return float(blood / unbound / REFERENCE["liver"].mass.man)
        if self.hepatocyte_clint is not None:
            return float(
                from_hepatocytes(self.hepatocyte_clint, self.incubation_fu, self.cells_per_gram)
            )
        if self.microsome_clint is not None:
            return float(from_microsomes(self.microsome_clint, self.incubation_fu))
        return self.liver_clint or 0.0

    @property
    def renal_clearance(self) -> float:
        """Clearance of the plasma that leaves the kidney, L/h/kg^0.75: the published one plus 1 %
        or so. Filtration comes on top of it.
        """
        if self.clearance is None:
            return 0.0
        flow = CARDIAC_OUTPUT.man * REFERENCE["kidney"].flow.man
        blood = self.clearance * self.fraction_renal / self.ratio
        if blood >= flow:
            raise InputError(
                f"{self.name}: a renal clearance of {blood:g} L/h of blood is not below the "
                f"kidney's blood flow, {flow:g} L/h (a well-stirred organ cannot reach it). Check "
                "clearance, fraction_renal and blood_to_plasma."
            )
        return flow * blood / (flow - blood) * self.ratio / METABOLIC_WEIGHT

    def _number(self, name: str, value: object, low: float, high: float, unit: str) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]
            if isinstance(value, (bool, str)):
                raise TypeError
        except (TypeError, ValueError):
            raise InputError(
                f"{self.name}: {name} is {value!r} (a number is needed, {unit}). Give one."
            ) from None
        if not (math.isfinite(number) and low <= number <= high):
            percent = unit == "a fraction" and 1.0 < number <= 100.0
            remedy = f"Give {number / 100:g} for {number:g} %." if percent else "Check its unit."
            raise InputError(
                f"{self.name}: {name} is {number:g} ({unit}, from {low:g} to {high:g}). {remedy}"
            )
        return number

    def _pkas(self, kind: str, given: object) -> tuple[float, ...]:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            given = (given,)
        try:
            values = tuple(given)  # type: ignore[arg-type, var-annotated]
        except TypeError:
            values = (given,)
        if isinstance(given, str):
            values = (given,)
        group = f"a pKa of {kind}"
        return tuple(sorted(self._number(group, each, *PKA, "pKa") for each in values))

    def _check_liver(self) -> None:
        told = [name for name in LIVER if getattr(self, name) is not None]
        if len(told) > 1 and set(told) != {"liver_clint", "vmax"}:
            raise InputError(
                f"{self.name}: {told[0]} and {told[1]} both say how the liver clears it (they "
                "cannot both be). Give one."
            )
        if (self.vmax is None) != (self.km is None):
            lacking = "km" if self.km is None else "vmax"
            raise InputError(
                f"{self.name}: {lacking} is missing (saturable metabolism has vmax and km). Give "
                "both."
            )
        if self.fraction_renal and self.clearance is None:
            raise InputError(
                f"{self.name}: fraction_renal is {self.fraction_renal:g} of no clearance (it is a "
                "share of it). Give clearance, or gfr_fraction."
            )
        if self.clearance is not None:  # out of an organ's reach: said now
            self.clint_of("well_stirred")
            _ = self.renal_clearance
