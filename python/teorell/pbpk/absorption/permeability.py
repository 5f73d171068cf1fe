"""Rates of absorption from permeabilities of the intestine."""

from __future__ import annotations

from teorell.pbpk.partition.values import Value

__all__ = [
    "INTESTINE_RADIUS", "TRANSIT_SEGMENTS", "TRANSIT_TIME", "absorption_rate", "fraction_absorbed",
    "jejunal_permeability",
]  # fmt: skip

# Yu & Amidon (1999), Int J Pharm 186:119-125: 1 - (1 + 0.54 P)^-7 is absorbed at P cm/h, 0.54 being
# 2 T / 7 R. The time: Yu, Crison & Amidon (1996), Int J Pharm 140:111-118.
INTESTINE_RADIUS = 1.75  # cm, R
TRANSIT_TIME = 199.0 / 60.0  # h in the small intestine, T
TRANSIT_SEGMENTS = 7


def jejunal_permeability(caco2: Value) -> Value:
    """Human effective permeability, 1e-4 cm/s, from an apparent one of Caco-2 cells, 1e-6 cm/s:
    log10 Peff = 0.4926 log10 Papp - 0.1454, Sun et al. (2002), Pharm Res 19:1400-1416.
    """
    return 10.0**-0.1454 * caco2**0.4926


def absorption_rate(permeability: Value, radius: Value = INTESTINE_RADIUS) -> Value:
    """1/h, from a permeability in 1e-4 cm/s and a radius in cm: 2 P / R, Yu & Amidon (1999)."""
    return 2.0 * permeability * 1e-4 * 3600.0 / radius


def fraction_absorbed(rate: Value) -> Value:
    """Of a dose, on its way through the segments: 1 - (1 + k T / 7)^-7, Yu & Amidon (1999).

    rate: k, 1/h.
    """
    return 1.0 - (1.0 + rate * TRANSIT_TIME / TRANSIT_SEGMENTS) ** -TRANSIT_SEGMENTS
