"""One writer at a time: a store is locked while it is written.

The lock is one of the operating system, on a file in the store, and ends with the process however
it ends; what a killed one has left is no obstacle. The file tells others who writes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from teorell.errors import InputError

__all__ = ["LOCK", "locked"]

LOCK = "_teorell.lock"
# of file systems without locks
UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_held: set[int] = set()
"""The open files of locks of this process."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder if need be, and keep other writers out of it, threads of this process too.

    InputError where another one is there, or nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(folder / LOCK, flags, 0o666)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}). Make it writable, or give another "
            "path."
        ) from None
    _held.add(handle)
    try:
        _take(handle, folder)
        try:
            yield
        finally:
            if handle in _held:
                _write(handle, b"")
    finally:
        if handle in _held:
            _held.remove(handle)
            os.close(handle)


def _forked() -> None:
    """Let workers that outlive a killed writer hold nothing: a forked process inherits the lock."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_forked)


def _take(handle: int, folder: Path) -> None:
    """Lock the open file and write into it who has; InputError where another writer has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise _busy(folder, os.read(handle, 200).decode(errors="replace")) from None
        warnings.warn(
            f"{folder} is not locked ({error.strerror}). Let no other process write to it.",
            stacklevel=2,
        )
    _write(handle, f"process {os.getpid()} on {platform.node()}".encode())


def _busy(folder: Path, who: str) -> InputError:
    """The error of a second writer."""
    return InputError(
        f"{folder} is being written already (by {who or 'another process'}). Wait until that is "
        "done, then call again."
    )


def _write(handle: int, text: bytes) -> None:
    """Replace what the file says, if the disk is not full: it is for people only."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, text, 0)
