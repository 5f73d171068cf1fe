"""`simulate`: check everything the user gave, lower the model, run it, label the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from teorell.errors import InputError, count, suggestion
from teorell.expression import evaluate, symbol
from teorell.model import Model
from teorell.parameters import Array, Columns, agree, numbers, parameter_columns
from teorell.regimen import Given, SwitchTimes, check_regimen, dosed_states, events, infused_states
from teorell.solution import Solution

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["simulate"]

EXECUTORS = ("machine_code", "interpreter")
SAMPLES = ("after", "before")
LEAST_RTOL, LARGEST_RTOL, LEAST_ATOL = 1e-13, 0.1, 1e-100

Progress: TypeAlias = Callable[[int, int], None]


def simulate(
    model: Model,
    parameters: object = None,
    regimen: Given = None,
    times: ArrayLike | None = None,
    outputs: Sequence[str] | str | None = None,
    *,
    rtol: float = 1e-6,
    atol: float | ArrayLike | Mapping[str, float] = 1e-9,
    method: str = "rodas5p",
    threads: int | None = None,
    samples: str = "after",
    max_steps: int = 1_000_000,
    progress: bool | Progress | None = None,
    executor: str | None = None,
    reductions: object = None,
) -> Solution:
    """Simulate a population from time 0 and sample its outputs at `times`.

    parameters: mapping of name to number or (patients,) array, a DataFrame with a row a patient, or an object whose
        `.parameters` is one of these, in the units that the model declares; what is not given takes its default.
        Integers and float32 become float64.
    regimen: a Regimen for all patients (its numbers may be (patients,) arrays), a list of one a patient, or None.
    times: (times,) in the model's time unit, finite, >= 0, ascending; equal times are allowed.
    outputs: names in the order wanted, or one name; None is all.
    rtol, atol: tolerances of each step, rtol from 1e-13 to 0.1; atol is one number, one a state (states,), or a mapping
        from names of states (others take 1e-9), in the units of the states.
    method: "rodas5p" or "rodas4p2", of a lower order and less work a step; solve.METHODS lists those of this version.
    threads: None takes all processors this process may use. No result depends on it.
    samples: does a sample at a dose time see the dose ("after") or not ("before")?
    max_steps: accepted and rejected steps after which a patient is given up.
    progress: True draws a bar; a callable is called with the patients done and all.
    executor: "machine_code", "interpreter", or None for the faster one that works here. The results are the same bits.
    reductions: has its place for a later version; anything but None is refused.

    Returns a Solution, whose values have the shape (patients, times, outputs). The number of patients is the common
    length of all arrays, 1 if there is none. Raises InputError (a ValueError) or TypeError before anything runs if
    something does not fit. A patient that fails numerically raises nothing: it has a status and NaN from the failing
    time on; `Solution.raise_for_status` turns that into an exception.
    """
    if not isinstance(model, Model):
        raise TypeError(f"model is a {type(model).__name__} (equations are needed). Give a teorell.Model.")
    if not model.state_names:
        raise InputError(
            f"model {model.name!r} has no states (there is nothing to solve). Declare them with model.states."
        )
    if reductions is not None:
        raise InputError("reductions are not in this version (they are planned). Reduce solution.values with NumPy.")
    columns = parameter_columns(model, parameters)
    sizes = check_regimen(regimen, model.state_names)
    patients = agree([*columns.sizes(), *sizes]) or 1
    _check_dosing(model, regimen)
    at = _times(times)
    chosen = _outputs(model, outputs)
    tolerances = _tolerances(model, rtol, atol)

    from teorell.lowered import programs_of  # not at the top: `import teorell` needs neither lowering nor the extension
    from teorell.solve import METHODS, solve

    for what, word, known in (("method", method, METHODS), ("samples", samples, SAMPLES)):
        if word not in known:
            raise InputError(f"unknown {what} {word!r} (it is not in this version). Choose from {', '.join(known)}.")
    if executor is not None and executor not in EXECUTORS:
        raise InputError(
            f"unknown executor {executor!r} (there is none such). Choose from {', '.join(EXECUTORS)}, or None."
        )
    if threads is not None:
        _whole(threads, "threads", "one thread is the least")
    _whole(max_steps, "max_steps", "one step is the least")
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise InputError(f"progress is {progress!r} (it reports how far it is). Give True, or a callable(done, total).")
    infused = infused_states(regimen)
    programs = programs_of(model, chosen, tuple(name for name in model.state_names if name in infused))
    table = events(
        regimen,
        {name: number for number, name in enumerate(model.state_names)},
        {name: number for number, name in enumerate(programs.infused)},
        patients,
        _switches(model, programs, columns),
    )
    with _reporting(progress, patients) as report:
        raw = solve(
            programs, columns.values, patients, table, at, rtol=float(rtol), atol=tolerances, method=method,
            max_steps=int(max_steps), threads=threads, before=samples == "before", progress=report, executor=executor,
            isa=None,
        )  # fmt: skip
    return Solution(
        raw.values, at, chosen, raw.status, raw.failure_time, raw.steps, raw.rejected,
        model.name, model.time_unit, tuple(model.output_unit(name) for name in chosen),
        {name: column for name, column in zip(columns.names, columns.values, strict=True) if name in columns.given},
    )  # fmt: skip


def _check_dosing(model: Model, regimen: Given) -> None:
    for name in dosed_states(regimen):
        if name in model.dosing_rules:
            raise InputError(
                f"doses into {name!r} have rules declared with model.dosing (this version does not apply lag, "
                "bioavailability, rate or duration). Leave the rules out, and write their effect into the regimen."
            )


def _times(times: object) -> Array:
    """Sample times as float64 of shape (times,), checked."""
    if times is None:
        raise InputError(
            "times are missing (a solution is sampled at times). Give them, such as numpy.linspace(0, 24, 97)."
        )
    try:
        dimensions = np.ndim(times)  # type: ignore[arg-type]
    except ValueError:
        dimensions = 2
    if dimensions != 1:
        raise InputError(
            f"times have {'no' if dimensions == 0 else dimensions} dimensions (this version samples all patients on "
            "one grid). Give one sequence of times, such as numpy.linspace(0, 24, 97)."
        )
    at = np.array(numbers(times, "times"))  # a copy: the solution keeps it
    if not at.size:
        raise InputError("times are empty (nothing would be returned). Give at least one time.")
    if at.min() < 0.0:
        raise InputError(f"times begin at {at.min():.6g} (a simulation starts at 0). Give times of 0 or more.")
    falls = np.flatnonzero(np.diff(at) < 0.0)
    if falls.size:
        k = int(falls[0])
        raise InputError(f"times are unsorted (times[{k + 1}] = {at[k + 1]:.6g} after {at[k]:.6g}). Sort them.")
    return at


def _outputs(model: Model, outputs: Sequence[str] | str | None) -> tuple[str, ...]:
    known = model.output_names
    if outputs is not None and not isinstance(outputs, Iterable):
        raise InputError(f"outputs is a {type(outputs).__name__} (names are needed). Give a list of names, or None.")
    chosen = known if outputs is None else (outputs,) if isinstance(outputs, str) else tuple(outputs)
    if not chosen:
        raise InputError("outputs are empty (nothing would be returned). Name at least one, or give None for all.")
    for name in chosen:
        if name not in known:
            raise InputError(
                f"unknown output {name!r} (model {model.name!r} does not declare it). {suggestion(str(name), known)}"
            )
    if len(set(chosen)) < len(chosen):
        raise InputError(f"outputs {', '.join(chosen)} name one twice (a label must be unique). Leave the second out.")
    return chosen


def _tolerances(model: Model, rtol: float, atol: object) -> Array:
    """rtol checked; atol as (states,)."""
    relative = numbers(rtol, "rtol")
    if relative.ndim or not LEAST_RTOL <= relative <= LARGEST_RTOL:
        raise InputError(
            f"rtol is {rtol!r} (it must be one number from {LEAST_RTOL:g}, near the precision of float64, to "
            f"{LARGEST_RTOL:g}, where nothing is accurate). Give 1e-6, which suits most purposes."
        )
    names = model.state_names
    if isinstance(atol, Mapping):
        for name in atol:
            if name not in names:
                raise InputError(f"atol names {name!r} (it is no state of the model). {suggestion(str(name), names)}")
        atol = [atol.get(name, 1e-9) for name in names]
    absolute = numbers(atol, "atol")
    if absolute.ndim and absolute.size != len(names):
        raise InputError(
            f"atol has {count(absolute.size, 'value')}, the model {count(len(names), 'state')} (each has its own). "
            "Give one number, one a state, or a mapping from names of states."
        )
    if absolute.min() < LEAST_ATOL:
        raise InputError(
            f"atol is {absolute.min():.6g} (it must be at least {LEAST_ATOL:g}: a state at zero is measured by it "
            "alone). Give the amount below which a state does not matter, such as 1e-9."
        )
    return np.array(np.broadcast_to(absolute, (len(names),)))


def _whole(value: object, name: str, reason: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} is {value!r} ({reason}). Give a whole number of 1 or more.")


def _switches(model: Model, programs: Programs, columns: Columns) -> list[SwitchTimes]:
    """When the model's conditions on time change, for each patient."""
    values = {symbol("parameter", name): column for name, column in zip(columns.names, columns.values, strict=True)}
    found = []
    for switch in programs.switches:
        threshold: Array = np.asarray(evaluate(switch.threshold, values), dtype=np.float64)
        undefined = np.flatnonzero(np.isnan(threshold))
        if undefined.size:
            raise InputError(
                f"a condition on time in model {model.name!r} changes at {switch.threshold!r} (not a number for "
                f"{count(undefined.size, 'patient')}, the first is patient {undefined[0]}). Check the parameters in it."
            )
        found.append(SwitchTimes(threshold, switch.before, switch.after))
    return found


@contextmanager
def _reporting(progress: bool | Progress | None, patients: int) -> Iterator[Progress | None]:
    """The callable that solve calls; for True a bar by tqdm or rich, whichever is installed, else a line of text."""
    if progress is None or progress is False:
        yield None
        return
    if progress is not True:
        yield progress
        return
    bar: Any
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        pass
    else:
        with tqdm(total=patients, unit=" patients") as bar:

            def update(done: int, total: int) -> None:
                bar.update(done - bar.n)

            yield update
        return
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ImportError:
        pass
    else:
        with Bar(TextColumn("patients"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
            task = bar.add_task("patients", total=patients)
            yield lambda done, total: bar.update(task, completed=done)
        return
    import sys

    yield lambda done, total: print(f"\r{done} of {total} patients", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
