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
from teorell.errors import count

__all__ = ["EXTRAPOLATED", "NCAWarning", "coarse", "warn"]

EXTRAPOLATED = 0.2  # of auc_inf, at most (EMA, above; also Gabrielsson and Weiner, ch. 2.8)
# The parabola through a maximum and neighbours that lie a fraction d below it rises by at most d/8
# above the maximum: 2.5 % for 0.2. Only where a neighbour lies lower, the curve is followed.
STEP = 0.2
PEAK = 0.02  # of the maximum, by which the curve may exceed it between the samples
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
