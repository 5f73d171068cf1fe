"""What a projection solves: which quantities may move, the program of their constraints, and when
these contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.constraints.contradiction import contradiction
from teorell.constraints.declared import Declared
from teorell.constraints.penalty import program_of
from teorell.errors import InputError, suggestion
from teorell.model.expression import Expression, constant, derivative, leaves, symbol

if TYPE_CHECKING:
    from teorell.lowering.columns import ColumnProgram

__all__ = [
    "TOLERANCE",
    "check_scales",
    "free_of",
    "nearest_problem",
    "refuse_contradiction",
    "scales_by_name",
]

TOLERANCE = 1e-10  # of residuals, in scales of their constraints
MOST_STEPS = 200  # of an attempt
MOST_ATTEMPTS = 26  # from the patient itself, and from places up to some 200 scales away
MOST_LINEAR = 2  # attempts where nothing bends: other places lead to the same point


def refuse_contradiction(constraints: Declared) -> None:
    """Raise InputError if constraints are proven to contradict each other: it names these."""
    names = contradiction(constraints)
    if names:
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        raise InputError(
            f"no patient can be moved to satisfy {constraints.name!r} (these contradict each "
            f"other: {', '.join(map(repr, names[:6]))}{more}). Relax one of them."
        )


def free_of(constraints: Declared, hold: Sequence[str] | str) -> tuple[str, ...]:
    """The quantities that may move; InputError where none may, and for unknown names."""
    names = constraints.inputs
    asked = (hold,) if isinstance(hold, str) else tuple(hold)
    held = _named(asked, names, "hold") | constraints._fixed
    free = tuple(name for name in names if name not in held)
    if not free:
        raise InputError("all quantities are held (nothing may move). Leave one free.")
    return free


def nearest_problem(
    constraints: Declared, free: tuple[str, ...]
) -> tuple[ColumnProgram, dict[str, Any]]:
    """The program of the residuals and their slopes, and the constraints that these are; see
    engine/columns.py.
    """
    names = constraints.inputs
    residuals = [side.residual for each in constraints.constraints for side in each.sides]
    entries = _entries(residuals, free)
    slopes = [slope for *_, slope in entries]
    rows = [row for row, *_ in entries]
    bends = any(leaf.name in free for slope in slopes for leaf in leaves(slope))
    given = {
        "free": np.array([names.index(name) for name in free], np.int32),
        "starts": np.searchsorted(rows, np.arange(len(residuals) + 1)).astype(np.int32),
        "columns": np.array([free.index(name) for _, name, _ in entries], np.int32),
        "equality": np.array(
            [side.equality for each in constraints.constraints for side in each.sides], np.uint8
        ),
        "tolerance": TOLERANCE,
        "most_steps": MOST_STEPS,
        "most_attempts": MOST_ATTEMPTS if bends else MOST_LINEAR,
    }
    return program_of(constraints, ("project", free), [*residuals, *slopes]), given


def scales_by_name(given: Any) -> Mapping[str, Any]:
    """What was given as `scale`; InputError if that is no mapping."""
    if given is None or isinstance(given, Mapping):
        return given or {}
    raise InputError(
        f"scale is a {type(given).__name__} (each quantity has its own). Give a mapping of names "
        "to scales."
    )


def _entries(
    residuals: Sequence[Expression], free: Sequence[str]
) -> list[tuple[int, str, Expression]]:
    """(row, quantity, derivative) where a residual depends on a quantity that may move."""
    entries = []
    for row, residual in enumerate(residuals):
        inside = {leaf.name for leaf in leaves(residual)}
        for name in free:
            if name in inside:
                slope = derivative(residual, symbol("parameter", name))
                if slope is not constant(0.0):
                    entries.append((row, name, slope))
    return entries


def _named(given: Sequence[str], names: Sequence[str], what: str) -> frozenset[str]:
    """The names, if all of them are known, else InputError; what: which argument names them."""
    for name in given:
        if name not in names:
            raise InputError(
                f"{what} names {name!r} (no constraint reads it). {suggestion(str(name), names)}"
            )
    return frozenset(given)


def check_scales(given: Mapping[str, Any], free: Sequence[str], names: Sequence[str]) -> None:
    """InputError where a scale is that of no quantity that may move."""
    _named(tuple(given), names, "scale")
    for name in given:
        if name not in free:
            raise InputError(
                f"scale names {name!r} (it is held, so that no distance is told in it). Leave it "
                "out."
            )
