"""The command line as a user sees it: what is printed, written and returned."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import teorell as tl
from teorell import cli, doctor, object_cache, solve
from teorell.cli import grid, main, read_observed

Captured: TypeAlias = pytest.CaptureFixture[str]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("drug", "route"), [("theophylline", "oral"), ("midazolam", "iv")])
def test_simulate(drug: str, route: str, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "results"
    size = ["--patients", "40", "--seed", "3", "--hours", "12"]
    assert main(["simulate", drug, "--route", route, *size, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    for quantity in ("cmax [mg/L]", "tmax [h]", "auc_inf [mg/L h]", "half_life [h]"):
        assert quantity in printed.out
    assert all(f"{p} %" in printed.out for p in (5, 25, 50, 75, 95))
    assert "40/40" in printed.err
    assert (out / "concentration.png").read_bytes().startswith(b"\x89PNG")
    patients = table(out / "patients.csv")
    assert len(patients) == 40
    assert {row["status"] for row in patients} == {"0"}
    median = next(row for row in table(out / "summary.csv") if row["quantity"] == "cmax")["p50"]
    assert float(median) == pytest.approx(np.median([float(row["cmax"]) for row in patients]))
    tmax = [float(row["tmax"]) for row in patients]
    if route == "iv":
        assert tmax == pytest.approx([2 / 60] * 40)  # the end of the infusion
    else:
        assert min(tmax) > 0.2


def test_simulate_is_repeatable(tmp_path: Path) -> None:
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert (
            main(["simulate", "--patients", "5", "--seed", seed, "--out", str(tmp_path / name)])
            == 0
        )
    read = [(tmp_path / name / "patients.csv").read_text() for name in "abc"]
    assert read[0] == read[1] != read[2]


def test_observed_profiles_are_compared(tmp_path: Path, capsys: Captured) -> None:
    observed = tmp_path / "observed.csv"
    rows = [
        "1,0,.,320,1",
        "1,1,7.0,0,0",
        "1,4,7.0,0,0",
        "1,12,4.0,0,0",
        "1,20,2.0,0,0",
        "1,24,1.4,0,0",
    ]
    observed.write_text("\n".join(["id,time,dv,amt,evid", *rows]))
    assert (
        main(["simulate", "--patients", "60", "--observed", str(observed), "--out", str(tmp_path)])
        == 0
    )
    printed = capsys.readouterr().out
    assert "observed: 1 person, 5 samples" in printed
    assert "within the 5-95 % band: 100 %" in printed


def test_without_matplotlib(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["simulate", "--patients", "3", "--out", str(tmp_path)]) == 0
    assert "pip install 'teorell[plot]'" in capsys.readouterr().err
    assert (tmp_path / "patients.csv").exists()
    assert not (tmp_path / "concentration.png").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (["simulate", "teophylline"], "Did you mean 'theophylline'?"),
    (["simulate", "--route", "nasal"], "nasal"),
    (["simulat"], "simulat"),
    ([], "required"),
])  # fmt: skip
def test_usage_errors(arguments: list[str], message: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--patients", "0"], "Give a number above 0"),
    (["--dose", "nan"], "Give a number above 0"),
    (["--hours", "-1"], "Give a number above 0"),
    (["--seed", "-1"], "Give 0 or more"),
    (["--threads", "0"], "one thread is the least"),
    (["--observed", "no/such/file.csv"], "No such file"),
])  # fmt: skip
def test_input_errors(arguments: list[str], message: str, capsys: Captured, tmp_path: Path) -> None:
    assert main(["simulate", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "message"), [
    ("a,b\n1,2\n", "no columns TIME"),
    ("", "no rows"),
    ("time,dv\n1,x\n", "line 2"),
    ("time,dv,evid\n1,2,1\n", "no observations"),
])  # fmt: skip
def test_bad_observations(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(tl.InputError, match=message):
        read_observed(tmp_path / "x.csv")


def test_grid_has_the_end_of_the_infusion() -> None:
    assert grid(24.0)[[0, -1]].tolist() == [0.0, 24.0]
    assert 0.123 in grid(24.0, 0.123)
    assert 30.0 not in grid(24.0, 30.0)


def test_bench_is_delegated(monkeypatch: pytest.MonkeyPatch) -> None:
    from teorell import benchmark

    monkeypatch.setattr(benchmark, "main", lambda argv: len(argv))
    assert main(["bench", "--problem", "A"]) == 2


def test_doctor(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEORELL_CACHE", str(tmp_path / "cache"))
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for word in (
        "instruction set",
        "executor",
        "llvmlite",
        "threads",
        "numpy",
        "matplotlib",
        "self-test",
    ):
        assert word in printed
    assert "self-test        passed" in printed
    assert str(object_cache.folder()) in printed


def test_doctor_warns_without_fma(monkeypatch: pytest.MonkeyPatch) -> None:
    builds = solve.instruction_sets()
    best = {**builds[0], "fma": False}
    monkeypatch.setattr(solve, "instruction_sets", lambda: [best, *builds[1:]])
    monkeypatch.setattr(doctor, "self_test", lambda kind: "not run")
    monkeypatch.delenv("TEORELL_ISA", raising=False)
    assert "warning: this build has no fused multiply-add" in doctor.report()


def test_doctor_says_why_models_are_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    text = doctor.report()
    assert "interpreter (llvmlite cannot be imported" in text
    assert "warning: models are interpreted" in text


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def fail(options: object) -> int:
        raise tl.SimulationError("1 of 2 patients failed.", np.array([0]))

    monkeypatch.setattr(cli, "_simulate", fail)
    assert main(["simulate"]) == 1
    assert "1 of 2 patients failed" in capsys.readouterr().err

    def interrupt(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_simulate", interrupt)
    assert main(["simulate"]) == 130


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "teorell.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert "simulate" in done.stdout


MODEL = """import teorell as tl
model = tl.Model("oral")
ka, cl, v = model.parameters(ka=1.5, cl=3.0, v=30.0)
depot, central = model.states("depot", "central")
model.flow(depot, central, ka * depot)
model.flow(central, None, cl / v * central)
model.output("cp", central / v)
"""


def test_fit(tmp_path, capsys, monkeypatch):
    """A model file and a table in, estimates, residuals and a picture out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oral.py").write_text(MODEL)
    t = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0])
    curve = 100 * 1.2 / (30 * (1.2 - 0.1)) * (np.exp(-0.1 * t) - np.exp(-1.2 * t))
    lines = ["ID,TIME,AMT,EVID,DV", "1,0,100,1,."] + [
        f"1,{a},0,0,{b}" for a, b in zip(t, curve, strict=True)
    ]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    command = [
        "fit",
        "oral.py",
        "data.csv",
        "--estimate",
        "ka=1",
        "cl=2",
        "v=20",
        "--starts",
        "1",
        "--out",
        "found",
    ]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "1 patients" in shown
    assert "estimates.csv" in shown
    rows = (tmp_path / "found" / "estimates.csv").read_text().splitlines()
    names, values = rows[0].split(","), rows[1].split(",")
    found = dict(zip(names, values, strict=True))
    assert float(found["cl"]) == pytest.approx(3.0, rel=1e-4)
    assert len((tmp_path / "found" / "residuals.csv").read_text().splitlines()) == 8
    assert main([*command[:4], "ka"]) == 2
    assert "Write it as cl=3.0" in capsys.readouterr().err
    assert main(["fit", "none.py", *command[2:]]) == 2
    (tmp_path / "empty.py").write_text("")
    assert main(["fit", "empty.py", *command[2:]]) == 2
    assert "makes no teorell.Model" in capsys.readouterr().err
