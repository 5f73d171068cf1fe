"""How the tables of python/teorell/learn/allometry/data were made.

python bench/allometry_tables.py [SHARED]

From ../shared/data, or SHARED/data: PKSmart (Apache-2.0), httk 2.7 (MIT). No drug of the animal
table is in the human one: rows of the same structure, or of the same mass to 0.011 g/mol, are left
out.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared"
DATA = SHARED / "data"
OUT = ROOT / "python" / "teorell" / "learn" / "allometry" / "data"
SAME_MASS = 0.011  # g/mol
WEIGHT = {"Mouse": 0.02, "Rat": 0.25, "Rabbit": 2.5, "Monkey": 5.0, "Dog": 10.0, "Human": 70.0}
LEFT_OUT = ("placenta", "thyroid", "rest")
NAMES = {  # the table has lost every "na" of its names; those whose mass says which drug they are
    "Artesute": "Artesunate", "Aztreom": "Aztreonam", "Carumom": "Carumonam",
    "Clozepam": "Clonazepam", "Darifecin": "Darifenacin", "Diclofec": "Diclofenac",
    "Fisteride": "Finasteride", "Flucozole": "Fluconazole", "Indivir": "Indinavir",
    "Itracozole": "Itraconazole", "lbuphine": "Nalbuphine", "ltrexone": "Naltrexone",
    "Phecetin": "Phenacetin", "Procaimide": "Procainamide", "Recaim": "Recainam",
    "Saquivir": "Saquinavir", "Sildefil": "Sildenafil", "Voricozole": "Voriconazole",
}  # fmt: skip
METABOLIC = 0.75  # the exponent of body weight in httk's flows


def main() -> None:
    animal = pd.read_csv(DATA / "pksmart" / "Animal_PK_data.csv")
    columns = ["NAME", "smiles_r", "molecular_weight_smiles_r"]
    columns += [c for c in animal if c.endswith(("_mL_min_kg", "_L_kg", "_fup"))]
    _write(animal[columns].replace({"NAME": NAMES}), "animal_pk.csv.gz")

    human = pd.read_csv(DATA / "pksmart" / "Human_PK_data.csv")
    masses = human.molecular_weight_smiles_r.to_numpy()[:, None]
    near = np.abs(masses - animal.molecular_weight_smiles_r.to_numpy()) < SAME_MASS
    kept = ~(near.any(axis=1) | human.smiles_r.isin(animal.smiles_r))
    columns = ["smiles_r", "molecular_weight_smiles_r", "human_CL_mL_min_kg", "human_VDss_L_kg"]
    _write(human.loc[kept, [*columns, "human_fup"]], "human_pk.csv.gz")
    _write(organs(), "organs.csv.gz")


def organs() -> pd.DataFrame:
    """species, weight [kg], organ, quantity ("volume" [L], "flow" [mL/min]), value."""
    rows = []
    tissues = pd.read_csv(DATA / "httk" / "tissue_data.csv")
    kinds = {"Vol (L/kg)": ("volume", 1.0), "Flow (mL/min/kg^(3/4))": ("flow", METABOLIC)}
    for row in tissues.itertuples():
        if row.variable in kinds and row.Tissue not in LEFT_OUT and float(row.value) > 0:
            kind, power = kinds[row.variable]
            weight = WEIGHT[row.Species]
            rows.append((row.Species, weight, row.Tissue, kind, float(row.value) * weight**power))
    body = pd.read_csv(DATA / "httk" / "physiology_data.csv").set_index("Parameter")
    for name, organ, kind, power in (
        ("Plasma Volume", "plasma", "volume", 1.0),
        ("Cardiac Output", "plasma", "flow", METABOLIC),
        ("GFR", "glomeruli", "flow", METABOLIC),
    ):
        for species, weight in WEIGHT.items():
            value = float(body.loc[name, species]) * weight**power  # volumes: mL/kg
            rows.append((species, weight, organ, kind, value / (1000 if kind == "volume" else 1)))
    table = pd.DataFrame(rows, columns=["species", "weight", "organ", "quantity", "value"])
    table["species"] = table.species.str.lower()
    return table.sort_values(["weight", "organ", "quantity"])


def _write(table: pd.DataFrame, name: str) -> None:
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    (OUT / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{name}: {len(table)} rows")


if __name__ == "__main__":
    main()
