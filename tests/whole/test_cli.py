"""The command line as a user sees it: what is printed, written and returned."""

from __future__ import annotations

import csv
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import teorell as tl
from folders import child_environment
from teorell import doctor, tables
from teorell.cli import main
from teorell.engine import executors, object_cache
from teorell.pbpk import command as simulate_command
from teorell.pbpk.command import grid

Captured: TypeAlias = pytest.CaptureFixture[str]

MODEL = """import teorell as tl
model = tl.Model("oral")
ka, cl, v = model.parameters(ka=1.5, cl=3.0, v=30.0)
depot, central = model.states("depot", "central")
model.flow(depot, central, ka * depot)
model.flow(central, None, cl / v * central)
model.output("cp", central / v)
"""


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def child(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
        **options,
    )


@pytest.fixture
def oral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`teorell fit` of a model with a known answer: ka 1.2, cl 3, v 30; run in its folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oral.py").write_text(MODEL)
    t = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0])
    curve = 100 * 1.2 / (30 * (1.2 - 0.1)) * (np.exp(-0.1 * t) - np.exp(-1.2 * t))
    lines = ["ID,TIME,AMT,EVID,DV,SITE", "1,0,100,1,.,7"] + [
        f"1,{a},0,0,{b},7" for a, b in zip(t, curve, strict=True)
    ]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    estimate = ["--estimate", "ka=1", "cl=2", "v=20"]
    return ["fit", "oral.py", "data.csv", *estimate, "--starts", "1", "--out", "found"]


