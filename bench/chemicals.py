"""AUC and Cmax of httk's chemicals, predicted from in vitro measurements, against CvTdb.

    python bench/chemicals.py [--data ../shared/data] [--partition METHOD] [--kinds]

Every chemical of `teorell.pbpk.chemical` that CvTdb (US EPA; Sayre et al. 2020, Sci Data 7:122) has
in vivo, told twice: by the fits that httk 2.7 carries (invivo_pk_summary: one- and two-compartment
fits at 1 mg/kg), and by non-compartmental analysis of each study. One fixed configuration: measured
fu and hepatocyte clearance (of the rat for rats, where there is one), the model's own default of
partition coefficients (--partition for another), well-stirred liver, what albumin gives to
hepatocytes, filtration, first-order absorption, bodies by `tl.Body.of`. Prints RMSLE (root mean
square of log10 predicted / observed), a 95 % interval by resampling chemicals, n, and by species
and route, beside what httk publishes of itself (`httk_performance_history.csv`).

How httk counts, as its `benchmark_httk` and `calc_tkstats` are written (httk 2.7.0): chemicals that
its own model takes (`domain`); every dose oral, for the route stays at its default; the AUC of the
table times 24, as if it were told in mg d/L. The table of httk 2.7.4 has mg h/L: AUC times
clearance (L/h/kg) is the dose. The line "as httk counts" does the same; all others compare route
with route and mg h/L with mg h/L. Peaks of intravenous fits are extrapolated to time 0; "first
sample" compares with what was measured. --kinds: who carries the error.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import teorell as tl
from teorell.pbpk import METHODS, chemical, parameters_of, whole_body
from teorell.pbpk.drug import Drug
from teorell.pbpk.drug_fields import PLASMA_PH
from teorell.pbpk.elimination.in_vitro import CELLS_OF_ANIMALS
from teorell.pbpk.partition.methods import DEFAULT_METHOD
from teorell.physiology.reference_adults import BODY_WEIGHT
from teorell.physiology.tissue_composition import read_composition
from teorell.tables import aligned

PUBLISHED = {"AUC": "1.29 (n 112)", "Cmax": "1.21 (n 156)"}  # httk 2.7.1, of itself
END = 1e5  # h: what is left then does not count
SEEN = 0.8  # of an area to infinity, what must lie within the samples: the usual rule


# What httk's own whole-body model takes (modelinfo_pbtk, httk 2.7.0): no more volatile than this,
# no PFAS, and something found unbound in human plasma
LOG_HENRY = -4.5
DAY = 24.0


class Row(NamedTuple):
    """A comparison."""

    species: str
    route: str
    chemical: str
    quantity: str
    error: float  # log10 of predicted / observed
    drug: Drug


def main(data: Path, partition: str, kinds: bool) -> None:
    """Simulate, compare, print."""
    inside = domain(data)
    for title, rows in (
        ("fits as httk has them", fits(data)),
        ("fits, Cmax at the first sample", fits(data, first=True)),
        ("non-compartmental analyses", analyses(data)),
    ):
        found, left_out = compared(rows, partition)
        oral, _ = compared(rows, partition, all_oral=True)
        counted = [row for row in oral if row.chemical in inside]
        print(f"{title}\n{results(found, inside, counted)}")
        print("left out:", ", ".join(f"{name} ({n})" for name, n in left_out.items()), "\n")
        if kinds:
            print(by_kind(found), "\n")
    if kinds:
        print(bounds(fits(data), analyses(data)))


def compared(
    rows: list[dict[str, str]], partition: str = DEFAULT_METHOD, all_oral: bool = False
) -> tuple[list[Row], Counter]:
    """All comparisons; reason -> how many are left out. all_oral: whatever the route was."""
    found: list[Row] = []
    left_out: Counter = Counter()
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
            found += predicted(species, known, partition, all_oral, left_out)
    return found, left_out


def domain(data: Path) -> set[str]:
    """DTXSID of the chemicals that httk's own model takes."""
    with gzip.open(data / "httk/chem_physical_and_invitro.csv.gz", "rt") as file:
        return {
            row["DTXSID"]
            for row in csv.DictReader(file)
            if float(row["logHenry"] or "nan") <= LOG_HENRY
            and row["Chemical.Class"] != "PFAS"
            and row["Human.Funbound.plasma"].split(",")[0].strip() not in ("", "0")
        }


def results(found: list[Row], inside: set[str], counted: list[Row]) -> str:
    """A line a group."""
    lines = [["", "species", "route", "n", "chemicals", "RMSLE", "95 %", "mean", "httk"]]
    for quantity in ("AUC", "Cmax"):
        rows = [row for row in found if row.quantity == quantity]
        scale = float(np.log10(DAY)) if quantity == "AUC" else 0.0
        groups = {
            ("all", "all"): rows,
            ("all", "httk's chemicals"): [row for row in rows if row.chemical in inside],
            ("all", "as httk counts"): [
                row._replace(error=row.error - scale) for row in counted if row.quantity == quantity
            ],
        }
        for species in ("rat", "mouse", "human"):
            for route in ("iv", "oral"):
                groups[species, route] = [row for row in rows if row[:2] == (species, route)]
        for (species, route), group in groups.items():
            if group:
                httk = PUBLISHED[quantity] if species == "all" else ""
                lines.append([quantity, species, route, *summary(group), httk])
    return aligned(lines, left=(0, 1, 2))


