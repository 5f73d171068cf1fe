"""Event tables in which something is lost, guessed or no number: right, or refused by row and
column.
"""

from __future__ import annotations

import gzip
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from teorell import EventTable, InputError


@pytest.fixture(scope="module")
def model():
    made = tl.Model("one")
    k, wt = made.parameters(k=1.0, wt=70.0)
    x = made.state("x")
    made.flow(x, None, k * wt / 70.0 * x)
    made.output("x", x)
    return made


def frame(**columns):
    rows = len(columns.get("TIME", (0, 1)))
    base = {"ID": [1] * rows, "TIME": [0.0, 1.0], "AMT": [100.0, 0.0], "EVID": [1, 0]}
    return {**base, **columns}


RIGHT = {
    "plain": "ID,TIME,AMT,EVID,DV\n1,0,100,1,.\n1,2,0,0,5\n",
    "byte order mark": "\ufeffID,TIME,AMT,EVID,DV\n1,0,100,1,.\n1,2,0,0,5\n",
    "blanks": " ID , TIME, AMT ,EVID,DV\n 1, 0, 100 ,1, .\n1 ,2,0,0, 5\n",
    "quotes": '"ID","TIME","AMT","EVID","DV"\n"1","0","100","1","NA"\n"1","2","0","0","5"\n',
    "crlf": "ID,TIME,AMT,EVID,DV\r\n1,0,100,1,NA\r\n\r\n1,2,0,0,5\r\n",
    "comments": "#ID,TIME,AMT,EVID,DV\n1,0,100,1,nan\n# a note\n1,2,0,0,5\n",
    "column without name and cells": "ID,TIME,AMT,EVID,DV,\n1,0,100,1,N/A,\n1,2,0,0,5,\n",
    "comments above": "# a note\nID,TIME,AMT,EVID,DV\n1,0,100,1,nan\n1,2,0,0,5\n",
    "a spreadsheet's missing": "ID,TIME,AMT,EVID,DV\n1,0,100,1,#N/A\n1,2,0,0,5\n",
    "exponents": "ID,TIME,AMT,EVID,DV\n1.0,0e0,1e2,1,\n1,2.,0,0,+5.0\n",
}


@pytest.mark.parametrize("name", RIGHT)
def test_files_that_say_the_same(name, model, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(RIGHT[name], newline="")
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(RIGHT[name].encode()))
    for file in (path, str(path), packed):
        events = EventTable(file, model)
        assert events.ids.tolist() == [1]
        assert events.regimen.amount.tolist() == [100.0]
        assert events.times.times.tolist() == [2.0]
        assert events.dv.tolist() == [5.0]


