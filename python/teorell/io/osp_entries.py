"""Files of entries of the Open Systems Pharmacology model library, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teorell.errors import InputError
from teorell.tables import check_text

__all__ = ["mapping", "read_entries", "sequence"]

LARGEST = 1 << 26  # bytes of a file of entries


def read_entries(path: str | Path) -> dict[str, Mapping[str, Any]]:
    """The entries of a file such as `osp_model_library_compounds.json`, by compound; of one that
    stands there twice, the first.

    InputError, with the place, for a file that cannot be read, is larger than LARGEST, is no JSON
    list of entries, or tells a name twice in one place.
    """
    place = Path(path)
    text = check_text(place, "a JSON file", "Save the entries as JSON in UTF-8.")
    if place.is_file():
        if place.stat().st_size > LARGEST:
            raise InputError(
                f"{place} has more than {LARGEST:,} bytes (a library has a few hundred thousand). "
                "Is it another file?"
            )
        text = place.read_text(encoding="utf-8-sig")
    content = _json(text, place)
    if content is None:
        raise InputError(f"{place} is null (a list of entries is needed). Is it another file?")
    entries: dict[str, Mapping[str, Any]] = {}
    for k, entry in enumerate(sequence(content, str(place))):
        name = mapping(entry, f"{place}, entry {k}").get("compound")
        if not isinstance(name, str):
            raise InputError(f"{place}, entry {k} has no compound (a name is needed). Add it.")
        entries.setdefault(name, entry)
    return entries


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """A dict of an entry; InputError, with the place, for another thing."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {value!r:.60} (names with values are needed). Correct it.")
    return value


def sequence(value: object, where: str) -> Sequence[Any]:
    """A list of an entry, empty for None; InputError, with the place, for another thing."""
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{where} is {value!r:.60} (a list is needed). Correct it.")
    return value


def _json(text: str, place: Path) -> object:
    """What JSON tells, every name of an object once."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for name, value in pairs:
            if name in told:
                raise InputError(
                    f"{place}: {name!r:.60} is told twice in one place (which counts?). Remove one."
                )
            told[name] = value
        return told

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{place}, line {error.lineno}, column {error.colno}: no JSON ({error.msg}). Is the "
            "file whole?"
        ) from None
    except InputError:
        raise
    except ValueError:  # an integer of more digits than Python reads
        raise InputError(
            f"{place} has a number of thousands of digits (no quantity has). Is it another file?"
        ) from None
    except RecursionError:
        raise InputError(
            f"{place} is nested too deeply (an entry has five levels). Is it another file?"
        ) from None
