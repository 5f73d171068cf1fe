"""`tl.mlp`: a network of expressions against torch's own, and its gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import teorell as tl
import torch
from teorell import ModelError
from teorell.nn import Simulator

TIMES = [0.5, 1.0, 3.0]


def with_network(hidden, activation=tl.tanh, seed=0):
    """dx/dt = y, dy/dt = net(x, y) - y."""
    model = tl.Model("network")
    x0 = model.parameter("x0", 1.0)
    x = model.state("x", x0, signed=True)
    y = model.state("y", signed=True)
    (term,) = tl.mlp(model, "net", [x, y], hidden=hidden, activation=activation, seed=seed)
    model.rate(x, y)
    model.rate(y, term - y)
    model.output("x", x)
    model.output("term", term)
    return model


def torch_network(hidden):
    layers, sizes = [], [2, *hidden]
    for a, b in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(a, b), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], 1)).double()


@pytest.mark.parametrize("hidden", [(3,), (4, 3), ()])
def test_it_is_the_network_of_torch(hidden):
    """The term at time 0, and its gradient by all weights, from the module's own vector."""
    torch.manual_seed(len(hidden))
    module = torch_network(hidden)
    model = with_network(hidden)
    starts = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    weights = torch.nn.utils.parameters_to_vector(module.parameters())
    values = tl.simulate(model, {"net": weights, "x0": starts}, None, [0.0], outputs="term").values
    exact = module(torch.stack([starts, torch.zeros(3, dtype=torch.float64)], dim=1))
    torch.testing.assert_close(values[:, 0], exact, rtol=1e-13, atol=1e-14)
    mine = torch.autograd.grad(values.square().sum(), list(module.parameters()))
    theirs = torch.autograd.grad(exact.square().sum(), list(module.parameters()))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


def test_gradients_through_the_solver_agree_and_executors_too():
    model, rng = with_network((4, 3)), np.random.default_rng(1)
    size = len(model.parameter_vectors["net"])
    people = {"net": rng.standard_normal((2, size)), "x0": np.array([0.5, 1.5])}
    weights = rng.standard_normal((2, len(TIMES), 2))
    options = {"rtol": 1e-10, "atol": 1e-12}
    found = [
        tl.value_and_grad(weights, model, people, None, TIMES, executor=executor, **options)
        for executor in ("machine_code", "interpreter")
    ]
    gradient = found[0][1].parameters["net"]
    assert gradient.shape == (2, size)
    assert gradient.tobytes() == found[1][1].parameters["net"].tobytes()
    forward = tl.jacobian(model, people, None, TIMES, wrt="net", **options)
    by_tangents = np.einsum("pto,ptow->pw", weights, forward.derivatives)
    np.testing.assert_allclose(gradient, by_tangents, rtol=1e-8, atol=1e-10)
    way, h = rng.standard_normal((2, size)), 1e-5
    moved = [
        (weights * tl.simulate(model, {**people, "net": people["net"] + s * way}, None, TIMES,
                               **options).values).sum()
        for s in (h, -h)
    ]  # fmt: skip
    np.testing.assert_allclose((gradient * way).sum(), (moved[0] - moved[1]) / (2 * h), rtol=1e-6)


def test_long_programs_are_cut_into_functions_of_the_same_bits(monkeypatch, tmp_path):
    """A network's programs in pieces, some of them one function; whole; and interpreted."""
    from teorell.engine import pieces, step_code, vector_ir
    from teorell.memo import Memo

    model = with_network((5, 4))
    people = {"x0": np.linspace(0.1, 2.0, 5)}
    seen = {}
    for name, (longest, executor) in {
        "pieces": (200, "machine_code"),
        "whole": (10**9, "machine_code"),
        "oracle": (0, "interpreter"),
    }.items():  # fmt: skip
        monkeypatch.setenv("TEORELL_CACHE", str(tmp_path / name))
        monkeypatch.setattr(vector_ir, "LONG", longest)
        monkeypatch.setattr(pieces, "LEAST", 5)
        monkeypatch.setattr(pieces, "MOST", 40)
        monkeypatch.setattr(step_code, "_kept", Memo(4))
        value, gradient = tl.value_and_grad(1.0, model, people, None, TIMES, executor=executor)
        jacobian = tl.jacobian(model, people, None, TIMES, wrt="x0", executor=executor)
        seen[name] = (value, gradient.parameters["net"].tobytes(), jacobian.derivatives.tobytes())
    assert seen["pieces"] == seen["whole"] == seen["oracle"]


