"""What has been lowered lately: a model that is simulated again is not lowered again.

Patients and doses may be others.
"""

from __future__ import annotations

from teorell.lowering.assemble import lower
from teorell.lowering.program import Programs
from teorell.memo import Memo
from teorell.model import Model

__all__ = ["programs_of"]

# models, each with its outputs and infused states
_kept: Memo[Programs] = Memo(16)


def programs_of(
    model: Model, outputs: tuple[str, ...], infused: tuple[str, ...], derivatives: str | None = None
) -> Programs:
    """The programs of a model, by `lower`, remembered by what the model says.

    A model that has been changed is another. outputs, infused, derivatives: as for `lower`.
    """
    key = (model.content(), outputs, infused, derivatives)
    return _kept.get(key, lambda: lower(model, outputs, infused, derivatives))
