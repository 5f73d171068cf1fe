"""Torch tensors through the solver: every derivative torch can ask for is right, or refused in one
sentence.
"""

import re

import numpy as np
import pytest
import teorell as tl
from compartments import oral

torch = pytest.importorskip("torch")

from one_compartment import OneCompartment  # noqa: E402
from teorell.derivatives import autograd  # noqa: E402
from torch import func  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402

# Forward mode makes torch load decompositions of its own that use what it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

GRAMMAR = re.compile(r".+ \(.+\)\. .+[.?]", re.DOTALL)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


# ka, cl, v, amount, time: some shared by all patients, some not
INPUTS = (
    number([1.0, 1.5, 2.0]),
    number(5.0),
    number([20.0, 25.0, 30.0]),
    number(100.0),
    number([0.2, 0.3, 0.1]),
)
CLEARANCES = torch.linspace(3.0, 8.0, 4, dtype=torch.float64)


@pytest.fixture
def problem():
    return OneCompartment()


@pytest.fixture
def values(problem):
    """The values (patients, times, outputs) as a function of the five inputs."""
    return lambda *inputs: autograd.solve(problem, inputs)[0]


@pytest.fixture
def both(problem):
    """Values and reductions."""
    return lambda *inputs: autograd.solve(problem, inputs)[:2]


def of_clearance(values):
    return lambda cl: values(INPUTS[0], cl, *INPUTS[2:])


def leaves():
    return [x.clone().requires_grad_() for x in INPUTS]


# ---------------------------------------------------------------- every way to ask for a first
# derivative


def test_gradcheck_both_ways(values):
    assert torch.autograd.gradcheck(
        values, leaves(), check_forward_ad=True, check_undefined_grad=True
    )


def test_gradcheck_of_reductions(both):
    # with and without a cotangent of the values
    for function in (both, lambda *inputs: both(*inputs)[1]):
        assert torch.autograd.gradcheck(
            function, leaves(), check_forward_ad=True, check_undefined_grad=True
        )


def test_reductions_through_vmap(both):
    of_cl = lambda cl: both(INPUTS[0], cl, *INPUTS[2:])[1]  # noqa: E731
    mapped = func.vmap(of_cl)(CLEARANCES)
    torch.testing.assert_close(
        mapped, torch.stack([of_cl(cl) for cl in CLEARANCES]), rtol=1e-13, atol=0.0
    )
    for kind in (func.jacrev, func.jacfwd):
        slopes = func.vmap(kind(of_cl))(CLEARANCES)
        torch.testing.assert_close(
            slopes, torch.stack([kind(of_cl)(cl) for cl in CLEARANCES]), rtol=1e-13, atol=1e-13
        )


def test_backward_is_the_adjoint_of_forward(values):
    generator = torch.Generator().manual_seed(1)
    tangents = tuple(torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in INPUTS)
    out, forward = func.jvp(values, INPUTS, tangents)
    cotangent = torch.randn(out.shape, dtype=out.dtype, generator=generator)
    gradients = func.vjp(values, *INPUTS)[1](cotangent)
    here = (forward * cotangent).sum()
    there = sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True))
    assert abs(here - there) < 1e-13 * (forward * cotangent).abs().sum()


def test_jacobians_agree(values):
    every = tuple(range(len(INPUTS)))
    backward, forward = (
        kind(values, argnums=every)(*INPUTS) for kind in (func.jacrev, func.jacfwd)
    )
    for x, b, f in zip(INPUTS, backward, forward, strict=True):
        assert b.shape == (3, 6, 2, *x.shape)
        torch.testing.assert_close(b, f, rtol=1e-13, atol=1e-13)


def test_forward_mode_without_functions(values):
    expected = func.jacfwd(of_clearance(values))(INPUTS[1])
    with forward_ad.dual_level():
        out = of_clearance(values)(forward_ad.make_dual(INPUTS[1], number(2.0)))
        torch.testing.assert_close(forward_ad.unpack_dual(out).tangent, 2 * expected)


