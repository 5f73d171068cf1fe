"""The disk cache of machine code: only what this user wrote for this very model is run, whatever
lies in the folder; and a cache that cannot be used costs time, never a result.
"""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import teorell as tl
from folders import child_environment
from teorell import doctor
from teorell.engine import object_cache

KEY, OTHER = ("model", "v3"), ("another model", "v3")
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="NOT RUN: needs root, which plays both users")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    where = tmp_path / "cache"
    monkeypatch.setenv("TEORELL_CACHE", str(where))
    return where


def fetched(key=KEY, code=b"ours") -> tuple[bytes, bool]:
    """The code under a key, and whether it had to be built."""
    built = []
    got = object_cache.fetch(key, lambda: built.append(1) or code)
    return got, bool(built)


def only(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_what_is_stored_is_found(folder):
    assert fetched() == (b"ours", True)
    assert fetched(code=b"unused") == (b"ours", False)
    assert fetched(OTHER, b"another") == (b"another", True)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_parts_of_a_key_are_not_run_together(folder):
    fetched(("a\nb", "c"), b"first")
    assert fetched(("a", "b\nc"), b"second") == (b"second", True)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + b"?")


def sealed_without_its_key(file: Path) -> None:
    file.write_bytes(hashlib.sha256(b"theirs").digest() + b"theirs")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def link(file: Path) -> None:
    file.rename(file.with_name("kept"))
    file.symlink_to("kept")


def second_name(file: Path) -> None:
    os.link(file, file.with_name("kept"))


def writable_by_others(file: Path) -> None:
    file.chmod(0o622)


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def folder_of_that_name(file: Path) -> None:
    file.unlink()
    file.mkdir()


def link_to_nothing(file: Path) -> None:
    file.unlink()
    file.symlink_to("nothing")


@pytest.mark.parametrize(
    "spoil",
    [cut, flip, sealed_without_its_key, empty, link, second_name, writable_by_others, pipe,
     folder_of_that_name, link_to_nothing],
)  # fmt: skip
def test_what_cannot_be_trusted_is_compiled_anew(folder, spoil):
    fetched(code=b"stored")
    spoil(only(folder))
    assert fetched(code=b"built") == (b"built", True)
    if spoil is not folder_of_that_name:  # the file that was built takes its place
        assert fetched(code=b"unused") == (b"built", False)
    assert not [file for file in folder.iterdir() if file.suffix == ".part"]


def test_code_under_another_models_name_is_not_run(folder):
    fetched(OTHER, b"another")
    another = only(folder)
    fetched()
    mine = next(file for file in folder.iterdir() if file != another)
    mine.write_bytes(another.read_bytes())
    assert fetched() == (b"ours", True)


def model_of(rate: float) -> tl.Model:
    """Saturable, so that its number stands in the code of its step: `prepare` cannot take it."""
    model = tl.Model("decay")
    (k,) = model.parameters(k=1.0)
    x = model.state("x")
    model.flow(x, None, k * x / (x + rate))
    return model


def value_of(rate: float) -> float:
    dose = tl.Regimen.bolus(1.0, "x")
    return tl.simulate(model_of(rate), None, dose, [1.0], executor="machine_code").values.item()


CHILD = """
import sys
from test_object_cache import value_of
print(value_of(float(sys.argv[1])).hex())
"""


def environment() -> dict[str, str]:
    """That of a process which imports this file."""
    inherited = child_environment()
    paths = os.pathsep.join([str(Path(__file__).parent), inherited["PYTHONPATH"]])
    return inherited | {"PYTHONPATH": paths}


def child(rate: float) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, str(rate)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen) -> float:
    output, _ = process.communicate()
    assert process.returncode == 0
    return float.fromhex(output.strip())


def test_swapped_files_of_two_models(folder):
    expected = [told(child(rate)) for rate in (1.0, 2.0)]
    files = sorted(folder.glob("*.o"))
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, reversed(contents), strict=True):
        file.write_bytes(content)
    assert [told(child(rate)) for rate in (1.0, 2.0)] == expected
    assert sorted(file.read_bytes() for file in folder.glob("*.o")) == sorted(contents)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
