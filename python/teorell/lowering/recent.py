"""What has been lowered lately: a model that is simulated again is not lowered again.

Patients and doses may be others.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from teorell.lowering.assemble import lower
from teorell.lowering.program import Programs
from teorell.lowering.switches import names_in_conditions
from teorell.memo import Memo
from teorell.model import Model

__all__ = ["programs_of"]

# models, each with its outputs and infused states
_kept: Memo[Programs] = Memo(32)


def programs_of(
    model: Model,
    outputs: tuple[str, ...],
    infused: tuple[str, ...],
    derivatives: str | None = None,
    stepping: Collection[str] = (),
    located: Collection[str] = (),
) -> Programs:
    """The programs of a model, by `lower`, remembered by what the model says.

    A model that has been changed is another. outputs, infused, derivatives, stepping,
    located: as for `lower`.
    """
    timed = names_in_conditions(model) if stepping else frozenset()
    more: dict[str, Any] = {
        "stepping": tuple(sorted(timed.intersection(stepping))),
        "located": tuple(located),
    }
    more = {word: names for word, names in more.items() if names}
    key = (model.content(), outputs, infused, derivatives, *more.items())
    return _kept.get(key, lambda: lower(model, outputs, infused, derivatives, **more))
