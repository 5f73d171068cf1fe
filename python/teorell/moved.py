"""Doors where modules stood before they moved into wings, for one release: old imports and pickles.

`import teorell.graph` gives a module that looks names up where they are now.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["MOVED", "open_doors"]

MOVED = {
    "column_code": ("engine.columns",),
    "covariates": ("schedule.covariates",),
    "declarations": ("model.declarations",),
    "dose_table": ("schedule.dose_table", "schedule.dose", "rows"),
    "event_table": ("schedule.event_table",),
    "expression": ("model.expression",),
    "gradient": ("results.gradient",),
    "graph": ("model.graph", "model.packing"),
    "machine_code": ("engine.step_code", "engine.compile"),
    "nca": ("results.nca",),
    "object_cache": ("engine.object_cache",),
    "parameters": ("simulation.parameters", "arrays", "schedule.covariates"),
    "record_times": ("schedule.record_times",),
    "reductions": ("simulation.reductions",),
    "reference_models": ("benchmark.reference_models",),
    "regimen": ("schedule.regimen", "schedule.given_doses", "schedule.dose"),
    "solution": ("results.solution",),
    "solve": ("engine.executors", "engine.solve", "engine.batch"),
    "differentiate": ("derivatives.differentiate",),
}
"""Old module -> where its names are now; the first that has a name gives it."""


class Door(ModuleType):
    """A module of the names of others, which are imported when a name is asked for."""

    def __init__(self, name: str, behind: tuple[str, ...]) -> None:
        super().__init__(f"teorell.{name}", f"Moved: see {', '.join(behind)}.")
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            for module in self._behind:
                found = import_module(f"teorell.{module}")
                if hasattr(found, name):
                    return getattr(found, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def open_doors() -> None:
    """Enter the doors among Python's modules; none of the modules behind them is imported."""
    for name, behind in MOVED.items():
        sys.modules.setdefault(f"teorell.{name}", Door(name, behind))
