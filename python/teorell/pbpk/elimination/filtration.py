"""Glomerular filtration of unbound drug."""

from __future__ import annotations

from teorell.pbpk.partition.values import Value
from teorell.physiology.reference_adults import BODY_WEIGHT, FLOW_EXPONENT

__all__ = ["GLOMERULAR_FILTRATION", "filtered"]

# L/h of the reference man: 125 mL/min at 70 kg, Davies & Morris (1993), Pharm Res 10:1093-1095, by
# the exponent of flows
GLOMERULAR_FILTRATION: float = 125.0 * 0.06 * (BODY_WEIGHT.man / 70.0) ** FLOW_EXPONENT


def filtered(fraction: Value, fu: Value, rate: Value) -> Value:
    """Clearance of plasma, L/h, of a kidney that filters `rate` L/h of plasma water.

    fraction: below 1 where filtered drug is taken back, above 1 where it is secreted too.
    """
    return fraction * fu * rate
