"""Doses in all forms in which simulations take them: checked, and as one table."""

from __future__ import annotations

from collections.abc import Sequence

from teorell.errors import InputError, count, suggestion
from teorell.rows import check_rows
from teorell.schedule.dose import RESET, Dose
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.dose_table import DoseTable, table_of_lines, table_of_regimens
from teorell.schedule.regimen import Regimen

__all__ = ["Given", "check_regimen", "dose_table", "dosed_states"]

Given = Regimen | DoseColumns | DoseTable | Sequence[Regimen | None] | None


def check_regimen(given: object, states: Sequence[str]) -> list[tuple[str, int]]:
    """What a regimen says about the number of patients, for `agree`; every target must be one of
    `states`.

    Raises TypeError for what is no regimen, InputError for an unknown state or an array inside one
    patient's regimen.
    """
    if given is None or isinstance(given, Regimen):
        _check_states(given, states, "")
        return [] if given is None else list(given.sizes())
    if isinstance(given, DoseColumns):
        for name in given.names:
            if name:
                _check_state(name, states, "")
        return [("the table of doses", given.patients)]
    if isinstance(given, DoseTable):
        check_rows(given, "the table of doses")
        if given.into.size and not -1 <= given.into.min() <= given.into.max() < len(given.states):
            raise InputError(
                f"the table of doses has into from {given.into.min()} to {given.into.max()} (it "
                f"numbers {len(given.states)} states, -1 is a reset). Correct it."
            )
        unknown = [name for name in given.states if name not in states]
        if unknown:
            raise InputError(
                f"the table of doses is for a model with state {unknown[0]!r} (this one has none). "
                "Make the table for it."
            )
        return (
            []
            if given.patients == 1 and len(given.offsets) == 2
            else [("the table of doses", given.patients)]
        )
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(
            f"regimen is a {type(given).__name__} (doses are needed). Give a Regimen, a list of "
            "one a patient, or None."
        )
    seen: set[int] = set()
    for patient, one in enumerate(given):
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one is not None and not isinstance(one, Regimen):
            raise TypeError(
                f"regimen of patient {patient} is a {type(one).__name__} (doses are needed). Give "
                "a Regimen or None."
            )
        _check_states(one, states, f" of patient {patient}")
        if one is not None and any(line.has_tensors() for line in one.lines):
            raise InputError(
                f"the regimen of patient {patient} holds a tensor (in a list, each regimen is of "
                "numbers). Give .item() of it, or Regimen.columns for all patients."
            )
        for what, size in () if one is None else one.sizes():
            raise InputError(
                f"{what} of patient {patient} has {count(size, 'value')} (in a list, each regimen "
                "is for one patient). Give one number."
            )
    return [("the list of regimens", len(given))]


def _check_states(regimen: Regimen | None, states: Sequence[str], whose: str) -> None:
    for line in () if regimen is None else regimen.lines:
        if line.kind != RESET:
            _check_state(line.into, states, whose)


def _check_state(into: str, states: Sequence[str], whose: str) -> None:
    if into not in states:
        raise InputError(
            f"unknown compartment {into!r} in the regimen{whose} (it is no state of the "
            f"model). {suggestion(into, states)}"
        )


def dosed_states(given: Given) -> set[str]:
    """The states that doses go into; `given` has been checked."""
    if isinstance(given, DoseTable):
        return {name for k, name in enumerate(given.states) if (given.into == k).any()}
    if isinstance(given, DoseColumns):
        return {name for name in given.names if name}
    each = [given] if given is None or isinstance(given, Regimen) else given
    distinct = {id(one): one.lines for one in each if one is not None}
    return {line.into for lines in distinct.values() for line in lines if line.into}


def dose_table(given: Given, states: tuple[str, ...], patients: int) -> DoseTable:
    """The doses of what the user gave: one regimen, a list with one a patient, a table, or None."""
    if isinstance(given, DoseTable):
        return given
    if isinstance(given, DoseColumns):
        return given.table(states)
    if given is None or isinstance(given, Regimen):
        return table_of_lines((given or Regimen()).lines, states, patients)
    nothing: tuple[Dose, ...] = ()
    return table_of_regimens([nothing if one is None else one.lines for one in given], states)
