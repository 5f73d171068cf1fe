"""What every call of the core takes: the programs of a model, and a batch by the core's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from teorell import _core
from teorell.engine.batch import Batch, Options
from teorell.engine.executors import choose_executor, selected_isa, threads_of
from teorell.engine.step_code import machine_code
from teorell.lowering.program import PROGRAMS

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["core_arguments", "core_code", "core_model"]

_models: WeakKeyDictionary[Programs, Any] = WeakKeyDictionary()


def core_arguments(batch: Batch, options: Options) -> dict[str, Any]:
    """The arguments by name that the calls of the core have in common, but for the model.

    ValueError for an unknown method or instruction set.
    """
    timeline, own = batch.timeline, batch.own_times
    return {
        "isa": selected_isa(options.isa),
        "method": options.method,
        "code": core_code(batch.programs, options),
        "threads": threads_of(options.threads),
        "columns": [np.asarray(each) for each in batch.columns],
        "patients": batch.patients,
        "event_times": timeline.time,
        "event_kinds": timeline.kind,
        "event_targets": timeline.target,
        "event_values": timeline.value,
        "event_offsets": timeline.offsets,
        "times": batch.times if own is None else own.times,
        "rtol": options.rtol,
        "atol": options.atol,
        "max_steps": float(options.max_steps),
        "max_step": options.max_step,
    }


def core_code(programs: Programs, options: Options) -> tuple[int, ...] | None:
    """Machine code as the core takes it: addresses and a width; None for the interpreter."""
    if choose_executor(options.executor)[0] != "machine_code":
        return None
    code = machine_code(programs, options.method, selected_isa(options.isa))
    return (*code.addresses, code.width)


def core_model(programs: Programs) -> Any:
    """The programs as the core keeps them, checked; made once for as long as they live."""
    made = _models.get(programs)
    if made is None:
        made = _models[programs] = _core_model(programs)
    return made


def _core_model(programs: Programs) -> Any:
    layout = programs.layout
    counts = {
        "n_rates": len(programs.infused), "n_entries": len(programs.entries),
        "n_outcoef": len(programs.output_coefs),
    }  # fmt: skip
    fields = [
        counts[name] if name in counts else getattr(layout, name) for name in _core.layout_fields
    ]
    return _core.Model(
        layout=np.array(fields, dtype=np.int32),
        constants=np.ascontiguousarray(programs.constants, dtype=np.float64),
        programs={
            name: np.ascontiguousarray(getattr(programs, name), dtype=np.int32) for name in PROGRAMS
        },
        ft_rows=np.ascontiguousarray(programs.ft_rows, dtype=np.int32),
        output_states=np.ascontiguousarray(programs.output_states, dtype=np.int32),
        controlled=np.ascontiguousarray(programs.controlled, dtype=np.uint8),
        is_signed=np.ascontiguousarray(programs.signed, dtype=np.uint8),
        switch_before=np.array(
            [s.before for s in programs.switches] + [0.0] * len(programs.conditions), np.float64
        ),
        steep=np.array(
            [s.steep for s in programs.switches] + [False] * len(programs.conditions), np.uint8
        ),
        entries=np.ascontiguousarray(programs.entries.reshape(-1), dtype=np.int32),
        output_coefs=np.ascontiguousarray(programs.output_coefs, dtype=np.int32),
        sampled_states=np.ascontiguousarray(programs.sampled_states, dtype=np.int32),
        surface_states=np.ascontiguousarray(programs.surface_states, dtype=np.int32),
        surface_kinds=np.array([surface.kind for surface in programs.conditions], dtype=np.uint8),
        action_events=np.array([action.event for action in programs.assigned], dtype=np.int32),
        action_states=np.array([action.state for action in programs.assigned], dtype=np.int32),
        event_surfaces=np.array(programs.event_surfaces, dtype=np.int32),
    )
