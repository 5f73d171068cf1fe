"""Expressions of columns as one program, run for each patient.

It takes a number of each column to the numbers wanted. What a model's `prepare` is to its
parameters, but for any expressions, and with the gradient of one of them: the reverse of the
program, in the same program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from teorell.lowering.builder import Builder, Constants
from teorell.lowering.layout import Layout
from teorell.lowering.program import Words
from teorell.lowering.reverse import pull_back
from teorell.lowering.trace import Recorder
from teorell.lowering.values import Symbols, Terms, parameter_values
from teorell.model.expression import Expression

__all__ = ["ColumnProgram", "Term", "lower_columns", "lower_sum"]

# (the program, a value) -> a function of the value, and its slope there
Term: TypeAlias = Callable[[Builder, int], tuple[int, int]]


@dataclass(frozen=True, eq=False)
class ColumnProgram:
    """Numbers of region `params` in, numbers of region `out` out."""

    layout: Layout
    constants: NDArray[np.float64]  # (n_const,)
    code: Words
    inputs: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hexadecimal, the same for programs that do the same."""
        layout = repr(self.layout).encode()
        return hashlib.sha256(
            b"columns" + layout + self.constants.tobytes() + self.code.tobytes()
        ).hexdigest()


def lower_columns(exprs: Sequence[Expression], inputs: Sequence[str]) -> ColumnProgram:
    """The program of some expressions of parameters, whose names are `inputs`: one value each."""
    constants, symbols = Constants(), Symbols((), inputs)
    builder = Builder(constants)
    for k, value in enumerate(parameter_values(builder, symbols, exprs)):
        builder.store(value, "out", k)
    return _encoded(builder, constants, inputs, len(exprs))


def lower_sum(terms: Sequence[tuple[Expression, Term]], inputs: Sequence[str]) -> ColumnProgram:
    """The program of a sum of functions of expressions, and of its slopes by the inputs.

    It has 1 + len(inputs) values: the sum, then the slopes. A Term emits the function of a value,
    and its slope there.
    """
    constants, symbols = Constants(), Symbols((), inputs)
    builder, trace = Builder(constants), Recorder(constants)
    recorded = parameter_values(trace, symbols, [expr for expr, _ in terms])
    values = trace.copy(builder)
    total, seeds = Terms(), []
    for number, (_, term) in zip(recorded, terms, strict=True):
        value, slope = term(builder, values[number])
        total.singles.append(value)
        seeds.append((number, slope))
    bars = pull_back(trace, builder, values, seeds, lambda slot: slot[0] == "params")
    builder.store(total.value(builder), "out", 0)
    for k in range(len(inputs)):
        bar = bars.get(("params", k))
        builder.store(builder.constant(0.0) if bar is None else bar.value(builder), "out", 1 + k)
    builder.compute_late()
    return _encoded(builder, constants, inputs, 1 + len(inputs))


def _encoded(
    builder: Builder, constants: Constants, inputs: Sequence[str], outputs: int
) -> ColumnProgram:
    temporaries = builder.schedule()
    layout = Layout.of(
        n_const=len(constants.values),
        n_coef=0,
        n=0,
        n_lu=0,
        n_ft=0,
        n_out=outputs,
        n_params=len(inputs),
        n_switches=0,
        n_temp=temporaries,
        stages=0,
        one=constants.slot(1.0),
        n_infused=0,
    )
    return ColumnProgram(layout, np.array(constants.values), builder.encode(layout), tuple(inputs))
