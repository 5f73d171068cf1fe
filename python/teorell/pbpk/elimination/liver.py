"""Models of the liver: what share of a drug its blood loses on one passage.

Each is told as the intrinsic clearance of a well-stirred liver that extracts the same share, so
that one set of equations serves all. Clearances and flows in L/h, all of blood: the intrinsic
clearance of blood is fu CLint / (blood:plasma).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from teorell.errors import InputError, suggestion
from teorell.pbpk.partition.values import Value, exponential, minimum, square_root

__all__ = ["DISPERSION_NUMBER", "LIVERS", "check_liver", "extraction", "intrinsic"]

# Roberts & Rowland (1986), J Pharmacokinet Biopharm 14:227-260 (not checked against the paper)
DISPERSION_NUMBER = 0.17
# Intrinsic clearance over flow that counts at most: what escapes then is below 1e-8
MOST = 20.0
MOST_DISPERSED = 100.0


def _well_stirred(intrinsic: Value, flow: Value) -> Value:
    """Rowland, Benet & Graham (1973), J Pharmacokinet Biopharm 1:123-136."""
    return intrinsic


def _parallel_tube(intrinsic: Value, flow: Value) -> Value:
    """Winkler, Keiding & Tygstrup (1973), in: The Liver, Quantitative Aspects of Structure and
    Function: exp(-CLint / Q) escapes.
    """
    return flow * (exponential(minimum(intrinsic / flow, MOST)) - 1)


def _dispersion(intrinsic: Value, flow: Value) -> Value:
    """Roberts & Rowland (1986), J Pharmacokinet Biopharm 14:227-260: axial dispersion, closed
    vessel. 4 a / ((1 + a)^2 exp((a - 1) / 2 D) - (1 - a)^2 exp(-(a + 1) / 2 D)) escapes,
    a^2 = 1 + 4 D CLint / Q.
    """
    d = DISPERSION_NUMBER
    a = square_root(1 + 4 * d * minimum(intrinsic / flow, MOST_DISPERSED))
    forth = (1 + a) * (1 + a) * exponential((a - 1) / (2 * d))
    back = (1 - a) * (1 - a) * exponential(-(a + 1) / (2 * d))
    return flow * ((forth - back) / (4 * a) - 1)


LIVERS: Mapping[str, Callable[[Value, Value], Value]] = MappingProxyType(
    {
        "well_stirred": _well_stirred,
        "parallel_tube": _parallel_tube,
        "dispersion": _dispersion,
    }
)


def check_liver(liver: object) -> str:
    """The name of a model of the liver; InputError, with the nearest one, for another."""
    if not isinstance(liver, str) or liver not in LIVERS:
        raise InputError(
            f"unknown model of the liver {liver!r} (there are {len(LIVERS)}). "
            f"{suggestion(str(liver), LIVERS)}"
        )
    return liver


def extraction(liver: str, clearance: Value, flow: Value) -> Value:
    """The share that one passage takes: from the intrinsic clearance of blood and the flow."""
    same = LIVERS[check_liver(liver)](clearance, flow)
    return same / (flow + same)


def intrinsic(liver: str, clearance: float, flow: float, name: str = "the drug") -> float:
    """The intrinsic clearance (L/h of blood) of a liver that clears `clearance` (L/h of blood) from
    blood flowing at `flow`.

    InputError if the clearance is not below the flow.
    """
    if clearance >= flow:
        raise InputError(
            f"{name}: a clearance of {clearance:g} L/h of blood is not below the liver's blood "
            f"flow, {flow:g} L/h (a {liver.replace('_', '-')} organ cannot reach it). Check "
            "clearance and blood_to_plasma."
        )
    if liver == "well_stirred":
        return flow * clearance / (flow - clearance)
    share = clearance / flow
    if liver == "parallel_tube":
        return -flow * float(np.log1p(-share))
    low, high = 0.0, MOST_DISPERSED * flow  # extraction grows with the intrinsic clearance
    for _ in range(200):
        middle = 0.5 * (low + high)
        if extraction(liver, middle, flow) < share:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
