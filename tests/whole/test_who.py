"""Ids and covariates stay with every result: data frames, xarray, analyses, stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from stores_case import KINDS
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
