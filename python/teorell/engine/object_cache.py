"""The disk cache of compiled models: one file a model, instruction set and version, checked when
read.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["fetch", "folder"]


def folder() -> Path:
    """Where compiled models are kept: $TEORELL_CACHE, else the platform's cache folder."""
    chosen = os.environ.get("TEORELL_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "teorell"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "teorell"


def source_version() -> str:
    """Changes whenever the emitters do: code of another teorell is never run."""
    engine = Path(__file__).parent
    layout = [engine.parent / "lowering" / name for name in ("layout.py", "program.py")]
    sources = [*sorted(engine.glob("*.py")), *layout]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def is_ours(path: Path) -> bool:
    """Machine code that another user put there (a cache folder shared by mistake) is not run."""
    return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()


def fetch(key: tuple[str, ...], build: Callable[[], bytes]) -> bytes:
    """The object code under `key`, built and kept if it is not there or not whole.

    A cache that cannot be read or written (a read-only home, a full disk) costs time, never a
    result.
    """
    name = hashlib.sha256("\n".join((source_version(), *key)).encode()).hexdigest()
    path = folder() / f"{name}.o"
    try:
        stored = path.read_bytes() if is_ours(path) else b""
        if hashlib.sha256(stored[32:]).digest() == stored[:32]:
            return stored[32:]
    except OSError:
        pass
    code = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(file.name, path)
    except OSError:
        pass
    return code
