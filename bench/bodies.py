"""Bodies of `tl.Body` against PK-Sim's individuals of the same age, sex, height and weight.

python bench/bodies.py

Reads ../shared/data/osp_validator (GPL: for checking alone). PK-Sim's organs hold their blood and
stand at 1 kg/L or at a density of the tissue; teorell's masses are without blood. Ratios are
teorell / PK-Sim.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import teorell as tl
from teorell.physiology.checks import SPECIES

FILE = (
    Path(__file__).resolve().parents[2] / "shared/data/osp_validator/pksim_physiology_long.csv.gz"
)
ORGANS = {
    "Fat": ("adipose",), "Bone": ("bone",), "Brain": ("brain",), "Gonads": ("gonads",),
    "Heart": ("heart",), "Kidney": ("kidney",), "Liver": ("liver",), "Lung": ("lung",),
    "Muscle": ("muscle",), "Pancreas": ("pancreas",), "Skin": ("skin",), "Spleen": ("spleen",),
    "Stomach": ("stomach",), "SmallIntestine": (), "LargeIntestine": (),
}  # fmt: skip


def main() -> None:
    table = pd.read_csv(FILE)
    table = table[table["sub"].isna()]
    rows = {}
    for case, each in table.groupby("case"):
        names = zip(each.organ.fillna(""), each.parameter, strict=True)
        values = dict(zip(names, each.value_internal_units, strict=True))
        species = each.species.iloc[0].lower()
        if species not in SPECIES:
            continue
        weight = values["", "Weight"]
        if species == "human":
            body = tl.Body.human(
                each.age_y.iloc[0], str(each.gender.iloc[0]).lower(), values["", "Height"] / 10,
                weight,
            )  # fmt: skip
        else:
            body = tl.Body.of(species, weight)
        label = str(case).split("-")[-1][:30]
        row = {
            "age": each.age_y.iloc[0],
            "kg": weight,
            "CO": body["cardiac_output"] / (60 * values["Lung", "Blood flow rate"]),
            "GFR": body["glomerular_filtration"]
            / (60 * values.get(("Kidney", "GFR"), float("nan"))),
            "hct": body["haematocrit"] / values["", "Hematocrit"],
        }
        for theirs, ours in ORGANS.items():
            volume = values.get((theirs, "Volume"), 0.0)
            if ours and volume:
                row[ours[0]] = body[f"mass_{ours[0]}"] / volume
        gut = sum(
            values.get((name, "Volume"), 0.0) for name in ("SmallIntestine", "LargeIntestine")
        )
        row["gut"] = body["mass_gut"] / gut
        for theirs, ours in ORGANS.items():
            flow = values.get((theirs, "Blood flow rate"), 0.0)
            if ours and flow and theirs not in ("Lung", "Gonads"):
                row[f"Q {ours[0]}"] = body[f"flow_{ours[0]}"] / (60 * flow)
        rows[label] = row
    with pd.option_context("display.width", 300, "display.max_columns", 60, "display.precision", 2):
        print(pd.DataFrame(rows).round(2).to_string())


if __name__ == "__main__":
    main()
