"""Files that others put beside a store stay, also where it is started afresh and killed at that."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stores_case as case
import teorell as tl
from folders import child_environment
from stores_case import chunk_files
from teorell import InputError


@pytest.fixture(params=case.KINDS)
def path(request, tmp_path):
    return tmp_path / f"population.{request.param}"


@pytest.fixture
def stored(path):
    return tl.simulate_to(path, *case.ALL, chunk=case.CHUNK)


def again(path: Path, **options):
    return tl.simulate_to(path, *case.ALL, chunk=case.CHUNK, **options)


def put_file(path: Path) -> Path:
    return path / "copy_of_teorell.json"


def put_backup(path: Path) -> Path:
    return path / "my_teorell.json.bak"


def put_like_a_chunk(path: Path) -> Path:
    return path / ("my-part-1.parquet" if path.suffix == ".parquet" else "c")


def put_inside(path: Path) -> Path:
    return path / ("_patients" if path.suffix == ".parquet" else "amount") / "notes.txt"


def put_deep(path: Path) -> Path:
    return path / ("_patients" if path.suffix == ".parquet" else "amount/c") / "x" / "y.partial"


def put_array(path: Path) -> Path:
    return path / "my_notes" / "zarr.json"


@pytest.mark.parametrize(
    "put", [put_file, put_backup, put_like_a_chunk, put_inside, put_deep, put_array]
)
def test_nothing_of_others_is_removed(stored, path, put):
    mine = put(path)
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    before = case.contents(path)
    with pytest.raises(InputError, match=r"also holds .* \(it would be removed"):
        again(path, resume=False)
    assert case.contents(path) == before
    assert again(path) == stored
    mine.unlink()
    while mine.parent != path and not any(mine.parent.iterdir()):
        mine = mine.parent
        mine.rmdir()
    again(path, resume=False)


def test_an_empty_folder_and_a_link_of_others_stay(stored, path, tmp_path):
    (path / "empty").mkdir()
    with pytest.raises(InputError, match="also holds empty"):
        again(path, resume=False)
    (path / "empty").rmdir()
    target = tmp_path / "target"
    target.mkdir()
    (target / "zarr.json").write_text("mine")
    (target / "part-00000000.parquet").write_text("mine")
    name = "_patients" if path.suffix == ".parquet" else "amount"
    shutil.move(path / name, tmp_path / "moved")
    (path / name).symlink_to(target)
    with pytest.raises(InputError, match=f"also holds {name}"):
        again(path, resume=False)
    assert {file.read_text() for file in target.iterdir()} == {"mine"}


def test_a_file_beside_the_chunks_adds_no_rows(stored, path):
    data = stored.open()
    if path.suffix == ".zarr":
        zarr = pytest.importorskip("zarr")
        zarr.open_group(path, mode="a").create_array("my_notes", data=np.arange(10.0))
        assert "my_notes" not in stored.open()
    else:
        shutil.copy(chunk_files(path, 1)[1], path / "copy.parquet")
        assert stored.open().count_rows() == data.count_rows() == case.N * case.TIMES.size


@pytest.mark.parametrize("step", range(0, 12, 2))
def test_starting_afresh_is_killed(path, tmp_path, step):
    """Another simulation with other variables in its place, killed anywhere on the way."""
    tl.simulate_to(path, case.MODEL, {"k": case.TABLE[:, 0]}, case.SHARED, case.TIMES, chunk=20,
                   outputs=["depot"])  # fmt: skip
    command = [sys.executable, "-c", AFRESH, str(path), str(step * 3)]
    done = subprocess.run(command, env=child_environment(), check=False)
    assert done.returncode in (0, -9)
    again(path, resume=done.returncode == 0)
    other = tmp_path / f"other{path.suffix}"
    again(other)
    assert case.contents(path) == case.contents(other)


AFRESH = """
import os, signal, sys, stores_case as case
left = int(sys.argv[2])
def deadly(function):
    def call(*args, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return call
for name in ("replace", "fsync", "unlink", "rmdir", "mkdir"):
    setattr(os, name, deadly(getattr(os, name)))
case.tl.simulate_to(sys.argv[1], *case.ALL, chunk=case.CHUNK, resume=False)
"""
