"""Stores with a second writer, of another thread or process, and on a full disk: one right store,
and a sentence for who has to wait.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import stores_case as case
import teorell as tl
from folders import child_environment
from teorell import InputError
from teorell.storage import lock


@pytest.fixture(params=case.KINDS)
def path(request, tmp_path):
    return tmp_path / f"population.{request.param}"


@pytest.fixture
def stored(path):
    return tl.simulate_to(path, *case.ALL, chunk=case.CHUNK)


def again(path: Path, **options):
    return tl.simulate_to(path, *case.ALL, chunk=case.CHUNK, **options)


def test_another_thread_is_refused(path):
    """It says who writes, leaves the first alone, and may write once that is done."""
    errors: list[Exception] = []

    def second(done, total):
        if not errors:
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join()

    def attempt():
        for resume in (True, False):
            with pytest.raises(InputError) as error:
                again(path, resume=resume)
            errors.append(error.value)

    again(path, progress=second)
    assert len(errors) == 2
    assert all(f"written already (by process {os.getpid()} on" in str(each) for each in errors)
    again(path, resume=False)
    assert lock._held == set()


WRITES = """
import sys, stores_case as case
def say(done, total):
    print(done, flush=True)
    sys.stdin.readline()
try:
    case.tl.simulate_to(sys.argv[1], *case.ALL, chunk=case.CHUNK, progress=say)
except case.tl.InputError as error:
    print(error)
"""


def writer(path: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITES, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )


def test_another_process_is_refused_until_the_first_is_killed(path, tmp_path):
    first = writer(path)
    assert first.stdout is not None
    assert int(first.stdout.readline()) >= 0
    try:
        before = case.contents(path)
        for resume in (True, False):
            with pytest.raises(InputError, match=rf"\(by process {first.pid} on .*\)\. Wait"):
                again(path, resume=resume)
        assert case.contents(path) == before
    finally:
        first.kill()
        first.communicate()
    again(path)
    other = tmp_path / f"other{path.suffix}"
    again(other)
    assert case.contents(path) == case.contents(other)


FORKS = """
import os, sys, time, multiprocessing, stores_case as case
from concurrent.futures import ProcessPoolExecutor
from teorell.storage.lock import locked
from pathlib import Path
with locked(Path(sys.argv[1])):
    if os.fork() == 0:
        print("ready", flush=True)  # it has let go of what it inherited
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""


def test_workers_that_outlive_a_killed_writer_hold_nothing(path):
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=child_environment(), start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        process.wait()
        assert again(path).patients == case.N
    finally:
        os.killpg(process.pid, 9)
        process.stdout.close()


def test_many_at_once(path, tmp_path):
    """One writes; the others are refused, or find the store finished."""
    processes = [writer(path) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n" * 100)
    said = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert any(f"{case.N}\n" in each for each in said)
    other = tmp_path / f"other{path.suffix}"
    again(other)
    assert case.contents(path) == case.contents(other)


def test_a_file_system_without_locks_is_said(path, monkeypatch):
    def unknown(*arguments):
        raise OSError(lock.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unknown)
    with pytest.warns(UserWarning, match=r"is not locked \(No locks available\)"):
        assert again(path).patients == case.N


def test_many_open_a_finished_store_at_once(stored, path):
    """A finished store is not locked: it may lie where nobody can write."""
    with lock.locked(path):
        assert again(path) == stored


@pytest.mark.parametrize("limit", [100, 500, 1000, 1500])
def test_a_full_disk(path, tmp_path, limit):
    """A limit on the size of files fails a write halfway. What was finished stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match=r"cannot be written further \(File too large\)"):
            again(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    again(path)
    other = tmp_path / f"other{path.suffix}"
    again(other)
    assert case.contents(path) == case.contents(other)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="NOT RUN: needs /proc/self/fd")
def test_nothing_stays_open(stored, path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(25):
        with lock.locked(path), pytest.raises(InputError), lock.locked(path):
            pass
        again(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot be written \(Not a directory\)"):
        again(tmp_path / "file" / "population.parquet")
