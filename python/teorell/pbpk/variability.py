"""Virtual adults: the parameters of `whole_body` for many people, log-normal about the reference
man.

Sources: organ masses and flows as in physiology.py (D). Body weight: log sd 0.142, men of 20 to 60
years with a normal or overweight body mass index, n = 2,183, survey weights, NHANES 2013-2018 (CDC;
as in httk). Cardiac index: CV 0.16, Carlsson et al. (2012), J Cardiovasc Magn Reson 14:51 (3.2, sd
0.5 L/min/m2). Plasma binding: CV 0.3 of the fraction unbound, Pearce et al. (2017), J Stat Softw
79(4). Intrinsic clearance and absorption rate: the drug's own. Shares vary independently, so a
heavy man is not a fatter one: correlations belong to a population module.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError
from teorell.pbpk.drugs import Drug
from teorell.pbpk.physiology import (
    BLOOD_MASS,
    BLOOD_MASS_CV,
    BODY_WEIGHT,
    CARDIAC_INDEX,
    FLOW_CV,
    ORGANS,
)

BODY_WEIGHT_SD = 0.142  # of the log
CARDIAC_INDEX_CV = 0.16
BINDING_CV = 0.3


def virtual_adults(n: int, seed: int, drug: Drug | None = None) -> dict[str, NDArray[np.float64]]:
    """Parameters of `n` adults for `whole_body`, name -> (n,): body_weight (kg), cardiac_index
    (L/h/kg^0.75), mass_* and flow_* (shares of the body weight and of the cardiac output, each
    adding up to 1).

    With a `drug` also fu (fraction), clint (L/h/kg of liver) and ka (1/h). The same seed gives the
    same people; person i does not depend on `n`, nor the bodies on the drug. Medians are the
    reference man's. InputError for n below 1.
    """
    if n < 1:
        raise InputError(
            f"n is {n} (a population has at least one person). Ask for 1 virtual adult or more."
        )
    names = [*ORGANS, "blood"]
    flows = [name for name in ORGANS if name != "lung"]
    bodies, habits = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)
    )
    z = bodies.standard_normal((n, 2 + len(names) + len(flows)))

    people = {
        "body_weight": BODY_WEIGHT * np.exp(BODY_WEIGHT_SD * z[:, 0]),
        "cardiac_index": CARDIAC_INDEX * np.exp(log_sd(CARDIAC_INDEX_CV) * z[:, 1]),
    }
    reference = [(organ.mass, organ.mass_cv) for organ in ORGANS.values()] + [
        (BLOOD_MASS, BLOOD_MASS_CV)
    ]
    mass = {
        name: kilograms * np.exp(log_sd(cv) * z[:, 2 + k])
        for k, (name, (kilograms, cv)) in enumerate(zip(names, reference, strict=True))
    }
    flow = {
        name: ORGANS[name].flow * np.exp(log_sd(FLOW_CV) * z[:, 2 + len(names) + k])
        for k, name in enumerate(flows)
    }
    for kind, shares in (("mass", mass), ("flow", flow)):
        whole = sum(shares.values())
        people |= {f"{kind}_{name}": share / whole for name, share in shares.items()}

    if drug is not None:
        z = habits.standard_normal((n, 3))
        # keeps fu within (0, 1)
        bound = (1.0 - drug.fu) / drug.fu * np.exp(log_sd(BINDING_CV) * z[:, 0])
        people["fu"] = 1.0 / (1.0 + bound)
        people["clint"] = drug.clint * np.exp(drug.clint_sd * z[:, 1])
        people["ka"] = drug.absorption_rate * np.exp(drug.absorption_sd * z[:, 2])
    return people


def log_sd(cv: float) -> float:
    """The standard deviation of the log of a log-normal number with coefficient
    of variation `cv`.
    """
    return math.sqrt(math.log1p(cv * cv))
