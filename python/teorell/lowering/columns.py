"""Expressions of columns as one program: for each patient from a number of each column to the numbers wanted.

What a model's `prepare` is to its parameters, but for any expressions, and with the gradient of one of them: the reverse of
the program, in the same program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from teorell.expression import Expression
from teorell.lowering.builder import Builder, Constants
from teorell.lowering.program import Layout, Words
from teorell.lowering.reverse import pull_back
from teorell.lowering.trace import Recorder
from teorell.lowering.values import Symbols, parameter_values

__all__ = ["ColumnProgram", "lower_columns"]


@dataclass(frozen=True, eq=False)
class ColumnProgram:
    """Numbers of region `params` in, numbers of region `out` out: the values, then the gradient if it is wanted."""

    layout: Layout
    constants: NDArray[np.float64]  # (n_const,)
    code: Words
    inputs: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """The same for programs that do the same."""
        layout = repr(self.layout).encode()
        return hashlib.sha256(b"columns" + layout + self.constants.tobytes() + self.code.tobytes()).hexdigest()


def lower_columns(exprs: Sequence[Expression], inputs: Sequence[str], gradient: bool = False) -> ColumnProgram:
    """The program of some expressions of parameters, whose names are `inputs`.

    gradient: after the values come the derivatives of the sum of all values by each input.
    """
    constants, symbols = Constants(), Symbols((), inputs)
    builder = Builder(constants)
    if gradient:
        trace = Recorder(constants)
        for k, value in enumerate(parameter_values(trace, symbols, exprs)):
            trace.store(value, "out", k)
        values = trace.copy(builder)
        results = trace.results
        bars = pull_back(
            trace,
            builder,
            values,
            [(value, builder.one) for value in results.values()],
            lambda slot: slot[0] == "params",
        )
        for (_, k), value in results.items():
            builder.store(values[value], "out", k)
        for k in range(len(inputs)):
            bar = bars.get(("params", k))
            builder.store(builder.constant(0.0) if bar is None else bar.value(builder), "out", len(exprs) + k)
        builder.compute_late()
    else:
        for k, value in enumerate(parameter_values(builder, symbols, exprs)):
            builder.store(value, "out", k)
    temporaries = builder.schedule()
    layout = Layout.of(
        n_const=len(constants.values), n_coef=0, n=0, n_lu=0, n_ft=0, n_out=len(exprs) + gradient * len(inputs),
        n_params=len(inputs), n_switches=0, n_temp=temporaries, stages=0, one=constants.slot(1.0), n_infused=0,
    )  # fmt: skip
    return ColumnProgram(layout, np.array(constants.values), builder.encode(layout), tuple(inputs))
