"""A population of which some fail, and stores of it, for the tests of stores."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import teorell as tl
from teorell import Regimen

# zarr 3 needs Python 3.11
KINDS = ["zarr", "parquet"] if importlib.util.find_spec("zarr") else ["parquet"]
N = 61
TIMES = np.linspace(0.0, 12.0, 7)
CHUNK = 8


def two_outputs():
    """The amount is eliminated at a constant rate: of some patients it turns negative, and they
    fail.
    """
    model = tl.Model("zero order", time_unit="hours")
    rate = model.parameter("rate", 1.0, unit="mg/h")
    k = model.parameter("k", 0.3)
    a, b = model.states("a", "b", unit="mg")
    model.flow(a, None, rate)
    model.flow(b, a, k * b)
    model.output("amount", a, unit="mg")
    model.output("depot", b)
    return model


MODEL = two_outputs()
DRAWN = np.random.default_rng(5)
TABLE = DRAWN.uniform(0.5, 1.2, (N, 3))
PEOPLE = {"rate": 4.4 * TABLE[:, 1], "k": TABLE[:, 0].astype(np.float32)}
AMOUNTS = DRAWN.uniform(30.0, 40.0, N)
REGIMEN = Regimen.bolus(AMOUNTS, into="b") + Regimen.bolus(
    5.0, into="a", time=1.0, every=2.0, doses=3
)
SHARED = Regimen.bolus(40.0, into="b")
ALL = (MODEL, PEOPLE, REGIMEN, TIMES)


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def chunk_files(path: Path, number: int) -> list[Path]:
    """The files of a chunk in a store."""
    if path.suffix == ".parquet":
        return sorted(path.rglob(f"part-{number:08d}.parquet"))
    found = [each / "c" / str(number) for each in path.iterdir() if each.is_dir()]
    found = [file / "0" if file.is_dir() else file for file in found if file.parent.exists()]
    return sorted(file for file in found if file.exists() and file.parts[-3] != "time")


class Doses:
    """Anything that says what the doses of some patients are."""

    def part(self, start, stop):
        return REGIMEN.part(start, stop)


def one_a_patient():
    return [Regimen.bolus(float(amount), into="b") if amount < 38.0 else None for amount in AMOUNTS]


class Bare:
    """The least an executor can be: its futures have nothing but a result."""

    def submit(self, function, *args):
        return SimpleNamespace(result=lambda: function(*args))
