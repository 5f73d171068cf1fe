"""Kernels compiled in a process of their own, while this one goes on.

Not in a thread: NVRTC cannot be stopped while it assembles, and a process that ends while one of
its threads compiles now and then crashes. Such a process is ended with this one.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from teorell.device import kernel_cache
from teorell.device.compiler import Compiled

__all__ = ["Apart"]

PROGRAM = """
import json, os, sys
given = json.load(sys.stdin)
sys.path[:] = given["path"]
os.nice(10)
from teorell.device import apart
apart.compile_here(given["text"], given["kernels"], given["architecture"])
"""
_running: weakref.WeakSet[Apart] = weakref.WeakSet()


class Apart:
    """One compilation, begun. OSError where no process can be started."""

    def __init__(self, text: str, kernels: Sequence[str], architecture: str) -> None:
        self._asked, self._owner = (text, tuple(kernels), architecture), os.getpid()
        self._kernels: Compiled | None = None
        given = {"path": [*map(str, sys.path)], "text": text, "kernels": [*kernels]}
        self._folder = tempfile.TemporaryDirectory(prefix="teorell")
        told, self._out, self._errors = (
            Path(self._folder.name, name) for name in ("given", "kernels", "errors")
        )
        try:
            told.write_text(json.dumps({**given, "architecture": architecture}))
            with told.open() as read, self._out.open("wb") as out, self._errors.open("wb") as bad:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", PROGRAM], stdin=read, stdout=out, stderr=bad,
                    start_new_session=True,  # Ctrl-C in a terminal is for this process
                )  # fmt: skip
        except OSError:
            self._folder.cleanup()
            raise
        _running.add(self)

    def made(self) -> Compiled | None:
        """The kernels, once they are there. RuntimeError, with what was said, where they never
        will be.
        """
        if os.getpid() != self._owner:  # a fork knows nothing of its parent's processes
            return None
        if self._kernels is None and self._process.poll() is not None:
            content = self._out.read_bytes()
            said = self._errors.read_text(errors="replace").splitlines()
            self._folder.cleanup()
            code = self._process.returncode
            if code != 0:
                raise RuntimeError(said[-1] if said else f"a compilation ended with status {code}")
            self._kernels = kernel_cache.kernels_of(*self._asked, content=content)
        return self._kernels

    def end(self) -> None:
        """Whatever it was at."""
        if os.getpid() == self._owner:
            with suppress(OSError):
                self._process.kill()
            self._process.wait()
            self._folder.cleanup()


def compile_here(text: str, kernels: Sequence[str], architecture: str) -> None:
    """What the other process does: the kernels into the cache, and to its standard output."""
    try:
        made = kernel_cache.kernels_of(text, kernels, architecture)
    except (ImportError, RuntimeError) as error:
        sys.exit(" ".join(str(error).split())[:1000])
    sys.stdout.buffer.write(kernel_cache.written(made))


@atexit.register
def _end_all() -> None:
    for each in tuple(_running):
        each.end()
