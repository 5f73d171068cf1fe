"""Compartment models that studies are drawn from and posteriors are decoded by; their priors.

A structure is an absorption ("iv", "first", "transit", "zero"), one to three compartments and an
elimination that is linear or saturable. Amounts in mg, volumes in L, times in h.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

import teorell as tl
from teorell.arrays import Array
from teorell.errors import InputError, suggestion

__all__ = [
    "ABSORPTIONS", "MEDIANS", "PARAMETERS", "SPREADS", "STRUCTURES", "WITHIN", "Structure",
    "structure",
]  # fmt: skip

ABSORPTIONS = ("iv", "first", "transit", "zero")
TRANSITS = 3  # compartments in a row between dose and blood, each left at the same rate

# Medians and standard deviations of logarithms over drugs and over the patients of one drug. Chosen
# wide, not fitted. For 1,211 drugs in humans the logarithms of clearance and volume have standard
# deviations of 1.49 and 1.48 (the human table of PKSmart, looked at, not copied).
_PRIOR = {  # name: median, sd over drugs, sd over patients
    "cl": (5.0, 1.6, 0.35),  # L/h; of a saturable one the clearance at low concentrations
    "v": (40.0, 1.3, 0.25),  # L
    "q": (6.0, 1.1, 0.2),  # L/h, to the second compartment
    "v2": (40.0, 1.1, 0.2),  # L
    "q3": (2.0, 1.1, 0.2),  # L/h, to the third
    "v3": (60.0, 1.1, 0.2),  # L
    "ka": (1.0, 0.9, 0.4),  # 1/h
    "mtt": (1.5, 0.7, 0.3),  # h, mean time of transit
    "dur": (2.0, 0.7, 0.3),  # h, how long a dose goes in at a constant rate
    "km": (2.0, 1.6, 0.2),  # mg/L, concentration at half of the greatest rate
}
PARAMETERS = tuple(_PRIOR)
MEDIANS = np.array([np.log(median) for median, _, _ in _PRIOR.values()])
TAU = np.array([tau for _, tau, _ in _PRIOR.values()])
WITHIN = np.array([within for _, _, within in _PRIOR.values()])
SPREADS = np.sqrt(TAU**2 + WITHIN**2)  # of one patient of whom nothing is known

# Powers of weight over 70 kg: allometry (Anderson 2008, Annu Rev Pharmacol Toxicol 48:303).
_ALLOMETRY = {"cl": 0.75, "q": 0.75, "q3": 0.75, "v": 1.0, "v2": 1.0, "v3": 1.0}
WEIGHT_POWERS = np.array([_ALLOMETRY.get(name, 0.0) for name in PARAMETERS])
REFERENCE_WEIGHT = 70.0  # kg
WEIGHTS = (30.0, 150.0)  # kg, the range of training


@dataclass(frozen=True)
class Structure:
    """One decoder: its name, its equations and which of PARAMETERS it has."""

    absorption: str
    compartments: int
    saturable: bool

    @property
    def name(self) -> str:
        """As in "first-2" or "iv-1-mm": absorption, compartments, mm for Michaelis-Menten."""
        return f"{self.absorption}-{self.compartments}" + ("-mm" if self.saturable else "")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters, in the order of PARAMETERS."""
        has = {"cl", "v"}
        has |= {"q", "v2"} if self.compartments > 1 else set()
        has |= {"q3", "v3"} if self.compartments > 2 else set()
        has |= {"first": {"ka"}, "transit": {"mtt"}, "zero": {"dur"}}.get(self.absorption, set())
        has |= {"km"} if self.saturable else set()
        return tuple(name for name in PARAMETERS if name in has)

    @property
    def places(self) -> tuple[int, ...]:
        """Where its parameters stand among PARAMETERS."""
        return tuple(PARAMETERS.index(name) for name in self.parameters)

    @property
    def model(self) -> tl.Model:
        """Its equations, the same object at every call."""
        return _model(self)

    def mask(self) -> Array:
        """(parameters,) of PARAMETERS: 1 where the structure has it, else 0."""
        found = np.zeros(len(PARAMETERS))
        found[list(self.places)] = 1.0
        return found


STRUCTURES = tuple(
    Structure(absorption, compartments, saturable)
    for absorption in ABSORPTIONS
    for compartments in (1, 2, 3)
    for saturable in (False, True)
)


def structure(name: str) -> Structure:
    """The structure of a name. Raises InputError for another name."""
    known = {each.name: each for each in STRUCTURES}
    if name not in known:
        raise InputError(
            f"unknown structure {name!r} (no decoder has this name). {suggestion(name, known)}"
        )
    return known[name]


@cache
def _model(what: Structure) -> tl.Model:
    """The equations of a structure."""
    model = tl.Model(what.name, time_unit="h")
    value = {
        name: model.parameter(name, float(np.exp(MEDIANS[PARAMETERS.index(name)])), lower=0.0)
        for name in what.parameters
    }
    if what.absorption in ("first", "transit"):
        (depot,) = model.states("depot", unit="mg")
    (central,) = model.states("central", unit="mg")
    level = central / value["v"]
    if what.absorption == "first":
        model.flow(depot, central, value["ka"] * depot)
    elif what.absorption == "transit":
        rate = (TRANSITS + 1) / value["mtt"]
        chain = (depot, *model.states(*(f"transit{i + 1}" for i in range(TRANSITS)), unit="mg"))
        for here, there in zip(chain, (*chain[1:], central), strict=True):
            model.flow(here, there, rate * here)
    elif what.absorption == "zero":
        model.dosing(central, duration=value["dur"])
    for flow, volume, place in (("q", "v2", 2), ("q3", "v3", 3)):
        if what.compartments >= place:
            (tissue,) = model.states(f"tissue{place}", unit="mg")
            model.flow(central, tissue, value[flow] * level - value[flow] / value[volume] * tissue)
    clearance = value["cl"]
    if what.saturable:
        clearance = clearance * value["km"] / (value["km"] + level)
    model.flow(central, None, clearance * level)
    model.output("cp", level, unit="mg/L")
    return model
