"""A problem with a closed form, for tests: one compartment with absorption and a dose of `amount`
at `time`.

It has what teorell.autograd uses of a teorell.problem.Problem, in NumPy alone. Its derivatives are
those of the complex step (Squire and Trapp, SIAM Rev. 40 (1998) 110-112), exact to rounding.
"""

import numpy as np
from teorell.engine.batch import Raw

STEP = 1e-100
FAILS_ABOVE = 1000.0


class OneCompartment:
    """Inputs ka, cl, v, amount, time; outputs c = amount ka / (v (ka - k)) (exp(-k s) - exp(-ka
    s)), and half of it.

    k = cl / v, and s = t - time > 0. Reductions: the sums of c and of its squares over the times. A
    patient whose cl is above 1000 fails at the third sample, with status 2.
    amounts: of one a patient, as in a list of regimens; they take the place of the input.
    """

    names = ("ka", "cl", "v", "amount", "time")
    reductions = ("sum", "squares")

    def __init__(self, times=(0.5, 1.0, 2.0, 4.0, 8.0, 12.0), amounts=None):
        self.times = np.asarray(times, dtype=np.float64)
        self.amounts = None if amounts is None else np.asarray(amounts, dtype=np.float64)
        self.runs = []  # the number of patients of each run

    def shape(self, patients):
        return patients, self.times.size, 2

    def patients_of(self, shapes):
        return (
            next((shape[0] for shape in shapes if len(shape)), 1)
            if self.amounts is None
            else self.amounts.size
        )

    def lengths(self, patients):
        return [patients] * len(self.names)

    def repeat(self, times):
        result = OneCompartment(
            self.times, None if self.amounts is None else np.tile(self.amounts, times)
        )
        result.runs = self.runs
        return result

    def solve(self, arrays, keep=0):
        assert all(a.dtype == np.float64 for a in arrays)
        patients = self.patients_of([a.shape for a in arrays])
        assert all(a.shape in ((), (patients,)) for a in arrays)
        for name, a in zip(self.names, arrays, strict=True):
            if not np.isfinite(a).all():
                raise ValueError(
                    f"parameter {name!r} is not finite (NaN is no number). Replace it."
                )
        self.runs.append(patients)
        values = np.array(np.broadcast_to(self._curve(*arrays), self.shape(patients)))
        status = np.broadcast_to(np.where(arrays[1] > FAILS_ABOVE, 2, 0), (patients,)).astype(
            np.int32
        )
        values[status != 0, 2:] = np.nan
        steps = np.full(patients, 7)
        reduced = np.array(np.broadcast_to(self._reduced(*arrays), (patients, 2)))
        reduced[status != 0] = np.nan
        failed_at = np.where(status != 0, self.times[2], np.nan)
        return Raw(
            values=values,
            status=status,
            failure_time=failed_at,
            steps=steps,
            rejected=steps,
            reduced=reduced,
            reached=np.full((patients, 2), np.nan),
        )

    def pull_back(self, arrays, cotangent, reduced, kept=None):
        status = self.solve(arrays).status
        assert cotangent.shape == self.shape(status.size)
        assert reduced.shape == (status.size, 2)
        gradients = []
        for number, a in enumerate(arrays):
            moved = [x + 1j * STEP if k == number else x for k, x in enumerate(arrays)]
            each = (
                np.where(status[:, None, None] == 0, cotangent, 0.0)
                * self._curve(*moved).imag
                / STEP
            ).sum((1, 2))
            each += (
                np.where(status[:, None] == 0, reduced, 0.0) * self._reduced(*moved).imag / STEP
            ).sum(1)
            gradients.append(each if a.ndim else each.sum())
        return gradients, None

    def push_forward(self, arrays, tangents):
        raw = self.solve(arrays)
        moved = [
            x if dx is None else x + 1j * STEP * dx for x, dx in zip(arrays, tangents, strict=True)
        ]
        of_values = np.where(np.isnan(raw.values), np.nan, self._curve(*moved).imag / STEP)
        return (
            raw,
            of_values,
            np.where(np.isnan(raw.reduced), np.nan, self._reduced(*moved).imag / STEP),
        )

    def _reduced(self, *arrays):
        c = self._curve(*arrays)[..., 0]
        return np.stack([c.sum(-1), (c * c).sum(-1)], -1)

    def _curve(self, ka, cl, v, amount, time):
        ka, cl, v, time = (np.asarray(each)[..., None] for each in (ka, cl, v, time))
        amount = np.asarray(amount if self.amounts is None else self.amounts)[..., None]
        k, s = cl / v, self.times - time
        c = np.where(
            s.real > 0, amount * ka / (v * (ka - k)) * (np.exp(-k * s) - np.exp(-ka * s)), 0.0
        )
        return np.stack([c, c / 2], -1)
