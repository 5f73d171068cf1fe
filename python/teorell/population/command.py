"""`teorell population`: people sampled into a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from teorell.errors import InputError
from teorell.tables import aligned, check_folder

__all__ = ["add_parser", "run"]

# of files that hold no CSV
OTHER_KINDS = (".xlsx", ".xls", ".ods", ".parquet", ".json", ".zarr", ".gz", ".zip", ".rds", ".xpt")
SHOWN = ("age", "body_weight", "height", "body_mass_index", "haematocrit", "gfr", "cardiac_output")


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare `teorell population` among the commands."""
    parser = commands.add_parser(
        "population",
        help="people, or animals, sampled into a table",
        description="Sample people about those of NHANES 2013-2018, or animals, into a CSV file.",
    )
    parser.add_argument("--people", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: 1)")
    parser.add_argument("--species", default="human", help="such as rat (default: human)")
    parser.add_argument(
        "--age", type=float, nargs="+", metavar="YEARS", help="one, or least and most, to 100"
    )
    parser.add_argument("--sex", help="male or female (default: both)")
    parser.add_argument("--bmi", type=float, nargs=2, metavar="KG/M2", help="least and most")
    parser.add_argument("--gfr", help="normal, mild, moderate, severe or failure (default: all)")
    parser.add_argument(
        "--unweighted", action="store_true",
        help="as often as in the survey, not as in the United States",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("csv", "pksim"), default="csv",
        help="pksim: a population file of PK-Sim (default: csv)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("population.csv"),
        help="the file written (default: population.csv)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Sample, write the table, print percentiles. Returns 0.

    Raises InputError for a request that cannot be served, before any work.
    """
    from teorell.population.population import Population

    out: Path = options.out
    check_folder(out.parent, "--out")
    if out.is_dir():
        raise InputError(f"--out is {out} (a folder; a file is written). Name a file in it.")
    if out.suffix.lower() in OTHER_KINDS:
        raise InputError(f"--out is {out} (a CSV file is written). Let it end in .csv.")
    if options.people < 1:
        raise InputError(f"--people is {options.people} (one is the least). Give 1 or more.")
    age = options.age
    if age is not None and len(age) > 2:
        raise InputError(f"--age has {len(age)} numbers (one, or least and most). Give two.")
    people = Population.sample(
        options.people,
        species=options.species,
        age=None if age is None else age[0] if len(age) == 1 else tuple(age),
        sex=options.sex,
        bmi=None if options.bmi is None else tuple(options.bmi),
        gfr=options.gfr,
        seed=options.seed,
        survey_weights=not options.unweighted,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    path = people.to_pksim(out) if options.format == "pksim" else people.to_csv(out)
    rows = [["", "unit", "2.5 %", "median", "97.5 %"]]
    for name in SHOWN:
        if name in people.columns:
            quantiles = np.quantile(people[name], [0.025, 0.5, 0.975])
            rows.append([name, people.unit(name), *(f"{each:.4g}" for each in quantiles)])
    print(people)
    print(f"\n{aligned(rows, (0, 1))}\n\n{path}")
    return 0
