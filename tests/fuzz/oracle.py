"""A random case by SciPy's LSODA at a tight tolerance, from one event to the next."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from random_models import Case
from scipy.integrate import solve_ivp
from teorell.model.expression import Expression, evaluate, symbol, topological

_TEXT = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}",
    "pow": "{} ** {}", "exp": "exp({})", "log": "log({})", "sqrt": "sqrt({})", "tanh": "tanh({})",
    "sin": "sin({})", "cos": "cos({})", "abs": "abs({})", "min": "min({}, {})",
    "max": "max({}, {})", "lt": "float({} < {})", "le": "float({} <= {})",
    "and": "float({} != 0 and {} != 0)", "or": "float({} != 0 or {} != 0)",
    "not": "float({} == 0)", "where": "({1} if {0} != 0 else {2})",
}  # fmt: skip


class Given(NamedTuple):
    """A dose as it arrives; a bolus stops where it starts."""

    into: str
    start: float
    stop: float
    amount: float


Values = Callable[[float, Sequence[float], dict[str, float]], list[float]]


def compiled(exprs: Sequence[Expression], states: Sequence[str]) -> Values:
    """(time, states, parameters) -> the values, in Python's own arithmetic: no code of teorell."""
    names: dict[Expression, str] = {}
    lines = ["def values(time, y, p):"]
    for k, node in enumerate(topological(exprs)):
        if node.op == "constant":
            names[node] = repr(float(node.value))
            continue
        if node.op == "state":
            text = f"y[{states.index(node.name)}]"
        elif node.op == "parameter":
            text = f"p[{node.name!r}]"
        elif node.op == "time":
            text = "time"
        elif node.op == "after_dose":
            text = f"time - p[{_last(node.name)!r}]"
        else:
            text = _TEXT[node.op].format(*[f"({names[arg]})" for arg in node.args])
        names[node] = f"v{k}"
        lines.append(f"    v{k} = {text}")
    lines.append(f"    return [{', '.join(names[expr] for expr in exprs)}]")
    space = {name: getattr(math, name) for name in ("exp", "log", "sqrt", "tanh", "sin", "cos")}
    exec("\n".join(lines), space)
    return space["values"]  # type: ignore[return-value]


def _last(state: str) -> str:
    """The key under which the time of the last dose into a state lies among the parameters."""
    return f"last dose into {state}"


def parameters_of(case: Case, patient: int) -> dict[str, float]:
    found = {name: float(values[patient]) for name, values in case.parameters.items()}
    if case.covariate:
        found[case.covariate] = float(case.values[0])
    return found


def doses_of(case: Case, p: dict[str, float]) -> list[Given]:
    """Every dose of a patient with the parameters p."""
    known = {symbol("parameter", name): value for name, value in p.items()}
    found = []
    for line in case.lines:
        rules = case.model.dosing_rules.get(line.into)
        rule = {
            name: float(evaluate(expr, known))
            for name in ("lag", "bioavailability", "rate", "duration")
            if (expr := getattr(rules, name, None)) is not None
        }
        amount, extent = line.amount * rule.get("bioavailability", 1.0), line.extent
        if line.kind.startswith("modelled"):
            extent = rule[line.kind.removeprefix("modelled ")]
        width = amount / extent if line.kind.endswith("rate") else extent
        width = 0.0 if line.kind == "bolus" else width
        for k in range(line.doses):
            start = line.time + rule.get("lag", 0.0) + k * line.every * (line.doses > 1)
            found.append(Given(line.into, start, start + width, amount))
    return found


def solve(case: Case, patient: int) -> tuple[np.ndarray, np.ndarray]:
    """(times, outputs) of one patient, and (times,) what had been given until then."""
    model, names = case.model, list(case.model.state_names)
    p = parameters_of(case, patient)
    rates = compiled(list(model.derivatives().values()), names)
    read = compiled(list(model.outputs().values()), names)
    y = np.array(compiled(list(model.initials().values()), names)(0.0, [], p))
    given = np.full(len(case.times), float(y.sum()))
    doses = doses_of(case, p)
    curves = np.full((len(case.times), len(model.output_names)), np.nan)
    for first, last in itertools.pairwise(_marks(case, doses, p)):
        more = np.zeros(len(names))
        for dose in doses:
            if dose.start == dose.stop == first:
                y[names.index(dose.into)] += dose.amount
            elif dose.start <= first < dose.stop:
                more[names.index(dose.into)] += dose.amount / (dose.stop - dose.start)
        for name in names:
            came = [dose.start for dose in doses if dose.into == name and dose.start <= first]
            p[_last(name)] = max(came, default=-1e9)
        if case.covariate:
            now = np.searchsorted(case.changes, first, side="right") - 1
            p[case.covariate] = float(case.values[now])
        wanted = (case.times >= first) & ((case.times < last) | (last == case.times[-1]))
        found = _stretch(rates, p, more, y, (first, last), case.times[wanted])
        for row, values in zip(np.flatnonzero(wanted), found, strict=False):
            curves[row] = read(_inside(case.times[row], first, last), values.tolist(), p)
        y = found[-1].copy()
    for dose in doses:
        width = max(dose.stop - dose.start, 1e-300)
        given += dose.amount * np.clip((case.times - dose.start) / width, 0.0, 1.0)
    return curves, given


def _marks(case: Case, doses: Sequence[Given], p: dict[str, float]) -> list[float]:
    """When something happens, from 0 to the last sample."""
    known = {symbol("parameter", name): value for name, value in p.items()}
    at = {0.0, float(case.times[-1])} | {float(evaluate(each, known)) for each in case.breaks}
    at |= {time for dose in doses for time in (dose.start, dose.stop)}
    for state, width in case.windows:
        after = float(evaluate(width, known))
        at |= {dose.start + after for dose in doses if dose.into == state}
    at |= set(case.changes.tolist()) if case.covariate else set()
    return sorted(time for time in at if 0.0 <= time <= case.times[-1])


def _inside(t: float, first: float, last: float) -> float:
    """The time, on that side of both ends where a condition holds as it does between them."""
    edge = 1e-12 * (last - first)
    return min(max(float(t), first + edge), last - edge)


def _stretch(
    rates: Values, p: dict[str, float], more: np.ndarray, y: np.ndarray,
    span: tuple[float, float], at: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(times + 1, states) at the times asked for, and at the end; more: what infusions give."""

    def right(t: float, y: np.ndarray) -> np.ndarray:
        return np.array(rates(_inside(t, *span), y.tolist(), p)) + more

    asked = np.append(at, span[1])
    times, places = np.unique(asked, return_inverse=True)
    found = solve_ivp(right, span, y, method="LSODA", t_eval=times, rtol=1e-10, atol=1e-12)
    if not found.success:
        raise ArithmeticError(found.message)
    return found.y.T[places]
