"""Everything wrong that can be given to `simulate`: an exception before anything runs, with
problem, reason, remedy.

The solver is a stand-in here that keeps what it was called with.
"""

from __future__ import annotations

import re
import sys
import types
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from teorell.engine.batch import Raw
from teorell.schedule.given_doses import dose_table

TIMES = np.linspace(0.0, 24.0, 5)
GRAMMAR = re.compile(r".+ \(.+\)\. .+[.?]", re.DOTALL)  # problem (reason). Remedy.


@dataclass
class Switch:
    threshold: tl.model.expression.Expression
    before: float
    after: float


class Stage:
    """Stands for lowering and the solver: what they were given, and whether they were called at
    all.
    """

    def __init__(self, monkeypatch):
        self.called = False
        self.switches = ()
        solver = types.ModuleType("teorell.engine.solve")
        solver.solve = self.solve
        monkeypatch.setitem(sys.modules, "teorell.engine.solve", solver)
        monkeypatch.setattr("teorell.engine.executors.METHODS", ("rodas5p",))
        monkeypatch.setattr("teorell.lowering.recent.programs_of", self.lower)

    def lower(self, model, outputs, infused, derivatives):
        self.called, self.infused = True, list(infused)
        return types.SimpleNamespace(
            parameter_names=model.parameter_names,
            infused=tuple(infused),
            switches=self.switches,
            arrivals=(),
            outputs=outputs,
        )

    def solve(self, batch, **options):
        self.columns, self.patients, self.timeline = batch.columns, batch.patients, batch.timeline
        self.times, self.summary, self.options = batch.times, batch.summary, options
        patients = batch.patients
        if options["progress"]:
            options["progress"](patients, patients)
        reduced = np.zeros((patients, len(batch.summary or ())))
        return Raw(
            values=np.zeros((patients, len(batch.times), len(batch.programs.outputs))),
            status=np.zeros(patients, np.int32),
            failure_time=np.full(patients, np.nan),
            steps=np.zeros(patients, np.int64),
            rejected=np.zeros(patients, np.int64),
            reduced=reduced,
            reached=reduced + 1.0,
        )


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


@pytest.fixture
def model():
    model = tl.Model("two compartments")
    cl, v1 = model.parameters(cl=5.0, v1=20.0)
    fu = model.parameter("fu", 0.5, lower=0.0, upper=1.0)
    central, peripheral = model.states("central", "peripheral")
    model.flow(central, None, fu * cl / v1 * central)
    model.flow(central, peripheral, central)
    model.output("cp", central / v1, unit="mg/L")
    model.output("amount", central + peripheral)
    return model


def test_defaults_and_conversions(stage, model):
    wide = np.arange(30.0).reshape(10, 3)
    solution = tl.simulate(model, {"v1": wide[:, 1] + 0.0, "cl": np.arange(1, 11)}, None, TIMES)
    assert stage.patients == 10
    cl, v1, fu = stage.columns
    np.testing.assert_array_equal(cl, np.arange(1.0, 11.0))
    assert cl.dtype == v1.dtype == fu.dtype == np.float64
    assert (v1.shape, fu.shape, float(fu)) == ((10,), (), 0.5)
    assert solution.outputs == ("cp", "amount")
    assert set(solution.parameters) == {"cl", "v1"}
    assert stage.options["method"] == "rodas5p"
    np.testing.assert_array_equal(stage.options["atol"], [1e-9, 1e-9])
    assert not stage.options["before"]


def test_large_inputs_are_not_copied(stage, model):
    table = np.ones((1000, 3))
    tl.simulate(model, {"cl": table[:, 1]}, None, TIMES)
    assert np.shares_memory(stage.columns[0], table)
    assert stage.columns[0].strides == (24,)