def by_kind(found: list[Row]) -> str:
    """RMSLE of AUC by what is known of a chemical."""
    kinds: dict[str, Callable[[Drug], str]] = {
        "charge": charge,
        "clearance": lambda drug: "none in vitro" if not drug.hepatocyte_clint else "some",
        "fraction unbound": lambda drug: "measured" if "fu" not in drug.estimated else "assumed",
        "bound": lambda drug: "below 5 %" if drug.fu < 0.05 else "above",
        "log P": lambda drug: "above 4" if drug.log_p > 4.0 else "up to 4",
        "cells": lambda drug: (
            "of human" if "hepatocyte_clint" in drug.estimated else "of the species or of human"
        ),
    }
    lines = [["AUC by", "", "n", "chemicals", "RMSLE", "95 %", "mean"]]
    rows = [row for row in found if row.quantity == "AUC"]
    for title, kind in kinds.items():
        for value in sorted({kind(row.drug) for row in rows}):
            chosen = [row for row in rows if kind(row.drug) == value]
            lines.append([title, value, *summary(chosen)])
    return aligned(lines, left=(0, 1))


def bounds(of_fits: list[dict[str, str]], of_studies: list[dict[str, str]]) -> str:
    """What no model can be nearer than: two tellings of one AUC, and clearances of rats that are
    more than the heart delivers.
    """
    told: list[dict[tuple[str, ...], list[float]]] = []
    rat = tl.Body.of("rat")
    output = rat["cardiac_output"] / rat["body_weight"]  # L/h/kg
    lines = []
    for title, rows in (("fits", of_fits), ("studies", of_studies)):
        areas: dict[tuple[str, ...], list[float]] = {}
        fast = []
        for row in rows:
            area = float(row["AUC_infinity"] or "nan") / float(row["Dose"])
            whole = float(row["AUC_tlast"] or "nan") / float(row["Dose"]) >= SEEN * area
            if not (0.0 < area < np.inf and whole):
                continue
            key = tuple(row[name] for name in ("Chemical", "Species", "Route", "Media"))
            areas.setdefault(key, []).append(float(np.log10(area)))
            if row["Species"] == "rat" and row["Route"] == "iv":
                fast.append(1.0 / area > output)
        told.append(areas)
        lines.append(
            f"{title}: clearance above the cardiac output in {np.mean(fast):.0%} of {len(fast)} "
            "intravenous ones in rats"
        )
    apart = [np.mean(told[0][key]) - np.mean(told[1][key]) for key in told[0] if key in told[1]]
    lines.append(
        f"the same AUC, by fit over by study: RMS of log10 {np.sqrt(np.mean(np.square(apart))):.2f}"
        f" (n {len(apart)})"
    )
    return "\n".join(lines)


def charge(drug: Drug) -> str:
    """At pH 7.4."""
    base = bool(drug.bases) and max(drug.bases) > PLASMA_PH
    acid = bool(drug.acids) and min(drug.acids) < PLASMA_PH
    if base:
        return "zwitterion" if acid else "base"
    return "acid" if acid else "neutral"


def fits(data: Path, first: bool = False) -> list[dict[str, str]]:
    """A row for each chemical, species, route and medium, at 1 mg/kg; first: with the peak that was
    measured, not the fit's.
    """
    peak = "nca" if first else "tkstats"
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
                "Cmax": row[f"Cmax.{peak}"],
                "tmax": row[f"tmax.{peak}"],
            },
        )
    return list(rows.values())


def analyses(data: Path) -> list[dict[str, str]]:
    """A row for each study."""
    return table(data / "cvtdb/NonCompartmentalAnalysis.csv")


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def predicted(
    species: str, rows: list, partition: str, all_oral: bool, left_out: Counter
) -> list[Row]:
    """Two comparisons a row."""
    options = {
        "partition": partition,
        "composition": read_composition(species=species),
    }
    drugs = [drug for drug, _ in rows]
    model = whole_body(drugs[0], **options)
    body = {} if species == "human" else tl.Body.of(species).numbers(model.parameter_names)
    weight = body.get("body_weight", BODY_WEIGHT.man)
    dose = np.array([float(row["Dose"]) * weight for _, row in rows])  # mg/kg
    iv = np.array([row["Route"] == "iv" and not all_oral for _, row in rows])
    regimen = tl.Regimen.bolus(np.where(iv, dose, 0.0), into="venous")
    regimen = regimen + tl.Regimen.bolus(np.where(iv, 0.0, dose), into="stomach_lumen")
    tmax = [max(float(row["tmax"] or 0.0), 1e-3) for _, row in rows]
    solution = tl.simulate(
        model,
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
            found.append(Row(species, row["Route"], row["Chemical"], quantity, error, drug))
    return found


def summary(rows: list[Row]) -> list[str]:
    """n, chemicals, RMSLE, its interval, mean."""
    errors = np.array([row.error for row in rows])
    names = np.array([row.chemical for row in rows])
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--partition", choices=METHODS, default=DEFAULT_METHOD)
    parser.add_argument("--kinds", action="store_true", help="who carries the error")
    options = parser.parse_args()
    main(options.data, options.partition, options.kinds)
