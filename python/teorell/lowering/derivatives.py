"""The programs of derivatives: of the right-hand side at a stage, of its Jacobian, of outputs,
prepare and initial.

A stage u of a step enters through f(y_stage) + J(y_n) u. Where f is affine in the states that is
f(y_stage + u), so one
product serves both: the states of these terms are z = y_stage + u. What is not affine is
differentiated at y_stage, and its part of the Jacobian, a handful of entries, apart: `second_vjp`
has the gradient of sum_ab g_ab J_ab + sum_a q_a f_t,a with g_ab = sum over stages of w_a u_b and
q_a = sum of h d w_a (Hairer and Wanner, Solving ODEs II, IV.7; Sandu, Daescu and Carmichael, Atmos.
Environ. 37, 2003, section 2.3); `second_jvp` has the tangents of J_ab and f_t,a.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from teorell.expression import Expression
from teorell.lowering.builder import Builder, Constants, Slot
from teorell.lowering.forward import push_forward
from teorell.lowering.linear import Form, Forms
from teorell.lowering.reverse import Cotangent, pull_back
from teorell.lowering.trace import Recorder
from teorell.lowering.values import Symbols, Terms, Values, parameter_values

__all__ = ["Differentiable", "tangent_programs", "vjp_programs"]


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
    hoisted: Mapping[Expression, int]  # what prepare computes; grows while other programs are made

    @property
    def n(self) -> int:
        return len(self.rates)

    def pairs(self) -> dict[tuple[int, int], Form]:
        """The entries (row, column) of the Jacobian of what is not affine."""
        found: dict[tuple[int, int], Form] = {}
        for row, form in enumerate(self.rates):
            for symbol, slope in self.forms.gradient_of(self.split(form)[1]).items():
                if symbol.op == "state":
                    found[row, self.symbols.states[symbol.name]] = slope
        return found

    def split(self, form: Form) -> tuple[Form, Form]:
        """The affine part of a form, and the rest."""
        affine = {
            atom: coefficient for atom, coefficient in form.items() if self.forms.affine(atom)
        }
        return affine, {
            atom: coefficient for atom, coefficient in form.items() if atom not in affine
        }

    def stage(self, affine: Slot, other: Slot) -> Recorder:
        """The right-hand side as a trace; the states of affine terms lie from one slot on, all
        others from another.
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
        """The entries `pairs`, and df/dt, at the start of the step."""
        trace = Recorder(self.constants)
        values = Values(trace, self.forms, self.symbols.states_in("yn"))
        store_all(values, list(self.pairs().values()), "entries")
        store_all(values, [self.in_time[row] for row in sorted(self.in_time)], "entries_ft")
        return trace

    def trace(self, forms: Sequence[Form], region: str) -> Recorder:
        """Forms of the states in region y."""
        trace = Recorder(self.constants)
        store_all(Values(trace, self.forms, self.symbols), forms, region)
        return trace

    def prepare(self) -> Recorder:
        trace = Recorder(self.constants)
        for k, value in enumerate(parameter_values(trace, self.symbols, list(self.hoisted))):
            trace.store(value, "coef", k)
        return trace


def store_all(values: Values, forms: Sequence[Form], region: str) -> None:
    for position, form in enumerate(forms):
        values.builder.store(values.terms(form).value(values.builder), region, position)


# --- reverse


def vjp_programs(d: Differentiable, builders: Mapping[str, Builder]) -> list[int]:
    """Fill the programs *_vjp; the coefficients that outputs_vjp has cotangents of.

    prepare_vjp must come last: it reads the list of coefficients, which the others extend.
    """
    n = d.n
    stage = d.stage(("u", 0), ("block", 0))
    b = builders["stage_vjp"]
    seeds = [(value, b.slot("block", n + row)) for (_, row), value in stage.results.items()]
    bars = pull_back(stage, b, stage.copy(b), seeds, _is_one_of("u", "block", "coef", "rate"))
    rest = {slot: bar for slot, bar in bars.items() if slot[0] in ("coef", "rate")}
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
        _accumulate(
            b, {slot: rest.pop(slot) for slot in near}, {"coef": "coefbar", "rate": "ratebar"}
        )
    _accumulate(b, rest, {"coef": "coefbar", "rate": "ratebar"})
    b.compute_late()

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

    initial = d.trace(d.initials, "y")
    b = builders["initial_vjp"]
    bars = pull_back(
        initial, b, initial.copy(b), _seeds(initial, b, "lam"), _is_one_of("params", "coef")
    )
    _accumulate(b, bars, {"params": "paramsbar", "coef": "coefbar"})

    prepare = d.prepare()
    b = builders["prepare_vjp"]
    bars = pull_back(
        prepare, b, prepare.copy(b), _seeds(prepare, b, "coefbar"), _is_one_of("params")
    )
    _accumulate(b, bars, {"params": "paramsbar"})
    return touched


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


def tangent_programs(d: Differentiable, builders: Mapping[str, Builder]) -> None:
    """Fill the programs *_jvp; prepare_jvp last, as above."""
    dots = {
        "coef": "coefdot",
        "rate": "ratedot",
        "params": "paramsdot",
        "y": "ydot",
        "yn": "yndot",
        "z": "ydot",
    }

    def fill(name: str, trace: Recorder, places: Mapping[str, str], add: bool = False) -> None:
        b = builders[name]

        def leaf(slot: Slot) -> int | None:
            return b.slot(dots[slot[0]], slot[1]) if slot[0] in dots else None

        tangents = push_forward(trace, b, trace.copy(b), leaf)
        for (region, k), value in trace.results.items():
            tangent, place = tangents[value], (places[region], k)
            if add and tangent is None:
                continue
            terms = Terms()
            terms.singles = [] if tangent is None else [tangent]
            b.store(terms.value(b, b.slot(*place) if add else None), *place)

    fill("stage_jvp", d.stage(("z", 0), ("y", 0)), {"f": "f"}, add=True)
    fill("second_jvp", d.second(), {"entries": "entries", "entries_ft": "entries_ft"})
    fill("outputs_jvp", d.trace(d.outputs, "out"), {"out": "outdot"})
    fill("initial_jvp", d.trace(d.initials, "y"), {"y": "yndot"})
    fill("prepare_jvp", d.prepare(), {"coef": "coefdot"})
