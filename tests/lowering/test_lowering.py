"""Programs against the meaning of the expressions they come from, and the shape of what lowering
makes.
"""

import pickle
import time

import numpy as np
import pytest
import teorell as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from program_oracle import Machine
from teorell.benchmark import reference_models
from teorell.lowering import PROGRAMS, lower
from teorell.lowering.sparsity import components, elimination_blocks
from teorell.model.expression import constant, derivative, evaluate_all, symbol, topological

REFERENCE = {"A": reference_models.problem_a, "B": reference_models.problem_b}


def truth(model, exprs, parameters, t, y):
    """Values of expressions at parameters (parameters, lanes) and states (states, lanes):
    (expressions, lanes).
    """
    values = {
        symbol("parameter", name): p
        for name, p in zip(model.parameter_names, parameters, strict=True)
    }
    values |= {symbol("state", name): x for name, x in zip(model.state_names, y, strict=True)}
    values[model.time] = t
    return np.array([np.broadcast_to(v, y.shape[1:]) for v in evaluate_all(exprs, values)])


def jacobian(model, parameters, t, y):
    """(states, states, lanes)"""
    rates = list(model.derivatives().values())
    columns = [
        truth(model, [derivative(rate, symbol("state", name)) for rate in rates], parameters, t, y)
        for name in model.state_names
    ]
    return np.stack(columns, axis=1)


def check(model, parameters, t, y, switches=(), tolerance=1e-11, rounding=0.0):
    """Every program of a model at one point for each lane.

    rounding: what cancellation may leave of outputs.
    """
    programs = lower(model)
    parameters, y = np.asarray(parameters, dtype=float), np.asarray(y, dtype=float)
    n, lanes = y.shape
    machine = Machine(programs, parameters, switches, lanes=lanes)
    machine.take_sides(t, y)

    def close(a, b, name, rounding=0.0):
        size = np.maximum(np.abs(b).max(initial=0.0), 1e-300)
        assert np.abs(a - b).max(initial=0.0) <= tolerance * size + rounding, name

    rates = list(model.derivatives().values())
    close(
        machine.initial(),
        truth(model, list(model.initials().values()), parameters, t, y),
        "initial",
    )
    close(machine.rhs(t, y), truth(model, rates, parameters, t, y), "rhs")
    slopes = [derivative(rate, model.time) for rate in rates]
    close(machine.df_dt(t, y), truth(model, slopes, parameters, t, y), "df_dt")
    close(
        machine.outputs(t, y),
        truth(model, list(model.outputs().values()), parameters, t, y),
        "outputs",
        rounding,
    )
    matrix = jacobian(model, parameters, t, y)
    # what cancels leaves rounding errors there
    apart = np.abs(matrix) > 1e-12 * np.abs(matrix).max(initial=0.0)
    found = {(int(i), int(j)) for i, j in np.argwhere(np.any(apart, axis=2))}
    assert found <= set(programs.jacobian_pattern)
    ghinv = 3.0 * np.abs(matrix).sum(axis=1).max() + 1.0  # no pivoting needed
    pivot = machine.factorise(t, y, ghinv)
    right = np.random.default_rng(0).standard_normal((n, lanes))
    solution = machine.solve(right)
    for lane in range(lanes):
        close(
            solution[:, lane],
            np.linalg.solve(ghinv * np.eye(n) - matrix[:, :, lane], right[:, lane]),
            "solve",
        )
    assert (pivot > 0.5 * ghinv).all()
    return programs


@pytest.mark.parametrize("kind", REFERENCE)
def test_reference_models(kind):
    model = REFERENCE[kind]()
    patients = reference_models.population(kind, 5)
    parameters = np.array([patients[name] for name in model.parameter_names])
    y = np.random.default_rng(1).uniform(0.1, 3.0, (len(model.state_names), 5))
    check(model, parameters, 0.0, y)