def test_vmap_is_one_run_with_more_patients(problem, values):
    mapped = func.vmap(of_clearance(values))(CLEARANCES)
    assert problem.runs == [4 * 3]
    assert torch.equal(mapped, torch.stack([of_clearance(values)(cl) for cl in CLEARANCES]))


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 0), (0, 1)], ids=str)
def test_vmap_over_shared_and_individual_numbers(values, dims):
    volumes = torch.stack([INPUTS[2] * scale for scale in (1.0, 1.1, 1.2, 1.3)])
    cl = CLEARANCES if dims[0] == 0 else CLEARANCES[0]
    v = {None: volumes[0], 0: volumes, 1: volumes.T}[dims[1]]
    loss = lambda cl, v: values(INPUTS[0], cl, v, *INPUTS[3:]).square().sum()  # noqa: E731
    mapped = func.vmap(func.grad(loss, argnums=(0, 1)), dims)(cl, v)
    one = [
        func.grad(loss, argnums=(0, 1))(
            CLEARANCES[k if dims[0] == 0 else 0], volumes[0 if dims[1] is None else k]
        )
        for k in range(4)
    ]
    for k, gradients in enumerate(zip(*one, strict=True)):
        torch.testing.assert_close(mapped[k], torch.stack(gradients), rtol=1e-14, atol=1e-14)


def test_gradient_through_vmap(values):
    loss = lambda cl: of_clearance(values)(cl).square().sum()  # noqa: E731
    inside = func.vmap(func.grad(loss))(CLEARANCES)
    outside = func.grad(lambda each: func.vmap(loss)(each).sum())(CLEARANCES)
    torch.testing.assert_close(inside, outside, rtol=1e-14, atol=1e-14)


def test_nested_vmap(values):
    volumes = number([10.0, 20.0])
    run = lambda cl, v: values(INPUTS[0], cl, v, *INPUTS[3:])  # noqa: E731
    nested = func.vmap(func.vmap(run, (0, None)), (None, 0))(CLEARANCES, volumes)
    assert torch.equal(nested[1, 2], run(CLEARANCES[2], volumes[1]))


def test_vmap_over_tangents_and_cotangents(values):
    run, tangents = of_clearance(values), number([1.0, -2.0])
    forward = func.vmap(lambda tangent: func.jvp(run, (INPUTS[1],), (tangent,))[1])(tangents)
    derivative = func.jacfwd(run)(INPUTS[1])
    torch.testing.assert_close(forward, torch.stack([derivative, -2 * derivative]))
    out, pull_back = func.vjp(run, INPUTS[1])
    (gradients,) = func.vmap(pull_back)(
        torch.stack([torch.ones_like(out), 3 * torch.ones_like(out)])
    )
    torch.testing.assert_close(gradients, torch.stack([derivative.sum(), 3 * derivative.sum()]))


def test_vmap_with_a_regimen_for_each_patient():
    problem = OneCompartment(amounts=[100.0, 50.0])

    def loss(cl):
        return autograd.solve(problem, [number(1.0), cl, number(20.0), number(0.0), number(0.0)])[
            0
        ][1].sum()

    mapped = func.vmap(func.grad(loss))(CLEARANCES)
    torch.testing.assert_close(mapped, torch.stack([func.grad(loss)(cl) for cl in CLEARANCES]))


# ---------------------------------------------------------------- what is not there is said

SECOND = {
    "gradient of a gradient": lambda f, x: torch.autograd.grad(
        torch.autograd.grad(f(x), x, create_graph=True)[0], x
    ),
    "forward over backward": lambda f, x: func.hessian(f)(x),
    "backward over backward": lambda f, x: func.jacrev(func.jacrev(f))(x),
    "forward over forward": lambda f, x: func.jacfwd(func.jacfwd(f))(x),
    "backward over forward": lambda f, x: func.jacrev(func.jacfwd(f))(x),
    "mapped": lambda f, x: func.vmap(func.grad(func.grad(f)))(torch.stack([x, x])),
}


@pytest.mark.parametrize("ask", SECOND.values(), ids=SECOND.keys())
def test_second_derivatives_are_refused(values, ask):
    with pytest.raises(NotImplementedError, match="second derivatives") as caught:
        ask(lambda cl: of_clearance(values)(cl).sum(), INPUTS[1].clone().requires_grad_())
    assert GRAMMAR.fullmatch(str(caught.value))


