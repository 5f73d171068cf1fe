"""All that is refused: another simulation in the store, what others wrote, and wrong input, before
anything is made.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import teorell as tl
import teorell.chunks
from stores_case import (
    ALL,
    CHUNK,
    KINDS,
    MODEL,
    PEOPLE,
    REGIMEN,
    SHARED,
    TABLE,
    TIMES,
    Bare,
    Doses,
    N,
    contents,
    one_a_patient,
    two_outputs,
)
from teorell import InputError, Regimen


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    return tmp_path / f"population.{request.param}"


def other_model():
    model = two_outputs()
    model.define("unused", tl.exp(0.0))
    return model


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rtol": 1e-8}, "rtol (1e-06 there, 1e-08 here)"),
        ({"atol": {"a": 1e-8}}, "atol"),
        ({"method": "rodas4p2"}, "method (rodas5p there, rodas4p2 here)"),
        ({"samples": "before"}, "samples (after there, before here)"),
        ({"start": "equilibrium"}, "start"),
        ({"max_steps": 7}, "max_steps"),
        ({"chunk": 9}, "chunk (8 there, 9 here)"),
        ({"outputs": ["depot"]}, "outputs"),
        ({"times": TIMES[:-1]}, "times"),
        ({"parameters": PEOPLE | {"k": np.float32(0.3)}}, "parameters"),
        ({"parameters": PEOPLE | {"k": np.nextafter(PEOPLE["k"], np.float32(9.0))}}, "parameters"),
        (
            {
                "parameters": lambda start, stop: {
                    "rate": PEOPLE["rate"][start:stop],
                    "k": PEOPLE["k"][start:stop],
                }
            },
            "parameters",
        ),
        ({"regimen": None}, "regimen"),
        ({"regimen": REGIMEN + Regimen.reset(time=11.0)}, "regimen"),
        ({"model": other_model()}, "model"),
    ],
)
def test_another_simulation_is_refused_by_name(path, change, named):
    given = {
        "model": MODEL,
        "parameters": PEOPLE,
        "regimen": REGIMEN,
        "times": TIMES,
        "chunk": CHUNK,
    }
    tl.simulate_to(path, **given)
    before = contents(path)
    with pytest.raises(InputError) as error:
        tl.simulate_to(path, **(given | change))
    assert named in str(error.value)
    assert "resume=False" in str(error.value)
    assert contents(path) == before


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("made", ["file", "folder", "beside the store"])
def test_what_others_wrote_stays(path, made, resume):
    """Whatever is asked for, a store is never made over it, nor removed with it."""
    if made == "file":
        path.write_text("mine")
    elif made == "folder":
        path.mkdir()
        (path / "notes.txt").write_text("mine")
    else:
        tl.simulate_to(path, *ALL, chunk=CHUNK)
        (path / "notes.txt").write_text("mine")
    before = contents(path) if path.is_dir() else path.read_text()
    if made == "beside the store" and resume:
        tl.simulate_to(path, *ALL, chunk=CHUNK)
    else:
        with pytest.raises(InputError, match=r"would be (removed|overwritten)"):
            tl.simulate_to(path, *ALL, chunk=CHUNK, resume=resume)
    assert (contents(path) if path.is_dir() else path.read_text()) == before


def other_names(start, stop):
    return {"rate": PEOPLE["rate"][start:stop], "k": PEOPLE["k"][start:stop] if start < 20 else 0.3}


def out_of_bounds(start, stop):
    return {"rate": np.where(np.arange(start, stop) == 20, np.nan, 1.0)}


def everybody(start, stop):
    return {"rate": PEOPLE["rate"] if start == 16 else PEOPLE["rate"][start:stop]}


@pytest.mark.parametrize(("function", "message"), [
    (other_names, "parameter 'k' is an array for some patients and not for those from 24 on"),
    (out_of_bounds, "among patients 16 to 23, counted from the first of them: parameter 'rate' is "
    "not finite (1 of 8"),
    (everybody, "start 16 and stop 24 gave 61 patients"),
])  # fmt: skip
@pytest.mark.parametrize("executor", [None, Bare()])
def test_what_later_chunks_get_wrong(path, function, message, executor):
    """It is said before that chunk is written, and the chunks before it stay."""
    with pytest.raises(InputError) as error:
        tl.simulate_to(
            path, MODEL, function, SHARED, TIMES, chunk=CHUNK, patients=N, executor=executor
        )
    assert message in str(error.value)
    assert json.loads((path / "_teorell.json").read_text())["complete"] == [
        [0, 2 + (function is other_names)]
    ]


def clashing():
    model = tl.Model("clash")
    rate = model.parameter("status", 1.0)
    model.rate(model.state("x"), rate)
    return model


class Unsendable(tl.Model):
    def __reduce__(self):
        raise TypeError("no")


@pytest.mark.parametrize(("change", "message"), [
    ({"path": "population.csv"}, "Let it end in .zarr or .parquet"),
    ({"path": "s3://bucket/population.zarr"}, "file system"),
    ({"chunk": 0}, "chunk is 0"),
    ({"chunk": True}, "chunk is True"),
    ({"chunk": 2.0}, "chunk is 2.0"),
    ({"chunk": N, "times": np.linspace(0, 1, 5_000_000)}, "2.4 GB"),
    ({"patients": 7}, "the argument patients has 7 patients, parameter 'rate' has 61"),
    ({"patients": 0}, "patients is 0"),
    ({"patients": 7, "parameters": {"k": 0.3}, "regimen": SHARED}, "no array tells them apart"),
    ({"parameters": lambda start, stop: {}, "regimen": SHARED}, "Give patients="),
    ({"parameters": {"k": 0.3}, "regimen": Doses()}, "Give patients="),
    ({"parameters": lambda start, stop: {}, "regimen": SHARED, "patients": 9}, "start 0 and stop 9 "
    "gave 1 patient"),
    ({"parameters": PEOPLE | {"k": PEOPLE["k"][:-1]}}, "has 60 patients"),
    ({"parameters": PEOPLE | {"k": np.where(np.arange(N) == 60, np.nan, 1.0)}}, "the first is "
    "patient 60"),
    ({"parameters": PEOPLE | {"K": 1.0}}, "unknown parameter 'K'"),
    ({"regimen": Regimen.bolus(1.0, into="gut")}, "unknown compartment 'gut'"),
    ({"regimen": one_a_patient()[1:]}, "has 60"),
    ({"times": [[1.0]] * N}, "times of its own"),
    ({"times": None}, "times are missing"),
    ({"outputs": ["cp"]}, "unknown output 'cp'"),
    ({"rtol": 1.0}, "rtol"),
    ({"threads": 0}, "threads"),
    ({"executor": "interpreter"}, "executor is a str"),
    ({"executor": object()}, "submitted"),
    ({"progress": "yes"}, "progress"),
    ({"model": clashing(), "parameters": {"status": TABLE[:, 0]}, "regimen": None}, "hold 'status' "
    "twice"),
    ({"model": "unsendable", "executor": Bare()}, "cannot be sent to workers (no)"),
])  # fmt: skip
def test_everything_wrong_is_said_before_anything_is_made(path, change, message, monkeypatch):
    monkeypatch.setattr(teorell.chunks, "simulate", None)
    given = {"model": MODEL, "parameters": PEOPLE, "regimen": REGIMEN, "times": TIMES} | change
    if given["model"] == "unsendable":
        given["model"] = Unsendable("u")
        given |= {"parameters": None, "regimen": None, "outputs": [given["model"].state("x").name]}
    where = (
        path.parent / given.pop("path")
        if "csv" in str(given.get("path"))
        else given.pop("path", path)
    )
    with pytest.raises(InputError) as error:
        tl.simulate_to(where, **given)
    assert message in str(error.value)
    assert list(path.parent.iterdir()) == []


def test_tensors_are_refused(path):
    torch = pytest.importorskip("torch")
    k = torch.full((N,), 0.3, dtype=torch.float64)
    for change in (
        {"times": torch.tensor([1.0])},
        {"parameters": {"k": k}},
        {"regimen": Regimen.bolus(k, into="a")},
        {"parameters": lambda start, stop: {"k": k[start:stop]}, "patients": N},
        {"regimen": lambda start, stop: Regimen.bolus(k[start:stop], into="a")},
    ):
        with pytest.raises(InputError, match=r"tensor.*Give .*numpy\(\)"):
            tl.simulate_to(
                path,
                **(
                    {"model": MODEL, "parameters": PEOPLE, "regimen": SHARED, "times": TIMES}
                    | change
                ),
            )
    assert not path.exists()


@pytest.mark.parametrize(("suffix", "package"), [("zarr", "zarr"), ("parquet", "pyarrow")])
def test_a_package_that_is_missing(tmp_path, suffix, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"Run pip install 'teorell\[storage\]'\."):
        tl.simulate_to(tmp_path / f"population.{suffix}", *ALL)
