"""What the processes of an OSP compound clear, below saturation.

The equations are those of PK-Sim: a clearance of unbound drug per volume of liver is kcat / Km
times the enzyme's concentration, and the total is that of the liver that its compounds were
fitted with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from teorell.errors import InputError
from teorell.io.units import converted
from teorell.pbpk.elimination.filtration import GLOMERULAR_FILTRATION
from teorell.pbpk.elimination.liver import intrinsic
from teorell.physiology.reference_adults import (
    BODY_WEIGHT,
    hepatic_flow,
)

__all__ = ["Cleared", "cleared"]

LIVER_VOLUME = 2.38  # L, of a man of 73 kg, with blood: the fits' own
KIDNEY_VOLUME = 0.44  # L, the same
CELL_FRACTION = 0.667  # of the liver, in the definition of a specific clearance
# pmol of enzyme in a mg of microsomal protein: Rodrigues (1999), Biochem Pharmacol 57:465-480
CONTENT: Mapping[str, float] = MappingProxyType(
    {
        "CYP1A2": 45.0, "CYP2A6": 68.0, "CYP2B6": 39.0, "CYP2C8": 64.0, "CYP2C9": 96.0,
        "CYP2C19": 19.0, "CYP2D6": 10.0, "CYP2E1": 49.0, "CYP3A4": 108.0,
    }
)  # fmt: skip
MICROSOMES = 0.040  # mg of microsomal protein in a mL of liver, over 1000: pmol/mg -> umol/L
OTHER_ENZYME = 1.0  # umol/L, where its content was not told


@dataclass(frozen=True)
class Cleared:
    """Sums over the processes of a compound."""

    liver: float  # unbound intrinsic clearance of the whole liver, L/h
    per_cyp3a4: float  # of that, L/h per nmol of CYP3A4
    gfr_fraction: float  # all renal excretion, over what is filtered
    used: tuple[str, ...]
    unused: tuple[str, ...]


def cleared(
    processes: Iterable[tuple[str, Mapping[str, Any]]], *, name: str, fu: float, ratio: float
) -> Cleared:
    """The sums; processes: (name, row). fu and blood:plasma ratio of the compound."""
    liver = cyp3a4 = fraction = 0.0
    used, unused = [], []
    for label, row in processes:
        kind, params = str(row.get("type")), row.get("params")
        where = f"{name}, {label}"
        if not isinstance(params, Mapping):
            raise InputError(f"{where} has the params {params!r:.60} (names with values). Correct.")
        number = _Numbers(params, where)
        molecule = str(row.get("molecule"))
        if kind == "GlomerularFiltration":
            fraction += number("GFR fraction", "fraction")
        elif kind == "KidneyClearance":
            fraction += _renal(number, fu) / (fu * GLOMERULAR_FILTRATION)
        elif kind == "LiverClearance":
            liver += _hepatic(number, fu, ratio, name)
        elif kind.startswith(("MetabolizationIntrinsic", "MetabolizationLiverMicrosomes",
                              "MetabolizationSpecific", "rCYP450")):  # fmt: skip
            volume = _per_volume(kind, number, molecule)
            liver += volume * LIVER_VOLUME
            if molecule == "CYP3A4":
                cyp3a4 += volume / (_enzyme(molecule) * 1e3)
        else:
            unused.append(f"{kind} {label}")
            continue
        used.append(label)
    return Cleared(liver, cyp3a4, fraction, tuple(used), tuple(unused))


class _Numbers:
    """Parameters of a process, by name."""

    def __init__(self, params: Mapping[str, Any], where: str) -> None:
        self._params, self._where = params, where

    def __contains__(self, name: str) -> bool:
        return name in self._params

    def __call__(self, name: str, kind: str) -> float:
        if name not in self._params:
            raise InputError(f"{self._where} has no {name!r} (it cannot be computed). Add it.")
        value = converted(self._params[name], kind, f"{self._where}, {name}")
        if value < 0.0:
            raise InputError(f"{self._where}, {name} is {value:g} (none is negative). Correct it.")
        return value

    def positive(self, name: str, kind: str) -> float:
        """0 where the name is not there."""
        return self(name, kind) if name in self else 0.0


def _enzyme(molecule: str, content: float | None = None) -> float:
    """Concentration in the liver, umol/L."""
    found = CONTENT.get(molecule) if content is None else content
    return OTHER_ENZYME if found is None else found * MICROSOMES


def _per_volume(kind: str, number: _Numbers, molecule: str) -> float:
    """Unbound intrinsic clearance, L/h per L of liver."""
    told = "Content of CYP proteins in liver microsomes"
    content = number(told, "content") if told in number else None
    enzyme = _enzyme(molecule, content)
    if kind == "MetabolizationIntrinsic_FirstOrder":
        total = number.positive("Intrinsic clearance", "flow")
        specific = total / (CELL_FRACTION * LIVER_VOLUME)
        return (specific or number.positive("Specific clearance", "rate")) * enzyme
    if kind == "MetabolizationSpecific_FirstOrder":
        return number("CLspec/[Enzyme]", "clearance per enzyme") * 60.0 * enzyme
    km = number("Km", "amount concentration")
    if km == 0.0:
        raise InputError(f"{molecule} has a Km of 0 (nothing saturates there). Correct it.")
    if "kcat" in number:
        kcat = number("kcat", "rate")
    elif "In vitro Vmax for liver microsomes" in number:
        vmax = number("In vitro Vmax for liver microsomes", "rate per protein")
        kcat = vmax * MICROSOMES / enzyme * 60.0
    elif "In vitro Vmax/recombinant enzyme" in number:
        kcat = number("In vitro Vmax/recombinant enzyme", "rate per enzyme") * 60.0
    else:
        reference = number("Enzyme concentration", "amount concentration")
        kcat = number("Vmax", "rate of a concentration") / reference * 60.0
    return kcat / km * enzyme


def _hepatic(number: _Numbers, fu: float, ratio: float, name: str) -> float:
    """Unbound intrinsic clearance of the liver, L/h: an explicit one, or by inversion of the
    well-stirred liver.
    """
    specific = number.positive("Specific clearance", "rate")
    if specific:
        return specific * LIVER_VOLUME
    plasma = number("Plasma clearance", "flow per weight") * BODY_WEIGHT.man
    measured = number.positive("Fraction unbound (experiment)", "fraction") or fu
    blood = number.positive("Blood/Plasma concentration ratio", "ratio") or ratio
    return intrinsic("well_stirred", plasma / blood, hepatic_flow(), name) * blood / measured


def _renal(number: _Numbers, fu: float) -> float:
    """Clearance of plasma by the kidney, L/h."""
    specific = number.positive("Specific clearance", "rate")
    if specific:
        return specific * KIDNEY_VOLUME * fu
    return number("Plasma clearance", "flow per weight") * BODY_WEIGHT.man
