"""Which output of the model each observation is of, by DVID or CMT.

Rows of several analytes are never scored as one: the table has to be met by a choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, suggestion
from teorell.model import Model
from teorell.model.expression import leaves
from teorell.schedule.event_table import EventTable

__all__ = ["analytes"]

NOTHING = ("", ".", "nan", "None", "<NA>")  # as text, what a cell without a value is
LEFT_OUT = -1


def analytes(
    model: Model, observations: EventTable, given: Any, kept: NDArray[np.intp]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The outputs that were measured, and which of them each kept observation is of, -1 for none.

    given: None, the name of an output, or a mapping of DVID or CMT to names or None. kept: rows
    among the samples of the table. InputError for what does not fit, and for a table of several
    analytes without a choice.
    """
    dvid = _labels(observations.dvid, len(observations.dv))[kept]
    if given is None and len(model.output_names) > 1 and dvid.size:
        said = {str(each) for each in dvid}
        given = {each: each for each in said} if said <= set(model.output_names) else None
    if isinstance(given, Mapping):
        return _mapped(model, observations, given, dvid, kept)
    chosen = _output(model, given)
    said = {str(each) for each in dvid} - {""}
    if chosen in said and said <= set(model.output_names):  # DVID says the names
        names = {each: each if each == chosen else None for each in said}
        return _mapped(model, observations, names, dvid, kept)
    compartments = observations.cmt[kept]
    mine = _of_compartment(model, chosen, compartments, dvid)
    if mine is not None:
        return (chosen,), np.where(mine, 0, LEFT_OUT)
    _check_single(model, observations, chosen, sorted(said), kept)
    return (chosen,), np.zeros(kept.size, np.int64)


def _of_compartment(
    model: Model, chosen: str, compartments: NDArray[np.int64], dvid: NDArray[Any]
) -> NDArray[np.bool_] | None:
    """(rows,) the rows of an output that reads one state alone: those whose CMT is that state.

    None where CMT does not tell them apart, or DVID says otherwise.
    """
    inside = {leaf.name for leaf in leaves(model.outputs()[chosen]) if leaf.op == "state"}
    if len(inside) != 1:
        return None
    mine: NDArray[np.bool_] = compartments == model.state_names.index(inside.pop())
    said, others = set(dvid[mine]), set(dvid[~mine])
    together = len(said) > 1 or (said & others) - {""}
    return None if not mine.any() or mine.all() or together else mine


def _labels(cells: NDArray[Any] | None, rows: int) -> NDArray[Any]:
    """Cells as text: whole numbers without a point, missing ones ""."""
    if cells is None:
        return np.full(rows, "", object)
    text, which = np.unique(np.asarray(cells).astype(str), return_inverse=True)
    return np.array([_label(each) for each in text], object)[which.reshape(-1)]


def _label(cell: Any) -> str:
    text = str(cell).strip()
    if text in NOTHING:
        return ""
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if np.isfinite(number) and number == int(number) else text


def _output(model: Model, given: Any) -> str:
    """The output that was measured; None is the only one. InputError where there is none."""
    names = model.output_names
    if given is None and len(names) != 1:
        raise InputError(
            f"no output named (model {model.name!r} has {len(names)}). Name one of "
            f"{', '.join(names)}."
        )
    chosen = names[0] if given is None else given
    if not isinstance(chosen, str):
        raise InputError(
            f"output is a {type(chosen).__name__} (what was measured?). Give the name of an "
            "output, or a mapping of DVID or CMT to names."
        )
    if chosen not in names:
        raise InputError(
            f"unknown output {chosen!r} (model {model.name!r} does not declare it). "
            f"{suggestion(chosen, names)}"
        )
    return chosen


def _check_single(
    model: Model, observations: EventTable, chosen: str, said: list[str], kept: NDArray[np.intp]
) -> None:
    """InputError where DVID, or CMT without DVID, tells several analytes apart, or names another.

    said: the values of DVID.
    """
    if said and set(said) <= set(model.output_names):
        raise InputError(
            f"no observation is of {chosen!r} (DVID says {', '.join(said)}). Give "
            f"output={said[0]!r}."
        )
    column = "DVID" if said else "CMT"
    names = said or [model.state_names[k] for k in np.unique(observations.cmt[kept])]
    if len(names) > 1:
        one, other = (each if each.isdigit() else repr(each) for each in names[:2])
        raise InputError(
            f"the observations are of {len(names)} analytes ({column} is {', '.join(names)}; "
            f"output is {chosen!r} alone). Say which is which, such as output={{{one}: "
            f"{chosen!r}, {other}: None}}; None leaves rows out."
        )


def _mapped(
    model: Model,
    observations: EventTable,
    given: Mapping[Any, Any],
    dvid: NDArray[Any],
    kept: NDArray[np.intp],
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Outputs, and which of them each observation is of, by a mapping of DVID or CMT."""
    for name in given.values():
        if name is not None:
            _output(model, name)
    outputs = tuple(dict.fromkeys(name for name in given.values() if name is not None))
    if not outputs:
        raise InputError(
            "output names nothing that was measured (all rows are left out). Name an output."
        )
    keys = {_label(key): name for key, name in given.items()}
    if len(keys) < len(given):
        raise InputError("output has a DVID or CMT twice (which is meant?). Leave one out.")
    said = {str(each) for each in dvid} - {""}
    states = {key: _state(model, observations, key) for key in keys}
    by_dvid = bool(said & set(keys)) or all(state is None for state in states.values())
    column, labels = ("DVID", dvid) if by_dvid else ("CMT", observations.cmt[kept])
    which = np.full(kept.size, LEFT_OUT - 1, np.int64)
    for key, name in keys.items():
        at = labels == (key if by_dvid else states[key])
        if not at.any():
            raise InputError(f"output names {column} {key} (no observation has it). Leave it out.")
        which[at] = LEFT_OUT if name is None else outputs.index(name)
    lost = np.flatnonzero(which < LEFT_OUT)
    if lost.size:
        told = labels[lost[0]] if by_dvid else model.state_names[labels[lost[0]]]
        raise InputError(
            f"output does not say what {column} {told or 'without a value'} is (row "
            f"{observations.records[kept[lost[0]]] + 1}). Name its output, or None to leave it out."
        )
    return outputs, which


def _state(model: Model, observations: EventTable, key: str) -> int | None:
    """The number of the state that a CMT means, as the table was read; None if there is none."""
    names = model.state_names
    if observations.compartments is not None:
        of = {_label(cell): name for cell, name in observations.compartments.items()}
        return names.index(of[key]) if key in of else None
    if key in names:
        return names.index(key)
    return max(int(key) - 1, 0) if key.isdigit() and int(key) <= len(names) else None
