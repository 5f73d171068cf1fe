"""Tables of one dose and its observations, for tests of fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import teorell as tl

TIMES = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0])
TIGHT = {"rtol": 1e-9, "atol": 1e-12}


def table(times, values, model, dose=100.0, **columns):
    """A dose at 0 and the observations, (subjects, times), of each subject."""
    values = np.atleast_2d(values)
    frames = []
    for k, row in enumerate(values):
        observed = pd.DataFrame({"TIME": times, "DV": row, "AMT": 0.0, "EVID": 0})
        for name, column in columns.items():
            observed[name] = np.atleast_2d(column)[k] if np.ndim(column) else column
        first = pd.DataFrame({"TIME": [0.0], "DV": [np.nan], "AMT": [dose], "EVID": [1]})
        frames.append(pd.concat([first, observed] if dose else [observed]).assign(ID=k + 1))
    return tl.EventTable(pd.concat(frames), model)


def bolus():
    """One compartment without absorption: parameters cl (4 L/h) and v (20 L), output cp."""
    model = tl.Model("bolus")
    cl, v = model.parameters(cl=4.0, v=20.0)
    x = model.state("x")
    model.flow(x, None, cl / v * x)
    model.output("cp", x / v)
    return model


def decline(t, cl, v, dose=100.0):
    """cp of `bolus` after `dose` at time 0."""
    return dose / v * np.exp(-cl / v * t)
