"""One compartment with absorption, the model that most tests want, and its solution."""

from __future__ import annotations

import numpy as np
import teorell as tl


def oral(ka=1.2, cl=5.0, v=20.0, depot="gut", amounts=False, time_unit="h"):
    """A depot (mg) that empties into `central` (mg), which is cleared: parameters ka (1/h), cl
    (L/h) and v (L) with these defaults; output cp (mg/L), and `amounts` adds that in the depot.
    """
    model = tl.Model("oral", time_unit=time_unit)
    rate, clearance, volume = model.parameters(ka=ka, cl=cl, v=v)
    first, central = model.states(depot, "central", unit="mg")
    model.flow(first, central, rate * first)
    model.flow(central, None, clearance / volume * central)
    model.output("cp", central / volume, unit="mg/L")
    if amounts:
        model.output(depot, first, unit="mg")
    return model


def bateman(t, ka, cl, v, dose=100.0):
    """cp of `oral` after `dose` (mg) into the depot at time 0; ka and cl / v differ."""
    k = cl / v
    return dose * ka / (v * (ka - k)) * (np.exp(-k * t) - np.exp(-ka * t))
