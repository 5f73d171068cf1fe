"""Where things lie: the repository, and the reference data beside it, which is not part of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data"


def child_environment() -> dict[str, str]:
    """The environment of a Python process that imports what this one can."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
