"""What a transformer is trained on, how large it is, and how much of it is evaluated; checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from teorell.arrays import is_number, is_whole
from teorell.errors import InputError, suggestion
from teorell.learn.configuration import Training
from teorell.learn.transformer.regimens import KINDS, TRAINED
from teorell.learn.transformer.structures import BODIES, COMPARTMENTS

__all__ = ["TransformerConfiguration"]

COUNTS = (
    "studies", "groups", "patients", "queries", "width", "heads", "layers", "components",
    "evaluated",
)  # fmt: skip


@dataclass(frozen=True)
class TransformerConfiguration:
    """What is trained on, the network's size, and how much of it is evaluated.

    structures, bodies: names (`structures.py`), of compartments and of the whole-body model; kinds:
        of regimens (`regimens.py`). A step has `studies` studies of each of `groups` structures and
        of each of `bodies`, `patients` patients a study, `queries` times a patient.
    weight: of the posterior head's loss beside the direct head's; physics: of the errors of organs
        (`teacher.py`), 0 for none: it brought nothing (docs/transformer.md).
    evaluated: patients of each table of the report.
    Raises InputError for what is no such value.
    """

    training: Training = field(default_factory=Training)
    structures: tuple[str, ...] = tuple(each.name for each in COMPARTMENTS)
    bodies: tuple[str, ...] = tuple(each.name for each in BODIES)
    kinds: tuple[str, ...] = TRAINED
    studies: int = 8
    groups: int = 4
    patients: int = 4
    queries: int = 8
    width: int = 64
    heads: int = 4
    layers: int = 2
    components: int = 2
    weight: float = 0.1
    physics: float = 0.0
    evaluated: int = 384

    def __post_init__(self) -> None:
        if not isinstance(self.training, Training):
            raise InputError(f"training is {self.training!r:.60} (a Training is needed). Give one.")
        for what, known, least in (
            ("structures", [each.name for each in COMPARTMENTS], 1),
            ("bodies", [each.name for each in BODIES], 0),
            ("kinds", list(KINDS), 1),
        ):
            _check_names(what, getattr(self, what), known, least)
        for name in COUNTS:
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise InputError(f"{name} is {value!r} (a whole number, 1 or more). Give one.")
        if self.width % self.heads:
            raise InputError(
                f"width is {self.width} (not a multiple of {self.heads} heads). Give one that is."
            )
        for name, words in (("weight", "above 0"), ("physics", "0 or more")):
            value = getattr(self, name)
            fine = is_number(value) and math.isfinite(value)
            if not fine or value < 0 or (name == "weight" and not value):
                raise InputError(f"{name} is {value!r} (a number {words}). Give one.")

    @property
    def decoders(self) -> tuple[str, ...]:
        """All that posteriors are told over."""
        return self.structures + self.bodies


def _check_names(what: str, names: Any, known: list[str], least: int) -> None:
    """Names of a field: a tuple of known ones, each once, at least so many."""
    if not isinstance(names, tuple):
        raise InputError(f"{what} are {names!r:.60} (a tuple of names is needed). Give one.")
    for name in names:
        if name not in known:
            raise InputError(
                f"{what} have {name!r} (there is none such). {suggestion(str(name), known)}"
            )
    if len(set(names)) < len(names):
        raise InputError(f"{what} are {names!r:.60} (one is there twice). Give each once.")
    if len(names) < least:
        raise InputError(f"{what} are empty (nothing could be drawn). Give one or more.")
