"""What the samples of a curve cannot tell: said in a warning, with the number of patients.

Two rules are those of the EMA's guideline on bioequivalence (CPMP/EWP/QWP/1401/98 Rev. 1, 2010,
4.1.4): samples are frequent around the maximum, which is not the first of the curve, and the
measured area covers at least 80 % of that to infinity. A third compares the area with that of every
second sample, as in extrapolation by Richardson.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.batch import Infusions
from teorell.errors import count

__all__ = ["EXTRAPOLATED", "NCAWarning", "coarse", "missed_ends", "warn"]

EXTRAPOLATED = 0.2  # of auc_inf, at most (EMA, above; also Gabrielsson and Weiner, ch. 2.8)
# The parabola through a maximum and neighbours that lie a fraction d below it rises by at most d/8
# above the maximum: 2.5 % for 0.2. Only where a neighbour lies lower, the curve is followed.
STEP = 0.2
PEAK = 0.02  # of the maximum, by which the curve may exceed it between the samples
TIED = 8 * np.finfo(np.float64).eps  # times that differ by less are one to the solver
AREA = 0.05  # between the areas of all samples and of every second one, of the former


class NCAWarning(UserWarning):
    """Numbers of a non-compartmental analysis that its samples do not support."""


def coarse(t: Array, c: Array, top: NDArray[np.intp], auc: Array, half: Array) -> NDArray[np.bool_]:
    """(patients,) Are samples too far apart for cmax or auc_last?

    t: (times,), c: (times, patients); top: sample of the maximum; auc, half: the area of all
    samples, and of every second one, (patients,).
    """
    found: NDArray[np.bool_] = np.abs(auc - half) > AREA * auc
    column = np.arange(c.shape[1])
    peak = c[top, column]
    fall = 1.0 - c[np.minimum(top + 1, len(t) - 1), column] / peak
    rise = 1.0 - c[np.maximum(top - 1, 0), column] / peak
    inside = (top > 0) & (top < len(t) - 1) & (np.maximum(rise, fall) > STEP)
    found |= inside & (_between(t, c, top) > (1.0 + PEAK) * peak)
    if 0.0 < t[0] < t[-1] - t[0]:  # what was before the first sample may matter
        missing = t[0] * c[0] > AREA * auc
        found |= missing | ((top == 0) & (fall > STEP))
    return found & (peak > 0.0)


def _between(t: Array, c: Array, top: NDArray[np.intp]) -> Array:
    """(patients,) how high the curve may be beside the sample of the maximum, `top`.

    It goes on as it came, along a line, until it meets what follows, which falls as its next two
    samples do, along an exponential: the lower of both at the far ends of an interval. Where it
    jumps more than it came, a dose lies in between, and how it came says nothing.
    """
    column = np.arange(c.shape[1])

    def at(k: NDArray[np.intp]) -> tuple[Array, Array]:
        inside = (k >= 0) & (k < len(t))
        near = np.clip(k, 0, len(t) - 1)
        return np.where(inside, t[near], np.nan), np.where(inside, c[near, column], np.nan)

    highest = np.zeros(c.shape[1])
    for first in (top - 1, top):  # the interval from sample `first` to the next
        (t0, c0), (t1, c1), (t2, c2), (t3, c3) = (at(first + k) for k in (-1, 0, 1, 2))
        width = t2 - t1
        line = c1 + (c1 - c0) / (t1 - t0) * width
        jumps = (line < 0.9 * c2) | np.isnan(line)
        back = c2 * np.power(c2 / c3, width / (t3 - t2))
        bound = np.fmin(np.where(jumps, np.inf, line), np.where(np.isnan(back), np.inf, back))
        highest = np.fmax(highest, np.where(np.isfinite(width), bound, 0.0))
    return highest


def missed_ends(
    t: Array, curves: Array, infusions: Infusions, cmax: Array, auc: Array
) -> NDArray[np.bool_]:
    """(patients,) Does an infusion end between samples, where the curve may be above them all?

    curves: (patients, times). cmax, auc: what the samples gave, (patients,). While an infusion runs
    the curve goes on along a line at most; after it, it falls as the next two samples do at least.
    The higher of both at the end is what it may have reached, and the area below it too.
    """
    n = len(curves)
    owner, start, end = infusions.owner, infusions.start, infusions.end
    if infusions.patients == 1 and n > 1:
        owner = np.repeat(np.arange(n), len(end))
        start, end = np.tile(start, n), np.tile(end, n)
    before = np.searchsorted(t, end * (1.0 - TIED)) - 1  # the last sample before the end
    inside = (before >= 0) & (before < len(t) - 1)
    inside[inside] = t[before[inside] + 1] > end[inside] * (1.0 + TIED)
    owner, start, end, before = owner[inside], start[inside], end[inside], before[inside]

    def at(k: NDArray[np.intp]) -> tuple[Array, Array]:
        known, near = (k >= 0) & (k < len(t)), np.clip(k, 0, len(t) - 1)
        return np.where(known, t[near], np.nan), np.where(known, curves[owner, near], np.nan)

    (t0, c0), (t1, c1), (t2, c2), (t3, c3) = (at(before + k) for k in (-1, 0, 1, 2))
    since = np.fmax(start, t0)  # the line begins at a sample, or where the infusion does
    line = c1 + (c1 - c0) / (t1 - since) * (end - t1)
    back = c2 * np.fmax(c2 / c3, 1.0) ** ((t2 - end) / (t3 - t2))
    line = np.where(start < t1, line, np.nan)
    reached = np.fmax(np.fmax(line, back), np.fmax(c1, c2))
    more = 0.5 * (c1 + reached) * (end - t1) + 0.5 * (reached + c2) * (t2 - end)
    more -= 0.5 * (c1 + c2) * (t2 - t1)
    missing = np.bincount(owner, more, minlength=n)
    found = missing > AREA * auc
    found[owner[reached > (1.0 + PEAK) * cmax[owner]]] = True
    return found & (cmax > 0.0)


def warn(
    coarse: NDArray[np.bool_], extrapolated: Array, output: str | None, stacklevel: int
) -> None:
    """One NCAWarning for all that is wrong, if anything is.

    coarse, extrapolated: (patients,). output: the name of what was simulated, None for arrays.
    """
    of = f"of {count(len(coarse), 'curve' if output is None else 'patient')}"
    said = []
    if coarse.any():
        remedy = "Sample more densely after doses and around the maximum"
        if output is not None:
            remedy += f", or take reductions=[tl.Cmax({output!r}), tl.AUC({output!r})]"
        said.append(
            f"cmax or auc may be wrong for {coarse.sum()} {of} (the curve changes too much between "
            f"neighbouring samples). {remedy}."
        )
    far = extrapolated > EXTRAPOLATED
    if far.any():
        said.append(
            f"auc_inf is extrapolated by more than {100 * EXTRAPOLATED:.0f} % for {far.sum()} {of} "
            "(the samples end too early). Sample for longer, or take auc_last."
        )
    if said:
        warnings.warn(" ".join(said), NCAWarning, stacklevel=stacklevel + 1)
