"""The disk cache of compiled code: one file a module (the step of a model, its outputs, its
derivatives), instruction set and version.

What is read runs as machine code, so a file is trusted only if this user alone can have written
it. It begins with a hash of its key and its code: a file that is cut short, or that has the name of
another model, is compiled anew. Beyond a bound what was not used for longest is removed. A cache
that cannot be used costs time, never a result.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

__all__ = ["entries", "fetch", "folder", "refusal"]

MOST_BYTES = 256 << 20  # of all files; a large model has 1 MB
MOST_FILES = 2000
STALE = 3600.0  # s after which an unfinished file is one of a process that was killed
FINISHED = re.compile(r"[0-9a-f]{64}\.o")
UNFINISHED = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{16}\.part")
# a pipe or a device of that name is not waited for, a link is not followed
FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def folder() -> Path | None:
    """Where compiled models are kept: $TEORELL_CACHE, else the platform's cache folder.

    None where neither is named, for a user without a home folder.
    """
    chosen, caches = os.environ.get("TEORELL_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if chosen:
        return Path(chosen)
    if os.path.isabs(caches) and sys.platform != "darwin":
        return Path(caches) / "teorell"
    try:
        home = Path.home()
    except RuntimeError:  # no $HOME, and no entry in the list of users
        return None
    if not home.is_absolute():  # it would be another folder wherever a process is started
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "teorell"


def fetch(key: tuple[str, ...], build: Callable[[], bytes]) -> bytes:
    """The object code under `key`, built and kept if it is not there or not whole."""
    try:
        digest = hashlib.sha256(repr((_source_version(), *key)).encode()).digest()
    except OSError:  # the sources of this package cannot be read
        return build()
    code = _stored(digest)
    if code is None:
        code = build()
        _keep(digest, code)
    return code


def refusal() -> str:
    """Why the folder is not used, in words; "" where it is, or would be once it is made."""
    where = folder()
    if where is None:
        return "there is no home folder, and TEORELL_CACHE is not set"
    try:
        with _opened() as handle:
            usable = os.access(".", os.W_OK | os.X_OK, dir_fd=handle)
            return "" if usable else "NOT WRITABLE"
    except FileNotFoundError:
        existing = next(path for path in where.absolute().parents if os.path.exists(path))
        return "" if os.access(existing, os.W_OK | os.X_OK) else "NOT WRITABLE"
    except NotADirectoryError:
        return "NOT WRITABLE"
    except OSError as error:
        return error.strerror or str(error)


def entries(handle: int, names: re.Pattern[str] = FINISHED) -> list[tuple[float, int, str]]:
    """Of each file so named when it was last used (s since 1970), its bytes and its name."""
    found = []
    with os.scandir(handle) as files:
        for file in files:
            if names.fullmatch(file.name):
                with suppress(FileNotFoundError):  # another process has just removed it
                    told = file.stat(follow_symlinks=False)
                    found.append((told.st_mtime, told.st_size, file.name))
    return found


@cache
def _source_version() -> str:
    """Changes whenever the emitters do: code of another teorell is never run."""
    engine = Path(__file__).parent
    layout = [engine.parent / "lowering" / name for name in ("layout.py", "program.py")]
    sources = [*sorted(engine.glob("*.py")), *layout]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


@contextmanager
def _opened(make: bool = False) -> Iterator[int]:
    """The folder as a handle: what is opened by it lies there, whatever its path becomes.

    OSError with the reason where it cannot be used, or where others could put code into it.
    """
    where = folder()
    if where is None:
        raise FileNotFoundError("no home folder")
    if make:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        told = os.fstat(handle)
        if told.st_uid != os.geteuid():
            raise PermissionError(0, "it belongs to another user")
        if told.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(0, "others may write to it: chmod go-w makes it usable")
        yield handle
    finally:
        os.close(handle)


def _stored(digest: bytes) -> bytes | None:
    """The code that this user has stored under the digest of a key; None if there is none."""
    try:
        with _opened() as handle:
            opened = os.open(f"{digest.hex()}.o", os.O_RDONLY | FLAGS, dir_fd=handle)
            with open(opened, "rb") as file:
                if not _is_ours(os.fstat(opened)):
                    return None
                content = file.read()
                code = content[32:]
                if hashlib.sha256(digest + code).digest() != content[:32]:
                    return None
                with suppress(OSError):  # a read-only file system
                    os.utime(opened)
                return code
    except OSError:
        return None


def _is_ours(told: os.stat_result) -> bool:
    """Whether what was opened is a file that nobody but this user can have written."""
    others = told.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    alone = told.st_uid == os.geteuid() and told.st_nlink <= 1 and not others
    return stat.S_ISREG(told.st_mode) and alone


def _keep(digest: bytes, code: bytes) -> None:
    """Store the code, at once and whole, or not at all; what then is too much is removed."""
    name = digest.hex()
    part = f"{name}.{secrets.token_hex(8)}.part"
    with suppress(OSError), _opened(make=True) as handle:
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, 0o600, dir_fd=handle)
        try:
            with open(opened, "wb") as file:
                file.write(hashlib.sha256(digest + code).digest() + code)
            os.replace(part, f"{name}.o", src_dir_fd=handle, dst_dir_fd=handle)
        except BaseException:  # a full disk, Ctrl-C
            with suppress(OSError):
                os.unlink(part, dir_fd=handle)
            raise
        _tidy(handle)


def _tidy(handle: int) -> None:
    """Remove what was not used for longest, until the rest is within bounds, and what was left.

    A process that has opened such a file still reads it; one that has not compiles again.
    """
    old = time.time() - STALE
    surplus = [name for used, _, name in entries(handle, UNFINISHED) if used < old]
    size = number = 0
    for _, length, name in sorted(entries(handle), reverse=True):
        if size + length > MOST_BYTES or number == MOST_FILES:
            surplus.append(name)
        else:
            size, number = size + length, number + 1
    for name in surplus:
        with suppress(OSError):
            os.unlink(name, dir_fd=handle)
