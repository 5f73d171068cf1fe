"""Glomerular filtration of unbound drug."""

from __future__ import annotations

from teorell.pbpk.partition.values import Value

__all__ = ["FILTRATION_INDEX", "filtered"]

# L/h/kg^0.75 of a man of 70 kg: 125 mL/min, Davies & Morris (1993), Pharm Res 10:1093-1095
FILTRATION_INDEX: float = 125.0 * 0.06 / 70.0**0.75


def filtered(fraction: Value, fu: Value, rate: Value) -> Value:
    """Clearance of plasma, L/h, of a kidney that filters `rate` L/h of plasma water.

    fraction: below 1 where filtered drug is taken back, above 1 where it is secreted too.
    """
    return fraction * fu * rate