def trace_with(name):
    from torch.fx.experimental.proxy_tensor import make_fx

    return {
        "linearize": func.linearize,
        "make_fx": lambda f, *x: make_fx(f)(*x),
        "fake tensors": lambda f, *x: make_fx(f, tracing_mode="fake")(*x),
        "vmap of old": lambda f, *x: torch.autograd.functional.jacobian(f, x, vectorize=True),
    }[name]


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")
@pytest.mark.parametrize("name", ["linearize", "make_fx", "fake tensors", "vmap of old"])
def test_numbers_are_not_baked_into_traces(values, name):
    run = lambda ka, cl, v, amount, time: values(ka, cl, v, amount, time)  # noqa: E731
    with pytest.raises(TypeError, match="no numbers to simulate with") as caught:
        trace_with(name)(run, *INPUTS)
    assert GRAMMAR.fullmatch(str(caught.value))


def test_errors_of_the_problem_pass_through_transforms(values):
    for run in (of_clearance(values), func.grad(lambda cl: of_clearance(values)(cl).sum())):
        with pytest.raises(ValueError, match="'cl' is not finite"):
            run(number(np.nan))
    with pytest.raises(ValueError, match="'cl' is not finite"):
        func.vmap(of_clearance(values))(number([1.0, np.nan]))


def test_torch_says_when_a_loss_is_no_number_or_an_input_is_whole(values):
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        values(*leaves()).backward()
    with pytest.raises(RuntimeError, match="floating point"):
        func.grad(lambda cl: of_clearance(values)(cl).sum())(torch.tensor(5))


def test_constants_carry_no_derivative():
    x = number([1.0, 2.0])
    assert autograd.constant(x, "times") is not None
    asks = [
        lambda: autograd.constant(x.clone().requires_grad_(), "times"),
        lambda: func.grad(lambda y: (autograd.constant(y, "times"), y.sum())[1])(x),
        lambda: func.vmap(lambda y: (autograd.constant(y, "times"), y)[1])(x),
        lambda: func.jvp(lambda y: (autograd.constant(y, "times"), y)[1], (x,), (x,)),
    ]
    for ask in asks:
        with pytest.raises(ValueError, match="times is a tensor with a derivative") as caught:
            ask()
        assert GRAMMAR.fullmatch(str(caught.value))


# ---------------------------------------------------------------- types, memory, failures


def test_types_promote(values):
    single = [x.float().requires_grad_() for x in INPUTS]
    out = values(*single)
    assert out.dtype == torch.float32
    out.sum().backward()
    assert {x.grad.dtype for x in single} == {torch.float32}
    assert values(single[0], *INPUTS[1:]).dtype == torch.float64
    arrays = [np.array(2.0)] * 3
    assert values(single[0], torch.tensor(5), *arrays).dtype == torch.float32
    assert values(torch.tensor(1), torch.tensor(5), *arrays).dtype == torch.float64


def test_single_precision_is_computed_in_double(values):
    rounded = [x.float() for x in INPUTS]
    assert torch.equal(values(*rounded), values(*[x.double() for x in rounded]).float())


def test_nothing_is_copied(problem):
    cl = number([5.0, 6.0, 7.0])
    strided = torch.ones((3, 2), dtype=torch.float64)[:, 1]
    _, _, trace = autograd.solve(problem, [strided, cl, *INPUTS[2:]])
    assert np.shares_memory(trace.arrays[1], cl.numpy())
    assert np.shares_memory(trace.arrays[0], strided.numpy())


