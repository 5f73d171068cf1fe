"""Decoders that studies are drawn from and posteriors are decoded by.

A structure is an absorption ("iv", "first", "transit", "zero") with one to three compartments and
an elimination that is linear or saturable; or it is the whole-body model, "iv" or "oral".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

import teorell as tl
from teorell.arrays import Array
from teorell.errors import InputError, suggestion
from teorell.learn.transformer.bodies import BODY, LIMITS, as_it_is, body
from teorell.learn.transformer.priors import MEDIANS, PARAMETERS

__all__ = ["ABSORPTIONS", "BODIES", "COMPARTMENTS", "STRUCTURES", "Structure", "structure"]

ABSORPTIONS = ("iv", "first", "transit", "zero")
TRANSITS = 3  # compartments in a row between dose and blood, each left at the same rate
ORAL = ("ka", "absorbed")  # what the whole-body model has for oral doses alone


@dataclass(frozen=True)
class Structure:
    """One decoder: its name, its equations and which of PARAMETERS it has."""

    absorption: str
    compartments: int  # 0: the whole-body model
    saturable: bool = False

    @property
    def name(self) -> str:
        """As in "first-2" or "iv-1-mm": absorption, compartments, mm for Michaelis-Menten; or as in
        "oral-whole-body".
        """
        if self.is_body:
            return f"{self.absorption}-whole-body"
        return f"{self.absorption}-{self.compartments}" + ("-mm" if self.saturable else "")

    @property
    def is_body(self) -> bool:
        """Whether it is the whole-body model."""
        return not self.compartments

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters, in the order of PARAMETERS."""
        if self.is_body:
            has = set(BODY) - (set(ORAL) if self.absorption == "iv" else set())
        else:
            has = {"cl", "v"}
            has |= {"q", "v2"} if self.compartments > 1 else set()
            has |= {"q3", "v3"} if self.compartments > 2 else set()
            has |= {"first": {"ka"}, "transit": {"mtt"}, "zero": {"dur"}}.get(
                self.absorption, set()
            )
            has |= {"km"} if self.saturable else set()
        return tuple(name for name in PARAMETERS if name in has)

    @property
    def places(self) -> tuple[int, ...]:
        """Where its parameters stand among PARAMETERS."""
        return tuple(PARAMETERS.index(name) for name in self.parameters)

    @property
    def model(self) -> tl.Model:
        """Its equations, the same object at every call."""
        return body() if self.is_body else _model(self)

    @property
    def output(self) -> str:
        """The concentration that is measured: of plasma, in a vein of the arm where there is one"""
        return "cp_arm" if self.is_body else "cp"

    @property
    def into(self) -> str:
        """The state that doses go into."""
        if self.is_body:
            return "venous" if self.absorption == "iv" else "stomach_lumen"
        return "depot" if self.absorption in ("first", "transit") else "central"

    def mask(self) -> Array:
        """(parameters,) of PARAMETERS: 1 where the structure has it, else 0."""
        found = np.zeros(len(PARAMETERS))
        found[list(self.places)] = 1.0
        return found

    def values(self, logs: Array) -> dict[str, Array]:
        """What `model` takes: its parameters by name, (patients,), of logs (patients, PARAMETERS).

        Where the whole-body model has a bound, the value beyond it is the bound.
        """
        found = {}
        for name, place in zip(self.parameters, self.places, strict=True):
            meant = BODY[name] if self.is_body else as_it_is(name)
            found[meant.name] = meant.value(logs[:, place])
        if self.is_body:
            for name, value in found.items():
                found[name] = np.clip(value, *LIMITS[name])
        return found

    def slopes(self, logs: Array) -> Array:
        """Derivatives of `values` by the logs of `parameters`: (patients, parameters)."""
        values = self.values(logs)
        meant = [BODY[name] if self.is_body else as_it_is(name) for name in self.parameters]
        found = np.stack([each.slope(values[each.name]) for each in meant], axis=1)
        return found


COMPARTMENTS = tuple(
    Structure(absorption, compartments, saturable)
    for absorption in ABSORPTIONS
    for compartments in (1, 2, 3)
    for saturable in (False, True)
)
BODIES = (Structure("iv", 0), Structure("oral", 0))
STRUCTURES = (*COMPARTMENTS, *BODIES)


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