@pytest.mark.parametrize("kind", REFERENCE)
def test_solve_at_stiff_step(kind):
    """Small ghinv: the factors are those of a stiff problem, compared through the residual."""
    model = REFERENCE[kind]()
    patients = reference_models.population(kind, 4)
    parameters = np.array([patients[name] for name in model.parameter_names])
    y = np.random.default_rng(1).uniform(0.1, 3.0, (len(model.state_names), 4))
    machine = Machine(lower(model), parameters, lanes=4)
    machine.factorise(0.0, y, 5.0)
    right = np.random.default_rng(2).standard_normal(y.shape)
    solution, matrix = machine.solve(right), jacobian(model, parameters, 0.0, y)
    for lane in range(4):
        e = 5.0 * np.eye(len(y)) - matrix[:, :, lane]
        residual = np.abs(e @ solution[:, lane] - right[:, lane])
        assert (residual <= 1e-13 * (np.abs(e) @ np.abs(solution[:, lane]) + 1.0) * len(y)).all()


def test_problem_a_is_as_sparse_as_it_should_be():
    programs = lower(reference_models.problem_a())
    assert len(programs.jacobian_pattern) == 46
    assert programs.fill == 2
    assert programs.products("rhs") <= 62
    assert programs.products("jacobian_lu") <= 46
    assert programs.products("solve") <= 52
    names = [programs.state_names[k] for k in programs.order]
    assert set(names[:4]) == {"AUC", "EXU", "EXM", "EXF"}
    assert names[-2:] == ["LUM", "STO"]
    assert set(names[-4:-2]) == {"ART", "VEN"}


def test_problem_b_is_as_sparse_as_it_should_be():
    programs = lower(reference_models.problem_b())
    assert (len(programs.jacobian_pattern), programs.fill) == (91, 3)
    assert programs.products("rhs") <= 94
    assert programs.products("solve") <= 98
    assert programs.layout.n_temp <= 8


def test_linear_models_have_constant_jacobians():
    """Every entry is a coefficient: nothing but the elimination is left to jacobian_lu."""
    model = tl.Model("chain")
    k, v = model.parameters(k=1.0, v=2.0)
    a, b, c = model.states("a", "b", "c")
    model.flow(a, b, k * (a / v - b / v))
    model.flow(b, c, 2.0 * k / v * (b + c))
    programs = check(model, [[0.7], [3.0]], 0.0, [[1.0], [2.0], [0.5]])
    assert programs.layout.n_coef == 3  # k / v, 2 k / v and 3 k / v
    assert programs.products("rhs") == 2 + 3 + 2


def test_equal_coefficients_share_a_slot():
    model = tl.Model("equal")
    p, q = model.parameters(p=2.0, q=3.0)
    x, y, z = model.states("x", "y", "z")
    model.rate(x, p * (x / q))
    model.rate(y, -(x * p) / q)
    model.rate(z, (p / q) * x + (p * p / (p * q)) * y)
    programs = check(model, [[2.0], [3.0]], 0.0, [[1.0], [2.0], [3.0]])
    assert programs.layout.n_coef == 1


def test_what_cancels_is_gone():
    model = tl.Model("cancels")
    p, v = model.parameters(p=2.0, v=3.0)
    x, y = model.states("x", "y")
    model.rate(x, p * v * (y / v) - p * y + x - x)
    model.rate(y, x * y - y * x + 1.0)
    programs = check(model, [[2.0], [3.0]], 0.0, [[1.0], [2.0]])
    assert programs.jacobian_pattern == ()
    assert programs.products("rhs") == 0


def everything():
    model = tl.Model("everything")
    k, e, v = model.parameters(k=0.7, e=1.3, v=2.0)
    x, y, z, w = model.states("x", "y", "z", "w")
    t = model.time
    model.initial(x, 1.0 + tl.exp(k))
    model.rate(x, -k * x + tl.exp(-y) * tl.sin(t) + tl.where(t * x < 3.0, 0.4 * x, 0.1 * y) + 0.2)
    model.rate(
        y, -tl.hill(y, 0.5, e) + tl.min(x, 0.8 * y) * tl.log(1.0 + z * z) + tl.max(x - y, 0.1 * z)
    )
    model.rate(
        z, -tl.tanh(z) * tl.sqrt(1.0 + y * y) + tl.pow(k, e) * tl.abs(x) / (1.0 + x * x) + y**5 / v
    )
    clearance = x + y + z + k  # four terms, several users
    model.rate(
        w,
        clearance * w / (v + w)
        - tl.cos(t / v) ** 2
        + tl.where((x > y) & ~(z < y) | (x <= 0.1), x, k * y),
    )
    model.rate(w, -k * clearance)
    model.rate(x, -clearance / (v * w))
    model.rate(z, (x * k) ** v / (t + 1.0) + x ** (-2.0) / y + (x / (2.0 * y)) * (k * z))
    model.output("mixed", x * y / (k + t) + tl.where(t < 1.0, x, y))
    model.output("constant", k * v + 1.0)
    return model


