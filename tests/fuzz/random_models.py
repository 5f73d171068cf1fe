"""Random models over the whole language, with the doses, covariates and times to simulate them.

What flows out of a state vanishes with it and all coefficients are bounded, so that a solution
exists and is unique; everything else is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import teorell as tl
from teorell.model.expression import Expression, leaves

NO_COVARIATE = ("lag", "bioavailability", "rate", "duration")  # what only rules of doses read


@dataclass
class Line:
    """A line of a regimen in plain numbers.

    kind: bolus, duration, rate, modelled duration, modelled rate.
    """

    kind: str
    into: str
    time: float
    amount: float
    extent: float  # duration or rate
    every: float
    doses: int


@dataclass
class Case:
    model: tl.Model
    parameters: dict[str, np.ndarray]  # (patients,)
    covariate: str  # "" for none
    changes: np.ndarray  # (k,) times of its values, from 0
    values: np.ndarray  # (k,)
    lines: list[Line]
    times: np.ndarray  # (times,)
    closed: bool  # nothing leaves: what was given is there
    breaks: list[Expression] = field(default_factory=list)  # when conditions on time change
    # (state, how long after a dose into it) of conditions on the time after a dose
    windows: list[tuple[str, Expression]] = field(default_factory=list)

    @property
    def patients(self) -> int:
        return len(next(iter(self.parameters.values())))

    def given(self, patient: int | None = None) -> dict[str, object]:
        """Parameters for `simulate`, of all patients or of one."""
        chosen = slice(None) if patient is None else slice(patient, patient + 1)
        found: dict[str, object] = {name: p[chosen] for name, p in self.parameters.items()}
        if self.covariate:
            found[self.covariate] = tl.stepwise(self.changes, self.values)
        return found

    def regimen(self, scale: float = 1.0) -> tl.Regimen:
        """The lines, amounts times `scale`."""
        found = tl.Regimen.none()
        for line in self.lines:
            common = {"into": line.into, "time": line.time}
            if line.doses > 1:
                common |= {"every": line.every, "doses": line.doses}
            if line.kind == "bolus":
                found = found + tl.Regimen.bolus(scale * line.amount, **common)
                continue
            extent = "modelled" if line.kind.startswith("modelled") else line.extent
            common[line.kind.removeprefix("modelled ")] = extent
            found = found + tl.Regimen.infusion(scale * line.amount, **common)
        return found


class Writer:
    """Draws expressions of one model whose values are bounded for any state and time."""

    def __init__(self, rng: np.random.Generator, model: tl.Model, end: float) -> None:
        self.rng, self.model, self.end = rng, model, end
        self.names = [f"p{k}" for k in range(rng.integers(2, 7))]
        self.parameters = [
            model.parameter(name, float(rng.uniform(0.2, 2.0))) for name in self.names
        ]
        self.states: list[Expression] = []
        self.breaks: list[Expression] = []
        self.windows: list[tuple[str, Expression]] = []
        self.of_rates = True  # outputs that depend on a dose are NaN before the first

    def pick(self, things: list[Expression]) -> Expression:
        return things[self.rng.integers(len(things))]

    def parameter(self) -> Expression:
        return self.pick(self.parameters)

    def leaf(self) -> Expression | float:
        kind = self.rng.integers(6)
        if kind == 0:
            return float(self.rng.uniform(-2.0, 2.0))
        if kind == 1:
            return self.model.time / self.end
        if kind == 2 and self.states:
            x = self.pick(self.states)
            return x / (1.0 + tl.abs(x))
        if kind == 3 and self.states and self.of_rates:
            return tl.exp(-self.model.time_after_dose(self.pick(self.states)) / (0.2 * self.end))
        return self.parameter()

    def bounded(self, depth: int) -> Expression:
        """Any bounded expression."""
        if depth <= 0:
            return 0.0 + self.leaf() * self.parameter()
        a, b = self.bounded(depth - 1), self.bounded(depth - int(self.rng.integers(1, 3)))
        one_of = [
            lambda: a + b,
            lambda: a - b,
            lambda: a * b,
            lambda: a / (1.0 + tl.abs(b)),
            lambda: -a,
            lambda: a**2,
            lambda: (0.5 + tl.abs(a)) ** -1,
            lambda: (0.3 + tl.abs(a)) ** tl.tanh(b),
            lambda: tl.pow(1.0 + tl.abs(a), 0.7),
            lambda: tl.exp(-tl.abs(a)),
            lambda: tl.exp(tl.tanh(a)),
            lambda: tl.log(1.5 + tl.abs(a)),
            lambda: tl.sqrt(0.1 + a * a),
            lambda: tl.tanh(a),
            lambda: tl.sin(a),
            lambda: tl.cos(3.0 * a),
            lambda: tl.abs(a),
            lambda: tl.min(a, b),
            lambda: tl.max(a, b, 0.1),
            lambda: tl.hill(tl.abs(a), 0.5 + tl.abs(self.parameter()), self.rng.choice([1, 2, 3])),
            lambda: tl.hill(tl.max(a, 0.01), 1.0, 0.5 + self.parameter()),
            lambda: tl.where(self.on_time(), a, b),
            lambda: tl.where(a < b, a - b, 2.0 * (a - b)),  # a kink, no jump
        ]
        return one_of[self.rng.integers(len(one_of))]()

    def positive(self, depth: int) -> Expression:
        """A bounded rate constant above 0."""
        scale = float(np.exp(self.rng.normal(-0.5, 1.2)))
        return scale * self.parameter() * (0.2 + tl.tanh(tl.abs(self.bounded(depth))))

    def on_time(self) -> Expression:
        """A condition on time and parameters, in any form in which people write it."""
        time, rng = self.model.time, self.rng
        at = float(rng.uniform(0.1, 0.5)) * self.end * (0.7 + 0.3 * self.parameter())
        width = float(rng.uniform(0.05, 0.2)) * self.end
        kind = rng.integers(8)
        if kind > 5 and self.states and self.of_rates:
            state, often = self.pick(self.states), width * (0.7 + 0.3 * self.parameter())
            self.windows.append((state.name, often))
            after = self.model.time_after_dose(state)
            return after < often if kind == 6 else 0.5 * after > 0.5 * often
        kind %= 6
        if kind < 4:
            self.breaks.append(at)
            return [time < at, time >= at, 2.0 * time - at > at, ~(time <= at)][kind]
        self.breaks += [at, at + width]
        inside = (at <= time) & (time < at + width)
        return inside if kind == 4 else (time < at) | (time >= at + width)


def random_case(seed: int, number: int) -> Case:
    """The case `number` of a seed."""
    rng = np.random.default_rng([seed, number])
    end = float(rng.uniform(2.0, 30.0))
    model = tl.Model(f"case {number}")
    w = Writer(rng, model, end)
    states, closed = int(rng.integers(1, 13)), bool(rng.random() < 0.5)
    names = [f"s{k}" for k in range(states)]
    for name in names:
        initial = w.parameter() * float(rng.uniform(0, 5)) if rng.random() < 0.4 else 0.0
        w.states.append(model.state(name, initial=initial))
    gone = model.state("gone") if closed else None
    for k, name in enumerate(names):
        _outflow(w, model, w.states[k], gone)
        for _ in range(rng.integers(0, 3)):
            sink = names[rng.integers(states)]
            if sink != name:
                model.flow(name, sink, w.positive(1) * _drive(w, w.states[k]))
    if not closed and rng.random() < 0.5:
        free = model.state("free", signed=True)
        model.rate(free, w.bounded(2) - w.positive(0) * free)
        model.flow(None, names[0], w.positive(2))
    w.of_rates = False
    for k in range(rng.integers(1, 4)):
        model.output(f"o{k}", w.bounded(2) if rng.random() < 0.5 else w.pick(w.states) / 2.0)
    if closed:
        total = sum(w.states[1:], w.states[0]) + gone
        model.output("total", total)
    lines = _lines(rng, model, names, end)
    patients = int(rng.integers(1, 6))
    parameters = {
        name: model.parameter_info(name).default * np.exp(rng.normal(0.0, 0.3, patients))
        for name in model.parameter_names
    }
    covariate = str(rng.choice(w.names)) if rng.random() < 0.3 and patients > 1 else ""
    # a threshold that changes over time has no one time: such a parameter stays as it is
    if covariate and any(
        _reads(each, covariate) for each in (*w.breaks, *(width for _, width in w.windows))
    ):
        covariate = ""
    changes = np.sort(np.append(0.0, rng.uniform(0.1, 0.9, 2) * end))
    times = np.sort(np.append(rng.uniform(0.0, end, 11), end))
    return Case(
        model,
        parameters,
        covariate,
        changes,
        values=rng.uniform(0.3, 2.0, 3),
        lines=lines,
        times=times,
        closed=closed,
        breaks=w.breaks,
        windows=w.windows,
    )


def _reads(expr: Expression, name: str) -> bool:
    return any(leaf.op == "parameter" and leaf.name == name for leaf in leaves(expr))


def _drive(w: Writer, x: Expression) -> Expression:
    """What vanishes with x, and grows no faster."""
    half, n = 1.0 + w.parameter(), w.rng.choice([1, 2])
    return [
        x,
        x,
        x / (1.0 + half * tl.abs(x)),
        tl.hill(tl.max(x, 0.0), half, n),
        tl.min(x, 3.0 * half),
    ][w.rng.integers(5)]


def _outflow(w: Writer, model: tl.Model, state: Expression, gone: Expression | None) -> None:
    model.flow(state, gone, w.positive(int(w.rng.integers(0, 3))) * _drive(w, state))


def _lines(rng: np.random.Generator, model: tl.Model, names: list[str], end: float) -> list[Line]:
    """Up to three lines, and rules for the states that they go into."""
    lines = []
    kinds = ["bolus", "bolus", "duration", "rate", "modelled duration", "modelled rate"]
    for _ in range(rng.integers(0, 4)):
        kind, into = str(rng.choice(kinds)), str(rng.choice(names))
        lines.append(
            Line(
                kind, into, float(rng.uniform(0.0, 0.4) * end), float(np.exp(rng.normal(1.0, 1.0))),
                float(rng.uniform(0.02, 0.5) * end), float(rng.uniform(0.1, 0.3) * end),
                int(rng.integers(1, 4)),
            )
        )  # fmt: skip
    for into in sorted({line.into for line in lines}):
        asked = {line.kind for line in lines if line.into == into}
        rules: dict[str, Expression] = {}
        for rule in NO_COVARIATE:
            if f"modelled {rule}" in asked or (
                rule not in ("rate", "duration") and rng.random() < 0.4
            ):
                own = model.parameter(f"{rule}_{into}", float(rng.uniform(0.2, 1.0)))
                rules[rule] = tl.exp(-own) if rule == "bioavailability" else own * (1.0 + own)
        if rules:
            model.dosing(into, **rules)
    return lines
