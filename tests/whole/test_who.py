"""Ids and covariates stay with every result: data frames, xarray, analyses, stores."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from stores_case import KINDS
from teorell.constraints import human_adult, plausible
from teorell.physiology.body import Body

TIMES = [0.0, 1.0, 2.0, 4.0]


def model() -> tl.Model:
    """One compartment whose clearance and volume grow with the body."""
    m = tl.Model("one", time_unit="h")
    weight = m.parameter("body_weight", 70.0, unit="kg")
    cl = m.parameter("cl", 5.0, unit="L/h")
    a = m.state("a", unit="mg")
    m.flow(a, None, cl * (weight / 70.0) ** 0.75 / (0.5 * weight) * a)
    m.output("cp", a / (0.5 * weight), unit="mg/L")
    return m


MODEL = model()
REGIMEN = tl.Regimen.bolus(100.0, into="a")


def people(n: int = 5) -> tl.Population:
    some = tl.Population.sample(n, age=(18, 80), seed=1)
    some = some.with_parameters(cl=np.linspace(2.0, 6.0, n), units={"cl": "L/h"})
    return some.with_covariates(
        arm=np.array(list("abcde" * n))[:n], units={"dose": "mg"}, dose=np.arange(n) * 10.0
    )


def test_a_frame_knows_who() -> None:
    some = people()[[4, 2, 0]]
    solution = tl.simulate(MODEL, some, REGIMEN, TIMES)
    frame = solution.to_dataframe()
    assert list(frame.columns[:4]) == ["patient", "id", "time", "cp"]
    assert frame["id"].tolist() == np.repeat([4, 2, 0], 4).tolist()
    assert frame["arm"].tolist() == np.repeat(["e", "c", "a"], 4).tolist()
    np.testing.assert_array_equal(frame["age"], np.repeat(some["age"], 4))
    units = frame.attrs["units"]
    assert (units["time"], units["cp"], units["dose"], units["age"]) == ("h", "mg/L", "mg", "y")
    np.testing.assert_array_equal(solution.ids, [4, 2, 0])
    assert solution.covariates["arm"].tolist() == ["e", "c", "a"]
    plain = {"body_weight": some["body_weight"], "cl": some["cl"]}
    same = tl.simulate(MODEL, plain, REGIMEN, TIMES)
    np.testing.assert_array_equal(solution.values, same.values)
    assert list(same.to_dataframe().columns) == ["patient", "time", "cp"]
    assert same.ids.tolist() == [0, 1, 2]
    assert same.covariates == {}


def test_xarray_knows_who() -> None:
    some = people()
    data = tl.simulate(MODEL, some, REGIMEN, TIMES, reductions=[tl.Cmax("cp")]).to_xarray()
    assert data["arm"].dims == ("patient",)
    assert data["dose"].attrs["units"] == "mg"
    assert data["cp"].groupby("arm").mean().sizes["arm"] == 5
    np.testing.assert_array_equal(data["id"], some.ids)


def test_an_analysis_knows_who() -> None:
    some = people()
    found = tl.simulate(MODEL, some, REGIMEN, np.linspace(0.0, 60.0, 200)).nca("cp")
    frame = found.to_dataframe()
    assert frame.columns[0] == "id"
    assert frame["arm"].tolist() == list("abcde")
    assert frame.attrs["units"]["cmax"] == "mg/L"
    # clearance is dose over area
    size = (some["body_weight"] / 70.0) ** 0.75
    np.testing.assert_allclose(100.0 / frame["auc_inf"], some["cl"] * size, rtol=0.01)


def test_event_tables_tell_who() -> None:
    """Subjects by their names, with covariates that do not change; times of each one's own."""
    table = pd.DataFrame(
        {
            "ID": ["x", "x", "x", "y", "y"], "TIME": [0, 1, 3, 0, 2], "EVID": [1, 0, 0, 1, 0],
            "AMT": [100, 0, 0, 50, 0], "CMT": 1, "body_weight": [70, 70, 70, 60, 60],
        }
    )  # fmt: skip
    events = tl.EventTable(table, MODEL)
    for solution in (
        tl.simulate(MODEL, events),
        tl.simulate(MODEL, events.parameters, events.regimen, events.times),
    ):
        frame = solution.to_dataframe()
        assert frame["id"].tolist() == ["x", "x", "y"]
        assert frame["body_weight"].tolist() == [70.0, 70.0, 60.0]
        assert frame.attrs["units"]["body_weight"] == "kg"
        data = solution.to_xarray()
        assert data["id"].values.tolist() == ["x", "y"]
    assert dict(events.parameters).keys() == {"body_weight"}


