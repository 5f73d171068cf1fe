"""Random models, doses and times against SciPy, and against themselves.

    python tests/fuzz/fuzz.py [--seconds 60] [--seed 0] [--case NUMBER]

A case is right if all holds: the curves are SciPy's; both executors, and a patient alone and among
others, have the same bits; tolerances agree; an event table of the same doses gives the same; what
was given is there where nothing leaves; the adjoint is the tangent, and both the difference
quotient. A case is refused if a sentence or a status says so. Anything else is wrong: it is
printed, `--case` repeats it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter

import numpy as np
import oracle
import teorell as tl
from random_models import Case, random_case

TIGHT = {"rtol": 1e-9, "atol": 1e-11}
# Making machine code takes longer than all else, so only every few cases are compared with it.
QUICK = {**TIGHT, "executor": "interpreter"}
COMPILED = 3
BOUND = 1e-5  # of the largest value of a curve: what errors of steps at TIGHT may add up to
LOOSE = 1e-2  # the same at rtol 1e-5
MASS = 1e-9  # of what was given: sums keep it to rounding, samples inside steps too
BOTH_WAYS = 1e-8  # of the largest term: adjoint and tangent walk along the same steps
# Of the largest term: steps are held fixed by one, and not by the other. Beside a kink of the
# equations both have errors of the square root of the tolerance, which is therefore finer.
DIFFERENCES = 1e-3
FINER = {"rtol": 1e-11, "atol": 1e-13, "executor": "interpreter"}


class Wrong(Exception):
    """What is wrong with a case."""


class Refused(Exception):
    """A status, of patients that have no result."""


def scale(curves: np.ndarray, least: float) -> np.ndarray:
    """(outputs,) the largest of each output, and a little more."""
    return np.nanmax(np.abs(curves), axis=tuple(range(curves.ndim - 1))) + least


def check_equal(what: str, a: np.ndarray, b: np.ndarray) -> None:
    if not np.array_equal(a, b, equal_nan=True):
        raise Wrong(f"{what}: bits differ, by {np.nanmax(np.abs(a - b))}")


def check_near(what: str, a: np.ndarray, b: np.ndarray, bound: float, least: float = 1e-6) -> None:
    off = np.abs(a - b) / scale(b, least)
    if not np.nanmax(off) <= bound or np.isnan(a).any() != np.isnan(b).any():
        place = np.unravel_index(np.nanargmax(off), off.shape)
        raise Wrong(f"{what}: {a[place]} and {b[place]} at {place} ({np.nanmax(off):.2e} of scale)")


def simulate(case: Case, patient: int | None = None, **options: object) -> tl.Solution:
    given = {**QUICK, "times": case.times, "regimen": case.regimen(), **options}
    return tl.simulate(case.model, case.given(patient), **given)


def check(case: Case, compiled: bool) -> None:
    """Wrong, Refused, or nothing."""
    solution = simulate(case)
    if compiled:
        other = simulate(case, executor="machine_code")
        for name in ("values", "status", "steps"):
            check_equal(f"executors, {name}", getattr(solution, name), getattr(other, name))
    alone = simulate(case, case.patients - 1)
    check_equal("alone", solution.values[-1], alone.values[0])
    if solution.status.any():
        raise Refused(f"status {solution.status}: {solution.failure_time}")
    _check_values(case, solution)
    _check_table(case, solution)
    _check_derivatives(case, compiled)


def _check_values(case: Case, solution: tl.Solution) -> None:
    curves, given = oracle.solve(case, 0)
    check_near("SciPy", solution.values[0], curves, BOUND)
    loose = simulate(case, rtol=1e-5, atol=1e-7)
    if loose.status.any():
        raise Refused(f"status {loose.status} at rtol 1e-5")
    # an output smaller than the absolute tolerance may be anything below it
    check_near("tolerances", loose.values, solution.values, LOOSE, least=1e-7 / LOOSE)
    if case.closed:
        total = solution["total"][0]
        if not np.abs(total - given).max() <= MASS * max(given.max(), 1e-6) + 1e-9:
            raise Wrong(f"mass: {total} of {given}")


def _check_table(case: Case, solution: tl.Solution) -> None:
    """The doses of one patient as records."""
    import pandas as pd

    rows = []
    for line in case.lines:
        rate = {
            "bolus": 0.0, "duration": np.nan, "rate": line.extent,
            "modelled duration": -2.0, "modelled rate": -1.0,
        }[line.kind]  # fmt: skip
        again = (line.every, line.doses - 1) if line.doses > 1 else (0.0, 0)
        rows.append((line.time, 1, line.amount, rate, line.into, *again))
    if not rows or case.covariate or any(line.kind == "duration" for line in case.lines):
        return  # a rate and a duration are different things where bioavailability is not 1
    rows += [(at, 0, 0.0, 0.0, case.model.state_names[0], 0.0, 0) for at in case.times.tolist()]
    table = pd.DataFrame(
        sorted(rows, key=lambda row: row[0]),
        columns=["TIME", "EVID", "AMT", "RATE", "CMT", "II", "ADDL"],
    )
    events = tl.EventTable(table.assign(ID=1), case.model)
    first = {name: values[:1] for name, values in case.parameters.items()}
    found = tl.simulate(case.model, first, events.regimen, events.times, **QUICK)
    check_near("event table", found.values, solution.values[0], BOUND)


def _check_derivatives(case: Case, compiled: bool) -> None:
    """Along one random direction of parameters and amounts, of the first patient."""
    rng = np.random.default_rng(len(case.times) + case.patients)
    p = {name: values[:1] for name, values in case.parameters.items()}
    names = [name for name in p if name != case.covariate]
    weights = rng.normal(size=(1, len(case.times), len(case.model.output_names)))
    along = {name: rng.normal() * p[name] for name in names}
    more = {} if not case.covariate else {case.covariate: case.given()[case.covariate]}
    rest = {"regimen": case.regimen(), "times": case.times, **QUICK}
    held = {name: p[name] for name in names} | more
    value, gradient = tl.value_and_grad(weights, case.model, held, **rest)
    if gradient.status.any():
        raise Refused(f"status {gradient.status} of a gradient")
    if compiled:
        rest["executor"] = "machine_code"
        again = tl.value_and_grad(weights, case.model, held, **rest)[1]
        for name in names:
            check_equal(f"executors, d/d{name}", gradient.parameters[name], again.parameters[name])
    terms = np.array([(gradient.parameters[name] * along[name]).sum() for name in names])
    moved = tl.jvp(case.model, held, tangents=along, **rest)
    forward = float((weights * moved[1]).sum())
    size = np.abs(terms).max() + 1e-6 * (1.0 + abs(value))
    if not abs(terms.sum() - forward) <= BOTH_WAYS * size:
        raise Wrong(f"adjoint {terms.sum()}, tangent {forward}, largest term {size}")
    rest |= FINER
    forward = float((weights * tl.jvp(case.model, held, tangents=along, **rest)[1]).sum())
    ends = []
    for step in (1e-5, -1e-5):
        there = {name: p[name] + step * along[name] for name in names} | more
        end = tl.simulate(case.model, there, **rest)
        if end.status.any():
            raise Refused(f"status {end.status} at rtol 1e-11")
        ends.append(float((weights * end.values).sum()))
    quotient = (ends[0] - ends[1]) / 2e-5
    if not abs(quotient - forward) <= DIFFERENCES * size:
        raise Wrong(f"differences {quotient}, tangent {forward}, largest term {size}")


def one(seed: int, number: int) -> tuple[str, str]:
    """What becomes of a case: right, refused or wrong, and why."""
    try:
        check(random_case(seed, number), number % COMPILED == 0)
    except Refused as refusal:
        return "refused", str(refusal)
    except (tl.InputError, tl.ModelError) as error:
        return "refused", f"{type(error).__name__}: {error}"
    except ArithmeticError as error:
        return "without an answer by SciPy", str(error)
    except Wrong as wrong:
        return "wrong", str(wrong)
    except Exception:
        return "wrong", traceback.format_exc()
    return "right", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="no case begins after these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="this case alone")
    options = parser.parse_args()
    warnings.simplefilter(
        "ignore", tl.InputWarning
    )  # a dose into one state, and the time of another
    if options.case is not None:
        print(random_case(options.seed, options.case).model.describe())
        print(*one(options.seed, options.case))
        return 0
    counts: Counter[str] = Counter()
    start, number = time.monotonic(), 0
    while time.monotonic() - start < options.seconds:
        became, why = one(options.seed, number)
        counts[became] += 1
        if became != "right":
            print(f"case {number} of seed {options.seed} is {became}: {why}", flush=True)
        number += 1
    print(f"tried {number}: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
