"""How the tables of python/teorell/physiology/data were made from ../shared/data.

python bench/physiology_tables.py

Writes human_growth.csv (ICRP 89), haematocrit.csv and nhanes.csv.gz (NHANES 2013-2018 as in httk
2.7), and animals.csv (httk 2.7, with a few numbers of Davies & Morris 1993). The other tables were
written by hand.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
from teorell.physiology.sources import UNCHECKED

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
TABLES = ROOT / "python" / "teorell" / "physiology" / "data"

AGES = (0, 1, 5, 10, 15, 20)  # years: the reference ages of ICRP 89; "adult" stands at 20
ORGANS = {
    "lung": "lu", "bone": "bo", "brain": "br", "gonads": "go", "heart": "he", "kidney": "ki",
    "muscle": "mu", "skin": "sk", "stomach": "st", "small_intestine": "sm_int",
    "large_intestine": "la_int", "spleen": "sp", "pancreas": "pa", "liver": "li", "blood": "bl",
}  # fmt: skip
# Separable adipose tissue without yellow marrow, g: table 2.8 of ICRP 89, as in the supplement of
# Huisinga et al. (2012), doi:10.1038/psp.2012.3. The toolkit's table has another line of it, the
# storage fat: 14,600 and 18,000 g of the adults.
ADIPOSE = {
    "male": (890, 3600, 5000, 7500, 9500, 14500),
    "female": (890, 3600, 5000, 7500, 16000, 19000),
}
# L/min; the toolkit's table has the girl's of 15 years and the woman's in each other's place. The
# supplement takes those of the first year from elsewhere.
OUTPUT = {"male": (0.6, 1.2, 3.4, 5.0, 6.1, 6.5), "female": (0.6, 1.2, 3.4, 5.0, 6.1, 5.9)}


def growth() -> list[str]:
    table = pd.read_csv(DATA / "pbpktoolkit" / "icrpData.csv")
    lines = ["sex,age_y,quantity,value,unit,source,checked"]
    for sex in ("male", "female"):
        for row, age in enumerate(AGES):

            def number(short: str, row: int = row, letter: str = sex[0]) -> float:
                return float(table[f"{short}_{letter}"][row])

            lines.append(f"{sex},{age},body_weight,{number('bw'):g},kg,A,repeated")
            lines.append(f"{sex},{age},height,{number('ht') / 100:g},m,A,repeated")
            checked = UNCHECKED if age < 5 else "repeated"
            output = OUTPUT[sex][row] * 60
            lines.append(f"{sex},{age},cardiac_output,{output:g},L/h,A,{checked}")
            adipose = ADIPOSE[sex][row] / 1000
            lines.append(f"{sex},{age},mass_adipose,{adipose:g},kg,A,repeated")
            for name, short in ORGANS.items():
                lines.append(f"{sex},{age},mass_{name},{number(short):g},kg,A,repeated")
    return lines


def nhanes() -> pd.DataFrame:
    rows = pd.read_csv(DATA / "httk" / "nhanes_2013_2018_individuals.csv.gz")
    return pd.DataFrame(
        {
            "age_months": rows.ridexagm,
            "female": (rows.riagendr == "Female").astype(int),
            "weight_kg": rows.bmxwt,
            "height_cm": rows.bmxhtlenavg,
            "haematocrit_percent": rows.lbxhct,
            "creatinine_mg_dl": rows.lbxscr,
            "survey_weight": (rows.wtmec6yr).round().astype(int),
        }
    ).sort_values(["female", "age_months", "weight_kg", "height_cm"], ignore_index=True)


# age knot -> ages whose mean it is; before the first birthday Dallman (1977)
INFANTS = {0.0: 0.51, 0.01: 0.56, 0.02: 0.54, 0.04: 0.51, 0.08: 0.43, 0.17: 0.35, 0.5: 0.35}
BANDS = {1.5: (1, 2), 4: (2, 6), 9: (6, 12), 13.5: (12, 15), 16.5: (15, 18), 22: (18, 26),
         35: (26, 45), 52: (45, 60), 65: (60, 70), 75: (70, 80)}  # fmt: skip


def haematocrit(people: pd.DataFrame) -> list[str]:
    lines = ["sex,age_y,quantity,value,unit,source,checked"]
    age = people.age_months / 12
    for female, sex in enumerate(("male", "female")):
        for at, value in INFANTS.items():
            lines.append(f"{sex},{at},haematocrit,{value},1,I,repeated")
        for at, (low, high) in BANDS.items():
            chosen = people[(people.female == female) & (age >= low) & (age < high)]
            mean = chosen.haematocrit_percent.mean() / 100
            lines.append(f"{sex},{at},haematocrit,{mean:.3f},1,N,derived")
    return lines


SPECIES = {"mouse": "Mouse", "rat": "Rat", "rabbit": "Rabbit", "dog": "Dog", "monkey": "Monkey"}
# Davies & Morris (1993), mL/min of animals of 0.02, 0.25, 2.5, 10 and 5 kg
ARTERY = {"mouse": 0.35, "rat": 2.0, "rabbit": 37.0, "dog": 79.0, "monkey": 51.0}
RABBIT_OUTPUT = 530.0
# Liver less gut in httk is this artery; the rabbit's and the monkey's gut are told otherwise there.
ARTERY_IN_HTTK = ("mouse", "rat", "dog")
# Brown et al. (1997), of the gut's share: httk's gut is the sum of these three
STOMACH = {
    "mouse": {"stomach": 0.0060, "small_intestine": 0.0253, "large_intestine": 0.0109},
    "rat": {"stomach": 0.0046, "small_intestine": 0.0140, "large_intestine": 0.0084},
    "dog": {"stomach": 0.0079, "small_intestine": 0.0222, "large_intestine": 0.0067},
}
NUMBERS = {
    "Hematocrit": ("haematocrit", "1", 1.0),
    "GFR": ("gfr_per_weight", "mL/min/kg^0.75", 1.0),
    "Plasma albumin": ("albumin", "g/L", 1000.0),
    "Plasma a-1-AGP": ("alpha1_acid_glycoprotein", "g/L", 1000.0),
    "Urine": ("urine_per_weight", "mL/min/kg^0.75", 1.0),
    "Bile": ("bile_per_weight", "mL/min/kg^0.75", 1.0),
    "Average Body Temperature": ("temperature", "degC", 1.0),
}


# httk's Reference: Brown's group (ILSI 1994) for mouse, rat and dog, Davies & Morris for rabbit and
# monkey, but for these, which are its numbers of man and rat
MASSES_OF = {"mouse": "B", "rat": "B", "dog": "B", "rabbit": "G", "monkey": "G"}
STOOD_IN = {"rabbit": ("bone",), "monkey": ("bone", "brain", "lung", "spleen")}
OTHER_SOURCE = {"temperature": "B3", "small_intestinal_transit": "B4"}  # than Davies & Morris


def animals() -> list[str]:
    tissues = pd.read_csv(DATA / "httk" / "tissue_data.csv")
    numbers = pd.read_csv(DATA / "httk" / "physiology_data.csv").set_index("Parameter")

    def of(variable: str, name: str, species: str) -> float:
        chosen = tissues[
            (tissues.variable == variable) & (tissues.Tissue == name) & (tissues.Species == species)
        ]
        return float(chosen.value.iloc[0])

    lines = ["species,quantity,value,unit,source,checked"]
    for species, theirs in SPECIES.items():
        weight = float(numbers[theirs]["Average BW"])
        metabolic = weight**0.75
        lines.append(f"{species},body_weight,{weight:g},kg,G,httk")
        output = float(numbers[theirs]["Cardiac Output"])
        source = "G,httk"
        if species == "rabbit":
            output, source = round(RABBIT_OUTPUT / metabolic, 1), f"G2,{UNCHECKED}"
        lines.append(f"{species},cardiac_output,{output:g},mL/min/kg^0.75,{source}")
        plasma = float(numbers[theirs]["Plasma Volume"])
        lines.append(f"{species},plasma_volume,{plasma:g},mL/kg,G,httk")
        for key, (name, unit, factor) in NUMBERS.items():
            value = float(numbers[theirs][key])
            if np.isfinite(value):
                source = OTHER_SOURCE.get(name, "G")
                lines.append(f"{species},{name},{value * factor:.6g},{unit},{source},httk")
        for organ in ("lung", "adipose", "bone", "brain", "heart", "kidney", "muscle", "skin",
                      "gut", "spleen", "liver"):  # fmt: skip
            fraction = of("Vol (L/kg)", organ, theirs) * of("Density (g/cm^3)", organ, "Human")
            source = "B2" if organ in STOOD_IN.get(species, ()) else MASSES_OF[species]
            lines.append(f"{species},mass_share_{organ},{fraction:.4g},1,{source},httk")
            if organ not in ("lung", "gut"):
                flow = of("Flow (mL/min/kg^(3/4))", organ, theirs)
                name = "liver_total" if organ == "liver" else organ
                lines.append(f"{species},flow_{name},{flow:g},mL/min/kg^0.75,G,httk")
        for organ, share in STOMACH.get(species, {}).items():
            lines.append(f"{species},mass_share_{organ},{share:g},1,B,{UNCHECKED}")
        artery = ARTERY[species] / metabolic
        checked = "httk" if species in ARTERY_IN_HTTK else UNCHECKED
        lines.append(f"{species},flow_hepatic_artery,{artery:.4g},mL/min/kg^0.75,G2,{checked}")
    table = (TABLES / "animals.csv").read_text(encoding="utf-8")  # of the minipig: by hand
    return lines + [line for line in table.splitlines() if line.startswith("minipig,")]


def main() -> None:
    people = nhanes()
    for name, lines in {
        "human_growth.csv": growth(),
        "haematocrit.csv": haematocrit(people),
        "animals.csv": animals(),
    }.items():
        (TABLES / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = people.to_csv(index=False, float_format="%g", lineterminator="\n").encode()
    with (TABLES / "nhanes.csv.gz").open("wb") as file:
        file.write(gzip.compress(text, mtime=0))


if __name__ == "__main__":
    main()