def test_rows_of_a_layer_are_one_function():
    """A program of n times the same row is a few functions, however many rows it has."""
    from teorell.engine.pieces import LEAST, alike, cut
    from teorell.lowering.program import Instruction, Op

    def rows(count):
        length = LEAST + 9
        for row in range(
            count
        ):  # a product of what lies at 0, then sums, a row's own in 1000 + ...
            first = 1000 + 100 * row
            yield Instruction(Op.SUM, first, (), ((0, 1),))
            for k in range(1, length):
                yield Instruction(Op.SUM, first + k, (first + k - 1,), ((2, 3 + row),))

    functions = {}
    for count in (40, 80):
        pieces = list(cut(list(rows(count))))
        assert [item for piece in pieces for item in piece] == list(rows(count))
        found = alike(pieces, [{1000} for _ in pieces], [0] * 100_000)
        functions[count] = len({group for group, _ in found})
        for (group, use), piece in zip(found, pieces, strict=True):
            where, places = group.places()
            moved = {slot: int(places[number][use]) + by for slot, (number, by) in where.items()}
            assert [item.dst for item in piece] == [moved.get(i.dst, i.dst) for i in group.items]
    assert functions[40] == functions[80] < 8


def test_a_layer_learns_the_weights_as_one_tensor():
    layer = Simulator(with_network((3,)), None, TIMES, outputs="x", learnable=["net"])
    (weights,) = layer.parameters()
    assert weights.shape == (13,)
    assert layer.state_dict().keys() == {"learnable_net"}
    layer(x0=torch.tensor([0.5, 2.0])).sum().backward()
    assert (weights.grad != 0.0).any()
    other = weights.detach().clone().requires_grad_()
    layer(net=other, x0=torch.tensor([0.5, 2.0])).sum().backward()
    assert torch.equal(other.grad, weights.grad)


def test_defaults_are_drawn_from_the_seed():
    a, b, c = (with_network((3,), seed=seed).parameter_defaults for seed in (0, 0, 1))
    assert (a == b).all()
    assert (a != c).any()
    assert (np.abs(a[1:10]) <= 1 / np.sqrt(2)).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(12), r"shape \(12,\) .*vector of 13 elements"),
        (np.zeros((2, 2, 13)), "vector of 13"),
        (np.full(13, np.nan), "not finite"),
        (3.0, r"shape \(\)"),
        (np.zeros((3, 13)), "3 patients"),
    ],
)
def test_what_is_no_such_vector_is_one_sentence(value, message):
    with pytest.raises(tl.InputError, match=message):
        tl.simulate(with_network((3,)), {"net": value, "x0": [1.0, 2.0]}, None, TIMES)


def test_what_is_no_network_is_one_sentence():
    model = tl.Model("m")
    x = model.state("x")
    for sizes, message in (((0,), "Give whole"), ((2.5,), "Give whole"), ((10**4, 10**4), "most")):
        with pytest.raises(ModelError, match=message):
            tl.mlp(model, "net", [x], hidden=sizes)
    with pytest.raises(ModelError, match="Give whole"):
        tl.mlp(model, "net", [])
    tl.mlp(model, "net", [x], hidden=(2,))
    with pytest.raises(ModelError, match="not new"):
        tl.mlp(model, "net", [x], hidden=(2,))
    with pytest.raises(tl.InputError, match="beside 'net'"):
        tl.simulate(model, {"net": np.zeros(7), "net_0": 1.0}, None, [1.0])
