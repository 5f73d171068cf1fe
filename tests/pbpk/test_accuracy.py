"""The figures of the docs on accuracy, by the programs that print them, where the data are.

Nothing is fitted to what they compare with: bounds are those that the docs promise.
"""

from __future__ import annotations

import importlib.util
import math
from types import ModuleType

import numpy as np
import pytest
from folders import DATA, ROOT
from teorell.pbpk import METHODS


def program(name: str, needs: str) -> ModuleType:
    """A file of bench/, or a skip that says what was not checked."""
    if not (DATA / needs).exists():
        pytest.skip(f"NOT CHECKED: accuracy of {name}, {DATA / needs} is not here")
    spec = importlib.util.spec_from_file_location(name, ROOT / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_partition_coefficients_against_observed_ones() -> None:
    bench = program("partition", "httk/tissue_partition_coefficients_observed.csv")
    errors, _ = bench.compared(DATA)
    rmse = {method: float(np.sqrt(np.mean(errors[method, "all"] ** 2))) for method in METHODS}
    assert all(errors[method, "all"].size > 600 for method in METHODS)
    # httk 2.7.0 publishes 0.629 of itself
    assert rmse["rodgers_rowland"] < 0.629
    assert rmse["rodgers_rowland"] == min(rmse.values())
    assert max(rmse.values()) < 1.25


def within_twofold(rows: list[tuple], route: str, column: int) -> float:
    """The share of studies of target A."""
    ratios = [row[column] for row in rows if row[0] == route and row[1]["target"] == "A"]
    assert len(ratios) > 50
    return float(np.mean(np.abs(np.log(ratios)) < math.log(2.0)))


def test_compounds_of_the_osp_library_reproduce_their_studies() -> None:
    bench = program("osp_reproduction", "osp/osp_studies.csv.gz")
    found, _ = bench.studied(DATA, documented=False)
    assert within_twofold(found, "iv", 3) > 0.9
    assert within_twofold(found, "oral", 3) > 0.65


def test_documented_drugs_predict_human_studies() -> None:
    bench = program("osp_reproduction", "osp/osp_studies.csv.gz")
    found, _ = bench.studied(DATA, documented=True)
    assert within_twofold(found, "iv", 3) > 0.8
    assert within_twofold(found, "oral", 3) > 0.9
    assert within_twofold(found, "oral", 4) > 0.9