WRONG = {
    "comma at the end": ("ID,TIME,AMT\n1,0,100,\n", "line 2 has 4 cells, the header 3"),
    "short row": ("ID,TIME,AMT\n1,0,100\n1,2\n", "line 3 has 2 cells"),
    "decimal commas": ("ID,TIME,AMT\n1,0,100,5\n", "line 2 has 4 cells"),
    "quoted decimal comma": ('ID,TIME,AMT\n1,0,"100,5"\n', "AMT is 100,5 .*decimals have a point"),
    "thousands": ('ID,TIME,AMT\n1,0,"1,000"\n', "thousands no comma"),
    "two columns": ("ID,TIME,AMT,AMT\n1,0,100,50\n", "two columns AMT"),
    "semicolons": ("ID;TIME;AMT\n1;0;100\n", "semicolons"),
    "tabs": ("ID\tTIME\tAMT\n1\t0\t100\n", "tabs"),
    "blanks": ("ID TIME AMT\n1 0 100\n", "parted by blanks"),
    "latin": (b"ID,TIME,AMT\n1,0,\xb5\n", "not text in UTF-8"),
    "utf-16": ("ID,TIME\n1,0\n".encode("utf-16"), "not text in UTF-8"),
    "no name": ("ID,TIME,\n1,0,7\n", "a column without a name"),
    "clock": ("ID,TIME,AMT\n1,08:30,100\n", r"row 1 .*TIME is 08:30 .*clock times"),
    "day": ("ID,TIME,AMT\n1,2020-01-01,100\n", "dates and clock times"),
    "boolean": ("ID,TIME,AMT\n1,0,True\n", "AMT is True"),
    "empty ID": ("ID,TIME,AMT\nA,0,1\n,2,0\n", r"row 2 .*ID is missing"),
    "a spreadsheet's missing ID": ("ID,TIME,AMT\n#N/A,0,1\n1,2,0\n", r"row 1 .*ID is missing"),
    "a failed formula as ID": ("ID,TIME,AMT\n#REF!,0,1\n", "ID is #REF!"),
    "a failed formula": ("ID,TIME,AMT\n1,0,#DIV/0!\n", "shows of a formula that failed"),
    "raised digits": ("ID,TIME,AMT\n1,0,10\u00b2\n", "AMT is 10\u00b2 .not a number"),
    "a raised digit": ("ID,TIME,AMT\n1,0,\u00b2\n", "AMT is \u00b2 .not a number"),
    "blank row": ("ID,TIME,AMT\nA,0,1\n,,\n", r"row 2 .*ID is missing"),
    "infinite": ("ID,TIME,AMT\n1,0,inf\n", "AMT is inf .it must be finite"),
    "underscore": ("ID,TIME,AMT\n1,0,1_0\n", "not a number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_are_refused(name, model, tmp_path):
    content, message = WRONG[name]
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        EventTable(path, model)


def test_names_of_subjects_are_kept_apart(model, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("ID,TIME\n90071992547409931,0\n90071992547409932,0\n")
    assert EventTable(path, model).patients == 2
    path.write_text("ID,TIME\n" + "9" * 30 + "1,0\n" + "9" * 30 + "2,0\n")
    assert EventTable(path, model).patients == 2


def test_one_subject_is_one_however_it_is_written(model):
    for same in ([1, "1", 1.0], ["a ", "a", " a"], [2**70, 2**70, str(2**70)]):
        table = frame(ID=np.array(same, object), TIME=[0, 1, 2], AMT=[9, 0, 0], EVID=[1, 0, 0])
        assert EventTable(table, model).patients == 1
    for other in ([1, 1, 1.5], ["a", "a", "A"], [2**70, 2**70, 2**70 + 1]):
        table = frame(ID=np.array(other, object), TIME=[0, 1, 2], AMT=[9, 0, 0], EVID=[1, 0, 0])
        assert EventTable(table, model).patients == 2


CELLS = {
    "masked": (frame(AMT=np.ma.masked_array([100.0, 0.0], [True, False])), "AMT is missing"),
    "lists": (frame(AMT=np.array([[100.0], None], object)), r"row 1 .*AMT is \[100.0\]"),
    "dates": (frame(DV=pd.date_range("2020", periods=2)), "column DV is 2020"),
    "durations of time": (frame(TIME=pd.to_timedelta([0, 1], "h")), "durations have no unit"),
    "numbers without end": (frame(AMT=np.array([10**5000, 0], object)), "thousands of digits"),
    "booleans": (frame(AMT=[True, False]), "AMT is True .a boolean"),
    "complex": (frame(AMT=[1j, 0]), "column AMT is"),
    "wide": (frame(AMT=np.ones((2, 2))), "has shape"),
    "infinite covariate": (frame(WT=[np.inf, 70.0]), "WT is inf"),
    "no amount": (frame(AMT=[np.nan, 0.0]), "AMT is missing .a dose has an amount"),
    "no amounts": ({"ID": [1], "TIME": [0], "EVID": [1]}, "a dose has an amount"),
    "rate of an observation": (frame(RATE=[0, 5]), "column RATE is 5 .the record is no dose"),
    "steady observation": (frame(SS=[0, 1], II=[0, 12]), "column SS is 1"),
    "doses without end": (frame(ADDL=[1e9, 0], II=[12, 0]), "1,000,000 doses at most"),
    "infusions without end": (frame(RATE=[1e-7, 0], SS=[1, 0], II=[1, 0]), "would run at once"),
    "infinite compartment": (frame(CMT=[np.inf, 1]), "no such compartment"),
    "boolean compartment": (frame(CMT=[True, True]), "no such compartment"),
    "cens": (frame(CENS=[0, 2]), "CENS is 2 .it is -1, 0 or 1"),
    "blq": (frame(BLQ=[0, -1]), "BLQ is -1 .it is 0 or 1"),
    "both": (frame(CENS=[0, 1], BLQ=[0, 1]), "both say what is below"),
    "mdv": (frame(MDV=[0, 7]), "MDV is 7"),
    "interval": (frame(CENS=[0, 1], DV=[0, 2.0], LIMIT=[0, 3.0]), "LIMIT is 3"),
    "observed dose": (frame(DV=[4.0, 2.0], MDV=[0, 0]), "a row of its own"),
    "dates beside times": (frame(DATE=["2020-01-01", "2020-01-02"]), "column DATE"),
    "durations": (frame(TINF=[2.0, "."]), "row 1 .*TINF is 2.0 .durations"),
    "routes": (frame(ADM=[1, 2]), "column ADM .routes"),
    "rows left out": (frame(C=["C", "."]), "marks rows to leave out"),
    "pandas' second column": (frame(**{"AMT.1": [5.0, 0.0]}), "AMT and AMT.1"),
    "below a bound": (frame(WT=[-1.0, 70.0]), None),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_that_are_refused(name, model):
    table, message = CELLS[name]
    if message is None:
        bounded = tl.Model("bounded")
        wt = bounded.parameter("wt", 70.0, lower=0.0)
        x = bounded.state("x")
        bounded.flow(x, None, wt * x)
        model, message = bounded, r"row 1 .*column WT is -1.0 .*below its lower bound 0"
    with pytest.raises(InputError, match=message):
        EventTable(table, model)


MISSING = ["", ".", "NA", "N/A", "nan", "NaN", "#N/A", None, np.nan, pd.NA, Decimal("NaN")]


@pytest.mark.parametrize("missing", MISSING)
def test_missing_cells(missing, model):
    events = EventTable(frame(DV=pd.Series([missing, 2.0], dtype=object)), model)
    assert events.dv.tolist() == [2.0]
    events = EventTable(frame(DV=pd.Series([0.0, missing], dtype=object)), model)
    assert np.isnan(events.dv).all()
    assert events.mdv.tolist() == [True]
    masked = np.ma.masked_array([0, 7], [False, True])
    assert np.isnan(EventTable(frame(DV=masked), model).dv).all()


def test_censoring_and_what_was_measured(model):
    table = frame(
        ID=[1] * 5, TIME=[0, 1, 2, 3, 4], AMT=[100, 0, 0, 0, 0], EVID=[1, 0, 0, 0, 0],
        DV=[np.nan, 5.0, 1.0, 1.0, 80.0], CENS=[0, 0, 1, 1, -1], LIMIT=[".", ".", ".", "0.5", "."],
        DVID=[0, 1, 2, 1, 1], CMT=[1, 0, 1, np.nan, 1],
    )  # fmt: skip
    events = EventTable(table, model)
    assert events.cens.tolist() == [0, 1, 1, -1]
    assert events.blq.tolist() == [False, True, True, False]
    np.testing.assert_array_equal(events.limit, [np.nan, np.nan, 0.5, np.nan])
    assert events.dvid.tolist() == [1, 2, 1, 1]
    assert events.cmt_given.tolist() == [False, True, False, True]
    assert events.cmt.tolist() == [0, 0, 0, 0]
    assert events.columns["CENS"] == "CENS"
    flags = EventTable(frame(BLQ=[False, True], DV=[0.0, 1.0]), model)
    assert flags.cens.tolist() == [1]
    assert flags.dvid is None


def test_what_is_not_used_is_said(model):
    with pytest.warns(tl.InputWarning, match="columns SEX, PCMT of the event table are not used"):
        EventTable(frame(SEX=[0, 0], PCMT=[1, 1]), model)
    with pytest.warns(tl.InputWarning, match=r"row 1 .*column II is not used .ADDL and SS are 0"):
        EventTable(frame(II=[24, 0]), model)
    with pytest.warns(tl.InputWarning, match=r"row 1 .*column DV is not used"):
        EventTable(frame(DV=[4.0, 2.0]), model)


def test_a_table_is_all_that_a_simulation_needs(model):
    table = frame(ID=[1, 1, 2, 2], TIME=[0.0, 1.0, 0.0, 3.0], AMT=[100, 0, 50, 0], EVID=[1, 0] * 2)
    events = EventTable({**table, "WT": [70.0, 70.0, 35.0, 35.0]}, model)
    expected = tl.simulate(model, events.parameters, events.regimen, events.times)
    np.testing.assert_allclose(expected["x"], [100 * np.exp(-1.0), 50 * np.exp(-1.5)], rtol=1e-5)
    np.testing.assert_array_equal(tl.simulate(model, events).values, expected.values)
    weights = np.ones((2, 1))
    value, gradient = tl.value_and_grad(weights, model, events)
    assert value == pytest.approx(expected["x"].sum())
    found = tl.jacobian(model, events, wrt=["k"])
    np.testing.assert_allclose(found.derivatives.sum(), gradient.parameters["k"].sum(), rtol=1e-6)
    solution, _ = tl.jvp(model, events, None, None, {"k": 1.0})
    np.testing.assert_allclose(solution.values, expected.values, rtol=1e-12)
    for wrong in (
        lambda: tl.simulate(model, events, times=events.times),
        lambda: tl.simulate(model, events, events.regimen),
        lambda: tl.simulate(model, None, events, [1.0]),
        lambda: tl.simulate(model, None, None, events),
        lambda: tl.simulate(model, pd.DataFrame(table), None, [1.0]),
        lambda: tl.simulate_to("x.zarr", model, events),
        lambda: tl.simulate_to("x.zarr", model, None, events, [1.0]),
    ):
        with pytest.raises(InputError, match=r"event table|EventTable"):
            wrong()


def test_what_is_no_table_or_no_model(model):
    with pytest.raises(TypeError, match=r"Write teorell.EventTable\(frame, model\)"):
        EventTable(model, frame())
    for other in (None, [frame()], pd.DataFrame(frame()).to_records(index=False)):
        with pytest.raises(TypeError, match="rows and columns are needed"):
            EventTable(other, model)
