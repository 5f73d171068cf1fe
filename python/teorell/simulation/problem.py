"""A simulation as a function of numbers: solved, and differentiated, for any values of them.

Problems are made by given.py; problem_inputs.py has what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.progress import reporting
from teorell.simulation.call_tangents import CallTangents
from teorell.simulation.core_call import CoreCall
from teorell.simulation.gradient_parts import pull_back_in_parts
from teorell.simulation.problem_inputs import ProblemInputs

if TYPE_CHECKING:
    from teorell.engine.batch import Raw, RawGradient

__all__ = ["Problem", "SlopesOfOutputs"]

SlopesOfOutputs: TypeAlias = Callable[[Array, Array, NDArray[np.int64]], tuple[Array, Array | None]]
"""(values, reductions, patients) -> slopes of the values, and of the reductions or None, of a few
patients: values (k, times, outputs) or (rows, outputs), reductions (k, reductions).
"""


class Problem(ProblemInputs):
    """A simulation, for any values of its inputs."""

    def counted(self, slope: Array, patients: NDArray[np.int64] | None = None) -> Array:
        """A slope of the values of some patients, None for all, with 0 in places without a sample,
        whatever stands there.
        """
        own = self.own_times
        if own is None or own.width is None:
            return slope
        taken = own.taken(slice(None) if patients is None else patients)
        return np.where(taken[..., None], slope, 0.0)

    def solve(
        self, arrays: Sequence[Array], keep: int = 0, by: Callable[..., Raw] | None = None
    ) -> Raw:
        """The values (patients, times, outputs), and how each patient went.

        keep: bytes that the accepted steps may take, so that pull_back need not solve again. by:
            what solves a batch and returns arrays of NumPy; None is engine/solve.py.
        """
        call = self.call(arrays)
        from teorell.engine.solve import solve

        with reporting(self.progress, call.batch.patients) as report:
            if by is None:
                raw = solve(call.batch, progress=report, keep=keep, **self.options)
            else:
                raw = by(call.batch, progress=report, **self.options)
        core = replace(raw, status=raw.status.copy(), failure_time=raw.failure_time.copy())
        call.report(raw)
        of_outputs = self._of_outputs(raw)
        return replace(of_outputs, infusions=call.timeline.infusions, kept=core if keep else None)

    def _of_outputs(self, raw: Raw) -> Raw:
        """Without the outputs that only reductions read, and with the times that they are asked
        for.
        """
        values = self._in_places(raw.values[..., : len(self.outputs)])
        return replace(raw, values=values, reduced=self.reductions.read(raw.reduced, raw.reached))

    def _in_places(self, rows: Array) -> Array:
        own = self.own_times
        return rows if own is None else own.in_places(rows)

    def pull_back(
        self,
        arrays: Sequence[Array],
        cotangent: Array | None = None,
        reduced: Array | None = None,
        *,
        slopes: SlopesOfOutputs | None = None,
        kept: Raw | None = None,
    ) -> tuple[list[Array], RawGradient]:
        """d scalar / d each input, in the shape of its array, and what the core says.

        cotangent: (patients, times, outputs), d scalar / d values. reduced: (patients, reductions),
        that of the reductions; None is 0. Or in place of both `slopes`, a function that is called
        for a few patients at a time. kept: that of what `solve` returned for the same arrays. A
        number that patients share has the sum over them, exactly
        rounded, whatever their order. A patient that failed contributes zero. By the duration or
        rate of an infusion so short that it is a bolus there is no derivative: NaN.
        """
        call = self.call(arrays, "vjp")
        from teorell.engine.solve import pull_back

        n, own = len(self.outputs), self.own_times
        extra = call.batch.programs.layout.n_out - n

        def with_extra(slope: Array) -> Array:
            return np.pad(slope, [(0, 0)] * (slope.ndim - 1) + [(0, extra)]) if extra else slope

        def of_group(
            before: int, values: Array, found: Array, reached: Array, among: NDArray[np.int64]
        ) -> tuple[Array, Array | None]:
            assert slopes is not None
            of = before + among
            shown = values[..., :n] if own is None else own.in_places(values[..., :n], of)
            slope, bars = slopes(shown, self.reductions.read(found, reached), of)
            slope = slope if own is None else own.rows_in(slope, of)
            if bars is not None:
                self.reductions.check_differentiable(bars)
            return with_extra(slope), bars

        if reduced is not None:
            self.reductions.check_differentiable(reduced)
        if cotangent is not None and own is not None:
            cotangent = own.rows_in(cotangent)

        patients = call.batch.patients
        with reporting(self.progress, patients) as report:

            def run(part: CoreCall, before: int) -> RawGradient:
                mine = None if cotangent is None else with_extra(cotangent)
                if part is not call and mine is not None:
                    mine = mine[before : before + part.batch.patients]
                return pull_back(
                    part.batch,
                    mine,
                    reduced,
                    slopes=None if slopes is None else partial(of_group, before),
                    solved=kept,
                    progress=report and (lambda done, _: report(before + done, patients)),
                    **self.options,
                )

            return pull_back_in_parts(call, self.inputs, arrays, run, whole=kept is not None)

    def push_forward(
        self, arrays: Sequence[Array], tangents: Sequence[Array | None]
    ) -> tuple[Raw, Array, Array]:
        """The solution, and the derivatives of its values (patients, times, outputs) and of its
        reductions (patients, reductions) in one direction.

        tangents: one an input, () or (patients,); None is zero. A derivative after a failure is
        NaN, as the value is. InputError also where the direction changes the duration or rate of an
        infusion so short that it is a bolus.
        """
        raw, derivatives, reduced = self._push_forward(arrays, [tangents])
        return raw, derivatives[..., 0], reduced[..., 0]

    def jacobian(self, arrays: Sequence[Array]) -> tuple[Raw, Array, Array]:
        """The solution, and the derivatives by each input of its values, (patients, times, outputs,
        inputs), and of its reductions, (patients, reductions, inputs).

        By an array that is (patients,) the derivative of a patient is that by its own element.
        Otherwise as push_forward.
        """
        n, one = len(self.inputs), np.ones(())
        return self._push_forward(
            arrays, [[one if i == k else None for i in range(n)] for k in range(n)]
        )

    def _push_forward(
        self, arrays: Sequence[Array], directions: Sequence[Sequence[Array | None]]
    ) -> tuple[Raw, Array, Array]:
        self.reductions.check_differentiable()
        call = self.call(arrays, "jvp")
        from teorell.engine.solve import push_forward

        tangents = CallTangents(call).push_forward(self.inputs, directions)
        with reporting(self.progress, call.batch.patients) as report:
            raw, derivatives, reduced = push_forward(
                call.batch, tangents, progress=report, **self.options
            )
        call.report(raw)
        of_values = self._in_places(derivatives[..., : len(self.outputs), :])
        return self._of_outputs(raw), of_values, reduced