@pytest.mark.parametrize("kind", KINDS)
def test_stores_know_who(tmp_path: Path, kind: str) -> None:
    """As one simulation would have it, whatever the chunks; another population is another store."""
    some = people(11)
    path = tmp_path / f"store.{kind}"
    tl.simulate_to(path, MODEL, some, REGIMEN, TIMES, chunk=4)
    whole = tl.simulate(MODEL, some, REGIMEN, TIMES)
    opened = tl.simulate_to(path, MODEL, some, REGIMEN, TIMES, chunk=4).open()
    if kind == "zarr":
        np.testing.assert_array_equal(opened["cp"], whole["cp"])
        found: Any = {name: opened[name].values for name in ("id", "arm", "age", "dose", "cl")}
        assert opened["dose"].attrs["units"] == "mg"
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(path / "_patients")
        found = {name: table[name].to_numpy() for name in ("id", "arm", "age", "dose", "cl")}
        assert table.schema.field("age").metadata[b"units"] == b"y"
    assert found["arm"].tolist() == some["arm"].tolist()
    for name in ("id", "age", "dose", "cl"):
        expected = some.ids if name == "id" else some[name]
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    other = some.with_covariates(arm=["z"] * 11)
    with pytest.raises(tl.InputError, match="people"):
        tl.simulate_to(path, MODEL, other, REGIMEN, TIMES, chunk=4)


def test_reductions_know_who() -> None:
    some = people()[[3, 1]]
    solution = tl.simulate(MODEL, some, REGIMEN, TIMES, reductions=[tl.Cmax("cp"), tl.AUC("cp")])
    frame = solution.reductions_to_dataframe()
    assert list(frame.columns[:4]) == ["patient", "id", "cmax_cp", "auc_cp"]
    assert frame["id"].tolist() == [3, 1]
    assert frame["arm"].tolist() == ["d", "b"]
    np.testing.assert_array_equal(frame["cmax_cp"], solution.reductions["cmax_cp"])
    units = frame.attrs["units"]
    assert (units["cmax_cp"], units["auc_cp"], units["dose"]) == ("mg/L", "mg/L h", "mg")
    with pytest.raises(tl.InputError, match="no reductions"):
        tl.simulate(MODEL, some, REGIMEN, TIMES).reductions_to_dataframe()
    hidden = some.with_covariates(cmax_cp=1.0)
    solution = tl.simulate(MODEL, hidden, REGIMEN, TIMES, reductions=[tl.Cmax("cp")])
    with pytest.raises(tl.InputError, match="'cmax_cp' is a number of the patients and a red"):
        solution.reductions_to_dataframe()


def test_reports_of_constraints_know_who() -> None:
    """Of people with parameters of a drug too; of curves; and where a projection moved them."""
    some = people()[[4, 0]]
    found = plausible().violations(some)
    frame = found.to_dataframe(patients=True)
    assert frame["id"].tolist() == found.ids.tolist() == [4, 0]
    assert frame["arm"].tolist() == ["e", "a"]
    assert frame.attrs["units"]["dose"] == "mg"
    for name, each in found.violated.items():
        assert frame[f"violates {name}"].tolist() == each.tolist()
    assert "<table>" in found._repr_html_()
    with pytest.raises(tl.InputError, match="'any' is a number of the patients and a column"):
        plausible().violations(some.with_covariates(any=1.0)).to_dataframe(patients=True)

    curves = tl.ConstraintSet("ceiling", model=MODEL)
    curves.between("peak", curves.reduction(tl.Cmax("cp")), 0.0, 1.0)
    read = curves.simulated(some, REGIMEN, TIMES)
    assert curves.violations(read).ids.tolist() == [4, 0]
    assert curves.violations(pickle.loads(pickle.dumps(read))).ids.tolist() == [4, 0]

    moved = human_adult().project(some)
    assert moved.ids.tolist() == [4, 0]
    frame = moved.to_dataframe()
    assert frame["arm"].tolist() == ["e", "a"]
    np.testing.assert_array_equal(frame["body_weight"], moved.values["body_weight"])


