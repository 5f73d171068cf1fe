"""What a simulation is asked for beside its numbers: outputs, tolerances and how to run; checks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from teorell.arrays import Array, is_whole, numbers
from teorell.engine.batch import ATOL, MAX_STEPS, METHOD, RTOL
from teorell.errors import InputError, count, suggestion
from teorell.model import Model
from teorell.progress import Progress

__all__ = ["check_options", "chosen_outputs", "solver_options"]

SAMPLES = ("after", "before")
LEAST_RTOL, LARGEST_RTOL, LEAST_ATOL = 1e-13, 0.1, 1e-100


def solver_options(
    model: Model,
    *,
    rtol: float = RTOL,
    atol: float | ArrayLike | Mapping[str, float] = ATOL,
    method: str = METHOD,
    threads: int | None = None,
    samples: str = "after",
    max_steps: int = MAX_STEPS,
    max_step: float | None = None,
    progress: bool | Progress | None = None,
    executor: str | None = None,
) -> dict[str, Any]:
    """The fields of engine.batch.Options, checked, from arguments of teorell.simulate.

    Raises InputError for what does not fit.
    """
    tolerances = _tolerances(model, rtol, atol)

    # not at the top: `import teorell` loads no extension
    from teorell.engine.executors import METHODS, check_executor, threads_of

    for what, word, known in (("method", method, METHODS), ("samples", samples, SAMPLES)):
        if word not in known:
            raise InputError(
                f"unknown {what} {word!r} (it is not in this version). Choose from "
                f"{', '.join(known)}."
            )
    check_executor(executor)
    if threads is not None:
        threads = threads_of(threads)
    _whole(max_steps, "max_steps", "one step is the least")
    longest = _longest(max_step)
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise InputError(
            f"progress is {progress!r} (it reports how far it is). Give True, or a callable(done, "
            "total)."
        )
    return {
        "rtol": float(rtol),
        "atol": tolerances,
        "method": method,
        "max_steps": int(max_steps),
        "max_step": longest,
        "threads": threads,
        "before": samples == "before",
        "executor": executor,
        "isa": None,
    }


def check_options(options: Iterable[str]) -> None:
    """TypeError for a name that is no option of teorell.simulate."""
    known = [*list(signature(solver_options).parameters)[1:], "start", "reductions"]
    for name in options:
        if name not in known:
            raise TypeError(
                f"unknown option {name!r} (teorell.simulate has none such). "
                f"{suggestion(name, known)}"
            )


def chosen_outputs(model: Model, outputs: Sequence[str] | str | None) -> tuple[str, ...]:
    """The names of outputs as a tuple, checked; all that the model declares if there are none."""
    known = model.output_names
    if outputs is not None and not isinstance(outputs, Iterable):
        raise InputError(
            f"outputs is a {type(outputs).__name__} (names are needed). Give a list of names, or "
            "None."
        )
    chosen = (
        known if outputs is None else (outputs,) if isinstance(outputs, str) else tuple(outputs)
    )
    if not chosen:
        raise InputError(
            "outputs are empty (nothing would be returned). Name at least one, or give None for "
            "all."
        )
    for name in chosen:
        if not isinstance(name, str):
            raise TypeError(
                f"outputs has a {type(name).__name__} (names are needed). Give the name of an "
                "output, as a text."
            )
        if name not in known:
            raise InputError(
                f"unknown output {name!r} (model {model.name!r} does not declare it). "
                f"{suggestion(str(name), known)}"
            )
    if len(set(chosen)) < len(chosen):
        raise InputError(
            f"outputs {', '.join(chosen)} name one twice (a label must be unique). Leave the "
            "second out."
        )
    return chosen


def _tolerances(model: Model, rtol: float, atol: object) -> Array:
    """rtol checked; atol as (states,)."""
    relative = numbers(rtol, "rtol")
    if relative.ndim or not LEAST_RTOL <= relative <= LARGEST_RTOL:
        raise InputError(
            f"rtol is {rtol!r} (it must be one number from {LEAST_RTOL:g}, near the precision of "
            f"float64, to {LARGEST_RTOL:g}, where nothing is accurate). Give 1e-6, which suits "
            "most purposes."
        )
    names = model.state_names
    if isinstance(atol, Mapping):
        for name in atol:
            if name not in names:
                raise InputError(
                    f"atol names {name!r} (it is no state of the model). "
                    f"{suggestion(str(name), names)}"
                )
        atol = [atol.get(name, ATOL) for name in names]
    absolute = numbers(atol, "atol")
    if absolute.ndim and absolute.size != len(names):
        raise InputError(
            f"atol has {count(absolute.size, 'value')}, the model {count(len(names), 'state')} "
            "(each has its own). Give one number, one a state, or a mapping from names of states."
        )
    if absolute.min() < LEAST_ATOL:
        raise InputError(
            f"atol is {absolute.min():.6g} (it must be at least {LEAST_ATOL:g}: a state at zero is "
            "measured by it alone). Give the amount below which a state does not matter, such as "
            "1e-9."
        )
    return np.array(np.broadcast_to(absolute, (len(names),)))


def _longest(max_step: float | None) -> float:
    """The longest step allowed, in the model's time unit; infinite for None."""
    if max_step is None:
        return math.inf
    length = numbers(max_step, "max_step")
    if length.ndim or not length > 0.0:
        raise InputError(
            f"max_step is {max_step!r} (the longest step that the solver may take has a positive "
            "length). Give one number in the model's time unit, or None for no bound."
        )
    return float(length)


def _whole(value: object, name: str, reason: str) -> None:
    if not is_whole(value) or value < 1:
        raise InputError(f"{name} is {value!r} ({reason}). Give a whole number of 1 or more.")
