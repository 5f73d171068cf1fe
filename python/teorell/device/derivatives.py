"""Derivatives on a device: the calls of engine/solve.py, with numbers that stay there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device
from teorell.device.dlpack import contiguous
from teorell.device.exact_total import Weighed, weigh
from teorell.device.executor import kernel_for
from teorell.device.memory import Memory
from teorell.device.over import go_over
from teorell.device.placed import made, place, sent, spread, strides_of, zeros
from teorell.device.recorded import run_recorded
from teorell.device.send import send
from teorell.device.solve import working
from teorell.device.teams import slots_of, words_of
from teorell.engine.batch import Batch, Options, Raw, RawGradient, Tangents
from teorell.engine.views import gradient_slots, tangent_slots, view
from teorell.progress import Progress

__all__ = ["pull_back", "push_forward"]

Numbers = DeviceArray | NDArray[np.float64]


def pull_back(
    batch: Batch,
    device: Device,
    cotangent: Numbers | None = None,
    reduced: Numbers | None = None,
    *,
    times: bool = True,
    stored: bool = False,
    weighed: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[RawGradient, Weighed | None]:
    """The discrete adjoint, as engine.solve.pull_back; its cotangents are DeviceArrays.

    batch: its programs lowered with derivatives="vjp".
    cotangent: (patients, times, outputs) or (rows, outputs), on the host or this device, of any
        strides; of the first outputs, where there are more. reduced: (patients, reductions). None
        is zero.
    times: are those by the times of events wanted? They are zero otherwise.
    stored: are the values wanted too? weighed: the sum of values and reductions times their
        cotangents, and whose cotangents are not finite.
    Raises as device.solve.solve does; MemoryError also where one patient's steps have no room.
    """
    chosen = Options(**options)
    layout, timeline, n = batch.programs.layout, batch.timeline, batch.patients
    reductions = len(batch.summary or ())
    rows = (n, len(timeline.time)) if batch.shared_timeline else (len(timeline.time),)
    kernel = kernel_for("pull_patients_back", batch, chosen, device)
    with working(device, (*batch.columns, cotangent, reduced)) as (memory, stream):
        there = send(batch, chosen, memory, stream, stored=stored)
        shape = (*batch.rows_shape, layout.n_out)
        weights = _cotangent(cotangent, shape, memory, stream)
        of_reductions = None
        if reductions and reduced is not None:
            of_reductions = _whole(reduced, "slopes of reductions", memory, stream)
        bars: dict[str, Any] = {
            "parameters": zeros(
                memory, (n, len(batch.programs.parameter_names)), "gradients", stream
            ),
            "initial": zeros(memory, (n, layout.n), "gradients by initial states", stream),
            "event_value": zeros(memory, rows, "gradients by events", stream),
            "event_time": zeros(memory, rows if times else (0,), "gradients by times", stream),
        }
        gradient = view(
            "Gradient",
            cotangent=weights.address,
            strides=np.array(strides_of(weights), np.int64),
            loss=0,
            context=0,
            shared_rows=len(timeline.time) if batch.shared_timeline else 0,
            recorded_steps=0,
            reduced=0 if of_reductions is None else of_reductions.address,
            **{name: each.address if each.size else 0 for name, each in bars.items()},
        )
        run_recorded(
            device,
            device.driver.function(kernel.compiled.code, kernel.name),
            [there.programs, there.batch, gradient, *words_of(kernel.team, memory, stream)],
            batch,
            chosen,
            lambda room: slots_of(kernel.team, gradient_slots(batch.programs, reductions, room)),
            stream,
            progress,
            kernel.shared,
        )
        told = None
        if weighed:
            outputs = (0 if cotangent is None else cotangent.shape[-1], layout.n_out)
            told = weigh(there.batch, gradient, n, outputs, memory, stream)
        raw = RawGradient(**there.found(device.driver, stream), **bars)
    kernel.ran(raw)
    return raw, told


def push_forward(
    batch: Batch,
    device: Device,
    tangents: Tangents,
    columns: Mapping[int, DeviceArray] | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[Raw, DeviceArray, DeviceArray]:
    """Forward sensitivities, as engine.solve.push_forward: the solution, and the derivatives of its
    values and of its reductions.

    batch: its programs lowered with derivatives="jvp".
    tangents: on the host. columns: of one direction, the tangents of some parameters, by their
        numbers, () or (patients,), that lie on this device.
    Raises as device.solve.solve does; MemoryError also where one patient's steps have no room.
    """
    chosen, given = Options(**options), columns or {}
    reductions = len(batch.summary or ())
    directions = next((len(each) for each in vars(tangents).values() if each is not None), 1)
    kernel = kernel_for("push_patients_forward", batch, chosen, device)
    with working(device, (*batch.columns, *given.values())) as (memory, stream):
        there = send(batch, chosen, memory, stream)
        rows = {name: getattr(tangents, name) for name in ("event_value", "event_time")}
        moved = {
            name: None if each is None else _whole(each, "tangents of events", memory, stream)
            for name, each in rows.items()
        }
        moves = next((each for each in moved.values() if each is not None), None)
        by = _parameters(batch, tangents.parameters, given, memory, stream)
        shape = (*there.values.shape, directions)
        derivatives = made(memory, shape, "derivatives")
        nothing = sent(memory, np.array(np.nan), "tangents", stream)
        place(spread(nothing, (derivatives.size,)), _flat(derivatives), stream)
        shape = (*there.reduced.shape, directions)
        reduced = zeros(memory, shape, "derivatives of reductions", stream)
        run_recorded(
            device,
            device.driver.function(kernel.compiled.code, kernel.name),
            [
                there.programs,
                there.batch,
                view(
                    "Tangents",
                    directions=directions,
                    parameters=0 if by is None else by.address,
                    parameter_strides=_strides(by),
                    event_strides=_strides(moves),
                    values=derivatives.address if derivatives.size else 0,
                    reduced=reduced.address if reduced.size else 0,
                    **{name: 0 if each is None else each.address for name, each in moved.items()},
                ),
            ],
            batch,
            chosen,
            partial(tangent_slots, batch.programs, reductions, directions=directions),
            stream,
            progress,
        )
        if reduced.size:
            those = [there.reduced.address, reduced.address, there.reduced.size, directions]
            go_over(device, "placed.cuh", "spread_nan", reduced.size, those, stream)
        raw = Raw(**there.found(device.driver, stream))
    kernel.ran(raw)
    return raw, derivatives, reduced


def _whole(array: Numbers, what: str, memory: Memory, stream: int) -> DeviceArray:
    """The array on the device, its numbers one after the other."""
    if not isinstance(array, DeviceArray):
        return sent(memory, np.ascontiguousarray(array), what, stream)
    if array.strides == contiguous(array.shape, 8):
        return array
    whole = made(memory, array.shape, what, kept=False)
    place(array, whole, stream)
    return whole


def _cotangent(
    given: Numbers | None, shape: tuple[int, ...], memory: Memory, stream: int
) -> DeviceArray:
    """The cotangent of values of this shape, on the device; that of outputs beyond it is zero."""
    what = "slopes of the values"
    if given is None:
        given = np.broadcast_to(0.0, shape)
    there = given if isinstance(given, DeviceArray) else sent(memory, given, what, stream)
    if there.shape == shape:
        return there
    whole = zeros(memory, shape, what, stream, kept=False)
    place(there, whole[..., : there.shape[-1]], stream)
    return whole


def _parameters(
    batch: Batch,
    given: NDArray[np.float64] | None,
    columns: Mapping[int, DeviceArray],
    memory: Memory,
    stream: int,
) -> DeviceArray | None:
    """The tangents of the parameters, (directions, patients or 1, parameters)."""
    what = "tangents of the parameters"
    if not columns:
        return None if given is None else _whole(given, what, memory, stream)
    shape = (1, batch.patients, len(batch.programs.parameter_names))
    together = zeros(memory, shape, what, stream, kept=False)
    if given is not None:
        place(sent(memory, np.broadcast_to(given, shape), what, stream), together, stream)
    for number, column in columns.items():
        place(spread(column, shape[1:2]), together[0, :, number], stream)
    return together


def _strides(array: DeviceArray | None) -> NDArray[np.int64]:
    """From direction to direction and from patient to patient, in numbers; 0: one for all."""
    if array is None:
        return np.zeros(2, np.int64)
    of_patient = array.strides[1] // 8 if array.ndim == 3 and array.shape[1] > 1 else 0
    return np.array([array.strides[0] // 8, of_patient], np.int64)


def _flat(array: DeviceArray) -> DeviceArray:
    return replace(array, shape=(array.size,), strides=(8,))
