"""The programs of derivatives: of rhs, its Jacobian, outputs, prepare and initial.

A stage u of a step enters through f(y_stage) + J(y_n) u. Where f is affine in the states that is
f(y_stage + u), so one product serves both: the states of these terms are z = y_stage + u. What is
not affine is differentiated at y_stage, and its part of the Jacobian, a handful of entries, apart:
`second_vjp` has the gradient of sum_ab g_ab J_ab + sum_a q_a f_t,a with g_ab = sum over stages of
w_a u_b and q_a = sum of h d w_a (Hairer and Wanner, Solving ODEs II, IV.7; Sandu, Daescu and
Carmichael, Atmos. Environ. 37, 2003, section 2.3); `second_jvp` has the tangents of J_ab and f_t,a.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from teorell.lowering.builder import Builder, Constants, Slot
from teorell.lowering.forward import push_forward
from teorell.lowering.linear import Form, Forms
from teorell.lowering.reverse import Cotangent, pull_back
from teorell.lowering.trace import Recorder
from teorell.lowering.values import Symbols, Terms, Values, parameter_values
from teorell.model.expression import Expression

__all__ = [
    "Differentiable", "prepare_tangent", "prepare_vjp", "store_all", "tangent_programs",
    "vjp_programs",
]  # fmt: skip


@dataclass(frozen=True)
class Differentiable:
    """A model in the forms that lowering has found, as far as derivatives need it."""

    forms: Forms
    symbols: Symbols
    constants: Constants
    rates: Sequence[Form]  # [state]
    infusions: Mapping[int, int]  # state -> number of its infusion rate
    in_time: Mapping[int, Form]  # rows of df/dt
    outputs: Sequence[Form]
    initials: Sequence[Form]  # [state]
    surfaces: Sequence[Form]
    actions: Sequence[Form]

    @property
    def n(self) -> int:
        return len(self.rates)

    def pairs(self) -> dict[tuple[int, int], Form]:
        """(row, column) -> the entry of the Jacobian there, of what is not affine in the states."""
        entries: dict[tuple[int, int], Form] = {}
        for row, form in enumerate(self.rates):
            for symbol, slope in self.forms.gradient_of(self.split(form)[1]).items():
                if symbol.op == "state":
                    entries[row, self.symbols.states[symbol.name]] = slope
        return entries

    def split(self, form: Form) -> tuple[Form, Form]:
        """The part of a form that is affine in the states, and the rest."""
        affine = {
            atom: coefficient for atom, coefficient in form.items() if self.forms.affine(atom)
        }
        return affine, {
            atom: coefficient for atom, coefficient in form.items() if atom not in affine
        }

    def stage(self, affine: Slot, other: Slot) -> Recorder:
        """The right-hand side as a trace, its states in two places.

        Those of affine terms lie from the slot `affine` on, all others from the slot `other` on.
        """
        trace = Recorder(self.constants)
        one, two = (
            Values(trace, self.forms, self.symbols.states_in(*slot)) for slot in (affine, other)
        )
        for row, form in enumerate(self.rates):
            terms, rest = one.terms(self.split(form)[0]), two.terms(self.split(form)[1])
            terms.singles += rest.singles
            terms.plus += rest.plus
            terms.minus += rest.minus
            if row in self.infusions:
                terms.singles.append(trace.slot("rate", self.infusions[row]))
            trace.store(terms.value(trace), "f", row)
        return trace

    def second(self) -> Recorder:
        """The entries of `pairs`, and df/dt, at the start of the step, as a trace."""
        trace = Recorder(self.constants)
        values = Values(trace, self.forms, self.symbols.states_in("yn"))
        store_all(values, list(self.pairs().values()), "entries")
        store_all(values, [self.in_time[row] for row in sorted(self.in_time)], "entries_ft")
        return trace

    def trace(self, forms: Sequence[Form], region: str) -> Recorder:
        """The trace that stores forms, of the states in region y, in a region."""
        trace = Recorder(self.constants)
        store_all(Values(trace, self.forms, self.symbols), forms, region)
        return trace

    def prepare(self, hoisted: Sequence[Expression]) -> Recorder:
        """The hoisted expressions as a trace, each stored as its coefficient."""
        trace = Recorder(self.constants)
        for k, value in enumerate(parameter_values(trace, self.symbols, hoisted)):
            trace.store(value, "coef", k)
        return trace


def store_all(values: Values, forms: Sequence[Form], region: str) -> None:
    """Store the values of forms in a region, one after the other."""
    for position, form in enumerate(forms):
        values.builder.store(values.terms(form).value(values.builder), region, position)


# --- reverse


def vjp_programs(d: Differentiable, builders: Mapping[str, Builder]) -> list[int]:
    """Fill the programs *_vjp that read coefficients: all but prepare_vjp.

    Returns the coefficients that outputs_vjp has cotangents of.
    """
    _stage_vjp(d, builders["stage_vjp"])

    second = d.second()
    b = builders["second_vjp"]
    seeds = [(value, b.slot(*slot)) for slot, value in second.results.items()]
    bars = pull_back(second, b, second.copy(b), seeds, _is_one_of("yn", "coef"))
    _accumulate(b, bars, {"yn": "ynbar", "coef": "coefbar"})
    b.compute_late()

    outputs = d.trace(d.outputs, "out")
    b = builders["outputs_vjp"]
    seeds = _seeds(outputs, b, "outbar")
    bars = pull_back(outputs, b, outputs.copy(b), seeds, _is_one_of("y", "coef"))
    touched = sorted([k for region, k in bars if region == "coef"])
    for (region, k), bar in bars.items():
        b.store(bar.value(b), *(("ysbar", k) if region == "y" else ("outcoef", touched.index(k))))

    for forms, name, region, bar_of, y_of, coef_of in (
        (d.surfaces, "surfaces_vjp", "g", "gbar", "gybar", "gcoefbar"),
        (d.actions, "actions_vjp", "act", "actbar", "aybar", "acoefbar"),
    ):
        trace, b = d.trace(forms, region), builders[name]
        seeds = _seeds(trace, b, bar_of)
        bars = pull_back(trace, b, trace.copy(b), seeds, _is_one_of("y", "coef"))
        for (of, k), bar in bars.items():
            b.store(bar.value(b), y_of if of == "y" else coef_of, k)

    initial = d.trace(d.initials, "y")
    b = builders["initial_vjp"]
    values, seeds = initial.copy(b), _seeds(initial, b, "lam")
    bars = pull_back(initial, b, values, seeds, _is_one_of("params", "coef"))
    _accumulate(b, bars, {"params": "paramsbar", "coef": "coefbar"})
    return touched


def _stage_vjp(d: Differentiable, b: Builder) -> None:
    """Fill stage_vjp: from the cotangents of f those of the states, coefficients and rates."""
    n = d.n
    stage = d.stage(("u", 0), ("block", 0))
    seeds = [(value, b.slot("block", n + row)) for (_, row), value in stage.results.items()]
    bars = pull_back(stage, b, stage.copy(b), seeds, _is_one_of("u", "block", "coef", "rate"))
    rest = {slot: bar for slot, bar in bars.items() if slot[0] in ("coef", "rate")}
    to = {"coef": "coefbar", "rate": "ratebar"}
    for k in range(n):
        total, factors = Cotangent(), {b.slot("u", k), b.slot("block", k)}
        for slot in (("u", k), ("block", k)):
            bar = bars.get(slot, Cotangent())
            total.singles += bar.singles
            total.plus += bar.plus
            total.minus += bar.minus
        b.store(total.value(b), "block", 2 * n + k)
        # Beside it the coefficients of this state: both are made of the same differences of w.
        near = [
            slot
            for slot, bar in rest.items()
            if any(factors & set(pair) for pair in bar.plus + bar.minus)
        ]
        _accumulate(b, {slot: rest.pop(slot) for slot in near}, to)
    _accumulate(b, rest, to)
    b.compute_late()


def prepare_vjp(d: Differentiable, b: Builder, hoisted: Sequence[Expression]) -> None:
    """Fill prepare_vjp: from the cotangents of all coefficients those of the parameters.

    hoisted: the complete list of what prepare computes.
    """
    prepare = d.prepare(hoisted)
    values, seeds = prepare.copy(b), _seeds(prepare, b, "coefbar")
    bars = pull_back(prepare, b, values, seeds, _is_one_of("params"))
    _accumulate(b, bars, {"params": "paramsbar"})


def _is_one_of(*regions: str) -> Callable[[Slot], bool]:
    return lambda slot: slot[0] in regions


def _seeds(trace: Recorder, b: Builder, region: str) -> list[tuple[int, int]]:
    """The cotangents of what a trace stores lie in a region, in the same places."""
    return [(value, b.slot(region, k)) for (_, k), value in trace.results.items()]


def _accumulate(b: Builder, bars: Mapping[Slot, Cotangent], regions: Mapping[str, str]) -> None:
    """Adds the cotangents of some regions to what lies in the regions of their cotangents."""
    for (region, k), bar in bars.items():
        if region in regions:
            place = regions[region], k
            b.store(bar.value(b, b.slot(*place)), *place)


# --- forward


# region -> that of its tangents
DOTS = {
    "coef": "coefdot", "rate": "ratedot", "params": "paramsdot", "y": "ydot", "yn": "yndot",
    "z": "ydot",
}  # fmt: skip


def tangent_programs(d: Differentiable, builders: Mapping[str, Builder]) -> None:
    """Fill the programs *_jvp that read coefficients: all but prepare_jvp."""
    _jvp(builders["stage_jvp"], d.stage(("z", 0), ("y", 0)), {"f": "f"}, add=True)
    both = {"entries": "entries", "entries_ft": "entries_ft"}
    _jvp(builders["second_jvp"], d.second(), both)
    _jvp(builders["outputs_jvp"], d.trace(d.outputs, "out"), {"out": "outdot"})
    _jvp(builders["surfaces_jvp"], d.trace(d.surfaces, "g"), {"g": "gdot"})
    _jvp(builders["actions_jvp"], d.trace(d.actions, "act"), {"act": "actdot"})
    _jvp(builders["initial_jvp"], d.trace(d.initials, "y"), {"y": "yndot"})


def prepare_tangent(d: Differentiable, b: Builder, hoisted: Sequence[Expression]) -> None:
    """Fill prepare_jvp; hoisted: the complete list of what prepare computes."""
    _jvp(b, d.prepare(hoisted), {"coef": "coefdot"})


def _jvp(b: Builder, trace: Recorder, places: Mapping[str, str], add: bool = False) -> None:
    """Fill a program with the tangents of what a trace stores.

    places: region of the trace -> where its tangents go. add: to what lies there.
    """

    def leaf(slot: Slot) -> int | None:
        return b.slot(DOTS[slot[0]], slot[1]) if slot[0] in DOTS else None

    tangents = push_forward(trace, b, trace.copy(b), leaf)
    for (region, k), value in trace.results.items():
        tangent, place = tangents[value], (places[region], k)
        if add and tangent is None:
            continue
        terms = Terms()
        terms.singles = [] if tangent is None else [tangent]
        b.store(terms.value(b, b.slot(*place) if add else None), *place)