@pytest.mark.parametrize(("drug", "route"), [("theophylline", "oral"), ("midazolam", "iv")])
def test_simulate(drug: str, route: str, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "results"
    size = ["--patients", "40", "--seed", "3", "--hours", "60"]
    assert main(["simulate", drug, "--route", route, *size, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    for quantity in ("cmax [mg/L]", "tmax [h]", "auc_inf [mg/L h]", "half_life [h]"):
        assert quantity in printed.out
    assert all(f"{p} %" in printed.out for p in (5, 25, 50, 75, 95))
    assert printed.err == ""  # no terminal, no bar
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


def test_what_the_samples_cannot_tell_is_one_sentence(tmp_path: Path, capsys: Captured) -> None:
    """Theophylline's half-life is about 8 h: 12 h are too short for the area to infinity."""
    words = ["simulate", "--patients", "40", "--hours", "12", "--out", str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert said.startswith("teorell: auc_inf is extrapolated by more than 20 % for ")
    assert said.count("\n") == 1


def test_names_of_drugs_in_any_case(tmp_path: Path, capsys: Captured) -> None:
    assert main(["simulate", "Midazolam", "--patients", "2", "--out", str(tmp_path)]) == 0
    assert "midazolam" in capsys.readouterr().out


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


def test_simulate_needs_numpy_and_llvmlite_alone(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('pandas', 'scipy', 'xarray', 'matplotlib', 'torch', 'tqdm', 'rich'):\n"
        "    sys.modules[name] = None\n"
        "from teorell.cli import main\n"
        "raise SystemExit(main(['simulate', '--patients', '3']))"
    )
    done = child("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "teorell-results" / "summary.csv").exists()


def test_patients_that_fail(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are written, the sentence says who failed and why, and the exit code is 1."""

    def impatient(*arguments: Any, **options: Any) -> tl.Solution:
        return tl.simulate(*arguments, **options, max_steps=1)

    monkeypatch.setattr(simulate_command, "simulate", impatient)
    assert main(["simulate", "--patients", "3", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("teorell: 3 of 3 patients failed.")
    assert "Traceback" not in printed.err
    assert "0" not in {row["status"] for row in table(tmp_path / "patients.csv")}
    assert (tmp_path / "concentration.png").exists()


def test_grid_has_the_end_of_the_infusion() -> None:
    assert grid(24.0)[[0, -1]].tolist() == [0.0, 24.0]
    assert 0.123 in grid(24.0, 0.123)
    assert 30.0 not in grid(24.0, 30.0)


def test_population(tmp_path: Path, capsys: Captured) -> None:
    """A table that is read back, of whom was asked for; PK-Sim's; mistakes in one sentence."""
    out = tmp_path / "new" / "people.csv"
    words = ["population", "--people", "20", "--age", "18", "80", "--sex", "female"]
    assert main([*words, "--gfr", "moderate", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "20 people" in printed
    assert max(map(len, printed.splitlines()[1:-1])) <= 80
    people = tl.Population.read_csv(out)
    assert len(people) == 20
    assert people["gfr"].max() <= 60.0
    assert people["female"].min() == 1.0
    assert main([*words, "--format", "pksim", "--out", str(out)]) == 0
    assert len(tl.Population.read_pksim(out)) == 20
    assert main(["population", "--species", "rat", "--people", "3", "--out", str(out)]) == 0
    for more, sentence in (
        (["--age", "200"], "age is 200"),
        (["--age", "1", "2", "3"], "--age has 3 numbers"),
        (["--species", "rta"], "Did you mean 'rat'"),
        (["--people", "0"], "--people is 0"),
        (["--out", str(tmp_path)], "a folder"),
    ):
        capsys.readouterr()
        assert main(["population", *more]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert len(error.strip().splitlines()) == 1


def test_fit(tmp_path: Path, capsys: Captured, oral: list[str]) -> None:
    """A model file and a table in, estimates, residuals and a picture out."""
    assert main(oral) == 0
    shown = capsys.readouterr().out
    assert "1 patients" in shown
    assert "estimates.csv" in shown
    assert "columns without a use: SITE" in shown
    rows = (tmp_path / "found" / "estimates.csv").read_text().splitlines()
    names, values = rows[0].split(","), rows[1].split(",")
    found = dict(zip(names, values, strict=True))
    assert float(found["cl"]) == pytest.approx(3.0, rel=1e-4)
    assert len((tmp_path / "found" / "residuals.csv").read_text().splitlines()) == 8
    assert (tmp_path / "found" / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_fit_within_bounds(tmp_path: Path, capsys: Captured, oral: list[str]) -> None:
    """The volume of 30 is out of reach: the estimate ends at its bound, and that is said."""
    main([*oral, "--bounds", "v=:25", "cl=0.1:", "ka=0:50"])
    rows = (tmp_path / "found" / "estimates.csv").read_text().splitlines()
    found = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert float(found["v"]) == pytest.approx(25.0, rel=1e-6)
    assert "bound" in capsys.readouterr().out


def test_names_of_subjects_are_no_formulas(oral: list[str], tmp_path: Path) -> None:
    """A spreadsheet runs no cell of the tables that a fit writes; numbers stay numbers."""
    data = tmp_path / "data.csv"
    lines = data.read_text().splitlines()
    data.write_text("\n".join([lines[0], *(f"=1+{line}" for line in lines[1:])]))
    assert main(oral) == 0
    residuals = table(tmp_path / "found" / "residuals.csv")
    assert {row["id"] for row in residuals} == {"'=1+1"}
    assert {float(row["residual"]) < 0.0 for row in residuals} == {True, False}
    assert {row["id"] for row in table(tmp_path / "found" / "estimates.csv")} == {"'=1+1"}


def test_estimates_in_several_options(oral: list[str], tmp_path: Path) -> None:
    """None of them is dropped."""
    parted = [*oral[:4], "ka=1", "--estimate", "cl=2", "--fixed", "v=30", *oral[-4:]]
    assert main(parted) == 0
    assert set(table(tmp_path / "found" / "estimates.csv")[0]) >= {"ka", "cl"}


def test_fit_without_matplotlib(
    oral: list[str], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(oral) == 0
    printed = capsys.readouterr()
    assert "no picture" in printed.err
    assert "fit.png" not in printed.out
    assert not (tmp_path / "found" / "fit.png").exists()


def test_a_fit_that_did_not_converge(oral: list[str], capsys: Captured) -> None:
    assert main([*oral[:4], "cl=-1e5", *oral[-4:]]) == 1
    assert "no start has a likelihood" in capsys.readouterr().out


def test_bench_is_at_most_80_columns_wide(capsys: Captured) -> None:
    size = ["--patients", "20", "--repeats", "1", "--threads", "2"]
    assert main(["bench", "--problem", "A", "--no-peers", *size]) == 0
    text = capsys.readouterr().out
    assert "patients/s" in text
    assert max(map(len, text.splitlines())) <= 80


def test_bench_with_slow_peers_and_long_names_fits() -> None:
    from teorell.benchmark import command

    rows = [
        ("teorell machine code, 128 threads", "9,987,654", "(3 %)", "1.1e-07", "1.3e-06", "88.11"),
        ("numbalsoda 0.3.4 (LSODA, numba)", "12,345", "(100 %)", "1.1e-07", "inf", "1/9"),
        ("SciPy 1.17.1 LSODA, Python", "20", "(12 %)", "1.9e-06", "1.3e-05", "1/1445"),
    ]
    assert max(map(len, tables.aligned([command.HEAD, *rows]).splitlines())) <= 80


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
    long = [line for line in printed.splitlines() if len(line) > 80]
    assert all(len(line.split(maxsplit=2)[0]) < 80 and "/" in line for line in long)  # paths alone


def test_doctor_warns_without_fma(monkeypatch: pytest.MonkeyPatch) -> None:
    builds = executors.instruction_sets()
    best = {**builds[0], "fma": False}
    monkeypatch.setattr(executors, "instruction_sets", lambda: [best, *builds[1:]])
    monkeypatch.setattr(doctor, "self_test", lambda kind: "not run")
    monkeypatch.delenv("TEORELL_ISA", raising=False)
    assert "warning: this build has no fused multiply-add" in doctor.report()


def test_doctor_says_why_models_are_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    text = doctor.report()
    assert "interpreter (llvmlite cannot be imported" in text
    assert "warning: models are interpreted" in text


def test_doctor_finds_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TEORELL_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("TEORELL_ISA", "v9")
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "warning: TEORELL_ISA is 'v9' (this processor cannot run it). Unset it." in text
    assert "NOT WRITABLE" in text
    monkeypatch.delenv("TEORELL_ISA")

    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(tl, "simulate", broken)
    assert main(["doctor"]) == 1
    assert "self-test        FAILED: RuntimeError: two lines" in capsys.readouterr().out


def test_doctor_without_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "teorell.engine.executors", None)
    monkeypatch.delattr("teorell.engine.executors")
    text = doctor.report()
    assert "warning: the compiled core cannot be imported" in text
    assert "llvmlite" in text


@pytest.mark.parametrize("module", ["teorell", "teorell.cli"])
def test_as_a_module(module: str) -> None:
    done = child("-m", module, "--help")
    assert done.returncode == 0
    assert "simulate" in done.stdout
    done = child("-m", module, "simulat")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_version(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"teorell {tl.__version__}\n"


def test_without_a_command_there_is_help(capsys: Captured) -> None:
    assert main([]) == 0
    printed = capsys.readouterr()
    assert all(name in printed.out for name in ("simulate", "population", "fit", "bench", "doctor"))
    assert printed.err == ""


@pytest.mark.parametrize(("command", "option"), [
    ("simulate", "--patients"), ("fit", "--estimate"), ("bench", "--no-peers"), ("doctor", "-h"),
])  # fmt: skip
def test_help_of_a_command_shows_its_own_options(
    command: str, option: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"teorell {command}" in printed
    assert option in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_help_is_light() -> None:
    """The packages that commands work with are imported when a command runs."""
    heavy = ["teorell._core", "llvmlite", "matplotlib", "numba", "pandas", "scipy", "torch"]
    code = (
        "import sys; from teorell.cli import main; main(['fit', '--help']); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert child("-c", code).stdout.endswith("[]\n")


def test_names_of_the_benchmark_are_all_there() -> None:
    benchmark = importlib.import_module("teorell.benchmark")
    for name in benchmark.__all__:
        assert getattr(benchmark, name) is not None
    with pytest.raises(AttributeError, match="no_such"):
        _ = benchmark.no_such


def test_output_that_is_no_terminal_is_plain(tmp_path: Path) -> None:
    done = child("-m", "teorell", "simulate", "--patients", "3", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert not re.search(r"[\r\x1b]", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("arguments", [["--help"], ["simulate", "--patients", "2"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone(arguments: list[str], unbuffered: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "teorell", *arguments],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
            cwd=tmp_path,
            env={**child_environment(), "PYTHONUNBUFFERED": unbuffered},
        )
    finally:
        os.close(write)
    assert done.stderr == b""
    # argparse itself keeps quiet where nothing is held back
    assert done.returncode == (0 if unbuffered and arguments == ["--help"] else 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout(unbuffered: str, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "teorell", "simulate", "--patients", "2"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**child_environment(), "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 2
    assert "cannot be written (No space left on device)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_names_that_the_output_cannot_spell(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "teorell", "simulate", "--patients", "2", "--out", "Größe"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**child_environment(), "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert b"Gr\\xf6\\xdfe" in done.stdout


def test_text_is_wrapped_and_aligned() -> None:
    long = tables.labelled([("a", "word " * 40), ("longer", "/" + "x" * 100)]).splitlines()
    assert long[0].startswith("a       word")
    assert long[1].startswith("        word")
    assert max(len(line) for line in long if "/" not in line) <= 80
    assert "x" * 100 in "".join(long)  # a path is not broken
    rows = [("", "n", "c"), ("ab", "100", "de")]
    assert tables.aligned(rows) == "      n   c\nab  100  de"
    assert tables.aligned(rows, left=(0, 2)) == "      n  c\nab  100  de"


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def bug(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(simulate_command, "simulate", bug)
    with pytest.raises(ZeroDivisionError):
        main(["simulate", "--patients", "2", "--out", str(tmp_path)])
