"""Measured concentrations from CSV files: what is read, left out and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import teorell as tl
from teorell.pbpk.observed import read_observed


def observed(folder: Path, text: str) -> Path:
    path = folder / "x.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_in_any_case_spaces_and_a_byte_order_mark(tmp_path: Path) -> None:
    found = read_observed(observed(tmp_path, "\ufeffId, Time ,Conc,\n a ,1, 2.5,\n\n,,,\nb,2,3,\n"))
    assert found.patient.tolist() == ["a", "b"]
    assert found.time.tolist() == [1.0, 2.0]
    assert found.value.tolist() == [2.5, 3.0]
    assert found.without_value == 0


def test_doses_and_records_without_a_value_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = ["0,.,1,1", "1,2,0,0", "2,.,0,0", "3,NA,0,0", "4,5,0,1", "5,,0,.", "6,7,.,."]
    found = read_observed(observed(tmp_path, "\n".join(["time,dv,evid,mdv", *rows])))
    assert found.time.tolist() == [1.0, 6.0]
    assert found.without_value == 4


def test_what_lies_beyond_a_limit_is_left_out_and_counted(tmp_path: Path) -> None:
    text = "time,dv,cens\n1,5,0\n2,0.1,1\n3,9,-1\n4,3,.\n"
    found = read_observed(observed(tmp_path, text))
    assert (found.value.tolist(), found.without_value) == ([5.0, 3.0], 2)


def test_doses_without_evid_comments_and_limits(tmp_path: Path) -> None:
    """As an event table reads them: no dose of DV 0, no commented row, none below LLOQ counts."""
    text = "#ID,TIME,AMT,DV,LLOQ\n1,0,100,0,.\n#1,0.5,0,7,.\n1,1,0,5,0.1\n2,1,0,0.05,0.1\n"
    found = read_observed(observed(tmp_path, text))
    assert (found.patient.tolist(), found.value.tolist()) == (["1"], [5.0])
    assert found.without_value == 1


def test_doses_as_rxode_numbered_them(tmp_path: Path) -> None:
    """101: a bolus into the first compartment; 10201: an infusion into the second."""
    text = "id,time,dv,amt,evid\n1,0,0,320,101\n1,1,2,.,0\n1,2,0,5,10201\n1,3,1,.,0\n"
    assert read_observed(observed(tmp_path, text)).time.tolist() == [1.0, 3.0]


def test_curves_are_those_of_patients(tmp_path: Path) -> None:
    found = read_observed(observed(tmp_path, "ID,TIME,DV\nb,1,2\na,1,3\nb,2,4\n"))
    assert [(times.tolist(), values.tolist()) for times, values in found.curves()] == [
        ([1.0, 2.0], [2.0, 4.0]),
        ([1.0], [3.0]),
    ]


@pytest.mark.parametrize(("text", "message"), [
    ("a,b\n1,2\n", "no columns TIME"),
    ("", "no rows"),
    ("\n\n", "no rows"),
    ("time,dv\n1,x\n", "line 2"),
    ("time,dv\n1,nan\n1,inf\n", "line 3: DV is 'inf'"),
    ("time,dv\n\n\n1,x\n", "line 4"),
    ("time,dv\n,3\n", "line 2: TIME is ''"),
    ("time,dv\n1\n", "line 2 has 1 cells, the header 2"),
    ("time,dv\n1,2,3\n", "line 2 has 3 cells, the header 2"),
    ("time,dv,evid\n1,2,first\n", "EVID is 'first'"),
    ("time,dv,evid\n1,2,1\n", "no observations"),
    ("time,dv,DV\n1,2,3\n", "two columns DV"),
    ("time,dv\n1,2\n2,3\n1,4\n", "line 4: TIME is 1 after 2 .without ID"),
    ("time,dv\n1,2\n1,3\n", "line 3: TIME is 1 after 1"),
    ("id,time,dv\n1,1,2\n,2,3\n", "line 3: ID is ''"),
    ("id,time,dv,dvid\n1,1,2,1\n1,1,3,2\n", "line 3: DVID is 2, and 1 further up"),
    ("id,time,dv,cmt\n1,1,2,2\n1,1,3,3\n", "line 3: CMT is 3"),
    ("id,time,dv,ytype\n1,1,2,1\n1,2,3,2\n", "line 3: YTYPE is 2, and 1 further up"),
    ("id,time,dv,conc\n1,1,2,3\n", "columns DV and CONC .which has the concentrations"),
    ("id,time,dv\n1,0,2\n1,1,3\n1,0,2\n", "line 4: TIME is 0 after 1 .in the curve of 1"),
    ("id,time,dv\n1,1,2\n1,1,3\n", "line 3: TIME is 1 after 1 .in the curve of 1"),
    ("id,time,dv,\n1,1,2,9\n", "a column without a name"),
    ("id,time,dv,evid\n1,1,2,7\n", "EVID is 7 .it is one of 0, 1, 2, 3, 4"),
    ("id,time,dv,evid\n1,1,2,101.5\n", "EVID is 101.5 .it is one of 0, 1, 2, 3, 4"),
    ("id,time,dv,mdv\n1,1,2,5\n", "MDV is 5 .it is one of 0, 1"),
    ("time,dv\n1,1_0\n", "DV is '1_0'"),
    ("time;dv\n1;2\n", "semicolons"),
    ("time\tdv\n1\t2\n", "tabs"),
    (f"time,dv\n1,{'1' * 200_000}\n", "field larger"),
])  # fmt: skip
def test_bad_observations(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(tl.InputError, match=message):
        read_observed(observed(tmp_path, text))


def test_text_that_turns_bad_far_down(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"time,dv\n" + b"1,2\n" * 50_000 + b"1,caf\xe9\n")
    with pytest.raises(tl.InputError, match="not text in UTF-8"):
        read_observed(path)
