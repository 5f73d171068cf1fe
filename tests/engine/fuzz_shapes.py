"""Wrong shapes, types and numbers for the core: thousands of calls that were right, one thing in
each made wrong.

    python tests/engine/fuzz_shapes.py [CALLS] [SEED]

Each must be refused (ValueError, TypeError, MemoryError), or still be right to run; nothing may be
read or written out of bounds, which a core built with -DTEORELL_SANITIZE=address,undefined sees
(.ci/run builds one). Programs are interpreted: machine code has no checks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import teorell as tl
from teorell.engine import columns, dense, solve
from teorell.simulation.given import problem_of

REFUSED = (ValueError, TypeError, MemoryError)
OPTIONS: dict[str, Any] = {"executor": "interpreter", "threads": 2, "max_steps": 300}


def model() -> tl.Model:
    """Two states, an infusion, a condition on time and a lag."""
    m = tl.Model("fuzz")
    cl, v, ka, lag = m.parameters(cl=4.0, v=20.0, ka=1.0, lag=0.1)
    gut, central = m.states("gut", "central")
    m.flow(gut, central, ka * gut)
    m.flow(central, None, tl.where(m.time < 0.1 * v, cl, 2.0 * cl) / v * central)
    m.dosing(gut, lag=lag)
    m.output("cp", central / v)
    m.output("root", tl.sqrt(central + 1.0))
    return m


def simulations() -> None:
    """Calls of every kind, right ones."""
    m, n = model(), 5
    given = {"cl": np.linspace(3.0, 5.0, n), "ka": tl.stepwise([0.0, 2.0], [1.0, 1.5])}
    doses = tl.Regimen.bolus(10.0, "gut") + tl.Regimen.infusion(5.0, "central", 2.0, time=1.0)
    many = [doses] * n
    times = np.linspace(0.0, 6.0, 4)
    own = [times[: 1 + k % 4] for k in range(n)]
    summary = [tl.Cmax("cp"), tl.AUC("cp"), tl.TimeAbove("root", threshold=1.5)]
    for regimen in (doses, many):
        tl.simulate(m, given, regimen, times, **OPTIONS)
        tl.jacobian(m, given, regimen, times, wrt=["cl", "ka"], reductions=summary, **OPTIONS)
        for at in (times, own):
            tl.value_and_grad(loss, m, given, regimen, at, by_patient=True, **OPTIONS)
    tl.jacobian(m, given, doses, own, wrt=["cl", (0, "amount"), (0, "time")], **OPTIONS)
    tl.simulate(m, given, doses, times, reductions=summary, **OPTIONS)
    problem = problem_of(m, given, many, times, **OPTIONS)
    shape = problem.shape(n)
    problem.pull_back(problem.given, np.broadcast_to(1.0, shape))


def steady_states() -> None:
    """Searches of few states, of many, and of a total; what Python decides with small matrices."""
    m, regimen = tl.Model("fuzz"), tl.Regimen.bolus(10.0, "c0", every=12.0, steady_state=True)
    k = m.parameter("k", 1.0)
    row = [m.state(f"c{i}", initial=float(i == 9)) for i in range(10)]
    for one, other in pairwise(row):
        m.flow(one, other, k * one - 0.3 * other)
    m.flow(row[0], None, 0.1 * row[0] / (1.0 + 0.1 * row[0]))
    tl.simulate(m, {"k": [0.8, 1.0, 1.2]}, regimen, [0.0], **OPTIONS)
    few, rest = tl.Model("fuzz"), {"start": "equilibrium", **OPTIONS}
    binding, total = few.parameters(binding=0.5, total=5.0)
    drug, free, bound = few.states("c0", "free", "bound")
    few.initial(free, total)
    few.flow(free, bound, binding * drug * free - 0.2 * bound)
    few.flow(drug, None, 0.3 * drug)
    tl.simulate(few, {"total": [1.0, 5.0]}, regimen, [0.0], **OPTIONS)
    tl.simulate(few, {"total": [1.0, 5.0]}, None, [0.0], **rest)
    dense.solved(np.ones((2, 3, 3)) + np.eye(3), np.ones((2, 3)))
    dense.eigenvalues(np.arange(18.0).reshape(2, 3, 3))


def loss(values: Any, patients: Any) -> Any:
    """Of each patient, whatever the grid."""
    return np.zeros(len(patients)), np.ones_like(values)


def constraints() -> None:
    """A penalty's program, and a projection."""
    c = tl.ConstraintSet("fuzz")
    a, b = c.quantities("a", "b")
    c.at_least("low", a * b, 1.0)
    c.equal("sum", a + b, 3.0)
    points = {"a": np.linspace(0.1, 2.0, 5), "b": np.linspace(1.0, 2.0, 5)}
    c.violations(points)
    c.project(points)


