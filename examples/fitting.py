"""The picture of docs/fitting.md: twelve simulated subjects fitted. Run: python examples/fitting.py [FOLDER]"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import teorell as tl

model = tl.Model("oral", time_unit="h")
ka, cl, v = model.parameters(ka=1.5, cl=3.0, v=30.0)
depot, central = model.states("depot", "central", unit="mg")
model.flow(depot, central, ka * depot)
model.flow(central, None, cl / v * central)
model.output("cp", central / v, unit="mg/L")

rng, subjects = np.random.default_rng(4), 12
times = np.array([0.25, 0.5, 1, 2, 4, 6, 8, 12, 16, 24])
truth = {
    name: value * np.exp(0.25 * rng.standard_normal(subjects))
    for name, value in (("ka", 1.2), ("cl", 3.0), ("v", 30.0))
}
curves = tl.simulate(model, truth, tl.Regimen.bolus(100, into="depot"), times)["cp"]
measured = curves + 0.05 * rng.standard_normal(curves.shape)
ids = np.arange(1, subjects + 1)
doses = pd.DataFrame({"ID": ids, "TIME": 0.0, "AMT": 100.0, "EVID": 1, "DV": np.nan})
samples = pd.DataFrame(
    {"ID": np.repeat(ids, 10), "TIME": np.tile(times, subjects), "AMT": 0.0, "EVID": 0, "DV": measured.ravel()}
)
table = pd.concat([doses, samples]).sort_values(["ID", "TIME", "EVID"], ascending=[True, True, False])

fit = tl.fit(model, tl.EventTable(table, model), {"ka": 1.0, "cl": 2.0, "v": 20.0})
print(fit.summary())
folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
folder.mkdir(parents=True, exist_ok=True)
fit.plot().savefig(folder / "fitting.png", dpi=110)
print(f"written: {folder / 'fitting.png'}")
