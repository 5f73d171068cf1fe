"""What an entry of the OSP model library says, and files of entries, checked.

An entry is a dict as in `osp_model_library_compounds.json`: names of alternatives with
quantities [value, unit], pKa, and processes with parameters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from teorell.errors import InputError, suggestion
from teorell.io.units import converted
from teorell.tables import check_text

__all__ = [
    "acids_and_bases",
    "alternative",
    "checked_alternatives",
    "mapping",
    "processes_of",
    "read_entries",
    "sequence",
]

LARGEST = 1 << 26  # bytes of a file of entries


def read_entries(path: str | Path) -> dict[str, Mapping[str, Any]]:
    """The entries of a file such as `osp_model_library_compounds.json`, by compound; of one that
    stands there twice, the first.

    InputError, with the place, for a file that cannot be read, is larger than LARGEST, or is no
    JSON list of entries.
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
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{place}, line {error.lineno}, column {error.colno}: no JSON ({error.msg}). Is the "
            "file whole?"
        ) from None
    except RecursionError:
        raise InputError(
            f"{place} is nested too deeply (an entry has five levels). Is it another file?"
        ) from None
    entries: dict[str, Mapping[str, Any]] = {}
    for k, entry in enumerate(sequence(content, str(place))):
        name = mapping(entry, f"{place}, entry {k}").get("compound")
        if not isinstance(name, str):
            raise InputError(f"{place}, entry {k} has no compound (a name is needed). Add it.")
        entries.setdefault(name, entry)
    return entries


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """Names with values; InputError, with the place, for anything else."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {value!r:.60} (names with values are needed). Correct it.")
    return value


def sequence(value: object, where: str) -> Sequence[Any]:
    """A list, empty where there is none; InputError, with the place, for anything else."""
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{where} is {value!r:.60} (a list is needed). Correct it.")
    return value


def checked_alternatives(given: Mapping[str, str] | None, name: str) -> Mapping[str, str]:
    """The alternatives that a user chooses; InputError for those of another quantity."""
    known = ("logP", "fu", "Pint")
    for key in given or {}:
        if key not in known:
            raise InputError(
                f"{name}: alternatives of {key!r} (there are those of {', '.join(known)}). "
                f"{suggestion(str(key), known)}"
            )
    return given or {}


def alternative(
    entry: Mapping[str, Any], key: str, quantity: str, chosen: Mapping[str, str], name: str
) -> object:
    """A quantity [value, unit] of the alternative of `key` that is chosen, else of the default.

    InputError where there is none.
    """
    rows = [mapping(row, f"{name}, {key}") for row in sequence(entry.get(key), f"{name}, {key}")]
    if not rows:
        raise InputError(f"{name} has no {key} (no model without it). Add it.")
    if key in chosen:
        found = [row for row in rows if row.get("name") == chosen[key]]
        if not found:
            names = [str(row.get("name")) for row in rows]
            raise InputError(
                f"{name}: unknown alternative {chosen[key]!r} of {key} (there are {len(rows)}). "
                f"{suggestion(chosen[key], names)}"
            )
    else:
        found = [row for row in rows if row.get("default")] or rows
    if quantity not in found[0]:
        raise InputError(f"{name}, {key} has no {quantity!r} (its number). Add it.")
    return found[0][quantity]


def acids_and_bases(given: object, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The pKa of acids and of bases; InputError for what is neither."""
    groups: dict[str, list[float]] = {"acid": [], "base": []}
    for row in sequence(given, f"{name}, pKa"):
        pair = sequence(row, f"{name}, pKa")
        kind = str(pair[0]).casefold() if pair else ""
        if len(pair) != 2 or kind not in groups:
            raise InputError(
                f"{name}, pKa is {row!r} (a kind and a number are needed). Write ['Acid', 4.5] or "
                "['Base', 9.0]."
            )
        groups[kind].append(converted([pair[1], None], "ratio", f"{name}, pKa"))
    return tuple(groups["acid"]), tuple(groups["base"])


def _label(process: Mapping[str, Any]) -> str:
    kind = {
        "GlomerularFiltration": "Glomerular Filtration",
        "LiverClearance": "Total Hepatic Clearance",
        "KidneyClearance": "Renal Clearances",
    }
    what = process.get("molecule") or kind.get(str(process.get("type")), process.get("type"))
    return f"{what}-{process.get('source')}"


def processes_of(
    rows: Iterable[Any], wanted: Sequence[str] | None, name: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """The processes that count, each with its label, as `read_compound` says.

    InputError for an unknown one.
    """
    labelled = [
        (_label(row), row) for row in (mapping(each, f"{name}, processes") for each in rows)
    ]
    if isinstance(wanted, str):
        wanted = (wanted,)
    if wanted is not None:
        labels = [label for label, _ in labelled]
        for each in wanted:
            if each not in labels:
                raise InputError(
                    f"{name}: unknown process {each!r} (there are {len(labels)}). "
                    f"{suggestion(str(each), labels)}"
                )
        return [(label, row) for label, row in labelled if label in wanted]
    kept: list[tuple[str, Mapping[str, Any]]] = []
    groups: dict[tuple[object, ...], list[tuple[str, Mapping[str, Any]]]] = {}
    for label, row in labelled:
        kind = str(row.get("type"))
        metabolic = kind.startswith(("Metabolization", "rCYP450"))
        key = (row.get("molecule"),) if metabolic and row.get("molecule") else (label, kind)
        groups.setdefault(key, []).append((label, row))
    for group in groups.values():
        with_kcat = [each for each in group if "kcat" in mapping(each[1].get("params"), name)]
        kept += with_kcat or ([group[0]] if _metabolic(group[0][1]) else group)
    return kept


def _metabolic(row: Mapping[str, Any]) -> bool:
    return str(row.get("type")).startswith(("Metabolization", "rCYP450"))
