"""What lies where a store is wanted: nothing, a store of this simulation or of another, or less
than its manifest says; and what is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, count
from teorell.storage.contents import Contents, chunks_of
from teorell.storage.files import foreign, remove
from teorell.storage.lock import LOCK
from teorell.storage.manifest import NAME, Manifest, digest_of, is_free
from teorell.storage.stores import Store

__all__ = ["begun", "check_place", "complete", "finished", "size_of", "unchanged"]


def check_place(store: Store) -> None:
    """InputError where something lies that simulate_to has not written; nothing is made yet."""
    if not is_free(store.path) and Manifest.of(store.path) is None:
        raise InputError(
            f"{store.path} is no store of simulate_to (it would be overwritten). Give another path."
        )


def finished(store: Store, simulation: Mapping[str, Any]) -> Manifest | None:
    """The manifest, if the store holds all of this simulation; None if there is work to do.

    InputError if it holds another one, or has been changed.
    """
    found = Manifest.of(store.path)
    if found is None:
        return None
    _check_same(store, found, simulation)
    if not found.complete.all() or _gone(store, found).any():
        return None
    unchanged(store, found)
    return found


def begun(
    store: Store, contents: Contents, simulation: Mapping[str, Any], resume: bool
) -> Manifest:
    """The manifest of the store, which is made if it is not there. The store is locked.

    resume: a store of this simulation is continued; chunks that are gone are to be written again.
    InputError if something else lies there.
    """
    check_place(store)
    found = Manifest.of(store.path)
    if found is not None and resume:
        _check_same(store, found, simulation)
        if found.complete.any():
            _continue(store, contents, found)
            return found
    # what a manifest names that others have changed is not removed on its word
    known = found is not None and found.intact
    names = _names(found.simulation) if found is not None and known else list(contents.variables)
    ours = store.ours(names)
    other = foreign(store.path, ours, {NAME, f"_{NAME}.part", LOCK})
    if other is not None:
        raise InputError(
            f"{store.path} also holds {other} (it would be removed with the old store). Move it "
            "away."
        )
    chunks = sum(1 for _ in contents.chunks())
    if found is not None:
        # nothing is complete before anything is removed; what is left is named until it is gone
        Manifest.new(store.path, found.simulation if known else simulation, chunks).write()
        remove(store.path, ours)
    manifest = Manifest.new(store.path, simulation, chunks)
    manifest.write()
    store.create(contents)
    manifest.shared = {
        file.relative_to(store.path).as_posix(): digest_of([file])
        for file in sorted(store.path.rglob("*"))
        if file.is_file() and file.suffix != ".json" and file.name != LOCK
    }
    manifest.write()
    return manifest


def complete(store: Store, patients: int, chunk: int) -> Manifest:
    """The manifest; InputError unless all that the store should hold is there, at its length."""
    found = Manifest.of(store.path)
    if found is None:
        raise InputError(
            f"{store.path} is no store of simulate_to ({NAME} is not there, or not whole). Give "
            "the path of one."
        )
    _check_intact(store, found)
    chunks = list(chunks_of(patients, chunk))
    if len(chunks) != found.complete.size:
        raise InputError(
            f"{store.path} holds another simulation by now (it has "
            f"{count(found.complete.size, 'chunk')}, not {len(chunks)}). Simulate again."
        )
    lacking = np.flatnonzero(~found.complete | _gone(store, found))
    if lacking.size:
        first = chunks[lacking[0]]
        raise InputError(
            f"{store.path} lacks {count(lacking.size, 'chunk')} of {len(chunks)} (the first has "
            f"patients {first.start} to {first.stop - 1}). Call simulate_to again with what it was "
            "made of: it computes what is missing."
        )
    return found


def unchanged(store: Store, found: Manifest) -> None:
    """InputError unless all complete chunks hold what was written: reads them once.

    Their files are there.
    """
    names = _names(found.simulation)
    for path, expected in found.shared.items():
        if found.complete.any() and digest_of([store.path / path]) != expected:
            raise _damaged(store, path)
    for number in np.flatnonzero(found.complete).tolist():
        files = store.files(number, names)
        if digest_of(files) != found.digests[number]:
            raise _changed(store, number, files, "hold other bytes, of the same length")


def _damaged(store: Store, path: str) -> InputError:
    """The error of a file that no chunk can be read without."""
    return InputError(
        f"{store.path} cannot be read ({path} in it is gone or damaged). Put it back, or simulate "
        "with resume=False, which starts afresh."
    )


def _changed(store: Store, number: int, files: Sequence[Path], how: str) -> InputError:
    """The error of a chunk that others have changed."""
    return InputError(
        f"chunk {number} of {store.path} is not what was written "
        f"({files[0].relative_to(store.path)} and its like {how}). Move these files away, and "
        "simulate_to writes them again."
    )


def size_of(store: Store, number: int, names: Sequence[str]) -> int:
    """The bytes of a chunk's files; -1 if one of them is not there."""
    sizes = [file.stat().st_size if file.is_file() else -1 for file in store.files(number, names)]
    return -1 if min(sizes) < 0 else sum(sizes)


def _check_intact(store: Store, found: Manifest) -> None:
    """InputError if the manifest is not as it was written."""
    if not found.intact:
        raise InputError(
            f"{store.path / NAME} is not as it was written (it was edited, or an older version "
            "wrote it). Give another path, or resume=False, which starts afresh."
        )


def _check_same(store: Store, found: Manifest, simulation: Mapping[str, Any]) -> None:
    """InputError if the store holds results of another simulation."""
    _check_intact(store, found)
    differences = found.differences(simulation) if found.complete.any() else []
    if differences:
        raise InputError(
            f"{store.path} holds another simulation (it differs in {', '.join(differences)}). Give "
            "another path, or resume=False, which starts afresh."
        )


def _gone(store: Store, found: Manifest) -> NDArray[np.bool_]:
    """(chunks,) which of the complete chunks lack files.

    InputError where files are there and are others: whoever changed them may want them.
    """
    names = _names(found.simulation)
    done = np.flatnonzero(found.complete)
    lost = store.lost(names) if done.size else None
    if lost is not None:
        raise _damaged(store, lost)
    gone = np.zeros(found.complete.size, np.bool_)
    for number in done:
        size = size_of(store, int(number), names)
        gone[number] = size < 0
        odd = [file for file in store.files(int(number), names) if file.is_dir()]
        if odd:
            raise _changed(store, int(number), odd, "are folders by now")
        if size >= 0 and size != found.sizes[number]:
            files = store.files(int(number), names)
            raise _changed(
                store, int(number), files, f"have {size} bytes, not {found.sizes[number]}"
            )
    return gone


def _continue(store: Store, contents: Contents, found: Manifest) -> None:
    """Make the manifest say what is there, and remove what is half done."""
    gone = _gone(store, found)
    found.complete &= ~gone
    unchanged(store, found)
    if gone.any():
        found.failed = sum(
            int(np.count_nonzero(store.read(chunk, ["status"])["status"]))
            for chunk in contents.chunks()
            if found.complete[chunk.number]
        )
        found.write()
    remove(store.path, store.partial())


def _names(simulation: Mapping[str, Any]) -> list[str]:
    """The variables of a store."""
    return list(simulation["stored"])
