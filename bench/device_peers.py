"""The peers of device.py, on the same device. Each takes a model ("A", "B", "110 states") and what
to do ("forward", "gradient"), and returns a function of the number of patients, or raises
NotMeasured with the reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import gradient_peers
import numpy as np
from teorell import benchmark

__all__ = ["PEERS", "NotMeasured", "polynomial"]

RTOL, ATOL = 1e-6, 1e-9
Peer = Callable[[str, str], Callable[[int], Any]]


class NotMeasured(Exception):
    """Why a peer does not take part."""


def imported(*names: str) -> list[Any]:
    try:
        return [importlib.import_module(name) for name in names]
    except (ImportError, OSError) as error:
        raise NotMeasured(f"{names[0]} is not installed ({error})") from None


def diffrax(kind: str, what: str) -> Callable[[int], Any]:
    """Kvaerno5, all patients in one vmap; the gradient by its checkpointed adjoint."""
    _, jax = imported("diffrax", "jax")
    if kind not in ("A", "B"):
        raise NotMeasured("its model is written for A and B alone")
    if jax.default_backend() != "gpu":
        raise NotMeasured(f"JAX computes on {jax.default_backend()}")
    problem = benchmark.problem(kind)
    loss = gradient_peers.diffrax_loss(problem, "Kvaerno5")
    wanted = jax.grad(loss) if what == "gradient" else loss
    compiled = jax.jit(jax.vmap(wanted, in_axes=(0, None, None)))
    sent: dict[int, Any] = {}

    def run(n: int) -> Any:
        if n not in sent:
            sent.clear()
            sent[n] = jax.device_put(problem.matrix(n))
        return compiled(sent[n], RTOL, ATOL).block_until_ready()

    return run


def polynomial(
    rhs: Callable[[np.ndarray], np.ndarray], states: int
) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray], dict[tuple[int, int, int], np.ndarray]]:
    """A0 (patients, states), A1 and A2 by their places, (patients,) each, of a right-hand side dy =
    A0 + A1 y + A2 y y. NotMeasured for one that is of a higher degree.

    rhs: amounts (states,) -> (patients, states).
    """
    unit = np.eye(states)
    nothing = rhs(np.zeros(states))
    up, down = ([rhs(sign * each) for each in unit] for sign in (1.0, -1.0))
    first, second = {}, {}

    def keep(to: dict[Any, np.ndarray], place: Any, part: np.ndarray) -> None:
        for i in range(states):
            if np.abs(part[:, i]).max() > 1e-9 * max(np.abs(up[place[-1]][:, i]).max(), 1e-300):
                to[(i, *place)] = part[:, i]

    for j in range(states):
        keep(first, (j,), (up[j] - down[j]) / 2.0)
        keep(second, (j, j), (up[j] + down[j]) / 2.0 - nothing)
        for k in range(j + 1, states):
            keep(second, (j, k), rhs(unit[j] + unit[k]) - up[j] - up[k] + nothing)
    y = np.random.default_rng(1).uniform(0.0, 30.0, states)
    whole = nothing.copy()
    for (i, j), value in first.items():
        whole[:, i] += value * y[j]
    for (i, j, k), value in second.items():
        whole[:, i] += value * y[j] * y[k]
    exact = rhs(y)
    if np.abs(whole - exact).max() > 1e-6 * np.abs(exact).max():
        raise NotMeasured("it solves dy = A0 + A1 y + A2 y y alone, and this model is none")
    return nothing, first, second


def nvqsp(kind: str, what: str) -> Callable[[int], Any]:
    """RODAS4 with coefficients of each patient (https://pypi.org/project/nvqsp, API reference)."""
    sparse, options = imported("nvqsp.sparse", "nvqsp.options")
    if what != "forward" or kind not in ("A", "B"):
        raise NotMeasured("its models are written for A and B, forward")
    problem = benchmark.problem(kind)
    polynomials(problem, 2)
    made: dict[int, Any] = {}

    def run(n: int) -> Any:
        if n not in made:
            made.clear()
            made[n] = polynomials(problem, n)
        constant, first, second, start = made[n]
        doses = [(benchmark.EVERY * dose, benchmark.DOSE) for dose in range(benchmark.DOSES)]
        return sparse.solve(
            A0=constant, A1_csr=first, A2_csr=second, y0=start, times=benchmark.TIMES[1:],
            doses=doses, opts=options.SparseOptions(rtol=RTOL, atol=ATOL),
        )  # fmt: skip

    return run


def polynomials(problem: benchmark.Problem, n: int) -> tuple[Any, Any, Any, np.ndarray]:
    """A0, the rows of A1 and of A2, and the start of the first n patients; the depot, into which
    doses go, is the first state.
    """
    states = len(problem.model.state_names)
    order = [problem.depot, *(k for k in range(states) if k != problem.depot)]
    namespace: dict[str, Any] = {"math": np}
    exec(benchmark.rhs_source(problem.model), namespace)
    columns = problem.matrix(n).T

    def rhs(y: np.ndarray) -> np.ndarray:
        amounts, dy = np.empty(states), [0.0] * states
        amounts[order] = y
        namespace["rhs"](0.0, amounts, dy, columns)
        return np.column_stack([np.broadcast_to(dy[k], n) for k in order])

    constant, first, second = polynomial(rhs, states)
    return constant, rows(first, states), rows(second, states), problem.start(n)[:, order]


def rows(entries: Mapping[tuple[int, ...], np.ndarray], states: int) -> tuple[np.ndarray, ...]:
    """Compressed rows: where each begins, the columns, the values (patients, entries)."""
    places = sorted(entries)
    counts = np.bincount([place[0] for place in places], minlength=states)
    begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    columns = np.array([place[1:] for place in places], np.int32).T
    values = np.column_stack([entries[place] for place in places])
    return begins, *columns, values


PEERS: dict[str, Peer] = {"diffrax Kvaerno5": diffrax, "nvQSP": nvqsp}