def test_all_scalars_are_one_patient(stage, model):
    assert tl.simulate(
        model, {"cl": 4, "v1": np.float32(30)}, tl.Regimen.bolus(1, into="central"), TIMES
    )["cp"].shape == (1, 5)
    assert stage.columns[1] == 30.0
    tl.simulate(
        model, None, None, [1.0], outputs="cp", atol={"central": 1e-6}, samples="before", threads=2
    )
    np.testing.assert_array_equal(stage.options["atol"], [1e-6, 1e-9])
    assert stage.options["before"]
    assert stage.options["threads"] == 2


def test_patients_come_from_any_array(stage, model):
    frame = pd.DataFrame({"cl": [1.0, 2.0, 3.0], "fu": np.float32([0.1, 0.2, 0.3])})
    tl.simulate(model, frame, None, TIMES)
    assert stage.patients == 3
    np.testing.assert_array_equal(stage.columns[2], frame["fu"].to_numpy().astype(float))
    tl.simulate(
        model,
        types.SimpleNamespace(parameters=frame),
        tl.Regimen.bolus([1, 2, 3], into="central"),
        TIMES,
    )
    assert stage.patients == 3
    tl.simulate(model, None, tl.Regimen.bolus([1, 2, 3, 4], into="central"), TIMES)
    assert stage.patients == 4
    tl.simulate(model, None, [None, tl.Regimen.infusion(1, into="peripheral", duration=2)], TIMES)
    assert stage.patients == 2
    assert stage.infused == ["peripheral"]
    assert stage.timeline.offsets.tolist() == [0, 0, 2]


def test_switches_become_events(stage, model):
    cl = tl.model.expression.symbol("parameter", "cl")
    stage.switches = (Switch(cl * 2.0, 1.0, 0.0),)
    tl.simulate(model, {"cl": [1.0, 2.0]}, None, TIMES)
    np.testing.assert_array_equal(stage.timeline.time, [2.0, 4.0])
    np.testing.assert_array_equal(stage.timeline.kind, [3, 3])
    stage.switches = (Switch(tl.log(cl), 1.0, 0.0),)
    with pytest.raises(tl.InputError, match="not a number for 1 patient, the first is patient 1"):
        tl.simulate(model, {"cl": [1.0, -2.0]}, None, TIMES)


def test_progress(stage, model, capsys):
    seen = []
    tl.simulate(model, None, None, TIMES, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]
    tl.simulate(model, None, None, TIMES, progress=True)
    assert "patients" in "".join(capsys.readouterr())
    tl.simulate(model, None, None, TIMES, progress=False)
    assert stage.options["progress"] is None


def bolus(**changes):
    return tl.Regimen.bolus(**({"amount": 1, "into": "central"} | changes))