def test_a_failed_patient_disturbs_nobody(problem):
    ka, cl = number(1.0).requires_grad_(), number([5.0, 2000.0, 6.0]).requires_grad_()
    values, _, trace = autograd.solve(problem, [ka, cl, number(20.0), number(100.0), number(0.0)])
    assert trace.raw.status.tolist() == [0, 2, 0]
    assert values[1].isnan().any()
    values.square().sum().backward()

    others, well = number(1.0).requires_grad_(), number([5.0, 6.0]).requires_grad_()
    autograd.solve(problem, [others, well, number(20.0), number(100.0), number(0.0)])[
        0
    ].square().sum().backward()
    torch.testing.assert_close(
        cl.grad, torch.stack([well.grad[0], number(0.0), well.grad[1]]), rtol=1e-14, atol=0
    )
    torch.testing.assert_close(ka.grad, others.grad, rtol=1e-14, atol=0)


# ---------------------------------------------------------------- through simulate

TIMES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0])


@pytest.fixture(scope="module")
def model():
    return oral()


def test_values_are_the_same_bits_with_and_without_tensors(model):
    cl = np.array([3.0, 4.0, 5.0])
    plain = tl.simulate(model, {"cl": cl, "v": 25.0}, tl.Regimen.bolus(100.0, into="gut"), TIMES)
    tensors = {"cl": torch.tensor(cl), "v": number(25.0)}
    solution = tl.simulate(
        model, tensors, tl.Regimen.bolus(number(100.0), into="gut"), torch.tensor(TIMES)
    )
    assert isinstance(solution.values, torch.Tensor)
    assert isinstance(plain.values, np.ndarray)
    assert np.array_equal(solution.values.numpy(), plain.values)
    assert np.array_equal(solution.steps, plain.steps)
    assert np.array_equal(solution.parameters["cl"], cl)
    assert solution.success.all()
    assert repr(solution) == repr(plain)


def test_what_a_solution_offers_works_on_tensors(model):
    cl = number([3.0, 4.0]).requires_grad_()
    solution = tl.simulate(
        model, {"cl": cl}, tl.Regimen.bolus(100.0, into="gut"), np.linspace(0, 48, 193)
    )
    plain = tl.simulate(
        model,
        {"cl": cl.detach().numpy()},
        tl.Regimen.bolus(100.0, into="gut"),
        np.linspace(0, 48, 193),
    )
    assert solution["cp"].requires_grad
    assert np.array_equal(solution.nca("cp").cmax, plain.nca("cp").cmax)
    solution.plot("cp")
    pytest.importorskip("pandas")
    assert solution.to_dataframe().equals(plain.to_dataframe())
    pytest.importorskip("xarray")
    assert solution.to_xarray().equals(plain.to_xarray())


DOSES = {
    "bolus": lambda x: tl.Regimen.bolus(x["amount"], into="gut", time=x["time"]),
    "repeated": lambda x: tl.Regimen.bolus(
        x["amount"], into="gut", time=x["time"], every=x["every"], doses=3
    ),
    "infusion": lambda x: tl.Regimen.infusion(
        x["amount"], into="central", duration=x["duration"], time=x["time"]
    ),
    "rate": lambda x: tl.Regimen.infusion(
        x["amount"], into="central", rate=x["rate"], time=x["time"]
    ),
    "overlapping": lambda x: (
        tl.Regimen.infusion(
            x["amount"],
            into="central",
            duration=x["duration"],
            time=x["time"],
            every=x["every"],
            doses=2,
        )
        + tl.Regimen.bolus(50.0, into="gut", time=x["time"])
    ),
}
NUMBERS = {
    "amount": 100.0,
    "time": 0.3,
    "every": 2.6,
    "duration": 3.1,
    "rate": 31.0,
    "cl": 5.0,
    "v": 20.0,
}


@pytest.mark.parametrize("name", DOSES)
@pytest.mark.parametrize("shape", [(), (2,)], ids=["shared", "individual"])
def test_gradcheck_through_the_solver(model, name, shape):
    """Against central differences of the solver, at a tolerance where its error is below theirs."""
    scale = torch.ones(shape, dtype=torch.float64) * (1 + 0.03 * torch.arange(2) if shape else 1)
    used = {key: (value * scale).requires_grad_() for key, value in NUMBERS.items()}

    def run(*values):
        x = dict(zip(used, values, strict=True))
        parameters = {"cl": x["cl"], "v": x["v"]}
        return tl.simulate(model, parameters, DOSES[name](x), TIMES, rtol=1e-12, atol=1e-12).values

    assert torch.autograd.gradcheck(
        run,
        tuple(used.values()),
        eps=1e-4,
        atol=1e-6,
        rtol=1e-5,
        check_forward_ad=True,
        check_batched_grad=False,
    )


