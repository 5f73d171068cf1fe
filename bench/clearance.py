"""Clearance of plasma in people, predicted from hepatocytes, against that after intravenous doses.

    python bench/clearance.py [--data ../shared/data]

The chemicals of `teorell.pbpk.chemical` in the table of Obach, Lombardo & Waters (2008), Drug Metab
Dispos 36:1385-1405: human fractions unbound and hepatocyte clearances, the reference man's liver
and filtration, nothing fitted. Told with what is unbound in plasma alone, and with what albumin
gives to hepatocytes (Poulin et al. 2012), of all but strong bases, as `chemical` has it. These data
decided for the latter; CvTdb (`bench/chemicals.py`) did not. Prints n, the root mean square and
mean of log10 (predicted / observed), and the share within 3-fold, by charge at pH 7.4.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import teorell as tl
from chemicals import charge
from teorell.pbpk import chemical
from teorell.pbpk.drug import Drug
from teorell.pbpk.elimination.bound_uptake import unbound_in_liver
from teorell.pbpk.elimination.filtration import GLOMERULAR_FILTRATION, filtered
from teorell.pbpk.elimination.liver import LIVERS, extraction
from teorell.physiology.reference_adults import BODY_WEIGHT, REFERENCE, hepatic_flow
from teorell.tables import aligned

L_H_KG = 0.06  # in a mL/min/kg


def clearance(drug: Drug, liver: str = "well_stirred") -> float:
    """Of plasma, L/h/kg, of the reference man."""
    flow, mass = hepatic_flow(), REFERENCE["liver"].mass.man
    unbound = unbound_in_liver(drug.fu, drug.plasma_to_liver)
    share = extraction(liver, unbound * drug.clint / drug.ratio * mass, flow)
    kidney = filtered(drug.gfr_fraction, drug.fu, GLOMERULAR_FILTRATION)
    return float((share * flow * drug.ratio + kidney) / BODY_WEIGHT.man)


def observed(data: Path) -> Iterator[tuple[Drug, float]]:
    """Chemicals and their clearances, L/h/kg."""
    seen = set()
    with (data / "httk/obach2008_human_iv_pk.csv").open() as file:
        for row in csv.DictReader(file):
            try:
                drug, found = chemical(row["CAS"]), float(row["CL (mL/min/kg)"])
            except (tl.InputError, ValueError):
                continue
            if found > 0.0 and drug.name not in seen:
                seen.add(drug.name)
                yield drug, found * L_H_KG


def errors(data: Path, facilitated: bool, liver: str = "well_stirred") -> dict[str, np.ndarray]:
    """Charge, or "all" -> log10 of predicted / observed."""
    found: dict[str, list[float]] = {"all": []}
    for drug, told in observed(data):
        used = drug if facilitated else replace(drug, plasma_to_liver=1.0)
        error = math.log10(clearance(used, liver) / told)
        found["all"].append(error)
        found.setdefault(charge(drug), []).append(error)
    return {kind: np.array(each) for kind, each in found.items()}


def main(data: Path) -> None:
    """Compare, and print the table."""
    lines = [["liver", "unbound", "charge", "n", "RMSE", "mean", "within 3-fold"]]
    for liver in LIVERS:
        for title, facilitated in (("in plasma", False), ("by albumin", True)):
            for kind, error in sorted(errors(data, facilitated, liver).items()):
                rmse, near = np.sqrt(np.mean(error**2)), np.mean(np.abs(error) < math.log10(3.0))
                numbers = [str(error.size), f"{rmse:.2f}", f"{error.mean():+.2f}", f"{near:.0%}"]
                lines.append([liver, title, kind, *numbers])
    print(aligned(lines, left=(0, 1, 2)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default)
    main(parser.parse_args().data)
