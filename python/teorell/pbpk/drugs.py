"""Drugs by name: a library with a source for each number, and the chemicals of httk.

No number was adjusted to a concentration curve that the tests compare with. `drugs.csv` beside this
file has a row a number, with its unit, whether it was measured, and its source; a person can read
and replace it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from teorell.errors import InputError, suggestion
from teorell.pbpk.drug import Drug
from teorell.pbpk.drug_table import read_drugs

__all__ = ["DRUGS", "MIDAZOLAM", "THEOPHYLLINE", "drug", "drug_names"]

LIBRARY = Path(__file__).with_name("drugs.csv")


class _Library(Mapping[str, Drug]):
    """name -> Drug, read at the first use."""

    def __getitem__(self, name: str) -> Drug:
        return _shipped()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_shipped())

    def __len__(self) -> int:
        return len(_shipped())


@lru_cache(maxsize=1)
def _shipped() -> Mapping[str, Drug]:
    return read_drugs(LIBRARY)


DRUGS: Mapping[str, Drug] = _Library()
THEOPHYLLINE = DRUGS["theophylline"]
MIDAZOLAM = DRUGS["midazolam"]


def drug_names() -> tuple[str, ...]:
    """The names of the documented library."""
    return tuple(DRUGS)


def drug(name: str) -> Drug:
    """A drug of the library, by its name in any case. InputError, with the nearest name, for
    another.
    """
    if not isinstance(name, str):
        raise InputError(f"a drug's name is {name!r} (text is needed). Write drug('midazolam').")
    key = " ".join(name.split()).casefold()
    if key not in DRUGS:
        raise InputError(
            f"unknown drug {name!r:.60} (the library has {len(DRUGS)}). {suggestion(key, DRUGS)}"
        )
    return DRUGS[key]