def test_transforms_through_simulate(model):
    def exposure(cl, amount):
        regimen = tl.Regimen.bolus(amount, into="gut", time=0.25)
        return tl.simulate(model, {"cl": cl}, regimen, TIMES, rtol=1e-9)["cp"].sum()

    cl, amounts = number([3.0, 4.0, 5.0]), number([50.0, 100.0])
    mapped = func.vmap(func.grad(exposure, argnums=(0, 1)), (None, 0))(cl, amounts)
    assert [tuple(x.shape) for x in mapped] == [(2, 3), (2,)]
    for k, amount in enumerate(amounts):
        for found, expected in zip(
            mapped, func.grad(exposure, argnums=(0, 1))(cl, amount), strict=True
        ):
            torch.testing.assert_close(found[k], expected, rtol=1e-12, atol=1e-12)
    hand = func.jvp(lambda amount: exposure(cl, amount), (amounts[0],), (number(1.0),))[1]
    # linear in the dose
    torch.testing.assert_close(hand, exposure(cl, amounts[0]) / amounts[0], rtol=1e-9, atol=0)


def test_bounds_and_doses_are_checked_when_their_values_are_read(model):
    bounded = tl.Model("bounded")
    k = bounded.parameter("k", 1.0, lower=0.5)
    a = bounded.state("a")
    bounded.flow(a, None, k * a)
    bounded.output("a", a)
    wrong = [
        (lambda: tl.simulate(bounded, {"k": number(0.1)}, tl.Regimen.bolus(1.0, "a"), TIMES),
        "below its lower bound"), (lambda: tl.simulate(bounded, {"k": number([1.0, np.inf])},
        tl.Regimen.bolus(1.0, "a"), TIMES), "not finite"), (lambda: tl.simulate(bounded, None,
        tl.Regimen.bolus(number(-1.0), "a"), TIMES), "zero or more"), (lambda: tl.simulate(bounded,
        None, tl.Regimen.bolus(1.0, "a", every=number(0.0), doses=2), TIMES), "above zero"),
        (lambda: tl.simulate(bounded, None, tl.Regimen.infusion(1.0, "a", rate=number(0.0)), TIMES),
        "above zero"), (lambda: tl.simulate(bounded, {"k": number([1.0, 2.0])},
        tl.Regimen.bolus(torch.ones(3), "a"), TIMES), "patients"),
    ]  # fmt: skip
    for ask, words in wrong:
        with pytest.raises(tl.InputError, match=words) as caught:
            ask()
        assert GRAMMAR.fullmatch(str(caught.value))


def test_unfit_tensors_are_refused(model):
    regimen = tl.Regimen.bolus(100.0, into="gut")
    one = number(1.0)
    wrong = [
        (
            lambda: tl.simulate(model, {"cl": torch.ones(3, device="meta")}, regimen, TIMES),
            "lies on device meta",
        ),
        (lambda: tl.Regimen.bolus(torch.ones(3, device="meta"), into="gut"), "lies on device meta"),
        (
            lambda: tl.simulate(model, {"cl": torch.ones(3).half()}, regimen, TIMES),
            "tensor of float16",
        ),
        (
            lambda: tl.simulate(model, {"cl": torch.ones(3).bfloat16()}, regimen, TIMES),
            "tensor of bfloat16",
        ),
        (
            lambda: tl.simulate(model, {"cl": torch.ones(3).cfloat()}, regimen, TIMES),
            "tensor of complex64",
        ),
        (lambda: tl.simulate(model, {"cl": torch.ones(3) > 0}, regimen, TIMES), "tensor of bool"),
        (
            lambda: tl.simulate(model, {"cl": torch.ones(3).to_sparse()}, regimen, TIMES),
            "torch.sparse",
        ),
        (lambda: tl.simulate(model, {"cl": torch.ones((3, 1))}, regimen, TIMES), "has shape"),
        (
            lambda: tl.simulate(model, None, regimen, torch.tensor(TIMES).requires_grad_()),
            "times is a tensor with a deriv",
        ),
        (
            lambda: tl.simulate(model, None, [tl.Regimen.bolus(one, into="gut")], TIMES),
            "patient 0 holds a tensor",
        ),
    ]
    for ask, words in wrong:
        with pytest.raises(tl.InputError, match=words) as caught:
            ask()
        assert GRAMMAR.fullmatch(str(caught.value))
    with pytest.raises(TypeError, match="NumPy is needed here"):
        tl.simulate(model, None, regimen, TIMES, atol=one)