def test_who_failed() -> None:
    """An error names them as the population does, here and from a store, and is pickled."""
    some = people()[[3, 1, 0]].with_covariates(code=["u", "v", "w"])
    failed = tl.simulate(MODEL, some, REGIMEN, [1e-6, 1e6], max_steps=1)
    with pytest.raises(tl.SimulationError, match=r"patient 0, id 3: status") as caught:
        failed.raise_for_status()
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert error.ids.tolist() == [3, 1, 0]
    plain = tl.simulate(MODEL, {"cl": 1.0}, REGIMEN, [1e-6, 1e6], max_steps=1)
    with pytest.raises(tl.SimulationError, match=r"patient 0: status") as caught:
        plain.raise_for_status()
    assert caught.value.ids.tolist() == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_stores_say_who_failed(tmp_path: Path, kind: str) -> None:
    some = people(7)[::-1]
    stored = tl.simulate_to(
        tmp_path / f"s.{kind}", MODEL, some, REGIMEN, [1e-6, 1e6], chunk=3, max_steps=1
    )
    with pytest.raises(tl.SimulationError, match=r"patient 0, id 6: status") as caught:
        stored.raise_for_status()
    assert caught.value.ids.tolist() == [6, 5, 4, 3, 2, 1, 0]


def test_copies_know_who() -> None:
    """Pickles, tables put together, gradients."""
    some = people()
    solution = tl.simulate(MODEL, some, REGIMEN, TIMES)
    same = pickle.loads(pickle.dumps(solution))
    assert same.ids.tolist() == some.ids.tolist()
    pd.testing.assert_frame_equal(same.to_dataframe(), solution.to_dataframe())
    frames = [tl.simulate(MODEL, some[k : k + 1], REGIMEN, TIMES).to_dataframe() for k in range(5)]
    whole = pd.concat(frames)
    assert whole["id"].tolist() == solution.to_dataframe()["id"].tolist()
    assert whole.attrs["units"]["cp"] == "mg/L"
    weights = np.ones((2, 4, 1))
    _, gradient = tl.value_and_grad(weights, MODEL, some[[2, 0]], REGIMEN, TIMES)
    assert gradient.ids.tolist() == [2, 0]
    found = tl.jacobian(MODEL, some[[2, 0]], REGIMEN, TIMES, wrt="cl")
    assert found.to_dataframe()["id"].tolist() == np.repeat([2, 0], 4).tolist()


def test_event_tables_keep_what_is_told_of_subjects() -> None:
    """Columns that the model does not read, where they tell one thing of each subject."""
    table = pd.DataFrame(
        {
            "ID": ["x", "x", "x", "y", "y"], "TIME": [0, 1, 3, 0, 2], "EVID": [1, 0, 0, 1, 0],
            "AMT": [100, 0, 0, 50, 0], "CMT": 1, "body_weight": [70, 70, 70, 60, 60],
            "ARM": ["a", "a", ".", "b", "b"], "SEX": [0, 0, 0, 1, 1], "VISIT": [1, 2, 3, 1, 2],
            "cp": 1.0, "SCORE": [1.5, None, None, None, None],
        }
    )  # fmt: skip
    with pytest.warns(tl.InputWarning, match="stays with results"):
        events = tl.EventTable(table, MODEL)
    assert events.ignored == ("ARM", "SEX", "VISIT", "cp", "SCORE")
    frame = tl.simulate(MODEL, events).to_dataframe()
    assert frame["ARM"].tolist() == ["a", "a", "b"]
    assert frame["SEX"].tolist() == [0.0, 0.0, 1.0]
    assert "VISIT" not in frame
    np.testing.assert_array_equal(frame["SCORE"], [1.5, 1.5, np.nan])
    assert frame["cp"].iloc[0] != 1.0  # the output, not the column
    assert dict(events.parameters).keys() == {"body_weight"}
    assert pickle.loads(pickle.dumps(events.parameters)).labels()["ARM"].tolist() == ["a", "b"]


