"""Two copies of teorell to compare: where each is, and a process that runs one of them.

A copy is a folder to put on PYTHONPATH (one that holds `teorell/` with its `_core`: `python/` of a
checkout, or `pip install --target FOLDER`), or the Python interpreter of an environment in which it
is installed. What is run in both uses nothing but public names that both have.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# a copy's own modules, compiled once
OTHERS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Copy:
    """One of the two."""

    name: str  # "before" or "after"
    path: Path  # absolute

    def run(
        self, script: str, *arguments: str, cache: Path, prefix: Sequence[str] = ()
    ) -> tuple[str, str]:
        """What a process prints, to stdout and to stderr, that runs a file with this copy.

        cache: the folder of compiled models. prefix: the command that runs the interpreter.
        Raises RuntimeError where the process fails.
        """
        environment = {name: value for name, value in os.environ.items() if name not in OTHERS}
        environment |= dict.fromkeys(ONE_THREAD, "1")
        environment |= {"TEORELL_CACHE": str(cache), "PYTHONHASHSEED": "0"}
        if self.path.is_dir():
            python, environment["PYTHONPATH"] = sys.executable, str(self.path)
        else:
            python = str(self.path)
        done = subprocess.run(
            [*prefix, python, script, *arguments],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{self.name} ({self.path}) fails:\n{done.stderr[-3000:]}")
        return done.stdout, done.stderr

    def check(self, cache: Path) -> str:
        """The version, and where it lies; RuntimeError unless the copy is the one that is run."""
        where, _ = self.run("-c", "import teorell; print(teorell.__file__)", cache=cache)
        found = Path(where.strip()).resolve()
        if self.path.is_dir() and self.path.resolve() not in found.parents:
            raise RuntimeError(
                f"{self.name} runs {found}, not the copy in {self.path} (an editable install comes "
                "before it). Give the interpreter of an environment that has the copy."
            )
        version, _ = self.run("-c", "import teorell; print(teorell.__version__)", cache=cache)
        return f"{self.name}: teorell {version.strip()} in {found.parent}"


def add_copies(parser: argparse.ArgumentParser) -> None:
    """The arguments BEFORE and AFTER."""
    for name in ("before", "after"):
        parser.add_argument(name, type=_place, metavar=name.upper(), help="folder, or interpreter")


def copies(options: argparse.Namespace) -> tuple[Copy, Copy]:
    """The two of parsed arguments."""
    return Copy("before", options.before), Copy("after", options.after)


def _place(text: str) -> Path:
    path = Path(text).absolute()  # an environment's interpreter is a link, which says what it is
    if path.is_dir() and not (path / "teorell" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(
            f"{text} has no teorell/ (it is a folder for PYTHONPATH). Give python/ of a checkout."
        )
    if not path.is_dir() and not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(
            f"{text} is neither a folder nor an interpreter. Give python/ of a checkout, or "
            "bin/python of an environment."
        )
    return path
