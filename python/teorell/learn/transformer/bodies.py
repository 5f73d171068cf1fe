"""The whole-body model as a decoder: one model for all drugs and bodies, all numbers parameters.

Partition coefficients follow Berezhkovskiy, where of ionisation only the ratio of the fully
ionised form to the neutral one counts, in adipose tissue; so one base stands for acids too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

import teorell as tl
from teorell.arrays import Array
from teorell.learn.transformer.priors import MEDIANS, PARAMETERS
from teorell.pbpk import Drug, whole_body
from teorell.pbpk.drug_fields import PLASMA_PH

__all__ = ["BODY", "LIMITS", "Meant", "as_it_is", "body"]

LN10 = float(np.log(10.0))


class Meant(NamedTuple):
    """The parameter of the whole-body model that a log parameter is, and how."""

    name: str
    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]  # derivative of the value by the log parameter, of the value


def as_it_is(name: str) -> Meant:
    """The log of the parameter itself."""
    return Meant(name, np.exp, lambda value: value)


def _share(name: str) -> Meant:
    """The log of odds."""
    return Meant(name, lambda log: 1 / (1 + np.exp(-log)), lambda share: share * (1 - share))


def _decades(name: str, zero: float) -> Meant:
    """A parameter that is a decimal logarithm."""
    return Meant(name, lambda log: zero + log / LN10, lambda value: np.full_like(value, 1 / LN10))


BODY = {
    "ka": as_it_is("ka"),
    "lipophilicity": _decades("log_p", 0.0),
    "ionised": _decades("pka_base_1", PLASMA_PH),
    "unbound": _share("fu"),
    "affinity": as_it_is("kp_scale"),
    "clint": as_it_is("clint"),
    "filtration": as_it_is("glomerular_filtration"),
    "absorbed": _share("fraction_absorbed"),
    "size": as_it_is("body_weight"),
    "cardiac": as_it_is("cardiac_index"),
    "fat": as_it_is("mass_share_adipose"),
}
"""By names of PARAMETERS; "ka" and "absorbed" are of oral doses alone."""

# What the model takes: a prior's draw far out in its tails is taken as the bound. Fat and the
# cardiac index stay where a body lives; the others are the model's own bounds.
LIMITS = {
    "ka": (1e-4, 1e3),
    "log_p": (-10.0, 15.0),
    "pka_base_1": (-10.0, 25.0),
    "fu": (1e-5, 1.0),
    "kp_scale": (1e-6, 1e6),
    "clint": (0.0, 1e9),
    "glomerular_filtration": (0.0, 1000.0),
    "fraction_absorbed": (0.0, 1.0),
    "body_weight": (5.0, 300.0),
    "cardiac_index": (2.0, 100.0),
    "mass_share_adipose": (0.01, 1.0),
}


@cache
def body() -> tl.Model:
    """The model, the same object at every call; its defaults are the priors' medians."""
    at = {
        meant.name: float(meant.value(MEDIANS[PARAMETERS.index(name)]))
        for name, meant in BODY.items()
    }
    median = Drug(
        name="a drug",
        molar_mass=300.0,  # doses and concentrations are masses: it has no effect
        log_p=at["log_p"],
        bases=(at["pka_base_1"],),
        fu=at["fu"],
        liver_clint=at["clint"],
        gfr_fraction=1.0,  # "filtration" has it
        absorption_rate=at["ka"],
        fraction_absorbed=at["fraction_absorbed"],
    )
    return whole_body(median)