@pytest.mark.parametrize("t", [0.5, 2.0])
def test_every_operation(t):
    rng = np.random.default_rng(5)
    parameters = rng.uniform(0.5, 2.0, (3, 7))
    programs = check(everything(), parameters, t, rng.uniform(0.2, 2.0, (4, 7)))
    assert programs.switches == ()
    assert programs.ft_rows.tolist() == [0, 2, 3]


def test_jacobian_against_differences():
    """Columns of E = ghinv I - J, read off by solving, against central differences of the rhs
    program.
    """
    model = everything()
    p, y, ghinv, step = [[0.7], [1.3], [2.0]], np.array([[0.9], [0.6], [1.1], [0.8]]), 40.0, 1e-6
    machine = Machine(lower(model), p)
    machine.take_sides(0.4, y)
    columns = []
    for k in range(4):
        shift = step * np.eye(4)[:, [k]]
        columns.append((machine.rhs(0.4, y + shift) - machine.rhs(0.4, y - shift)) / (2 * step))
    machine.factorise(0.4, y, ghinv)
    inverse = np.hstack([machine.solve(unit) for unit in np.eye(4)])
    np.testing.assert_allclose(
        np.linalg.inv(inverse), ghinv * np.eye(4) - np.hstack(columns), rtol=1e-7, atol=1e-6
    )


def test_conditions_on_time_become_switches():
    model = tl.Model("switches")
    k, start = model.parameters(k=0.7, start=2.0)
    (x,) = model.states("x")
    t = model.time
    model.rate(x, -k * x * tl.where(t < start, 1.0, 3.0) + tl.where(2.0 * t - 1.0 >= k, k, 0.0))
    model.rate(x, tl.where((t > 1.0) & (t <= start), 5.0, 0.0))
    model.output("late", tl.where(t < start, x, 0.0))
    programs = lower(model)
    thresholds = evaluate_all([s.threshold for s in programs.switches], {k: 0.7, start: 2.0})
    np.testing.assert_allclose(thresholds, [2.0, 0.85, 1.0])
    assert [(s.before, s.after) for s in programs.switches] == [(1.0, 0.0), (0.0, 1.0), (0.0, 1.0)]
    assert programs.layout.n_ft == 0
    assert programs.layout.n_switches == 3
    assert programs.products("rhs") == 1
    for at in (0.5, 0.9, 1.5, 2.5):
        values = [s.before if at < float(evaluate_all([s.threshold], {k: 0.7,
        start: 2.0})[0]) else s.after
                  for s in programs.switches]  # fmt: skip
        machine = Machine(programs, [0.7, 2.0], values)
        expected = truth(
            model,
            list(model.derivatives().values()),
            np.array([[0.7], [2.0]]),
            at,
            np.array([[4.0]]),
        )
        np.testing.assert_allclose(machine.rhs(at, [4.0]), expected, rtol=1e-14)
        # outputs look at the time itself
        assert machine.outputs(at, [4.0])[0, 0] == (4.0 if at < 2.0 else 0.0)


def test_infusions_add_to_their_rows():
    model = reference_models.problem_a()
    parameters = [model.parameter_info(name).default for name in model.parameter_names]
    y = np.linspace(0.1, 3.0, 20)
    plain = Machine(lower(model), parameters).rhs(0.0, y)
    machine = Machine(
        lower(model, infused=("VEN", "AUC", "STO")), parameters, rates=(7.0, 0.25, 3.0)
    )
    expected = plain.copy()
    for name, rate in (("VEN", 7.0), ("AUC", 0.25), ("STO", 3.0)):
        expected[model.state_names.index(name)] += rate
    np.testing.assert_allclose(machine.rhs(0.0, y), expected, rtol=1e-14)
    assert machine.layout.rates + 3 == machine.layout.scalar


