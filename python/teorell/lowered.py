"""What has been lowered lately, so that simulating a model again, with other patients or doses,
lowers nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from teorell.lowering import Programs, lower
from teorell.model import Model

__all__ = ["KEPT", "programs_of"]

# models, each with its outputs and infused states; the one not asked for the longest goes first
KEPT = 16

_known: OrderedDict[tuple[str, tuple[str, ...], tuple[str, ...], str | None], Programs] = (
    OrderedDict()
)
_lock = threading.Lock()


def programs_of(
    model: Model, outputs: tuple[str, ...], infused: tuple[str, ...], derivatives: str | None = None
) -> Programs:
    """`lower(...)` of the same, remembered by what the model says: a changed
    model is another one.
    """
    key = (model.content(), outputs, infused, derivatives)
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    # Outside the lock: two threads may do the same work, but none waits for another's model.
    made = lower(model, outputs, infused, derivatives)
    with _lock:
        made = _known.setdefault(key, made)
        _known.move_to_end(key)
        while len(_known) > KEPT:
            _known.popitem(last=False)
    return made
