"""Cases that transformers are judged on, with what needs no network: MAP and the Bayes floor.

These depend on the studies alone, so they are computed once and kept in a file, which is named by
what it was computed from; the studies of another version of the package have other files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from teorell.arrays import Array
from teorell.learn.transformer.figures import SEED
from teorell.learn.transformer.floors import FLOOR, PRIOR, floor, maximum
from teorell.learn.transformer.studies import HELD_OUT, Studies, draw

STUDY, QUERIES = 4, 8  # patients of a study; times that each is asked for


class Known(NamedTuple):
    """Patients, and what is known of them without a network; (patients, queries) each."""

    given: Studies
    curve: Array  # of the MAP, with the true structure and prior
    mean: Array  # of the floor
    quantiles: Array  # of the floor, (patients, queries, LEVELS)
    error: Array  # Monte Carlo error of `mean`
    effective: Array  # (patients,), sample size of the floor


def patients_of(
    structures: tuple[str, ...], kinds: tuple[str, ...], samples: int, patients: int
) -> Studies:
    """Held-out patients that the solver finished, at least `patients` drawn, structures alike."""
    given = draw(
        SEED, 1000 + samples, HELD_OUT, structures=structures, kinds=kinds,
        studies=-(-patients // (STUDY * len(structures))), patients=STUDY, queries=QUERIES,
        samples=samples,
    )  # fmt: skip
    return given.rows(np.isfinite(given.query).all(axis=1))


def known(folder: Path, given: Studies) -> Known:
    """MAP and floor of patients, from a file of `folder` where they are there already."""
    content = hashlib.sha256(repr((FLOOR, PRIOR)).encode())
    for part in (*(x for x in given if isinstance(x, np.ndarray)), *given.doses):
        content.update(np.ascontiguousarray(part).tobytes())
    path = folder / f"floor_{content.hexdigest()[:20]}.npz"
    if not path.exists():
        curve, about = maximum(given)
        best = floor(given, about)
        folder.mkdir(parents=True, exist_ok=True)
        names = ("mean", "quantiles", "error", "effective")
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, curve=curve, **{name: best[name] for name in names})
        unfinished.replace(path)
    with np.load(path) as kept:
        return Known(given, **{name: kept[name] for name in Known._fields[1:]})
