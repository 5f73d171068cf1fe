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
_held: dict[tuple[int, int, int], object] = {}
"""(process, device, inode) of each folder that is locked here -> a token of its writer.

Locks of the system keep out other processes, not other threads of this one. Forked processes do
not inherit them, as they would those of flock: workers that outlive a killed writer hold nothing.
"""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder if need be, and keep other writers out of it.

    InputError where another one is there, or nothing can be written.
    """
    token = object()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told = folder.stat()
        key = (os.getpid(), told.st_dev, told.st_ino)
        if _held.setdefault(key, token) is not token:
            raise _busy(folder, "another thread of this process")
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(folder / LOCK, flags, 0o666)
        except OSError:
            del _held[key]
            raise
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}). Make it writable, or give another "
            "path."
        ) from None
    try:
        _take(handle, folder)
        try:
            yield
        finally:
            _write(handle, b"")
    finally:
        os.close(handle)
        del _held[key]


def _take(handle: int, folder: Path) -> None:
    """Lock the open file and write into it who has; InputError where another process has."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
