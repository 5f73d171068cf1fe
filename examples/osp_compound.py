"""One observed data set, predicted from a compound of the OSP model library.

    python examples/osp_compound.py COMPOUNDS.json OBSERVED.csv.gz STUDIES.csv.gz "DATA SET"

COMPOUNDS.json: a list of entries; OBSERVED and STUDIES: tables with the columns dataset, time,
value, value_unit, and dataset, compound, doses, processes. Without arguments alfentanil of the
shared reference data, where they are.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path

import teorell as tl
from teorell.io.osp import read_compound, read_entries
from teorell.pbpk import whole_body

UNITS = {"mg/l": 1.0, "µg/l": 1e-3, "ng/ml": 1e-3}  # mg/L


def main(compounds: Path, observed: Path, studies: Path, dataset: str) -> None:
    """Print observed and predicted concentrations."""
    study = next(row for row in rows(studies) if row["dataset"] == dataset)
    entry = read_entries(compounds)[study["compound"]]
    drug = read_compound(entry, processes=[each for each in json.loads(study["processes"]) if each])

    ((kind, amount, start, duration, _),) = json.loads(study["doses"])  # one dose
    if kind == "Oral":
        regimen = tl.Regimen.bolus(amount, into="stomach_lumen", time=start)
    elif duration:
        regimen = tl.Regimen.infusion(amount, into="venous", duration=duration, time=start)
    else:
        regimen = tl.Regimen.bolus(amount, into="venous", time=start)
    samples = [row for row in rows(observed) if row["dataset"] == dataset]
    times = [float(row["time"]) for row in samples]
    solution = tl.simulate(
        whole_body(drug, absorption="transit"),
        {"body_weight": float(study["weight_kg"])},
        regimen, times, outputs=["cp_arm"],
    )  # fmt: skip
    print(f"{dataset}\n{'h':>8} {'observed':>10} {'predicted':>10}  mg/L")
    for time, row, predicted in zip(times, samples, solution["cp_arm"][0], strict=True):
        value = float(row["value"]) * UNITS[row["value_unit"]]
        print(f"{time:8.3f} {value:10.4f} {predicted:10.4f}")


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a compressed table."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "osp"
    if len(sys.argv) == 5:
        main(*map(Path, sys.argv[1:4]), sys.argv[4])
    elif folder.is_dir():
        main(
            folder / "osp_model_library_compounds.json",
            folder / "osp_model_library_observed.csv.gz",
            folder / "osp_studies.csv.gz",
            "Ferrier 1985 - healthy control patients - Alfentanil - IV - 0.05 mg/kg - Plasma - "
            "agg. (n=10)",
        )
    else:
        sys.exit(f"{__doc__}\nThe reference data are not here ({folder}).")
