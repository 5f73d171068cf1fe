"""Patients per second and achieved error on this machine, beside whichever peers are installed:
`teorell bench`.

Two built-in problems (reference_models.py): A, perfusion-limited, 20 states; B,
permeability-limited with fast binding, 34 states. Four oral doses of 100 mg in 48 h, 97 samples.
The tools take turns in one run, so that a machine that slows down slows all of them, and a ratio is
formed within each round. The error needs no file: teorell computes its own reference at rtol 1e-11,
and tests/benchmark/test_benchmark.py checks that reference by independent methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teorell.benchmark.command import describe_machine, main
    from teorell.benchmark.contenders import (
        METHOD,
        PEERS,
        Contender,
        numbalsoda,
        reference,
        rhs_source,
        scipy_lsoda,
        steps,
        teorell,
    )
    from teorell.benchmark.problems import (
        BETWEEN,
        CHECKED,
        DOSE,
        DOSES,
        EVERY,
        TIMES,
        FloatArray,
        Problem,
        Run,
        errors,
        problem,
    )
    from teorell.benchmark.rates import Rates, race

__all__ = [
    "BETWEEN", "CHECKED", "DOSE", "DOSES", "EVERY", "METHOD", "PEERS", "TIMES", "Contender",
    "FloatArray", "Problem", "Rates", "Run", "describe_machine", "errors", "main", "numbalsoda",
    "problem", "race", "reference", "rhs_source", "scipy_lsoda", "steps", "teorell",
]  # fmt: skip

_MODULES = ("command", "contenders", "problems", "rates")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # Imported when asked for: the parser of the command line needs `command` alone.
    from importlib import import_module

    if name in __all__:
        for module in _MODULES:
            found = import_module(f"teorell.benchmark.{module}")
            if name in getattr(found, "__all__", ()):
                return getattr(found, name)
    raise AttributeError(f"module 'teorell.benchmark' has no attribute {name!r}")