def test_names_that_hide_each_other(tmp_path: Path) -> None:
    some = people().with_covariates(cp=1.0)
    solution = tl.simulate(MODEL, some, REGIMEN, TIMES)
    for table in (solution.to_dataframe, solution.to_xarray):
        with pytest.raises(tl.InputError, match="'cp' is a number of the patients and an output"):
            table()
    with pytest.raises(tl.InputError, match="hold 'cp' twice"):
        tl.simulate_to(tmp_path / "a.parquet", MODEL, some, REGIMEN, TIMES)


def test_how_many_people() -> None:
    """People of whom the model reads nothing are as many as they are; other arrays must agree."""
    m = tl.Model("none")
    a = m.state("a")
    m.flow(a, None, 0.1 * a)
    m.output("cp", a)
    found = tl.simulate(m, tl.Population.sample(3), tl.Regimen.bolus(1.0, into="a"), TIMES)
    assert found.values.shape == (3, 4, 1)
    with pytest.raises(tl.InputError, match="body_weight"):
        tl.simulate(MODEL, people(5), tl.Regimen.bolus(np.ones(3), into="a"), TIMES)


def test_with_torch() -> None:
    torch = pytest.importorskip("torch")
    dose = torch.tensor(100.0, dtype=torch.float64, requires_grad=True)
    some = people(3)
    solution = tl.simulate(MODEL, some, tl.Regimen.bolus(dose, into="a"), TIMES)
    solution.values.sum().backward()
    plain = tl.simulate(MODEL, some, REGIMEN, TIMES)
    assert float(dose.grad) == pytest.approx(plain.values.sum() / 100.0, rel=1e-6)
    assert solution.to_dataframe()["arm"].tolist() == np.repeat(list("abc"), 4).tolist()


def test_gradients_of_people() -> None:
    """Derivatives by the clearance of each person, against the closed form."""
    some = people(4)
    value, gradient = tl.value_and_grad(np.ones((4, 4, 1)), MODEL, some, REGIMEN, TIMES)
    times, k = np.array(TIMES), (some["body_weight"] / 70) ** 0.75 / (0.5 * some["body_weight"])
    curves = 100 / (0.5 * some["body_weight"])[:, None] * np.exp(-(k * some["cl"])[:, None] * times)
    assert float(value) == pytest.approx(curves.sum(), rel=1e-5)
    expected = -(curves * times).sum(axis=1) * k
    np.testing.assert_allclose(gradient.parameters["cl"], expected, rtol=1e-4)


def test_what_a_notebook_shows() -> None:
    some = people()
    solution = tl.simulate(MODEL, some, REGIMEN, TIMES)
    for shown, words in (
        (MODEL, ("body_weight", "kg", "output", "cp")),
        (solution, ("cp", "mg/L", "all succeeded")),
        (some, ("mass_liver", "median")),
        (Body.human(5.0), ("mass_liver", "kg")),
    ):
        html = shown._repr_html_()
        assert all(word in html for word in words)
        assert html.count("<tr>") == html.count("</tr>")
    hostile = tl.Model("<script>alert(1)</script>")
    assert "<script>" not in hostile._repr_html_()


def test_with_torch_transforms() -> None:
    """Under vmap the people of all runs, one run after the other; a layer takes what it reads."""
    torch = pytest.importorskip("torch")
    from teorell.nn import Simulator

    some = people(3)

    def curve(dose: Any) -> Any:
        return tl.simulate(MODEL, some, tl.Regimen.bolus(dose, into="a"), TIMES).values

    doses = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = torch.func.vmap(curve)(doses)
    assert found.shape == (2, 3, 4, 1)
    np.testing.assert_array_equal(found[1].numpy(), curve(doses[1]).numpy())
    layer = Simulator(MODEL, REGIMEN, TIMES, fixed=some)
    np.testing.assert_array_equal(
        layer().detach().numpy(), tl.simulate(MODEL, some, REGIMEN, TIMES).values
    )