def recorded(run: Callable[[], None]) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """What the core is called with."""
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def spy(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append((function, copied(args), copied(kwargs)))
            return function(*args, **kwargs)

        return call

    core = solve._core
    with (
        mock.patch.multiple(
            core, Model=spy(core.Model), solve=spy(core.solve), map=spy(core.map),
            project=spy(core.project), find_steady_states=spy(core.find_steady_states),
            solve_matrices=spy(core.solve_matrices), find_eigenvalues=spy(core.find_eigenvalues),
            orthogonalise_rows=spy(core.orthogonalise_rows),
        ),
        mock.patch.object(columns, "choose_executor", return_value=("interpreter", "")),
    ):  # fmt: skip
        run()
    return calls


def copied(value: Any) -> Any:
    """Arrays and what holds them, copied."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(each) for each in value)
    return value


def spoiled(value: Any, rng: np.random.Generator) -> Any:
    """The value with something wrong, or perhaps not."""
    if isinstance(value, dict):
        known = [name for name in value if name != "address"]  # of machine code: 0
        key = known[rng.integers(len(known))]
        if rng.random() < 0.1:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: spoiled(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        k = int(rng.integers(len(value)))
        return [spoiled(each, rng) if i == k else each for i, each in enumerate(value)]
    if isinstance(value, np.ndarray) and rng.random() < 0.95:
        return spoiled_array(value, rng)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(rng.choice([-1, 0, 1, 2, value + 1, value - 1, 2**31, 2**62]))
    others = [None, "text", 3, -1, 1.5, [], {}, (), np.zeros((2, 2)), np.zeros(0)]
    return others[rng.integers(len(others))]


def spoiled_array(array: np.ndarray[Any, Any], rng: np.random.Generator) -> Any:
    """Another shape, type, stride, or numbers out of range."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype) if array.ndim else array
    ways: list[Callable[[], Any]] = [
        lambda: array[:-1] if array.ndim else array[None],
        lambda: np.concatenate([array, array]) if array.ndim else array,
        lambda: array[..., None],
        lambda: array.reshape(-1),
        lambda: array[:0] if array.ndim else array,
        lambda: array.astype(rng.choice(["f4", "i8", "i4", "u1", "f8", ">f8", "O", "c16"])),
        lambda: wide[..., ::2] if array.ndim else array,
        lambda: np.asfortranarray(array),
        lambda: np.broadcast_to(array, (3, *array.shape)),
        lambda: np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape),
        lambda: array[::-1] if array.ndim else array,
    ]
    if array.dtype.kind in "iu" and array.size:
        changed = array.copy()
        flat = changed.reshape(-1)
        places = rng.integers(flat.size, size=1 + rng.integers(3))
        small = np.array([-1, -2, 0, 1, 2, 5, 16, 100, 2**24, 2**31 - 1]).astype(array.dtype)
        flat[places] = rng.choice(small, size=places.size)
        ways += [lambda: changed] * 8
    return ways[rng.integers(len(ways))]()


def attempt(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bool, Any]:
    """Has the call run, and what it gives."""
    try:
        return True, function(*args, **kwargs)
    except REFUSED:
        return False, None


def fuzz(calls: int, seed: int) -> tuple[int, int]:
    """Makes so many wrong calls; how many were refused, and how many ran."""
    rng, ran = np.random.default_rng(seed), 0
    known = recorded(simulations) + recorded(constraints) + recorded(steady_states)
    keep = ("isa", "method", "code", "tangent_code", "progress", "max_steps")
    for _ in range(calls):
        at = int(rng.integers(len(known)))
        function, args, kwargs = known[at][0], copied(known[at][1]), copied(known[at][2])
        names = [name for name in kwargs if name not in keep]
        places = [*range(len(args)), *names]
        place = places[rng.integers(len(places))]
        if isinstance(place, int) and isinstance(args[place], dict):
            args = tuple(spoiled(a, rng) if k == place else a for k, a in enumerate(args))
        elif isinstance(place, str):
            kwargs[place] = spoiled(kwargs[place], rng)
        done, made = attempt(function, args, kwargs)
        ran += done
        if isinstance(made, solve._core.Model):  # a model that was taken can be run
            user, others, more = next(call for call in known[at:] if call[0] is solve._core.solve)
            attempt(user, (made, *copied(others[1:])), copied(more))
    return calls - ran, ran


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    print("refused {}, ran {}".format(*fuzz(*(numbers + [8_000, 0][len(numbers) :]))))
