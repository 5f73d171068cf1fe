"""Partition coefficients of five methods against those observed in animals.

    python bench/partition.py [../shared/data]

Data: httk's table of observed tissue : plasma coefficients (168 drugs; Pearce et al. 2017),
with its log P and fraction unbound; pKa (ChemAxon) and blood:plasma ratios by httk's table of
chemicals. Nothing is fitted. Prints n, the root mean square and mean of log10 (predicted /
observed), and the share within 3-fold, for each method and kind of drug.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from teorell.pbpk import METHODS, Drug, partition_coefficients
from teorell.physiology.reference_adults import HAEMATOCRIT
from teorell.tables import aligned

SPECIES = {"Rat": "rat", "Rabbit": "rabbit", "Mouse": "mouse", "Monkey": "monkey", "Human": "human"}
KINDS = {"A": "acids", "B": "bases", "Z": "zwitterions", "N": "neutral"}
WITH_CELLS = "bases, red cells observed"
NAMES = {"Stomach": "gut", "LIver": "liver"}


def compared(data: Path) -> tuple[dict[tuple[str, str], np.ndarray], dict[str, int]]:
    """(method, kind of drug) -> log10 of predicted / observed; reason -> rows left out."""
    with gzip.open(data / "httk/chem_physical_and_invitro.csv.gz", "rt") as file:
        chemicals = {row["CAS"]: row for row in csv.DictReader(file)}
    with (data / "httk/tissue_partition_coefficients_observed.csv").open() as file:
        rows = list(csv.DictReader(file))
    cells = {
        (row["CAS"], row["Species"]): float(row["Exp_PC"])
        for row in rows
        if row["Tissue"] == "Blood Cells"
    }
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    left_out: dict[str, int] = defaultdict(int)
    tables = {}
    for row in rows:
        chemical = chemicals.get(row["CAS"])
        if chemical is None or not chemical["MW"]:
            left_out["drug without pKa in httk"] += 1
            continue
        if not float(row["fu"] or 0.0):
            left_out["no fraction unbound"] += 1
            continue
        if not float(row["Exp_PC"] or 0.0):
            left_out["none found in the tissue"] += 1
            continue
        key = (row["CAS"], row["Species"], row["fu"])
        if key not in tables:
            tables[key] = partition_coefficients(
                described(row, chemical, cells), species=SPECIES[row["Species"]]
            )
        table = tables[key]
        tissue = NAMES.get(row["Tissue"], row["Tissue"].casefold())
        if tissue not in table.tissues:
            left_out[f"no composition: {tissue}"] += 1
            continue
        predicted = table[tissue]
        if np.isnan(list(predicted.values())).any():
            left_out[f"not known to all methods: {tissue}"] += 1
            continue
        for method, kp in predicted.items():
            error = np.log10(kp / float(row["Exp_PC"]))
            errors[method, "all"].append(error)
            errors[method, KINDS[row["A.B.N"]]].append(error)
            if row["A.B.N"] == "B" and (row["CAS"], row["Species"]) in cells:
                errors[method, WITH_CELLS].append(error)
    return {key: np.array(each) for key, each in errors.items()}, dict(left_out)


def main(data: Path) -> None:
    """Compare, and print the tables."""
    errors, left_out = compared(data)
    lines = [["method", "drugs", "n", "RMSE", "mean", "within 3-fold"]]
    for method in METHODS:
        for kind in ("all", *KINDS.values(), WITH_CELLS):
            error = errors[method, kind]
            lines.append(
                [
                    method,
                    kind,
                    str(error.size),
                    f"{np.sqrt(np.mean(error**2)):.3f}",
                    f"{error.mean():+.3f}",
                    f"{np.mean(np.abs(error) < np.log10(3.0)):.0%}",
                ]
            )
    print(aligned(lines, left=(0, 1)))
    print("\nleft out:", ", ".join(f"{name} ({n})" for name, n in left_out.items()))


def described(
    row: dict[str, str], chemical: dict[str, str], cells: dict[tuple[str, str], float]
) -> Drug:
    """The drug of an observation; its blood:plasma ratio from red cells observed beside the
    tissues, else from httk: the rat's, or the human's.
    """

    def pkas(name: str) -> list[float]:
        return [float(each) for each in chemical[name].split(",") if each.strip()]

    key = row["CAS"], row["Species"]
    ratio = ""
    if key in cells:
        ratio = str(1.0 - HAEMATOCRIT + HAEMATOCRIT * cells[key])
    elif row["Species"] == "Rat":
        ratio = chemical["Rat.Rblood2plasma"]
    ratio = ratio or chemical["Human.Rblood2plasma"]
    return Drug(
        name=row["Drug"],
        molar_mass=float(chemical["MW"]),
        log_p=float(row["LogP"]),
        acids=tuple(pkas("pKa_Donor")),
        bases=tuple(pkas("pKa_Accept")),
        fu=float(row["fu"]),
        blood_to_plasma=float(ratio) if ratio else None,
    )


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
