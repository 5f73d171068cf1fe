"""Every mistake on the command line is one sentence, 'problem (reason). Remedy.', and exit code 2:
no traceback, no usage, nothing written.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import teorell as tl
from teorell import cli
from teorell.cli import main
from teorell.fitting import command as fit_command
from teorell.pbpk import command as simulate_command

Captured: TypeAlias = pytest.CaptureFixture[str]

PNG = b"\x89PNG\r\n\x1a\n\0\0"
ZIP = b"PK\x03\x04\x14\0"
FILES: dict[str, str | bytes] = {
    "oral.py": (
        "import teorell as tl\n"
        "model = tl.Model('oral')\n"
        "ka, cl, v = model.parameters(ka=1.5, cl=3.0, v=30.0)\n"
        "depot, central = model.states('depot', 'central')\n"
        "model.flow(depot, central, ka * depot)\n"
        "model.flow(central, None, cl / v * central)\n"
        "model.output('cp', central / v)\n"
    ),
    "data.csv": "ID,TIME,AMT,EVID,DV\n1,0,100,1,.\n1,1,0,0,2\n1,2,0,0,2.2\n1,4,0,0,2\n1,8,0,0,1\n",
    "none.txt": "",
    "empty.py": "",
    "syntax.py": "x = 1\nmodel = (\n",
    "raises.py": "def f():\n    return 1 / 0\n\nf()\n",
    "exits.py": "import sys\nsys.exit(0)\n",
    "wrong.py": "import teorell as tl\nm = tl.Model('m')\nm.state('a')\nm.state('a')\n",
    "absent.py": "import no_such_package\n",
    "latin.py": b"# caf\xe9\n",
    "picture.py": PNG,
    "picture.png": PNG,
    "picture.csv": PNG,
    "book.xlsx": ZIP,
    "book.csv": ZIP,
    "zeros.csv": b"ID,TIME\0\n",
    "latin.csv": b"ID,TIME,DV\n1,1,caf\xe9\n",
    "utf16.csv": "ID,TIME,DV\n1,1,2\n".encode("utf-16"),
    "semicolons.csv": "ID;TIME;DV\n1;1;2\n",
    "tabs.csv": "ID\tTIME\tDV\n1\t1\t2\n",
    "empty.csv": "",
    "blank.csv": "\n\n",
    "header.csv": "ID,TIME,DV\n",
    "ragged.csv": 'ID,TIME,DV\n1,1,2\n1,1,2,3,4,5\n',
    "quote.csv": 'ID,TIME,DV\n1,1,"2\n',
    "words.csv": "ID,TIME,DV\n1,soon,2\n",
    "raised.csv": "ID,TIME,AMT\n1,0,3\u00b2\n",
    "broken.csv.gz": ZIP,
    "broken.csv.zip": ZIP,
    "a_file": "",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `FILES` and a folder called a_folder."""
    for name, content in FILES.items():
        text = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(text)
    (tmp_path / "a_folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistake(arguments: Sequence[str], capsys: Captured, code: int = 2) -> str:
    """The sentence that is printed for a mistake, once its form is checked."""
    before = sorted(os.listdir())
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert re.fullmatch(r"teorell: error: .+ \(.+\)\. .*[.?]", lines[0]), lines[0]
    assert sorted(os.listdir()) == before
    return lines[0].removeprefix("teorell: error: ")


@pytest.mark.parametrize(("arguments", "message"), [
    ("simulat", "unknown command 'simulat' .* Did you mean 'simulate'"),
    ("simulat --patients 3", "Did you mean 'simulate'"),
    ("xyz", "Known: simulate, population, fit, train, evaluate, doctor, bench"),
    ("--versio", "unknown option '--versio' .* Did you mean '--version'"),
    ("-x", "unknown option '-x'"),
    ("simulate teophylline", "DRUG is 'teophylline' .* Did you mean 'theophylline'"),
    ("simulate metoprolol", "no usual dose of metoprolol is known .* Give --dose in mg"),
    ("simulate theophylline more", "unexpected 'more' .*teorell simulate --help"),
    ("simulate --route nasal", "--route is 'nasal' .* Known: oral, iv"),
    ("simulate --executor interpret", "Did you mean 'interpreter'"),
    ("simulate --patient 5", "unknown option '--patient' .* Did you mean '--patients'"),
    ("simulate --patient=5", "unknown option '--patient' .* Did you mean '--patients'"),
    ("simulate --pat 5", "unknown option '--pat'"),
    ("simulate --patients", "--patients cannot be used so .expected one argument"),
    ("simulate --patients 5 --patients 6", "--patients is given twice"),
    ("simulate --seed=1 --seed=1", "--seed is given twice"),
    ("simulate --dose -1e3", "written --dose=-1. See teorell simulate --help"),
    ("doctor now", "unexpected 'now'"),
    ("doctor --fast", "unknown option '--fast'"),
    ("fit", "teorell fit needs MODEL, TABLE, --estimate .* See teorell fit --help"),
    ("fit oral.py", "teorell fit needs TABLE, --estimate"),
    ("fit oral.py data.csv", "teorell fit needs --estimate"),
    ("fit oral.py data.csv --estimate", "expected at least one argument"),
    ("fit oral.py data.csv --estimate cl=1 --error poisson", "Known: additive, proportional"),
    ("fit oral.py data.csv --estimate cl=1 --error additive --error additive", "given twice"),
    ("fit oral.py data.csv --estimate cl=1 --pooled=3", "--pooled cannot be used so"),
    ("bench --problem C", "--problem is 'C' .* Known: A, B"),
    ("bench --problem A --problem A", "--problem is given twice"),
    ("bench --peers", "Did you mean '--no-peers'"),
])  # fmt: skip
def test_usage(arguments: str, message: str, capsys: Captured, folder: Path) -> None:
    assert re.search(message, mistake(arguments.split(), capsys))


@pytest.mark.parametrize(("arguments", "message"), [
    ("--patients 0", "--patients is 0 .* Give a number above 0"),
    ("--patients -3", "Give a number above 0"),
    ("--patients 1e9", "--patients is '1e9' .a whole number is needed"),
    ("--patients 2.5", "a whole number is needed"),
    ("--patients many", "a whole number is needed"),
    (f"--patients {'9' * 6000}", "a whole number is needed|too large"),
    (f"--patients 1{'0' * 30}", "too large"),
    ("--patients 999999999", "their curves take"),
    ("--dose nan", "Give a number above 0"),
    ("--dose inf", "too large"),
    ("--dose=-inf", "Give a number above 0"),
    ("--dose 0", "Give a number above 0"),
    ("--dose much", "--dose is 'much' .a number is needed"),
    ("--hours -1", "Give a number above 0"),
    ("--hours 1e300", "too large"),
    ("--hours nan", "Give a number above 0"),
    ("--seed -1", "Give 0 or more"),
    ("--seed 1.5", "a whole number is needed"),
    ("--threads 0", "one thread is the least"),
    ("--threads -2", "one thread is the least"),
    (f"--threads 1{'0' * 30}", "--threads is"),
    ("--observed no/such/file.csv", "No such file"),
    ("--observed a_folder", "a_folder is a folder"),
    ("--observed picture.png", "picture.png is a PNG picture"),
    ("--observed book.xlsx", "book.xlsx is an Excel workbook"),
    ("--observed latin.csv", "latin.csv is not text in UTF-8"),
    ("--observed utf16.csv", "utf16.csv is not text in UTF-8"),
    ("--observed zeros.csv", "zeros.csv is binary"),
    ("--observed semicolons.csv", "semicolons"),
    ("--observed tabs.csv", "tabs"),
    ("--observed empty.csv", "empty.csv is empty"),
    ("--observed header.csv", "no observations"),
    ("--observed oral.py", "cells parted by blanks"),
    ("--observed words.csv", "line 2: TIME is 'soon'"),
    ("--out a_file", "--out is a_file .a_file is no folder"),
    ("--out a_file/deeper/still", "a_file is no folder"),
])  # fmt: skip
def test_simulate(arguments: str, message: str, capsys: Captured, folder: Path) -> None:
    assert re.search(message, mistake(["simulate", *arguments.split()], capsys))


@pytest.mark.parametrize(("arguments", "message"), [
    ("--people 0", "--people is 0 .* Give 1 or more"),
    ("--people -2", "--people is -2"),
    ("--out people.xlsx", "--out is people.xlsx .a CSV file is written.. Let it end in .csv"),
    ("--out people.parquet", "Let it end in .csv"),
    ("--age 1 2 3", "--age has 3 numbers"),
])  # fmt: skip
def test_population(arguments: str, message: str, capsys: Captured, folder: Path) -> None:
    assert re.search(message, mistake(["population", *arguments.split()], capsys))


@pytest.mark.parametrize("option", ["--out", "--observed", "--route", "--patients"])
def test_empty_values(option: str, capsys: Captured, folder: Path) -> None:
    """What a shell makes of a variable that is not set."""
    assert f"{option} is empty" in mistake(["simulate", option, ""], capsys)


@pytest.mark.parametrize(("files", "message"), [
    ("none.py data.csv", "none.py cannot be read .No such file"),
    ("oral.py none.csv", "none.csv cannot be read .No such file"),
    ("data.csv oral.py", "changed places.. Write teorell fit oral.py data.csv"),
    ("data.csv data.csv", "MODEL is data.csv, a table"),
    ("book.xlsx data.csv", "MODEL is book.xlsx, a table"),
    ("oral.py oral.py", "TABLE is oral.py, a Python file"),
    ("picture.png data.csv", "picture.png is a PNG picture .a Python file is needed"),
    ("picture.py data.csv", "picture.py is a PNG picture"),
    ("latin.py data.csv", "latin.py is not text in UTF-8"),
    ("a_folder data.csv", "a_folder is a folder .a Python file is needed"),
    ("oral.py a_folder", "a_folder is a folder .a CSV file is needed"),
    ("oral.py picture.csv", "picture.csv is a PNG picture"),
    ("oral.py book.xlsx", "book.xlsx is an Excel workbook"),
    ("oral.py book.csv", "book.csv is an Excel workbook"),
    ("oral.py latin.csv", "latin.csv is not text in UTF-8"),
    ("oral.py utf16.csv", "utf16.csv is not text in UTF-8"),
    ("oral.py zeros.csv", "zeros.csv is binary"),
    ("oral.py semicolons.csv", "semicolons"),
    ("oral.py empty.csv", "empty.csv is empty"),
    ("oral.py raised.csv", "AMT is 3\u00b2 .not a number"),
    ("oral.py blank.csv", "blank.csv is empty"),
    ("oral.py header.csv", "header.csv: .*no rows"),
    ("oral.py ragged.csv", "ragged.csv is no CSV file"),
    ("oral.py quote.csv", "quote.csv is no CSV file"),
    ("oral.py words.csv", "words.csv: row 1 .* TIME is soon"),
    ("oral.py broken.csv.gz", "broken.csv.gz cannot be unpacked"),
    ("oral.py broken.csv.zip", "broken.csv.zip cannot be unpacked"),
    ("syntax.py data.csv", "syntax.py is not Python .line 2 of syntax.py"),
    ("raises.py data.csv", "raises.py stopped in line 2 .ZeroDivisionError: division by zero"),
    ("exits.py data.csv", "exits.py ended the program in line 2 .SystemExit"),
    ("wrong.py data.csv", "wrong.py, line 4: state 'a'"),
    ("absent.py data.csv", "absent.py stopped in line 1 .ModuleNotFoundError: .*no_such_package"),
    ("empty.py data.csv", "makes no teorell.Model"),
])  # fmt: skip
def test_files_of_fit(files: str, message: str, capsys: Captured, folder: Path) -> None:
    assert re.search(message, mistake(["fit", *files.split(), "--estimate", "cl=1"], capsys))


@pytest.mark.parametrize(("arguments", "message"), [
    ("--estimate cl", "Write it as cl=3.0"),
    ("--estimate cl=", "Write it as cl=3.0"),
    ("--estimate =1", "Write it as cl=3.0"),
    ("--estimate cl=low", "Write it as cl=3.0"),
    ("--estimate cl=1_0", "Write it as cl=3.0"),
    ("--estimate cl=.", "Write it as cl=3.0"),
    ("--estimate cl=1 --bounds cl=0:2_0", "Write it as cl=0.1:20"),
    ("--estimate cl=nan", "Write it as cl=3.0"),
    ("--estimate cl=inf", "Write it as cl=3.0"),
    ("--estimate cl=1=2", "Write it as cl=3.0"),
    ("--estimate cl=1 cl=2", "--estimate has cl twice"),
    ("--estimate cl=1 --estimate cl=2", "--estimate has cl twice"),
    ("--estimate cl=1 --fixed v=2 v=3", "--fixed has v twice"),
    ("--estimate cl=1 --fixed cl=2", "cl is in --estimate and in --fixed"),
    ("--estimate cl=1 --fixed v", "--fixed has 'v'"),
    ("--estimate cl=1 --bounds cl", "--bounds has 'cl' .* Write it as cl=0.1:20"),
    ("--estimate cl=1 --bounds cl=2", "Write it as cl=0.1:20"),
    ("--estimate cl=1 --bounds cl=:", "Write it as cl=0.1:20"),
    ("--estimate cl=1 --bounds =0:2", "Write it as cl=0.1:20"),
    ("--estimate cl=1 --bounds cl=0:two", "Write it as cl=0.1:20"),
    ("--estimate cl=1 --bounds cl=nan:2", "Write it as cl=0.1:20"),
    ("--estimate cl=1 --bounds cl=0:1:2", "Write it as cl=0.1:20"),
    ("--estimate cl=1 --bounds cl=0,2", "Write it as cl=0.1:20"),
    ("--estimate cl=1 --bounds cl=0:2 cl=0:3", "--bounds has cl twice"),
    ("--estimate cl=1 --bounds v=0:2", "bounds name 'v' .it is not estimated"),
    ("--estimate cl=1 --bounds cl=2:3", "'cl' starts at 1 .outside of its bounds, 2 to 3"),
    ("--estimate cl=1 --bounds cl=3:0", "starts at 1 .outside of its bounds, 3 to 0"),
    ("--estimate cl=1 --bounds cl=inf:", "bounds? of 'cl'"),
    ("--estimate clx=1", "unknown parameter 'clx' .* Did you mean 'cl'"),
    ("--estimate cl=1 --fixed vv=1", "unknown parameter 'vv' .* Did you mean 'v'"),
    ("--estimate cl=1 --output conc", "unknown output 'conc' .* Known: cp"),
    ("--estimate cl=1 --starts 0", "--starts is 0"),
    ("--estimate cl=1 --starts -5", "--starts is -5"),
    (f"--estimate cl=1 --starts 1{'0' * 30}", "--starts is"),
    ("--estimate cl=1 --starts few", "a whole number is needed"),
    ("--estimate cl=1 --seed -1", "--seed is -1"),
    ("--estimate cl=1 --out a_file", "a_file is no folder"),
    ("--estimate cl=1 ka=1 v=1 --error combined", "they cannot be told apart"),
])  # fmt: skip
def test_options_of_fit(arguments: str, message: str, capsys: Captured, folder: Path) -> None:
    assert re.search(message, mistake(["fit", "oral.py", "data.csv", *arguments.split()], capsys))


@pytest.mark.parametrize(("arguments", "message"), [
    ("--repeats 0", "--repeats is 0"),
    ("--repeats -1", "--repeats is -1"),
    ("--repeats 1.5", "a whole number is needed"),
    ("--patients -1", "--patients is -1"),
    (f"--patients 1{'0' * 30}", "--patients is 1"),
    ("--threads 0", "--threads is 0"),
    (f"--threads 1{'0' * 30}", "--threads is"),
    ("--seconds 0", "--seconds is 0"),
    ("--seconds nan", "--seconds is nan"),
    ("--seconds inf", "--seconds is inf"),
    ("--rtol 3", "rtol is 3"),
    ("--rtol nan", "rtol is not finite"),
    ("--rtol 0", "rtol is 0"),
    ("--atol 0", "atol is 0"),
    ("--atol=-1", "atol is -1"),
])  # fmt: skip
def test_options_of_bench(arguments: str, message: str, capsys: Captured, folder: Path) -> None:
    assert re.search(message, mistake(["bench", *arguments.split()], capsys))


def test_an_instruction_set_that_is_not_there(
    capsys: Captured, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEORELL_ISA", "v9")
    assert "unknown instruction set 'v9'" in mistake(["simulate", "--patients", "2"], capsys)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may do everything")
def test_no_permission(capsys: Captured, folder: Path) -> None:
    for name in ("data.csv", "oral.py"):
        (folder / name).chmod(0)
        assert "Permission denied" in mistake(
            ["fit", "oral.py", "data.csv", "--estimate", "cl=1"], capsys
        )
        (folder / name).chmod(0o600)
    (folder / "a_folder").chmod(0o500)
    assert "not writable" in mistake(["simulate", "--out", "a_folder/x"], capsys)
    (folder / "a_folder").chmod(0o700)


def test_a_folder_without_permission(
    capsys: Captured, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "(a_folder is not writable)" in mistake(["simulate", "--out", "a_folder/new"], capsys)


def test_a_file_that_cannot_be_written(capsys: Captured, folder: Path) -> None:
    (folder / "a_folder" / "patients.csv").mkdir()
    assert main(["simulate", "--patients", "2", "--out", "a_folder"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"teorell: error: \S+patients.csv cannot be used \(.*\)\. .*\n", error)


@pytest.mark.parametrize(("missing", "arguments", "remedy"), [
    ("pandas", "fit oral.py data.csv --estimate cl=1", "pip install 'teorell[frames]'"),
    ("llvmlite", "simulate --patients 2 --executor machine_code", "Install llvmlite 0.46"),
])  # fmt: skip
def test_missing_packages(
    missing: str,
    arguments: str,
    remedy: str,
    capsys: Captured,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert remedy in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("error", "message"), [
    (ImportError("No module named 'scipy'", name="scipy"), "Run pip install 'scipy'."),
    (ImportError("No module named 'torch'", name="torch.nn"), r"pip install 'teorell\[torch\]'"),
    (ImportError("no file", name="teorell._core"), "the compiled core cannot be imported"),
    (ImportError("cannot import name '_core'", name="teorell"), "the compiled core"),
    (ImportError("no table (two\nlines). Run pip."), r"no table \(two lines\). Run pip."),
    (MemoryError(), "not enough memory"),
    (MemoryError("Unable to allocate 9 TiB"), "not enough memory .Unable to allocate 9 TiB"),
    (OSError(28, "No space left on device"), "output cannot be written .No space left"),
    (OSError(5, "Input/output error", "/x/y"), "/x/y cannot be used .Input/output error"),
])  # fmt: skip
def test_what_a_command_meets(
    error: Exception,
    message: str,
    capsys: Captured,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def meet(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(fit_command, "fit", meet)
    told = mistake(["fit", "oral.py", "data.csv", "--estimate", "cl=1"], capsys)
    assert re.search(message, told)


def test_an_import_that_no_user_can_mend_is_a_bug(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meet(*arguments: Any, **options: Any) -> None:
        raise ModuleNotFoundError("No module named 'teorell.nothing'", name="teorell.nothing")

    monkeypatch.setattr(fit_command, "fit", meet)
    with pytest.raises(ModuleNotFoundError):
        main(["fit", "oral.py", "data.csv", "--estimate", "cl=1"])


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: Captured, tmp_path: Path) -> None:
    arguments = ["simulate", "--out", str(tmp_path)]

    def fail(*arguments: object, **options: object) -> int:
        raise tl.SimulationError("1 of 2 patients failed.", np.array([0]))

    monkeypatch.setattr(simulate_command, "simulate", fail)
    assert main(arguments) == 1
    assert "1 of 2 patients failed" in capsys.readouterr().err

    def interrupt(*arguments: object, **options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulate_command, "simulate", interrupt)
    assert main(arguments) == 130
    assert capsys.readouterr().err == "teorell: interrupted\n"


def test_a_model_that_is_interrupted(capsys: Captured, folder: Path) -> None:
    (folder / "slow.py").write_text("raise KeyboardInterrupt\n")
    assert main(["fit", "slow.py", "data.csv", "--estimate", "cl=1"]) == 130


def test_extras_are_those_of_the_project() -> None:
    tomllib = pytest.importorskip("tomllib")
    from folders import ROOT

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for package, remedy in cli.EXTRAS.items():
        named = re.fullmatch(r"teorell\[(\w+)\]", remedy)
        if named:
            project = {"sklearn": "scikit-learn"}.get(package, package)
            assert any(one.startswith(project) for one in extras[named[1]]), package