BAD = {
    "unknown parameter": ({"parameters": {"CL1": 1.0, "cll": 2.0}}, "unknown parameter 'CL1'"),
    "nearest parameter": ({"parameters": {"cll": 2.0}}, "Did you mean 'cl'?"),
    "parameter in another case": ({"parameters": {"CL": 2.0}}, "Did you mean 'cl'?"),
    "name that is no string": ({"parameters": {3: 2.0}}, "unknown parameter 3"),
    "frame with another column": ({"parameters": pd.DataFrame({"cl": [1.0], "id": [1]})},
    "frame[[...]] selects"), "NaN": ({"parameters": {"cl": [1.0, np.nan, np.nan]}},
    "2 of 3 patients, the first is patient 1 with value nan"),
    "infinite": ({"parameters": {"cl": np.inf}}, "parameter 'cl' is not finite (value inf)"),
    "below": ({"parameters": {"fu": [0.1, -0.1, -0.2]}},
    "below its lower bound 0 (2 of 3 patients, the first is"),
    "above": ({"parameters": {"fu": 1.5}}, "parameter 'fu' is above its upper bound 1 (value 1.5)"),
    "matrix": ({"parameters": {"cl": np.ones((2, 1))}}, "has shape (2, 1)"),
    "lengths": ({"parameters": {"cl": [1.0, 2.0], "v1": [1.0, 2.0, 3.0]}},
    "'v1' has 3 patients, parameter 'cl' has 2"),
    "length one is one patient": ({"parameters": {"cl": [1.0], "v1": [1.0, 2.0]}},
    "has 2 patients"), "regimen length": ({"parameters": {"cl": [1.0, 2.0]},
    "regimen": bolus(amount=[1, 2, 3])}, "has 3 patients"),
    "list length": ({"parameters": {"cl": [1.0, 2.0]}, "regimen": [bolus()]},
    "list of regimens has 1 patient, parameter"), "no patients": ({"parameters": {"cl": []}},
    "no patients"), "no patients in list": ({"regimen": []}, "no patients"),
    "empty frame": ({"parameters": pd.DataFrame({"cl": np.zeros(0)})}, "no patients"),
    "bool": ({"parameters": {"cl": True}}, "has type bool"),
    "complex": ({"parameters": {"cl": np.ones(3, complex)}}, "has type complex128"),
    "string": ({"parameters": {"cl": "5"}}, "has type str"),
    "object": ({"parameters": {"cl": np.array([1.0, None])}}, "has type object"),
    "None": ({"parameters": {"cl": None}}, "has type NoneType"),
    "ragged": ({"parameters": {"cl": [[1.0], [1.0, 2.0]]}}, "not an array of numbers"),
    "masked": ({"parameters": {"cl": np.ma.masked_equal([1.0, 2.0], 2.0)}}, "masked"),
    "parameters are a number": ({"parameters": 3.0}, "parameters is a float"),
    "compartment": ({"regimen": bolus(into="centrl")}, "Did you mean 'central'?"),
    "compartment in list": ({"regimen": [None, bolus(into="gut")]},
    "compartment 'gut' in the regimen of patient 1"),
    "array in list": ({"regimen": [bolus(amount=[1, 2])]}, "of patient 0 has 2 values"),
    "no times": ({"times": None}, "times are missing"), "empty times": ({"times": []},
    "times are empty"), "unsorted": ({"times": [0.0, 2.0, 1.0]},
    "times are unsorted (times[2] = 1 after 2)"), "negative times": ({"times": [-1.0, 0.0]},
    "times begin at -1"), "NaN times": ({"times": [0.0, np.nan]}, "times is not finite"),
    "scalar times": ({"times": 24.0}, "times have no dimensions"),
    "unsorted times of one": ({"times": [[0.0], [1.0, 0.5]]},
    "times of patient 1 are negative or unsorted"), "times of too few": ({"times": [[0.0], [0.0,
    1.0]], "parameters": {"cl": [1.0, 2.0, 3.0]}}, "times has 2 patients"),
    "ragged times": ({"times": [0.0, [0.0, 1.0]]}, "times have 2 dimensions"),
    "output": ({"outputs": ["cpp"]}, "Did you mean 'cp'?"), "no outputs": ({"outputs": []},
    "outputs are empty"), "outputs are no names": ({"outputs": 3},
    "outputs is a int (names are needed)"), "output twice": ({"outputs": ["cp", "cp"]},
    "name one twice"), "rtol small": ({"rtol": 1e-14}, "rtol is 1e-14"),
    "rtol large": ({"rtol": 0.5}, "rtol is 0.5"), "rtol NaN": ({"rtol": np.nan},
    "rtol is not finite"), "rtol array": ({"rtol": [1e-6, 1e-6]}, "rtol is"),
    "atol zero": ({"atol": 0.0}, "atol is 0"), "atol tiny": ({"atol": 1e-200}, "atol is 1e-200"),
    "atol infinite": ({"atol": np.inf}, "atol is not finite"), "atol shape": ({"atol": [1e-6, 1e-6,
    1e-6]}, "atol has 3 values, the model 2 states"), "atol name": ({"atol": {"centra": 1.0}},
    "Did you mean 'central'?"), "method": ({"method": "cvode"}, "unknown method 'cvode'"),
    "samples": ({"samples": "both"}, "unknown samples 'both'"), "executor": ({"executor": "gpu"},
    "unknown executor 'gpu'"), "threads": ({"threads": 0}, "threads is 0"),
    "threads bool": ({"threads": True}, "threads is True"),
    "threads float": ({"threads": 2.0}, "threads is 2.0"),
    "max_steps": ({"max_steps": 0}, "max_steps is 0"),
    "max_step zero": ({"max_step": 0.0}, "max_step is 0.0"),
    "max_step NaN": ({"max_step": np.nan}, "max_step is not finite"),
    "max_step of patients": ({"max_step": [1.0, 2.0]}, "max_step is [1.0, 2.0]"),
    "progress": ({"progress": "yes"}, "progress is 'yes'"),
    "output of a reduction": ({"reductions": [tl.Cmax("cpp")]}, "Did you mean 'cp'?"),
    "no output of a reduction": ({"reductions": [tl.Cmax()]}, "names no output (there are 2)"),
    "reductions of one name": ({"reductions": [tl.AUC("cp"), tl.AUC("cp", end=3.0)]},
    "two reductions are called 'auc_cp'"), "no threshold": ({"reductions": [tl.TimeAbove("cp")]},
    "has no threshold (above what?)"), "window without length": ({"reductions": [tl.Cmin("cp",
    start=24.0)]}, "goes from 24 to 24"), "window of a patient": ({"reductions": [tl.AUC("cp",
    end=[4.0, 0.0])]}, "the first such patient is 1"),
    "window before 0": ({"reductions": [tl.AUC("cp", start=-1.0)]}, "starts at -1"),
    "window not finite": ({"reductions": [tl.AUC("cp", end=np.nan)]},
    "the end of 'auc_cp' is not finite"), "windows of other patients": (
        {"parameters": {"cl": [1.0, 2.0]}, "reductions": [tl.AUC("cp", end=[1.0, 2.0, 3.0])]},
        "has 3 patients"
    ),
    "start and end": ({"reductions": [tl.AUC("cp", start=[0.0, 1.0], end=[2.0, 3.0, 4.0])]},
    "has 3 patients"), "no end": ({"times": None, "reductions": [tl.Cmax("cp")]},
    "has no end (there are no sample times)"), "no end of a patient": ({"times": [[1.0], []],
    "reductions": [tl.Cmax("cp")]}, "a patient has no sample times"),
    "neither times nor reductions": ({"times": None, "reductions": []}, "times are missing"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input(stage, model, arguments, words):
    with pytest.raises(tl.InputError) as caught:
        tl.simulate(model, **({"times": TIMES} | arguments))
    message = str(caught.value)
    assert words in message
    assert GRAMMAR.fullmatch(message), message
    assert not stage.called


def test_wrong_kinds_of_object(stage, model):
    array = type("Array", (), {"__module__": "jaxlib"})()
    with pytest.raises(TypeError, match="jaxlib array"):
        tl.simulate(model, {"cl": array}, None, TIMES)
    with pytest.raises(TypeError, match="cupy array"):
        tl.Regimen.bolus(type("ndarray", (), {"__module__": "cupy"})(), into="central")
    with pytest.raises(TypeError, match="model is a str"):
        tl.simulate("model", None, None, TIMES)
    for regimen in (100, "oral", [bolus(), 3]):
        with pytest.raises(TypeError, match="doses are needed"):
            tl.simulate(model, None, regimen, TIMES)
    assert not stage.called


def test_model_without_states(stage):
    with pytest.raises(tl.InputError, match="has no states"):
        tl.simulate(tl.Model("empty"), None, None, TIMES)
    assert not stage.called


def test_rules_of_doses_become_events(stage, model):
    late, reaching = model.parameters(late=1.0, reaching=0.5)
    model.dosing("central", lag=late, bioavailability=reaching)
    tl.simulate(model, None, bolus(into="peripheral", time=2), TIMES)
    np.testing.assert_array_equal((stage.timeline.time, stage.timeline.value), [[2.0], [1.0]])
    tl.simulate(model, {"reaching": 0.25}, bolus(time=2) + bolus(into="peripheral"), TIMES)
    np.testing.assert_array_equal(
        (stage.timeline.time, stage.timeline.value), [[0.0, 3.0], [1.0, 0.25]]
    )
    assert stage.timeline.offsets.tolist() == [0, 2]
    tl.simulate(model, {"late": [0.0, 3.0]}, bolus(time=2), TIMES)
    np.testing.assert_array_equal(
        (stage.timeline.time, stage.timeline.value), [[2.0, 5.0], [0.5, 0.5]]
    )
    assert stage.timeline.offsets.tolist() == [0, 1, 2]


def test_a_table_of_doses_is_a_regimen(stage, model):
    given = [None, bolus(time=3), bolus(into="peripheral", every=2, doses=2)]
    doses = dose_table(given, model.state_names, 3)
    tl.simulate(model, None, doses, TIMES)
    assert stage.patients == 3
    assert stage.timeline.offsets.tolist() == [0, 0, 1, 3]
    assert stage.timeline.target.tolist() == [0, 1, 1]
    shared = dose_table(bolus(), model.state_names, 3)
    tl.simulate(model, {"cl": [1.0, 2.0]}, shared, TIMES)
    assert (stage.patients, stage.timeline.offsets.tolist()) == (2, [0, 1])
    with pytest.raises(tl.InputError, match="table of doses has 3 patients, parameter 'cl' has 2"):
        tl.simulate(model, {"cl": [1.0, 2.0]}, doses, TIMES)
    other = dose_table(tl.Regimen.bolus(1, into="gut"), ("gut",), 1)
    with pytest.raises(tl.InputError, match="is for a model with state 'gut'"):
        tl.simulate(model, None, other, TIMES)


def test_import_is_light():
    import subprocess

    heavy = "'llvmlite', 'matplotlib', 'pandas', 'xarray', 'torch', 'importlib.metadata'"
    code = f"import sys, teorell; print([m for m in ({heavy}) if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_version_and_names():
    assert isinstance(tl.__version__, str)
    assert set(tl.__all__) <= set(dir(tl))
    with pytest.raises(AttributeError, match="nothing"):
        _ = tl.nothing


def test_methods_come_from_one_place(stage, model, monkeypatch):
    """The list is the core's, read when it is needed: importing teorell imports no extension
    (test_packaging.py).
    """
    monkeypatch.setattr("teorell.engine.executors.METHODS", ("rodas5p", "another"))
    tl.simulate(model, None, None, TIMES, method="another")
    assert stage.options["method"] == "another"
    with pytest.raises(
        tl.InputError, match=r"unknown method 'rodas'.*Choose from rodas5p, another\.$"
    ):
        tl.simulate(model, None, None, TIMES, method="rodas")
    monkeypatch.undo()
    from teorell.engine.executors import METHODS

    assert all(f'"{name}"' in tl.simulate.__doc__ for name in METHODS)


def test_a_field_of_a_packed_structured_array() -> None:
    """Its numbers lie 12 bytes apart, on no float64 boundary."""
    model = tl.Model("decay")
    (k,) = model.parameters(k=1.0)
    (x,) = model.states("x")
    model.flow(x, None, k * x)
    table = np.zeros(50, dtype=[("patient", "i4"), ("k", "f8")])
    table["k"] = np.linspace(1.0, 2.0, 50)
    solution = tl.simulate(model, {"k": table["k"]}, tl.Regimen.bolus(1.0, into="x"), [0.5])
    np.testing.assert_allclose(solution.values[:, 0, 0], np.exp(-0.5 * table["k"]), rtol=1e-5)
