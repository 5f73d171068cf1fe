"""Stores of which files are gone or were changed: it is said before anything is read, what is gone
is written again, and what others changed is not overwritten.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import stores_case as case
import teorell as tl
from stores_case import chunk_files
from teorell import InputError
from teorell.storage.manifest import digest


@pytest.fixture(params=case.KINDS)
def path(request, tmp_path):
    return tmp_path / f"population.{request.param}"


@pytest.fixture
def stored(path):
    return tl.simulate_to(path, *case.ALL, chunk=case.CHUNK)


def again(path: Path, **options):
    return tl.simulate_to(path, *case.ALL, chunk=case.CHUNK, **options)


@pytest.mark.parametrize("which", ["all of a chunk", "one file", "the last", "everything"])
def test_what_is_gone_is_said_and_written_again(stored, path, which):
    before = case.contents(path)
    last = len(range(0, case.N, case.CHUNK)) - 1
    gone = {
        "all of a chunk": chunk_files(path, 3),
        "one file": chunk_files(path, 2)[-1:],
        "the last": chunk_files(path, last)[:1],
        "everything": [file for number in range(last + 1) for file in chunk_files(path, number)],
    }[which]
    for file in gone:
        file.unlink()
    for call in (stored.open, stored.raise_for_status):
        with pytest.raises(InputError, match=r"lacks .* Call simulate_to again"):
            call()
    computed = []
    assert again(path, progress=lambda done, total: computed.append(done)) == stored
    assert computed[-1] == case.N
    assert case.contents(path) == before
    stored.open()


def test_a_chunk_of_failures_alone_is_whole(path):
    """Zarr has no file of a chunk of fill values, unless it is told."""
    rate = np.where(np.arange(16) < 8, 1e3, 1.0)
    stored = tl.simulate_to(path, case.MODEL, {"rate": rate}, None, case.TIMES, chunk=4)
    assert stored.failed > 0
    stored.open()
    assert tl.simulate_to(path, case.MODEL, {"rate": rate}, None, case.TIMES, chunk=4) == stored


@pytest.mark.parametrize("change", ["cut", "longer", "empty"])
def test_a_changed_chunk_is_not_overwritten(stored, path, change):
    file = chunk_files(path, 1)[0]
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-1], "longer": content + b"x", "empty": b""}[change])
    before = case.contents(path)
    for call in (stored.open, lambda: again(path)):
        with pytest.raises(InputError, match=r"chunk 1 of .* is not what was written .* Move"):
            call()
    assert case.contents(path) == before
    for each in chunk_files(path, 1):
        each.unlink()
    again(path)
    assert file.read_bytes() == content


def test_a_folder_in_place_of_a_chunk_is_said(stored, path):
    file = chunk_files(path, 1)[0]
    file.unlink()
    file.mkdir()
    with pytest.raises(InputError, match=r"chunk 1 of .* are folders by now"):
        again(path)
    file.rmdir()
    again(path)
    stored.verify()


def flip(file: Path, at: int) -> None:
    """Another byte in the place of one."""
    content = bytearray(file.read_bytes())
    content[at] ^= 0x10
    file.write_bytes(content)


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("number", [0, 3, 7])
def test_another_byte_of_the_same_length_is_noticed(stored, path, number, which):
    stored.verify()
    file = chunk_files(path, number)[which]
    written = file.read_bytes()
    flip(file, len(written) // 2)
    before = case.contents(path)
    changed = rf"chunk {number} of .* is not what was written .* other bytes, .* Move"
    for call in (stored.verify, lambda: again(path)):
        with pytest.raises(InputError, match=changed):
            call()
    assert case.contents(path) == before
    for each in chunk_files(path, number):
        each.unlink()
    assert again(path) == stored
    assert file.read_bytes() == written
    stored.verify()


def test_another_byte_is_noticed_where_work_goes_on(stored, path):
    """An interrupted store: chunk 5 is gone, and chunk 2 another one."""
    for each in chunk_files(path, 5):
        each.unlink()
    flip(chunk_files(path, 2)[0], 40)
    before = case.contents(path)
    with pytest.raises(InputError, match="chunk 2 of"):
        again(path)
    after = case.contents(path)
    assert {name: data for name, data in after.items() if "_teorell" not in name} == {
        name: data for name, data in before.items() if "_teorell" not in name
    }


def test_other_times_are_noticed(tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "population.zarr"
    stored = again(path)
    flip(path / "time" / "c" / "0", 12)
    for call in (stored.verify, lambda: again(path)):
        with pytest.raises(InputError, match=r"cannot be read \(time/c/0 in it is gone or damaged"):
            call()


def test_a_store_of_before_has_no_digests(stored, path):
    """What an older version has written is refused, not trusted."""
    manifest = path / "_teorell.json"
    record = json.loads(manifest.read_text())
    for name in ("digests", "shared", "checksum"):
        del record[name]
    record["checksum"] = digest(json.dumps(record, sort_keys=True).encode())
    manifest.write_text(json.dumps(record))
    for call in (stored.open, stored.verify, lambda: again(path)):
        with pytest.raises(InputError, match=r"or an older version wrote it\)\. Give another path"):
            call()


@pytest.mark.parametrize("file", ["zarr.json", "amount/zarr.json", "time/zarr.json", "time/c/0"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_zarrs_own_files(tmp_path, file, damage):
    pytest.importorskip("zarr")
    path = tmp_path / "population.zarr"
    stored = again(path)
    before = case.contents(path)
    if damage == "gone" or file == "time/c/0":
        (path / file).unlink()
    else:
        (path / file).write_text("{")
    for call in (stored.open, lambda: again(path)):
        with pytest.raises(InputError, match=rf"cannot be read \({file} in it is gone or damaged"):
            call()
    again(path, resume=False)
    assert case.contents(path) == before


def test_no_curves_no_times(path):
    """A store of reductions alone has no chunk of times that could be missed."""
    given = (case.MODEL, case.PEOPLE, case.SHARED, None)
    stored = tl.simulate_to(path, *given, reductions=[tl.Cmax("amount", end=12)], chunk=case.CHUNK)
    stored.open()
    assert (
        tl.simulate_to(path, *given, reductions=[tl.Cmax("amount", end=12)], chunk=case.CHUNK)
        == stored
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("complete", [[0, 4]]),
        ("complete", [[0, 99]]),
        ("failed", 0),
        ("chunks", 3),
        ("bytes", ""),
        ("digests", ""),
        ("shared", {"x": ""}),
        ("simulation", {}),
        ("checksum", "0" * 32),
        ("checksum", None),
        ("more", 1),
    ],
)
def test_an_edited_manifest_is_noticed(stored, path, name, value):
    manifest = path / "_teorell.json"
    record = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(record | {name: value}))
    before = case.contents(path)
    for call in (stored.open, stored.raise_for_status, lambda: again(path)):
        with pytest.raises(InputError, match="is not as it was written"):
            call()
    assert case.contents(path) == before
    assert again(path, resume=False) == stored
    stored.open()


def test_an_edited_manifest_names_nothing_that_is_removed(stored, path):
    manifest = path / "_teorell.json"
    record = json.loads(manifest.read_text())
    record["simulation"]["stored"].append("my_notes")
    manifest.write_text(json.dumps(record))
    (path / "my_notes").mkdir()
    (path / "my_notes" / "zarr.json").write_text("mine")
    with pytest.raises(InputError, match="also holds my_notes"):
        again(path, resume=False)
    assert (path / "my_notes" / "zarr.json").read_text() == "mine"


def test_a_manifest_written_anew_in_other_spaces_is_the_same(stored, path):
    manifest = path / "_teorell.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()), sort_keys=True))
    assert again(path) == stored


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', "null", '{"chunks": 3}', "\0"])
def test_a_manifest_of_others_is_no_store(stored, path, content):
    (path / "_teorell.json").write_text(content)
    before = case.contents(path)
    for resume in (True, False):
        with pytest.raises(InputError, match="is no store of simulate_to"):
            again(path, resume=resume)
    with pytest.raises(InputError, match="is no store of simulate_to"):
        stored.open()
    assert case.contents(path) == before


def test_another_simulation_took_its_place(stored, path):
    tl.simulate_to(path, *case.ALL, chunk=30, resume=False)
    with pytest.raises(InputError, match="holds another simulation by now"):
        stored.open()
