"""All that is refused: another simulation in the store, what others wrote, and wrong input, before
anything is made.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import stores_case as case
import teorell as tl
from teorell import InputError, Regimen
from teorell.storage import chunks


@pytest.fixture(params=case.KINDS)
def path(request, tmp_path):
    return tmp_path / f"population.{request.param}"


def other_model():
    model = case.two_outputs()
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
        ({"times": case.TIMES[:-1]}, "times"),
        ({"parameters": case.PEOPLE | {"k": np.float32(0.3)}}, "parameters"),
        (
            {"parameters": case.PEOPLE | {"k": np.nextafter(case.PEOPLE["k"], np.float32(9.0))}},
            "parameters",
        ),
        (
            {
                "parameters": lambda start, stop: {
                    "rate": case.PEOPLE["rate"][start:stop],
                    "k": case.PEOPLE["k"][start:stop],
                }
            },
            "parameters",
        ),
        ({"regimen": None}, "regimen"),
        ({"regimen": case.REGIMEN + Regimen.reset(time=11.0)}, "regimen"),
        ({"model": other_model()}, "model"),
    ],
)
def test_another_simulation_is_refused_by_name(path, change, named):
    given = {
        "model": case.MODEL,
        "parameters": case.PEOPLE,
        "regimen": case.REGIMEN,
        "times": case.TIMES,
        "chunk": case.CHUNK,
    }
    tl.simulate_to(path, **given)
    before = case.contents(path)
    with pytest.raises(InputError) as error:
        tl.simulate_to(path, **(given | change))
    assert named in str(error.value)
    assert "resume=False" in str(error.value)
    assert case.contents(path) == before


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
        tl.simulate_to(path, *case.ALL, chunk=case.CHUNK)
        (path / "notes.txt").write_text("mine")
    before = case.contents(path) if path.is_dir() else path.read_text()
    if made == "beside the store" and resume:
        tl.simulate_to(path, *case.ALL, chunk=case.CHUNK)
    else:
        with pytest.raises(InputError, match=r"would be (removed|overwritten)"):
            tl.simulate_to(path, *case.ALL, chunk=case.CHUNK, resume=resume)
    assert (case.contents(path) if path.is_dir() else path.read_text()) == before


def other_names(start, stop):
    return {
        "rate": case.PEOPLE["rate"][start:stop],
        "k": case.PEOPLE["k"][start:stop] if start < 20 else 0.3,
    }


def out_of_bounds(start, stop):
    return {"rate": np.where(np.arange(start, stop) == 20, np.nan, 1.0)}


def everybody(start, stop):
    return {"rate": case.PEOPLE["rate"] if start == 16 else case.PEOPLE["rate"][start:stop]}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (other_names, "parameter 'k' is an array for some patients and not for those from 24 on"),
        (
            out_of_bounds,
            "among patients 16 to 23, counted from the first of them: parameter 'rate' is "
            "not finite (1 of 8",
        ),
        (everybody, "start 16 and stop 24 gave 61 patients"),
    ],
)
@pytest.mark.parametrize("executor", [None, case.Bare()])
def test_what_later_chunks_get_wrong(path, function, message, executor):
    """It is said before that chunk is written, and the chunks before it stay."""
    with pytest.raises(InputError) as error:
        tl.simulate_to(
            path,
            case.MODEL,
            function,
            case.SHARED,
            case.TIMES,
            chunk=case.CHUNK,
            patients=case.N,
            executor=executor,
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "population.csv"}, "Let it end in .zarr or .parquet"),
        ({"path": "s3://bucket/population.zarr"}, "file system"),
        ({"chunk": 0}, "chunk is 0"),
        ({"chunk": True}, "chunk is True"),
        ({"chunk": 2.0}, "chunk is 2.0"),
        ({"chunk": case.N, "times": np.linspace(0, 1, 5_000_000)}, "2.4 GB"),
        ({"patients": 7}, "the argument patients has 7 patients, parameter 'rate' has 61"),
        ({"patients": 0}, "patients is 0"),
        (
            {"patients": 7, "parameters": {"k": 0.3}, "regimen": case.SHARED},
            "no array tells them apart",
        ),
        ({"parameters": lambda start, stop: {}, "regimen": case.SHARED}, "Give patients="),
        ({"parameters": {"k": 0.3}, "regimen": case.Doses()}, "Give patients="),
        (
            {"parameters": lambda start, stop: {}, "regimen": case.SHARED, "patients": 9},
            "start 0 and stop 9 gave 1 patient",
        ),
        ({"parameters": case.PEOPLE | {"k": case.PEOPLE["k"][:-1]}}, "has 60 patients"),
        (
            {"parameters": case.PEOPLE | {"k": np.where(np.arange(case.N) == 60, np.nan, 1.0)}},
            "the first is patient 60",
        ),
        ({"parameters": case.PEOPLE | {"K": 1.0}}, "unknown parameter 'K'"),
        ({"regimen": Regimen.bolus(1.0, into="gut")}, "unknown compartment 'gut'"),
        ({"regimen": case.one_a_patient()[1:]}, "has 60"),
        ({"times": [[1.0]] * case.N}, "times of its own"),
        ({"times": None}, "times are missing"),
        ({"outputs": ["cp"]}, "unknown output 'cp'"),
        ({"rtol": 1.0}, "rtol"),
        ({"threads": 0}, "threads"),
        ({"executor": "interpreter"}, "executor is a str"),
        ({"executor": object()}, "submitted"),
        ({"progress": "yes"}, "progress"),
        (
            {"model": clashing(), "parameters": {"status": case.TABLE[:, 0]}, "regimen": None},
            "hold 'status' twice",
        ),
        ({"model": "unsendable", "executor": case.Bare()}, "cannot be sent to workers (no)"),
    ],
)
def test_everything_wrong_is_said_before_anything_is_made(path, change, message, monkeypatch):
    monkeypatch.setattr(chunks, "simulate", None)
    given = {
        "model": case.MODEL,
        "parameters": case.PEOPLE,
        "regimen": case.REGIMEN,
        "times": case.TIMES,
    } | change
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


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("n" * 300 + ".zarr", InputError, "File name too long"),
        ("a\0b.parquet", InputError, "no path .embedded null"),
        (b"a.zarr", TypeError, "the path of a store is a bytes"),
        (None, TypeError, "the path of a store is a NoneType"),
    ],
)
def test_what_is_no_path(where, error, message):
    with pytest.raises(error, match=message):
        tl.simulate_to(where, case.MODEL, case.PEOPLE, case.REGIMEN, case.TIMES)


def test_an_option_that_is_none_is_told(path):
    given = (case.MODEL, case.PEOPLE, case.REGIMEN, case.TIMES)
    with pytest.raises(TypeError, match=r"unknown option 'max_stepp' .* Did you mean 'max_step'"):
        tl.simulate_to(path, *given, max_stepp=1.0)
    with pytest.raises(TypeError, match=r"unknown option 'methods' .* Did you mean 'method'"):
        tl.value_and_grad(np.ones(1), *given, methods="rodas5p")


def test_resume_is_a_yes_or_no(path):
    with pytest.raises(TypeError, match=r"resume is 'no' .it is a yes or no"):
        tl.simulate_to(path, case.MODEL, case.PEOPLE, case.REGIMEN, case.TIMES, resume="no")
    assert list(path.parent.iterdir()) == []


def test_tensors_are_refused(path):
    torch = pytest.importorskip("torch")
    k = torch.full((case.N,), 0.3, dtype=torch.float64)
    for change in (
        {"times": torch.tensor([1.0])},
        {"parameters": {"k": k}},
        {"regimen": Regimen.bolus(k, into="a")},
        {"parameters": lambda start, stop: {"k": k[start:stop]}, "patients": case.N},
        {"regimen": lambda start, stop: Regimen.bolus(k[start:stop], into="a")},
    ):
        with pytest.raises(InputError, match=r"tensor.*Give .*numpy\(\)"):
            tl.simulate_to(
                path,
                **(
                    {
                        "model": case.MODEL,
                        "parameters": case.PEOPLE,
                        "regimen": case.SHARED,
                        "times": case.TIMES,
                    }
                    | change
                ),
            )
    assert not path.exists()


@pytest.mark.parametrize(("suffix", "package"), [("zarr", "zarr"), ("parquet", "pyarrow")])
def test_a_package_that_is_missing(tmp_path, suffix, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"Run pip install 'teorell\[storage\]'\."):
        tl.simulate_to(tmp_path / f"population.{suffix}", *case.ALL)