def test_outputs_asked_for_do_not_change_the_step():
    model = reference_models.problem_b()
    venous, total = (
        symbol("state", "VEN"),
        symbol("state", "ART") + symbol("state", "VEN") + symbol("state", "LUN"),
    )
    model.output("nothing", constant(1.0))
    model.output("sum", tl.exp(-total) * total * venous)
    one, all_ = lower(model, outputs=("nothing",)), lower(model)
    parameters, y = model.parameter_defaults, np.linspace(0.1, 3.0, 34)
    a, b = Machine(one, parameters), Machine(all_, parameters)
    np.testing.assert_array_equal(a.rhs(0.0, y), b.rhs(0.0, y))
    a.factorise(0.0, y, 7.0), b.factorise(0.0, y, 7.0)
    np.testing.assert_array_equal(a.solve(y), b.solve(y))
    assert one.output_states.tolist() == []
    assert [all_.state_names[k] for k in all_.output_states] == ["ART", "VEN", "LUN"]
    assert one.digest != all_.digest


@pytest.mark.parametrize("kind", REFERENCE)
def test_accumulators_do_not_change_the_order(kind):
    before = lower(REFERENCE[kind]())
    model = REFERENCE[kind]()
    for k, name in enumerate(("LIV" if kind == "A" else "LIVv", "STO", "VEN", "ART")):
        (state,) = model.states(f"sum{k}")
        model.rate(state, symbol("state", name) * symbol("state", "VEN"))
    after = lower(model)
    old = [before.state_names[k] for k in before.order]
    new = [after.state_names[k] for k in after.order if after.state_names[k] in old]
    assert new == old
    assert after.fill == before.fill


def test_shared_sums_are_computed_once():
    model = tl.Model("shared")
    (k,) = model.parameters(k=1.0)
    states = model.states(*[f"x{i}" for i in range(20)])
    total = sum(states[1:], states[0])
    for state in states:
        model.rate(state, -k * total * state)
    programs = check(model, [[0.3]], 0.0, np.linspace(0.1, 1.0, 20)[:, None])
    assert programs.products("rhs") <= 19 + 2 * 20


def test_programs_are_deterministic_and_pickle():
    programs = lower(reference_models.problem_b(), infused=("VEN",))
    again = pickle.loads(pickle.dumps(programs))
    assert (
        again.digest
        == programs.digest
        == lower(reference_models.problem_b(), infused=("VEN",)).digest
    )
    for name in PROGRAMS:
        assert getattr(programs, name).dtype == np.int32
        np.testing.assert_array_equal(getattr(again, name), getattr(programs, name))
    assert again.switches == programs.switches


def test_mistakes_are_named():
    model = reference_models.problem_a()
    with pytest.raises(KeyError, match="output 'vein'"):
        lower(model, outputs=("vein",))
    with pytest.raises(KeyError, match="state 'VENA'"):
        lower(model, infused=("VENA",))
    with pytest.raises(ValueError, match="twice"):
        lower(model, infused=("VEN", "VEN"))


def organs(n):
    """n states: n - 2 organs between two pools, each with a saturable loss."""
    model = tl.Model("large")
    flow, km = model.parameters(flow=1.0, km=0.5)
    arterial, venous = model.states("arterial", "venous")
    total = constant(0.0)
    for k in range(n - 2):
        volume = model.parameter(f"v{k}", 1.0 + k)
        (organ,) = model.states(f"organ{k}")
        model.flow(arterial, organ, flow / (1.0 + k) * arterial)
        model.flow(organ, venous, flow / (1.0 + k) * organ / volume)
        model.flow(organ, None, organ / (km + organ / volume))
        total = total + organ
    model.flow(venous, arterial, flow * venous * 10.0)
    model.output("total", total)
    return model


