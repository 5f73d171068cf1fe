"""AUC and Cmax of httk's chemicals, predicted from in vitro measurements, against CvTdb.

    python bench/chemicals.py [../shared/data]

Every chemical of `teorell.pbpk.chemical` that CvTdb (US EPA; Sayre et al. 2020, Sci Data 7:122) has
in vivo, told twice: by the fits that httk 2.7 carries (invivo_pk_summary: one- and two-compartment
fits at 1 mg/kg), and by non-compartmental analysis of each study. One fixed configuration: measured
fu and hepatocyte clearance (of the rat for rats, where there is one), Rodgers & Rowland,
well-stirred liver, filtration, first-order absorption. Bodies of rat and mouse by the tables of
httk. Prints RMSLE (root mean square of log10 predicted / observed), a 95 % interval by resampling
chemicals, n, and by species and route, beside what httk publishes of itself.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import teorell as tl
from teorell.pbpk import chemical, parameters_of, whole_body
from teorell.pbpk.elimination.in_vitro import CELLS_OF_ANIMALS
from teorell.physiology.composition import DENSITIES
from teorell.physiology.reference_adults import BLOOD_DENSITY
from teorell.physiology.tissue_composition import read_composition
from teorell.physiology.vocabulary import FLOWS, MASSES, flow_share_to, mass_share_of
from teorell.tables import aligned

PUBLISHED = {"AUC": "1.29 (n 112)", "Cmax": "1.21 (n 156)"}  # httk 2.7.1, of itself
END = 1e5  # h: what is left then does not count
# of the body weight and the cardiac output, where httk counts them with the rest: Brown et al.
# (1997), Toxicol Ind Health 13:407-484 (masses of the rat)
PARTS = {"stomach": (0.0046, 0.010), "pancreas": (0.0032, 0.010), "gonads": (0.005, 0.005)}
ML_MIN = 0.06  # L/h
SEEN = 0.8  # of an area to infinity, what must lie within the samples: the usual rule


def main(data: Path) -> None:
    """Simulate, compare, print."""
    for title, rows in (
        ("fits as httk has them", fits(data)),
        ("non-compartmental analyses", analyses(data)),
    ):
        found, left_out = [], Counter()
        for species in ("rat", "mouse", "human"):
            known = []
            for row in rows:
                if row["Species"] != species:
                    continue
                try:
                    drug = chemical(row["Chemical"], "rat" if species == "rat" else "human")
                except tl.InputError:
                    left_out["not measured in vitro"] += 1
                    continue
                cells = CELLS_OF_ANIMALS.get(species, drug.cells_per_gram)
                known.append((replace(drug, cells_per_gram=cells), row))
            if known:
                found += predicted(species, known, data, left_out)
        print(f"{title}\n{results(found)}")
        print("left out:", ", ".join(f"{name} ({n})" for name, n in left_out.items()), "\n")


def results(found: list[tuple]) -> str:
    lines = [["", "species", "route", "n", "chemicals", "RMSLE", "95 %", "mean", "httk"]]
    for quantity in ("AUC", "Cmax"):
        groups = {("all", "all"): lambda _: True}
        for species in ("rat", "mouse", "human"):
            for route in ("iv", "oral"):
                groups[species, route] = lambda row, s=species, r=route: row[:2] == (s, r)
        for (species, route), wanted in groups.items():
            rows = [row for row in found if wanted(row) and row[3] == quantity]
            if rows:
                httk = PUBLISHED[quantity] if species == "all" else ""
                lines.append([quantity, species, route, *summary(rows), httk])
    return aligned(lines, left=(0, 1, 2))


def fits(data: Path) -> list[dict[str, str]]:
    """A row for each chemical, species, route and medium, at 1 mg/kg."""
    rows = {}
    for row in table(data / "httk/invivo_pk_summary.csv"):
        if row["model"] == "model_flat":
            continue
        key = tuple(row[name] for name in ("DTXSID", "Species", "Route", "Media"))
        rows.setdefault(
            key,
            {
                **{name: row[name] for name in ("Species", "Route", "Media", "Dose")},
                "Chemical": row["DTXSID"],
                "AUC_infinity": row["AUC_infinity.tkstats"],
                "AUC_tlast": row["AUC_infinity.tkstats"],
                "Cmax": row["Cmax.tkstats"],
                "tmax": row["tmax.tkstats"],
            },
        )
    return list(rows.values())


def analyses(data: Path) -> list[dict[str, str]]:
    """A row for each study."""
    return table(data / "cvtdb/NonCompartmentalAnalysis.csv")


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def predicted(species: str, rows: list, data: Path, left_out: Counter) -> list[tuple]:
    """(species, route, chemical, quantity, log10 of predicted / observed) of every row."""
    options = {
        "partition": "rodgers_rowland",
        "composition": read_composition(species=species),
    }
    body = {} if species == "human" else animal(species.title(), data)
    weight = body.get("body_weight", 73.0)
    drugs = [drug for drug, _ in rows]
    dose = np.array([float(row["Dose"]) * weight for _, row in rows])  # mg/kg
    iv = np.array([row["Route"] == "iv" for _, row in rows])
    regimen = tl.Regimen.bolus(np.where(iv, dose, 0.0), into="venous")
    regimen = regimen + tl.Regimen.bolus(np.where(iv, 0.0, dose), into="stomach_lumen")
    tmax = [max(float(row["tmax"] or 0.0), 1e-3) for _, row in rows]
    solution = tl.simulate(
        whole_body(drugs[0], **options),
        parameters_of(drugs, **options) | body,
        regimen,
        [[time, END] for time in tmax],
        outputs=["cp", "blood", "auc"],
        reductions=[tl.Cmax("cp"), tl.Cmax("blood")],
    )
    solution.raise_for_status()
    at_tmax, end = solution.values[0::2], solution.values[1::2]
    found = []
    for k, (drug, row) in enumerate(rows):
        media = row["Media"]
        ratio = drug.ratio if media == "blood" else 1.0
        # of a bolus the peak is what the first sample sees
        peak = at_tmax[k, 1 if media == "blood" else 0]
        if not iv[k]:
            peak = solution.reductions["cmax_blood" if media == "blood" else "cmax_cp"][k]
        for quantity, mine, theirs in (
            ("AUC", end[k, 2] * ratio, row["AUC_infinity"]),
            ("Cmax", peak, row["Cmax"]),
        ):
            if not theirs or not 0.0 < float(theirs) < np.inf:
                left_out[f"no {quantity}"] += 1
                continue
            error = float(np.log10(mine / float(theirs)))
            if quantity == "AUC" and float(row["AUC_tlast"] or 0.0) < SEEN * float(theirs):
                left_out["AUC extrapolated by more than a fifth"] += 1
                continue
            found.append((species, row["Route"], row["Chemical"], quantity, error))
    return found


def summary(rows: list[tuple]) -> list[str]:
    """n, chemicals, RMSLE, its interval, mean."""
    errors = np.array([row[4] for row in rows])
    names = np.array([row[2] for row in rows])
    kinds = np.unique(names)
    rng = np.random.default_rng(1)
    groups = [errors[names == name] for name in kinds]
    drawn = [
        np.sqrt(np.mean(np.concatenate([groups[k] for k in rng.integers(0, len(kinds), len(kinds))])
                        ** 2))
        for _ in range(1000)
    ]  # fmt: skip
    low, high = np.percentile(drawn, [2.5, 97.5])
    rmsle = np.sqrt(np.mean(errors**2))
    return [
        str(len(rows)), str(len(kinds)), f"{rmsle:.2f}", f"{low:.2f}-{high:.2f}",
        f"{errors.mean():+.2f}",
    ]  # fmt: skip


def animal(species: str, data: Path) -> dict[str, float]:
    """The parameters of a body by httk's tables."""
    told = {row["Parameter"]: float(row[species] or "nan") for row in
            table(data / "httk/physiology_data.csv")}  # fmt: skip
    tissue = {
        (row["Tissue"], row["variable"].split(" ")[0]): float(row["value"])
        for row in table(data / "httk/tissue_data.csv")
        if row["Species"] == species and row["variable"].startswith(("Vol", "Flow"))
    }
    mass = {name: tissue[name, "Vol"] * DENSITIES[name] for name in MASSES
            if (name, "Vol") in tissue}  # fmt: skip
    blood = told["Plasma Volume"] / 1000.0 / (1.0 - told["Hematocrit"])
    mass |= {"blood": blood * BLOOD_DENSITY} | {name: part[0] for name, part in PARTS.items()}
    mass["rest"] = max(1.0 - sum(mass[name] for name in MASSES if name != "rest"), 0.01)
    output = told["Cardiac Output"]
    flow = {name: tissue[name, "Flow"] / output for name in FLOWS if (name, "Flow") in tissue}
    flow |= {name: part[1] for name, part in PARTS.items()}
    # the artery of the liver: httk tells its whole flow
    flow["liver"] = max(
        flow["liver"] - sum(flow[name] for name in ("gut", "spleen", "stomach", "pancreas")), 0.02
    )
    flow["rest"] = max(1.0 - sum(flow[name] for name in FLOWS if name != "rest"), 0.01)
    return {
        "body_weight": told["Average BW"],
        "cardiac_index": output * ML_MIN,
        "haematocrit": told["Hematocrit"],
        "glomerular_filtration": told["GFR"] * ML_MIN * told["Average BW"] ** 0.75,
        **{mass_share_of(name): mass[name] for name in MASSES},
        **{flow_share_to(name): flow[name] for name in FLOWS},
    }


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
