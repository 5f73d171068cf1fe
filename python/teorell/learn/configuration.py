"""Configurations: frozen dataclasses of plain values, saved as JSON beside the weights."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from teorell.errors import InputError, suggestion

__all__ = ["Training", "from_text", "to_text"]

T = TypeVar("T")


@dataclass(frozen=True)
class Training:
    """How any learner is trained: AdamW, a linear warm-up, then a cosine down to 0.

    steps: of the optimiser, each with a batch of its own.
    learning_rate: the highest; weight_decay: AdamW's, decoupled (Loshchilov 2019).
    warmup: steps until the learning rate is at its highest.
    clip: the longest gradient, in the 2-norm over all weights; 0 does not clip.
    average: decay of the moving average of weights that is evaluated and shipped; 0 takes the last.
    check_every: steps from one value of the held-out loss to the next; 0 for none.
    seed: of the initial weights, the data and the noise; every step has its own by (seed, step).
    threads: of torch on a CPU; another number is another order of sums.
    mixed: products in bfloat16, weights and sums in float32.
    """

    steps: int = 1000
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: int = 100
    clip: float = 1.0
    average: float = 0.0
    check_every: int = 100
    seed: int = 0
    threads: int = 1
    mixed: bool = False

    def __post_init__(self) -> None:
        least = {
            "steps": 1, "learning_rate": 0, "weight_decay": 0, "warmup": 0, "clip": 0,
            "average": 0, "check_every": 0, "seed": 0, "threads": 1,
        }  # fmt: skip
        for name, low in least.items():
            value = getattr(self, name)
            if not low <= value < math.inf:
                raise InputError(f"{name} is {value} (at least {low}). Give a number from there.")
        if not self.average < 1:
            raise InputError(f"average is {self.average} (a decay below 1). Give 0.999, say.")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def to_text(configuration: Any) -> str:
    """A configuration as one line of JSON; floats come back to the bit."""
    return json.dumps(asdict(configuration), sort_keys=True)


def from_text(kind: type[T], text: str) -> T:
    """The configuration of class `kind` that `to_text` wrote.

    Raises InputError for what is none, and for fields that are unknown or missing.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InputError(
            f"the configuration is not JSON ({error}). Take a checkpoint that teorell wrote."
        ) from None
    made: T = _made(kind, given)
    return made


def _made(kind: Any, given: Any) -> Any:
    """A value of type `kind` of what JSON has for it."""
    if is_dataclass(kind):
        name = getattr(kind, "__name__", "configuration")
        if not isinstance(given, dict):
            raise InputError(f"{name} is {given!r} (fields with values are needed). Give those.")
        known = {field.name: field for field in fields(kind)}
        for each in given:
            if each not in known:
                raise InputError(
                    f"{name} has {each!r} (this version knows no such field). "
                    f"{suggestion(each, known)}"
                )
        for each, field in known.items():
            if each not in given and field.default is MISSING and field.default_factory is MISSING:
                raise InputError(f"{name} lacks {each!r} (it has no default). Give it.")
        types = get_type_hints(kind)
        return kind(**{each: _made(types[each], value) for each, value in given.items()})  # type: ignore[operator]
    if get_origin(kind) is tuple:
        (inner, *_) = get_args(kind)
        return tuple(_made(inner, value) for value in given)
    return float(given) if kind is float else given
