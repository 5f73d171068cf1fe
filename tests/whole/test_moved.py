"""Doors where modules stood before they moved: old imports, and pickles that the flat layout made.

cases/pickles_0_1_0.json holds what version 0.1.0 pickled of the model below and of its results.
"""

from __future__ import annotations

import base64
import json
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
import teorell as tl
from teorell.moved import MOVED

PICKLES = Path(folders.__file__).with_name("pickles_0_1_0.json")


@pytest.fixture(scope="module")
def old() -> dict[str, Any]:
    texts = json.loads(PICKLES.read_text())
    return {name: pickle.loads(base64.b64decode("".join(lines))) for name, lines in texts.items()}


def test_a_model_of_then_is_the_model_of_now(old: dict[str, Any]) -> None:
    model = tl.Model("small")
    k, v = model.parameters(k=0.3, v=2.0)
    (x,) = model.states("x")
    model.flow(x, None, k * x)
    model.output("c", x / v, unit="mg/L")
    model.dosing(x, lag=0.5 * k)
    assert old["model"].content() == model.content()
    assert old["expression"] is k * x
    assert repr(old["regimen"]) == repr(tl.Regimen.bolus([5.0, 7.0], into="x", every=2.0, doses=2))


def test_results_of_then_can_be_used(old: dict[str, Any]) -> None:
    model, regimen, solution = old["model"], old["regimen"], old["solution"]
    assert isinstance(solution, tl.Solution)
    solution.raise_for_status()
    steps = tl.stepwise([0.0, 1.0], [[0.1, 0.2], [0.3, 0.4]])
    again = tl.simulate(model, {"k": steps}, regimen, solution.times, reductions=[tl.Cmax("c")])
    np.testing.assert_allclose(again.values, solution.values, rtol=1e-5)
    (peak,) = solution.reductions
    np.testing.assert_allclose(again.reductions[peak], solution.reductions[peak], rtol=1e-5)
    np.testing.assert_array_equal(solution.parameters["k"].values, steps.values)
    ragged = old["ragged"]
    assert ragged.patient.tolist() == [0, 1, 1]
    weights = np.ones((2, 3, 1))
    gradient = tl.value_and_grad(weights, model, {"k": 0.2}, regimen, solution.times)[1]
    np.testing.assert_allclose(old["gradient"].parameters["k"], gradient.parameters["k"], rtol=1e-4)
    events = old["events"]
    assert tl.simulate(model, events.parameters, events.regimen, events.times).success.all()


@pytest.mark.parametrize("name", MOVED)
def test_an_old_import_finds_the_names(name: str) -> None:
    door = import_module(f"teorell.{name}")
    for behind in MOVED[name]:
        module = import_module(f"teorell.{behind}")
        for public in module.__all__:
            assert hasattr(door, public), f"teorell.{name} has no {public}"
    assert not hasattr(door, "nothing_of_this_name")


def test_what_users_and_faults_imported() -> None:
    from teorell import machine_code, object_cache, reference_models, solve

    assert machine_code.emit is not None
    assert object_cache.fetch is not None
    assert reference_models.problem_b is not None
    assert solve.STATUS is tl.STATUS
    assert solve.METHODS is tl.METHODS
    assert tl.nca is import_module("teorell.nca").nca
    assert callable(tl.nca)
