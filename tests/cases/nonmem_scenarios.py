"""The 29 dosing scenarios that NONMEM has solved (mrgsolve/nmtests, GPL-2: read where they lie,
never copied).
"""

from __future__ import annotations

import numpy as np
import teorell as tl
from folders import DATA

SCENARIOS = DATA / "nmtests" / "dosing_1001_nonmem.csv"


def one_compartment():
    """ADVAN2 TRANS2: depot, central; lag, bioavailability and the modelled rate and duration are of
    the central one.
    """
    model = tl.Model("ADVAN2 TRANS2")
    cl, v, ka = model.parameters(cl=1.1, v=20.0, ka=1.5)
    lagt, bioav, rat2, dur2 = model.parameters(lagt=0.0, bioav=1.0, rat2=10.0, dur2=2.0)
    depot, central = model.states("depot", "central")
    model.flow(depot, central, ka * depot)
    model.flow(central, None, cl / v * central)
    model.output("cp", central / (v / 1000.0))
    model.dosing(central, lag=lagt, bioavailability=bioav, rate=rat2, duration=dur2)
    return model


def printed():
    """The table as a DataFrame; column CP_NONMEM has 5 significant digits."""
    import pandas as pd

    return pd.read_csv(SCENARIOS)


def of_nonmem(frame):
    """The columns that an event table reads, without the solution and what printed it."""
    return frame.drop(columns=["CP_NONMEM", "MODE"])


def tolerance(value):
    """Half a unit of the fifth digit, and 2e-6 of the value for what NONMEM's own solver leaves."""
    size = np.abs(value)
    digit = 10.0 ** (np.floor(np.log10(np.where(size > 0.0, size, 1.0))) - 4.0)
    return 0.5 * digit + 2e-6 * np.maximum(size, 1.0)