def test_whole_numbers_are_data(model):
    whole = tl.simulate(
        model, {"cl": torch.tensor([3, 4])}, tl.Regimen.bolus(torch.tensor(100), "gut"), TIMES
    ).values
    real = tl.simulate(model, {"cl": [3.0, 4.0]}, tl.Regimen.bolus(100.0, "gut"), TIMES).values
    assert not whole.requires_grad
    assert whole.dtype == torch.float64
    assert np.array_equal(whole.numpy(), real)


def test_failures_are_reported_and_have_no_gradient():
    model = tl.Model("explosive")
    k = model.parameter("k", 0.01)
    x = model.state("x")
    model.rate(x, k * x * x)
    model.output("x", x)
    # infinite at 1 / k
    k, amount = number([0.01, 1.0, 0.02]).requires_grad_(), number(1.0).requires_grad_()
    solution = tl.simulate(model, {"k": k}, tl.Regimen.bolus(amount, into="x"), TIMES)
    assert (solution.status != 0).tolist() == [False, True, False]
    assert solution.values.isnan().any((1, 2)).tolist() == [False, True, False]
    with pytest.raises(tl.SimulationError, match="1 of 3 patients failed"):
        solution.raise_for_status()
    solution.values.square().sum().backward()
    well, dose = number([0.01, 0.02]).requires_grad_(), number(1.0).requires_grad_()
    tl.simulate(
        model, {"k": well}, tl.Regimen.bolus(dose, into="x"), TIMES
    ).values.square().sum().backward()
    assert torch.equal(k.grad, torch.stack([well.grad[0], number(0.0), well.grad[1]]))
    assert torch.equal(amount.grad, dose.grad)


# torch's own look at what crosses a graph break
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_inside_torch_compile(model):
    def loss(cl, amount):
        regimen = tl.Regimen.bolus(2 * amount, into="gut", time=0.25)
        return (
            tl.simulate(model, {"cl": cl.exp()}, regimen, np.linspace(0.5, 12.0, 5))
            .values.square()
            .mean()
            .sqrt()
        )

    def asked(function):
        cl, amount = number([1.0, 1.2]).requires_grad_(), number(50.0).requires_grad_()
        function(cl, amount).backward()
        return cl.grad, amount.grad

    for one, other in zip(
        asked(torch.compile(loss, backend="aot_eager")), asked(loss), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    torch.compiler.reset()


class Gradients(torch.utils.data.Dataset):
    """Item k: clearance k + 1, its exposure, and the gradient of that."""

    def __init__(self, model):
        self.model = model

    def __len__(self):
        return 6

    def __getitem__(self, k):
        cl = number(k + 1.0).requires_grad_()
        values = tl.simulate(
            self.model, {"cl": cl}, tl.Regimen.bolus(100.0, into="gut"), TIMES
        ).values.sum()
        values.backward()
        return values.detach(), cl.grad


@pytest.mark.filterwarnings(
    "ignore:.*use of fork:DeprecationWarning", "ignore:This process.*fork:DeprecationWarning"
)
def test_workers_of_a_loader_may_simulate(model):
    data = Gradients(model)
    here = [data[k] for k in range(len(data))]  # the parent has compiled, and started threads
    there = torch.utils.data.DataLoader(
        data, batch_size=1, num_workers=2, multiprocessing_context="fork"
    )
    for (value, gradient), (values, gradients) in zip(here, there, strict=True):
        assert values.item() == value.item()
        assert gradients.item() == gradient.item()
