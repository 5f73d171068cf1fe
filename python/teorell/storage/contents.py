"""What a store of a population holds: chunks of patients, and the variables of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from teorell.arrays import Array

__all__ = ["Chunk", "Contents", "Variable", "chunks_of"]


class Chunk(NamedTuple):
    """The patients start to stop - 1."""

    number: int
    start: int
    stop: int


def chunks_of(patients: int, chunk: int) -> Iterator[Chunk]:
    """The chunks of so many patients, each of `chunk` patients, the last of fewer."""
    for number, start in enumerate(range(0, patients, chunk)):
        yield Chunk(number, start, min(start + chunk, patients))


class Variable(NamedTuple):
    """What is known of an array before it is computed."""

    dimensions: tuple[str, ...]  # ("patient", "time") or ("patient",)
    dtype: str
    unit: str = ""


@dataclass(frozen=True)
class Contents:
    """What a store holds.

    The variable `patient` numbers the patients; variables of two dimensions are outputs.
    """

    model: str  # its name
    times: Array  # (times,)
    time_unit: str
    patients: int
    chunk: int  # patients
    variables: Mapping[str, Variable]

    def chunks(self) -> Iterator[Chunk]:
        """All chunks of the store, in order."""
        return chunks_of(self.patients, self.chunk)
