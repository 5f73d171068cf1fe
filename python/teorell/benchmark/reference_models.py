"""Two whole-body models that measure and test Teorell: `teorell bench` and most tests run on them.

A is perfusion-limited: every organ is one well-stirred compartment. B is permeability-limited:
every organ but the lung has a vascular and an extravascular part, with saturable binding to an
enzyme in the liver and to a target in the kidney (the target-mediated disposition of Mager and
Jusko, J. Pharmacokinet. Pharmacodyn. 28, 2001). Amounts in mg, volumes in L, times in h. Volumes
and flows are those of a man of 70 kg (Brown et al., Toxicol. Ind. Health 13, 1997, tables 4, 23 and
27; density 1 kg/L); partition coefficients, clearances and binding constants are invented.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from teorell.model import Model
from teorell.model.expression import Expression, constant

__all__ = ["DOSE", "DOSES", "TIMES", "population", "problem_a", "problem_b"]

DOSE = 100.0  # mg, into STO
DOSES = (0.0, 12.0, 24.0, 36.0)  # h
TIMES = np.linspace(0.0, 48.0, 97)  # h

BODY_WEIGHT, CARDIAC_OUTPUT = 70.0, 312.0  # kg, L/h
# all but the lung
ORGANS = ("adi", "bon", "bra", "hrt", "kid", "mus", "ski", "spl", "gut", "liv", "res")
TO_VEIN = tuple(organ for organ in ORGANS if organ not in ("spl", "gut", "liv"))
# L/kg
VOLUMES = {
    "art": 0.079 / 3, "ven": 0.079 * 2 / 3, "lun": 0.0076, "adi": 0.2142, "bon": 0.1429,
    "bra": 0.02, "hrt": 0.0047, "kid": 0.0044, "mus": 0.40, "ski": 0.0371, "spl": 0.0026,
    "gut": 0.0171, "liv": 0.0257, "res": 0.0447,
}  # fmt: skip
# of the cardiac output; ha: hepatic artery
FLOWS = {
    "adi": 0.052, "bon": 0.042, "bra": 0.114, "hrt": 0.040, "kid": 0.175, "mus": 0.191,
    "ski": 0.058, "spl": 0.030, "gut": 0.151, "ha": 0.046, "res": 0.101,
}  # fmt: skip
# tissue to plasma
PARTITION = {
    "lun": 6.0, "adi": 10.0, "bon": 1.5, "bra": 3.0, "hrt": 3.5, "kid": 5.0, "mus": 2.5,
    "ski": 3.0, "spl": 3.5, "gut": 4.0, "liv": 8.0, "res": 0.5,
}  # fmt: skip
# fraction of the organ's volume
VASCULAR = {
    "adi": 0.02, "bon": 0.04, "bra": 0.04, "hrt": 0.26, "kid": 0.36, "mus": 0.04, "ski": 0.08,
    "spl": 0.22, "gut": 0.05, "liv": 0.21, "res": 0.05,
}  # fmt: skip

# name, default, exponent of body weight, varies by itself, unit
Parameter = tuple[str, float, float, bool, str]

_COMMON: tuple[Parameter, ...] = (
    *[(f"V_{organ}", BODY_WEIGHT * part, 1.0, True, "L") for organ, part in VOLUMES.items()],
    *[(f"Q_{organ}", CARDIAC_OUTPUT * part, 0.75, True, "L/h") for organ, part in FLOWS.items()],
    *[(f"Kp_{organ}", value, 0.0, True, "") for organ, value in PARTITION.items()],
    ("fu", 0.12, 0.0, True, ""),  # fraction unbound in plasma
    ("BP", 0.9, 0.0, False, ""),  # blood to plasma
)
_SATURABLE: tuple[Parameter, ...] = (
    ("Vmax", 20.0, 0.75, True, "mg/h"),
    ("Km", 0.08, 0.0, True, "mg/L"),
)
_ABSORPTION: tuple[Parameter, ...] = (
    ("GFR", 7.5, 0.75, False, "L/h"),
    ("kge", 2.5, 0.0, False, "1/h"),
    ("ka", 1.2, 0.0, True, "1/h"),
    ("kfec", 0.15, 0.0, False, "1/h"),
)
_BINDING: tuple[Parameter, ...] = (
    ("psu", 500.0, 0.0, True, "1/h"),  # permeability times surface, per L of tissue
    ("kon", 1.2e5, 0.0, True, "L/mg/h"),
    ("koff", 36.0, 0.0, True, "1/h"),
    ("R0", 2.0, 0.0, True, "mg"),
    ("kdeg", 0.05, 0.0, False, "1/h"),
    ("kint", 0.1, 0.0, False, "1/h"),
    ("Etot", 0.05, 0.75, True, "mg"),
    ("konE", 1e5, 0.0, True, "L/mg/h"),
    ("koffE", 7600.0, 0.0, False, "1/h"),
    ("kcat", 400.0, 0.0, False, "1/h"),
)
_PARAMETERS = {"A": _COMMON + _SATURABLE + _ABSORPTION, "B": _COMMON + _ABSORPTION + _BINDING}

Symbols = dict[str, Expression]


def population(kind: str, n: int, seed: int = 20261123) -> dict[str, NDArray[np.float64]]:
    """n virtual patients of problem "A" or "B": parameter -> (n,).

    Patient i is the same for every n. Body weight and the parameters that vary are log-normal with
    a coefficient of variation of 30 %; sizes scale with body weight to the power 1 (volumes) or
    0.75 (flows and capacities).
    """
    parameters = _PARAMETERS[kind]
    sigma = math.sqrt(math.log(1.09))
    z = np.random.default_rng(seed).standard_normal((n, len(parameters) + 1))
    weight = np.exp(sigma * z[:, 0])
    return {
        name: default * weight**exponent * np.exp(sigma * varies * z[:, k + 1])
        for k, (name, default, exponent, varies, _) in enumerate(parameters)
    }


def problem_a() -> Model:
    """Perfusion-limited: 20 states, 45 parameters."""
    model, p = _start("A", "perfusion-limited reference model A")
    organs = [organ.upper() for organ in ORGANS]
    states = ("ART", "VEN", "LUN", *organs, "STO", "LUM", "AUC", "EXU", "EXM", "EXF")
    y = dict(zip(states, model.states(*states, unit="mg"), strict=True))
    leaving = {
        organ: y[organ.upper()] * p["BP"] / (p[f"V_{organ}"] * p[f"Kp_{organ}"]) for organ in ORGANS
    }
    _circulation(model, p, y, leaving, suffix="")
    _excretion(model, p, y, leaving["kid"], kidney="KID", gut="GUT")
    unbound = p["fu"] * y["LIV"] / (p["V_liv"] * p["Kp_liv"])
    model.flow(y["LIV"], y["EXM"], p["Vmax"] * unbound / (p["Km"] + unbound))
    model.output("venous", y["VEN"] / p["V_ven"], unit="mg/L")
    return model


def problem_b() -> Model:
    """Permeability-limited with fast binding: 34 states, 53 parameters."""
    model, p = _start("B", "permeability-limited reference model B")
    vascular = [f"{organ.upper()}v" for organ in ORGANS]
    extravascular = [f"{organ.upper()}e" for organ in ORGANS]
    states = (
        *("ART", "VEN", "LUN", *vascular, *extravascular, "STO", "LUM"),
        *("TR", "TRC", "TEC", "AUC", "EXU", "EXM", "EXF"),
    )
    y = {
        name: model.state(name, initial=p["R0"] if name == "TR" else 0.0, unit="mg")
        for name in states
    }
    blood = {
        organ: y[f"{organ.upper()}v"] / (VASCULAR[organ] * p[f"V_{organ}"]) for organ in ORGANS
    }
    for organ in ORGANS:
        tissue = y[f"{organ.upper()}e"] / ((1.0 - VASCULAR[organ]) * p[f"V_{organ}"])
        gradient = blood[organ] / p["BP"] - tissue / p[f"Kp_{organ}"]
        model.flow(f"{organ.upper()}v", f"{organ.upper()}e", p["psu"] * p[f"V_{organ}"] * gradient)
    _circulation(model, p, y, blood, suffix="v")
    _excretion(model, p, y, blood["kid"], kidney="KIDv", gut="GUTe")
    unbound = {}
    for organ in ("liv", "kid"):
        volume = (1.0 - VASCULAR[organ]) * p[f"V_{organ}"]
        unbound[organ] = p["fu"] * y[f"{organ.upper()}e"] / (volume * p[f"Kp_{organ}"])
    to_enzyme = p["konE"] * unbound["liv"] * (p["Etot"] - y["TEC"]) - p["koffE"] * y["TEC"]
    model.flow(y["LIVe"], y["TEC"], to_enzyme)
    model.flow(y["TEC"], y["EXM"], p["kcat"] * y["TEC"])
    to_target = p["kon"] * unbound["kid"] * y["TR"] - p["koff"] * y["TRC"]
    model.flow(y["KIDe"], y["TRC"], to_target)
    # The free target is made and degraded outside; what binds leaves it, while the drug's own
    # mass goes into TRC.
    model.flow(None, y["TR"], p["kdeg"] * (p["R0"] - y["TR"]))
    model.flow(y["TR"], None, to_target)
    model.flow(y["TRC"], y["EXM"], p["kint"] * y["TRC"])
    model.output("venous", y["VEN"] / p["V_ven"], unit="mg/L")
    return model


def _start(kind: str, name: str) -> tuple[Model, Symbols]:
    """The model of a kind with its parameters declared, and their symbols."""
    model = Model(name)
    symbols = {
        name: model.parameter(name, default, unit=unit)
        for name, default, _, _, unit in _PARAMETERS[kind]
    }
    return model, symbols


def _circulation(model: Model, p: Symbols, y: Symbols, leaving: Symbols, suffix: str) -> None:
    """Blood through lung and organs, from the concentration in the blood that leaves each organ."""
    arterial, venous = y["ART"] / p["V_art"], y["VEN"] / p["V_ven"]
    cardiac_output = sum([p[f"Q_{organ}"] for organ in FLOWS], constant(0.0))
    model.flow(y["VEN"], y["LUN"], cardiac_output * venous)
    model.flow(y["LUN"], y["ART"], cardiac_output * y["LUN"] * p["BP"] / (p["V_lun"] * p["Kp_lun"]))
    for organ in ORGANS:
        blood_flow = p["Q_ha" if organ == "liv" else f"Q_{organ}"]
        model.flow(y["ART"], f"{organ.upper()}{suffix}", blood_flow * arterial)
    for organ in TO_VEIN:
        model.flow(f"{organ.upper()}{suffix}", y["VEN"], p[f"Q_{organ}"] * leaving[organ])
    for organ in ("spl", "gut"):
        model.flow(f"{organ.upper()}{suffix}", f"LIV{suffix}", p[f"Q_{organ}"] * leaving[organ])
    hepatic = p["Q_ha"] + p["Q_spl"] + p["Q_gut"]
    model.flow(f"LIV{suffix}", y["VEN"], hepatic * leaving["liv"])
    model.rate(y["AUC"], venous / p["BP"])


def _excretion(
    model: Model, p: Symbols, y: Symbols, renal_blood: Expression, kidney: str, gut: str
) -> None:
    """Absorption from the gut, and the renal and faecal routes."""
    model.flow(y["STO"], y["LUM"], p["kge"] * y["STO"])
    model.flow(y["LUM"], gut, p["ka"] * y["LUM"])
    model.flow(y["LUM"], y["EXF"], p["kfec"] * y["LUM"])
    model.flow(kidney, y["EXU"], p["GFR"] * p["fu"] * renal_blood / p["BP"])
