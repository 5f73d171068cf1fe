"""A Rosenbrock method in NumPy along given steps: the function whose derivative the discrete
adjoint is.

Written from the formulas of cpp/include/teorell/tableau.hpp, with dense matrices and symbolic
Jacobians, and nothing of lowering or the core but the tableau and the times at which the solver's
steps end.
"""

from __future__ import annotations

import numpy as np
from teorell.engine import executors
from teorell.model.expression import derivative, evaluate_all, leaves, symbol


def step_ends(run, last):
    """The ends of a patient's accepted steps up to the first one at or after `last`.

    run(max_steps) -> Raw of one patient, who would go on well beyond `last`.
    """
    ends = [0.0]
    for attempts in range(1, 100_000):
        raw = run(attempts)
        assert raw.status[0] != 0, "the run must reach farther"
        if raw.failure_time[0] > ends[-1]:
            ends.append(float(raw.failure_time[0]))
        if ends[-1] >= last:
            return np.array(ends)
    raise AssertionError("no end")


class Frozen:
    """A model along fixed steps; parameters and doses may differ along a
    leading axis, the batch.
    """

    def __init__(self, model, ends, times, method="rodas5p"):
        self.ends, self.times, self.tableau = ends, np.asarray(times), executors.tableau(method)
        names = model.state_names
        self.states = [symbol("state", name) for name in names]
        self.rates = [model.derivatives()[name] for name in names]
        self.initials = [model.initials()[name] for name in names]
        self.outputs = list(model.outputs().values())
        self.time = symbol("time", "time")
        self.entries = [(i, j) for i, rate in enumerate(self.rates) for j,
        state in enumerate(self.states)
                        if state in leaves(rate)]  # fmt: skip
        self.slopes = [derivative(self.rates[i], self.states[j]) for i, j in self.entries]
        self.in_time = [derivative(rate, self.time) for rate in self.rates]

    def solve(self, parameters, doses):
        """Outputs (batch, times, outputs).

        parameters: name -> (batch,); doses: (time, number of the state, (batch,)).
        """
        self.values = {symbol("parameter", name): value for name, value in parameters.items()}
        batch = len(next(iter(parameters.values())))
        y = np.stack(
            [np.broadcast_to(v, batch) for v in evaluate_all(self.initials, self.values)], axis=1
        )
        found, sample, t = np.empty((batch, len(self.times), len(self.outputs))), 0, 0.0
        for end in [*self.ends[1:], None]:
            for when, state, amount in doses:
                if when == t:
                    y = y + amount[:, None] * (np.arange(y.shape[1]) == state)
            while sample < len(self.times) and self.times[sample] == t:
                found[:, sample], sample = self.evaluate(self.outputs, t, y), sample + 1
            if end is None:
                return found
            y_new, dense = self.step(t, end - t, y)
            at_dose = any(when == end for when, _, _ in doses)
            while sample < len(self.times) and (
                self.times[sample] < end or (self.times[sample] == end and not at_dose)
            ):
                now = self.times[sample]
                found[:, sample], sample = (
                    self.evaluate(self.outputs, now, dense((now - t) / (end - t))),
                    sample + 1,
                )
            y, t = y_new, end

    def evaluate(self, exprs, t, y):
        values = {**self.values, **dict(zip(self.states, y.T, strict=True)), self.time: t}
        return np.stack([np.broadcast_to(v, len(y)) for v in evaluate_all(exprs, values)], axis=1)

    def step(self, t, h, y):
        m, s, n = self.tableau, self.tableau["stages"], y.shape[1]
        matrix = np.tile(np.eye(n) / (h * m["gamma"]), (len(y), 1, 1))
        for (i, j), value in zip(self.entries, self.evaluate(self.slopes, t, y).T, strict=True):
            matrix[:, i, j] -= value
        inverse, f_t, u = np.linalg.inv(matrix), self.evaluate(self.in_time, t, y), []
        for i in range(s):
            stage = y + sum((m["a"][i][j] * u[j] for j in range(i)), np.zeros_like(y))
            right = self.evaluate(self.rates, t + m["c"][0][i] * h, stage) + h * m["d"][0][i] * f_t
            right += sum((m["C"][i][j] / h * u[j] for j in range(i)), np.zeros_like(y))
            u.append(np.einsum("bij,bj->bi", inverse, right))
        y_new = stage + u[-1]

        def dense(theta):
            k = np.einsum("rj,jbi->rbi", m["H"], np.array(u))
            bow = sum(theta**r * k[r] for r in range(len(k)))
            return (1 - theta) * y + theta * (y_new + (1 - theta) * bow)

        return y_new, dense
