"""A problem solved and differentiated on a device, with the methods of `Problem`. Values,
reductions and gradients stay there; what doses, switches and steady states make of gradients passes
through the host, where these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.arrays import Array, check_bounds, numbers
from teorell.device.arrays import DeviceArray
from teorell.device.column_check import unfit_columns
from teorell.device.derivatives import pull_back, push_forward
from teorell.device.devices import Device
from teorell.device.exact_total import Weighed, total_there
from teorell.device.placed import brought, place
from teorell.device.solve import solve, work_stream
from teorell.errors import InputError
from teorell.exact_total import total
from teorell.progress import reporting
from teorell.simulation.call_cotangents import CallCotangents
from teorell.simulation.call_tangents import CallTangents
from teorell.simulation.core_call import CoreCall
from teorell.simulation.inputs import Input
from teorell.simulation.problem import Problem

if TYPE_CHECKING:
    from teorell.engine.batch import Raw, RawGradient

__all__ = ["There"]

Numbers = Array | DeviceArray


@dataclass(frozen=True)
class There:
    """A problem on a device. Arrays that methods take lie there or on the host; each is checked."""

    problem: Problem
    device: Device

    def solve(self, arrays: Sequence[Numbers], keep: int = 0) -> Raw:
        """As Problem.solve: values and reductions are DeviceArrays. No steps are kept."""
        call = self._call(arrays)
        with reporting(self.problem.progress, call.batch.patients) as report:
            raw = solve(call.batch, self.device, progress=report, **self.problem.options)
        call.report(raw)
        return self._of_outputs(call, raw)

    def pull_back(
        self,
        arrays: Sequence[Numbers],
        cotangent: Any = None,
        reduced: Any = None,
        *,
        kept: Raw | None = None,
        **wanted: bool,
    ) -> tuple[list[Any], RawGradient, Weighed | None]:
        """As Problem.pull_back: d scalar / d each input, what the kernel says, and what it was
        asked for beside (stored, weighed: device/derivatives.py).

        A gradient (patients,) by a parameter lies on the device; one that all patients share lies
        where its number does, and those of doses on the host.
        """
        if reduced is not None:
            for k in self.problem.reductions.of_time:
                column = reduced[:, k]
                shown = column.numpy() if isinstance(column, DeviceArray) else column
                unwanted = np.zeros((len(shown), len(self.problem.reductions)))
                unwanted[:, k] = shown
                self.problem.reductions.check_differentiable(unwanted)
        call = self._call(arrays, "vjp")
        back = CallCotangents(call)
        mixed = self._through_host(back)
        rows = mixed or any(entry.kind == "dose" for entry in self.problem.inputs)
        with reporting(self.problem.progress, call.batch.patients) as report:
            raw, told = pull_back(
                call.batch,
                self.device,
                cotangent,
                reduced,
                times=rows,
                progress=report,
                **wanted,
                **self.problem.options,
            )
        call.report(raw)
        if rows:
            brought = ("event_value", "event_time", *(["parameters"] if mixed else []))
            here: Any = {name: getattr(raw, name).numpy() for name in brought}
            bars: list[Any] = back.pull_back(replace(raw, **here), self.problem.inputs)
        else:
            number = call.columns.names.index
            bars = [raw.parameters[:, number(entry.name)] for entry in self.problem.inputs]
        each = zip(self.problem.inputs, bars, arrays, strict=True)
        return [self._gradient(call, *one) for one in each], raw, told

    def push_forward(
        self, arrays: Sequence[Numbers], tangents: Sequence[Numbers | None]
    ) -> tuple[Raw, DeviceArray, DeviceArray]:
        """As Problem.push_forward: derivatives are DeviceArrays. InputError also where the tangent
        of a number of the host lies on the device.
        """
        columns: dict[int, DeviceArray] = {}
        for entry, array, dot in zip(self.problem.inputs, arrays, tangents, strict=True):
            if not isinstance(dot, DeviceArray):
                continue
            if not isinstance(array, DeviceArray):
                raise InputError(
                    f"the tangent of {entry.name!r} lies on {self.device.name}, the number itself "
                    "does not (nothing moves by itself). Give a NumPy array: .get() of it."
                )
            columns[self.problem.columns.names.index(entry.name)] = dot
        of_host = [None if isinstance(dot, DeviceArray) else dot for dot in tangents]
        raw, derivatives, reduced = self._push_forward(arrays, [of_host], columns)
        return raw, derivatives[..., 0], reduced[..., 0]

    def jacobian(self, arrays: Sequence[Numbers]) -> tuple[Raw, DeviceArray, DeviceArray]:
        """As Problem.jacobian."""
        n, one = len(self.problem.inputs), np.ones(())
        every = [[one if i == k else None for i in range(n)] for k in range(n)]
        return self._push_forward(arrays, every, {})

    def _push_forward(
        self,
        arrays: Sequence[Numbers],
        directions: Sequence[Sequence[Array | None]],
        columns: dict[int, DeviceArray],
    ) -> tuple[Raw, DeviceArray, DeviceArray]:
        self.problem.reductions.check_differentiable()
        call = self._call(arrays, "jvp")
        tangents = CallTangents(call).push_forward(self.problem.inputs, directions)
        with reporting(self.problem.progress, call.batch.patients) as report:
            raw, derivatives, reduced = push_forward(
                call.batch, self.device, tangents, columns, progress=report, **self.problem.options
            )
        call.report(raw)
        of_values = derivatives[..., : len(self.problem.outputs), :]
        return self._of_outputs(call, raw), of_values, reduced

    def _call(self, arrays: Sequence[Numbers], derivatives: str | None = None) -> CoreCall:
        own = self.problem.own_times
        if own is not None and own.width is not None:
            raise InputError(
                f"times of shape {own.shape} on {self.device.name} (values are put into such "
                "places on the host). Give a list of times, one a patient."
            )
        self._check(arrays)
        return self.problem.call(arrays, derivatives, on_device=True)

    def _check(self, arrays: Sequence[Numbers]) -> None:
        """InputError where a number on the device is not finite, or out of the bounds of its
        parameter; what the message says of it is then read from there.
        """
        columns = self.problem.columns
        given = dict(zip(columns.names, columns.values, strict=True))
        given |= {
            entry.name: array
            for entry, array in zip(self.problem.inputs, arrays, strict=True)
            if entry.kind == "parameter"
        }
        there = {name: each for name, each in given.items() if isinstance(each, DeviceArray)}
        if not there:
            return
        known = [self.problem.model.parameter_info(name) for name in there]
        bad = unfit_columns(
            list(there.values()), [one.lower for one in known], [one.upper for one in known]
        )
        for (name, column), info, wrong in zip(there.items(), known, bad, strict=True):
            if wrong:
                read: Array = numbers(column.numpy(), f"parameter {name!r}")
                check_bounds(name, read, info.lower, info.upper)

    def _of_outputs(self, call: CoreCall, raw: Raw) -> Raw:
        """Without the outputs that only reductions read, and with the times that they are asked
        for.
        """
        values: Any = raw.values
        found: Any = raw.reduced
        if self.problem.reductions.of_time:
            stream = work_stream(call.batch.columns)
            with self.device.driver.current(self.device.number):
                for k in self.problem.reductions.of_time:
                    reached: Any = raw.reached
                    place(reached[:, k], found[:, k], stream)
                self.device.driver.wait(stream)
        shown = values[..., : len(self.problem.outputs)]
        return replace(raw, values=shown, infusions=call.timeline.infusions)

    def _through_host(self, places: CallCotangents) -> bool:
        """Is there more between parameters and what the kernel reads than the programs?"""
        call = places.call
        return (
            call.steady is not None
            or bool(call.columns.steps)
            or any(rule.slopes for rule in call.doses.rules)
            or any(places.switch_slopes)
        )

    def _gradient(self, call: CoreCall, entry: Input, bar: Any, array: Numbers) -> Any:
        """The gradient by one input, in the shape of its array, from that of each patient."""
        if not array.ndim:
            bar = np.asarray(total_there(bar) if isinstance(bar, DeviceArray) else total(bar))
        moves = entry.kind == "parameter" and entry.name not in call.columns.steps
        lies_there = isinstance(array, DeviceArray) or (moves and bar.ndim)
        if isinstance(bar, DeviceArray) or not lies_there:
            return bar
        return brought(bar, self.device)