def test_a_folder_that_others_can_write_is_not_used(folder, mode):
    folder.mkdir()
    folder.chmod(mode)
    assert fetched() == (b"ours", True)
    assert list(folder.iterdir()) == []
    assert "not used (others may write to it" in doctor.cache()


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_folder_that_others_can_read_is_used(folder, mode):
    folder.mkdir()
    folder.chmod(mode)
    fetched()
    assert fetched(code=b"unused") == (b"ours", False)
    assert "not used" not in doctor.cache()
    assert "1 compiled model," in doctor.cache()


def test_a_link_to_a_folder_of_ours_is_used(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    fetched()
    assert fetched(code=b"unused") == (b"ours", False)


@needs_root
def test_what_another_user_owns_is_not_used(folder):
    fetched(code=b"theirs")
    os.chown(only(folder), 12345, 12345)
    assert fetched() == (b"ours", True)
    os.chown(folder, 12345, 12345)
    assert fetched(code=b"built") == (b"built", True)
    assert "not used (it belongs to another user)" in doctor.cache()


def let_others_in(tmp_path: Path) -> None:
    """Another user can get to what pytest made for a test; it closes the folders above as well."""
    for each in (tmp_path, *tmp_path.parents):
        if each == Path(tempfile.gettempdir()):
            break
        each.chmod(each.stat().st_mode | 0o055)
    closed = [str(each) for each in tmp_path.parents if not each.stat().st_mode & 0o001]
    if closed:
        pytest.skip(f"NOT RUN: other users cannot enter {closed[0]}, where temporary files lie")


SWAPS = """
import os, sys, time
os.setgroups([]); os.setgid(12345); os.setuid(12345)
path, theirs, end = sys.argv[1], sys.argv[2], time.time() + 3.0
os.listdir(os.path.dirname(path))  # it gets there
print("ready", flush=True)
while time.time() < end:
    for target in (path + ".kept", theirs):
        try: os.symlink(target, path + ".t"); os.rename(path + ".t", path)
        except OSError: pass
"""


@needs_root
def test_a_link_that_is_swapped_all_the_time(folder, tmp_path):
    """The folder is opened to everybody after our code was stored; another user swaps links."""
    fetched()
    path = only(folder)
    path.rename(f"{path}.kept")
    let_others_in(tmp_path)
    theirs = tmp_path / "theirs"
    digest = bytes.fromhex(path.stem)
    theirs.write_bytes(hashlib.sha256(digest + b"theirs").digest() + b"theirs")
    os.chown(theirs, 12345, 12345)
    folder.chmod(0o777)
    command = [sys.executable, "-c", SWAPS, str(path), str(theirs)]
    attacker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert attacker.stdout is not None
    assert attacker.stdout.readline() == "ready\n"
    try:
        while attacker.poll() is None:
            assert object_cache._stored(digest) is None
            assert fetched() == (b"ours", True)
    finally:
        attacker.kill()
        attacker.communicate()


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_no_home_folder(monkeypatch, home, tmp_path):
    for name in ("HOME", "XDG_CACHE_HOME", "TEORELL_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def no_home() -> Path:
        if home is None:
            raise RuntimeError("Could not determine home directory.")
        return Path(home)

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.chdir(tmp_path)
    assert object_cache.folder() is None
    assert fetched() == (b"ours", True)
    assert "none, not used (there is no home folder" in doctor.cache()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    if sys.platform != "darwin":
        assert object_cache.folder() == tmp_path / "caches" / "teorell"


@pytest.mark.parametrize("place", ["/proc/1/nothing", "/dev/null", "/dev/null/below"])
def test_a_folder_that_cannot_be_made(monkeypatch, place):
    monkeypatch.setenv("TEORELL_CACHE", place)
    assert fetched() == (b"ours", True)
    assert place in doctor.cache()


READ_ONLY = """
import os, sys
from pathlib import Path
from teorell import doctor
from teorell.engine import object_cache
from test_object_cache import OTHER, fetched
folder = Path(os.environ["TEORELL_CACHE"])
if os.geteuid() == 0:  # root may write everywhere
    object_cache._source_version()  # kept: another user may be unable to read the sources
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    os.setgroups([]); os.setgid(12345); os.setuid(12345)
assert fetched() == (b"ours", True)
folder.chmod(0o500)
assert fetched(code=b"unused") == (b"ours", False)
assert fetched(OTHER) == (b"ours", True)
assert "not used (NOT WRITABLE)" in doctor.cache()
folder.chmod(0o700)
"""


def test_a_folder_that_cannot_be_written(folder):
    let_others_in(folder.parent)
    subprocess.run([sys.executable, "-c", READ_ONLY], env=environment(), check=True)


def test_a_full_disk_leaves_nothing(folder):
    """A limit on the size of files fails a write halfway, as a full disk does."""
    fetched()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        for number in range(8):
            assert fetched((f"model {number}",), b"c" * 5000) == (b"c" * 5000, True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fetched(code=b"unused") == (b"ours", False)
    assert [file.suffix for file in folder.iterdir()] == [".o"]


@pytest.mark.parametrize("bound", ["bytes", "files"])
def test_what_was_not_used_for_longest_goes(folder, monkeypatch, bound):
    if bound == "bytes":
        monkeypatch.setattr(object_cache, "MOST_BYTES", 3 * (32 + 100) + 10)
    else:
        monkeypatch.setattr(object_cache, "MOST_FILES", 3)
    folder.mkdir(mode=0o700)
    (folder / "notes.txt").write_text("mine")
    for number in range(3):
        fetched((str(number),), b"x" * 100)
    for file in folder.glob("*.o"):
        os.utime(file, (1.0, 1.0))
    assert fetched(("1",), b"") == (b"x" * 100, False)  # used just now
    fetched(("3",), b"y" * 100)
    fetched(("4",), b"z" * 100)
    assert len(list(folder.glob("*.o"))) == 3
    assert not any(fetched((number,), b"x")[1] for number in "134")
    assert (folder / "notes.txt").read_text() == "mine"


def test_code_larger_than_the_cache(folder, monkeypatch):
    monkeypatch.setattr(object_cache, "MOST_BYTES", 1000)
    fetched()
    assert fetched(OTHER, b"x" * 2000) == (b"x" * 2000, True)
    assert fetched(code=b"unused") == (b"ours", False)


def test_what_a_killed_process_left_is_removed(folder):
    fetched()
    old, new = (only(folder).with_suffix(f".{digit * 16}.part") for digit in "ab")
    for file in (old, new, folder / "tmp_of_others"):
        file.write_bytes(b"half")
    for file in (old, folder / "tmp_of_others"):
        os.utime(file, (time.time() - 1e5,) * 2)
    fetched(OTHER)
    assert not old.exists()
    assert new.exists()  # another process may be about to rename it
    assert (folder / "tmp_of_others").exists()


def test_threads_share_a_cache(folder, monkeypatch):
    """Readers, writers and removal at once: each gets the code of its key."""
    monkeypatch.setattr(object_cache, "MOST_FILES", 4)
    start = threading.Barrier(8)

    def work(seed: int) -> bool:
        start.wait()
        names = [str((seed + step) % 9) for step in range(200)]
        return all(fetched((name,), name.encode() * 50)[0] == name.encode() * 50 for name in names)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert not list(folder.glob("*.part"))
    assert len(list(folder.glob("*.o"))) <= 4


@pytest.mark.parametrize("rates", [[1.0] * 8, [1.0, 1.5, 2.0, 2.5] * 2])
def test_processes_compile_at_once(folder, rates):
    values = [told(each) for each in [child(rate) for rate in rates]]
    by_rate = dict(zip(rates, values, strict=True))
    assert [by_rate[rate] for rate in rates] == values
    assert len(list(folder.iterdir())) == len(by_rate) + 1  # a step each, and one output for all
    again = {rate: told(child(rate)) for rate in by_rate}
    assert again == by_rate


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="NOT RUN: needs /proc/self/fd")
def test_nothing_stays_open(folder):
    fetched()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(500):
        fetched()
        fetched((str(number % 20),), b"x")
        if number % 50 == 0:
            flip(next(folder.glob("*.o")))
    folder.chmod(0o777)
    for _ in range(500):
        fetched()
    assert len(os.listdir("/proc/self/fd")) == before