def test_lowering_is_quick():
    for model, limit in ((reference_models.problem_b(), 0.1), (organs(110), 0.6)):
        best = np.inf
        for _ in range(3):
            start = time.process_time()  # other work on the machine is not ours
            lower(model)
            best = min(best, time.process_time() - start)
        assert best < limit


def test_long_and_deep_expressions():
    """Thousands of terms, and thousands of nested functions, without recursion."""
    model = tl.Model("deep")
    (k,) = model.parameters(k=0.5)
    (x,) = model.states("x")
    total, nested, parameters = constant(0.0), x, k
    for i in range(3000):
        total = total + (k + i) * x
        nested = tl.sqrt(nested + 0.25)
        parameters = tl.sqrt(parameters + 0.25)
    model.rate(x, -total / 1e6 - nested * parameters * tl.abs(x))
    check(model, [[0.5]], 0.0, [[1.5]], tolerance=1e-10)


def test_components_come_after_what_they_depend_on():
    columns = [[1], [2], [0, 3], [4], [3], [0], []]
    assert components(columns) == [[3, 4], [0, 1, 2], [5], [6]]
    assert [sorted(block) for block in elimination_blocks(columns)] == [[5], [6], [0, 1, 2], [3, 4]]


# Random models

NAMES = ("a", "b", "c", "d")


LEAVES = [
    *[symbol("state", name) for name in NAMES],
    symbol("parameter", "p"),
    symbol("parameter", "q"),
    symbol("time", "time"),
]
LEAVES += [constant(value) for value in (0.3, 2.0, 1.5)]
GROW = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b,
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b,
    lambda a, b: a / (1.0 + b * b), lambda a, b: a / b, lambda a, b: -a, lambda a, b: tl.tanh(a),
    lambda a, b: tl.sqrt(1.0 + a * a), lambda a, b: tl.exp(-a * a), lambda a, b: tl.sin(a),
    lambda a, b: tl.where(a < b, a, b * 2.0), lambda a, b: tl.min(a, b),
]  # fmt: skip
STEPS = st.tuples(st.integers(0, len(GROW) - 1), st.integers(0, 99), st.integers(0, 99))


def grown(steps):
    """A graph with much sharing: each step joins two nodes so far, the last ones most often.

    Its last seven nodes.
    """
    nodes = list(LEAVES)
    for op, first, second in steps:
        a, b = (nodes[-1 - k % len(nodes)] for k in (first, second))
        nodes.append(GROW[op](a, b) if op != 7 or b.op != "constant" or b.value else a)
    return nodes[-7:]


def largest(exprs, model, parameters, t, y):
    """The largest finite value of any part of the expressions."""
    values = np.abs(truth(model, topological(exprs), parameters, t, y).astype(float))
    return values[np.isfinite(values)].max()


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, min_size=7, max_size=25), st.integers(0, 2**31))
def test_random_models(steps, seed):
    exprs = grown(steps)
    model = tl.Model("random")
    model.parameters(p=1.0, q=2.0)
    states = model.states(*NAMES)
    for k, expr in enumerate(exprs):  # later ones are flows between states, with shared rates
        if k < 4:
            model.rate(states[k], expr)
        else:
            model.flow(states[k % 4], states[(k + 1) % 4], expr)
    model.output("first", exprs[0] * exprs[-1])
    rng = np.random.default_rng(seed)
    parameters, y, t = (
        rng.uniform(0.2, 2.0, (2, 3)),
        rng.uniform(-2.0, 2.0, (4, 3)),
        float(rng.uniform(0.1, 3.0)),
    )
    values = {symbol("parameter", name): p for name, p in zip("pq", parameters, strict=True)}
    switches = []
    for switch in lower(model).switches:
        threshold = evaluate_all([switch.threshold], values)[0]
        switches.append(np.where(t < threshold, switch.before, switch.after))
    sizes = np.abs(truth(model, exprs, parameters, t, y)).max()
    if np.isfinite(sizes) and sizes < 1e6:
        # The output is a product: where it cancels, what is left is of the size of the factors
        # times their rounding errors.
        check(
            model,
            parameters,
            t,
            y,
            switches,
            tolerance=1e-8,
            rounding=1e-14 * largest(exprs, model, parameters, t, y) ** 2,
        )
