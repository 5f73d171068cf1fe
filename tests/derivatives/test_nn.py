"""teorell.nn.Simulator: a layer that learns, is saved and copied, compiled, and mapped."""

import contextlib
import copy
import io
import pickle

import numpy as np
import pytest
import teorell as tl
from compartments import oral

torch = pytest.importorskip("torch")

import teorell.nn  # noqa: E402
from teorell.derivatives import autograd_compiled as compiled  # noqa: E402
from torch import func, nn  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    # torch's own look at what crosses a graph break
    pytest.mark.filterwarnings("ignore:The .grad attribute"),
]

TIMES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0])
REGIMEN = tl.Regimen.bolus(100.0, into="gut", every=6.0, doses=2)


@pytest.fixture
def simulator():
    return make()


def make(**more):
    learnable = {"cl": 4.0, "v": [20.0, 25.0, 30.0]}
    options = {
        "learnable": learnable,
        "positive": ["cl"],
        "fixed": {"ka": 1.5},
        "rtol": 1e-8,
    } | more
    return teorell.nn.Simulator(oral(amounts=True), REGIMEN, TIMES, ["cp"], **options)


def number(value, dtype=torch.float64):
    return torch.tensor(value, dtype=dtype)


def gradients(module, values):
    module.zero_grad()
    values.square().sum().backward()
    return [p.grad for p in module.parameters()]


def test_values_are_those_of_simulate(simulator):
    given = {"cl": 4.0, "v": np.array([20.0, 25.0, 30.0]), "ka": 1.5}
    expected = tl.simulate(oral(amounts=True), given, REGIMEN, TIMES, ["cp"], rtol=1e-8).values
    values = simulator()
    assert values.shape == (3, 6, 1)
    # exp(log(cl)) is not quite cl
    np.testing.assert_allclose(values.detach().numpy(), expected, rtol=1e-14)
    assert simulator.status.tolist() == [0, 0, 0]
    assert simulator.status.dtype == np.int32


def test_a_network_may_feed_any_parameter(simulator):
    cl = number([3.0, 4.0, 5.0]).requires_grad_()
    values = simulator(cl=cl)
    assert torch.equal(values, simulator({"cl": cl}))
    values.sum().backward()
    assert (cl.grad < 0).all()
    assert dict(simulator.named_parameters())["log_cl"].grad is None
    with pytest.raises(tl.InputError, match=r"unknown parameter 'clx' .+ Did you mean 'cl'\?"):
        simulator(clx=cl)


def test_training_lowers_the_loss():
    """A network finds how clearance depends on weight and age, through the solver."""
    generator = torch.Generator().manual_seed(3)
    covariates = torch.randn((24, 2), generator=generator)
    truth = 5.0 * (0.4 * covariates[:, 0] - 0.2 * covariates[:, 1]).exp()
    simulator = teorell.nn.Simulator(
        oral(amounts=True), REGIMEN, TIMES, ["cp"], learnable=["v"], positive=["v"]
    )
    observed = simulator(cl=truth, v=number(24.0)).detach()
    torch.manual_seed(5)
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimiser = torch.optim.Adam([*network.parameters(), *simulator.parameters()], lr=0.03)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        clearance = 5.0 * network(covariates)[:, 0].exp()
        loss = (simulator(cl=clearance) - observed).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]
    assert abs(simulator.parameter_values()["v"].item() - 24.0) < 1.0


def test_state_goes_to_another_module(simulator):
    assert set(simulator.state_dict()) == {"log_cl", "learnable_v", "fixed_ka"}
    other = make(learnable={"cl": 9.0, "v": [1.0, 1.0, 1.0]}, fixed={"ka": 9.0})
    other.load_state_dict(simulator.state_dict())
    assert torch.equal(other(), simulator())


def through_torch(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "way", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module)), through_torch]
)
def test_copies_are_independent(simulator, way):
    expected = simulator().detach()
    other = way(simulator)
    assert torch.equal(other(), expected)
    with torch.no_grad():
        other.log_cl += 1.0
    assert not torch.equal(other(), expected)
    assert torch.equal(simulator(), expected)


def test_starting_values_may_be_anything_that_holds_numbers():
    column = np.array([4.0, 5.0, 6.0])
    column.flags.writeable = False
    for start in (column, torch.tensor(column.copy(), requires_grad=True), [4, 5, 6]):
        assert torch.equal(make(learnable={"cl": start})()[1], make(learnable={"cl": 5.0})()[0])
    assert set(make(learnable="cl", positive="cl").state_dict()) == {"log_cl", "fixed_ka"}


def test_single_precision(simulator):
    single = simulator.to(torch.float32)
    values = single()
    assert values.dtype == torch.float32
    assert {g.dtype for g in gradients(single, values)} == {torch.float32}
    assert single(cl=number(4.0)).dtype == torch.float64


def test_a_failed_patient_is_reported():
    model = tl.Model("explosive")
    k = model.parameter("k", 0.01)
    x = model.state("x", initial=1.0)
    model.rate(x, k * x * x)  # infinite at 1 / k
    model.output("x", x)
    simulator = teorell.nn.Simulator(model, None, TIMES, learnable={"k": [0.01, 1.0, 0.02]})
    simulator().square().sum().backward()
    assert (simulator.status != 0).tolist() == [False, True, False]
    assert (simulator.learnable_k.grad != 0).tolist() == [True, False, True]
    assert simulator.learnable_k.grad.isfinite().all()


def test_transforms(simulator):
    ensemble = [copy.deepcopy(simulator) for _ in range(2)]
    with torch.no_grad():
        ensemble[1].log_cl += 0.5
    parameters, buffers = func.stack_module_state(ensemble)
    values = func.vmap(lambda p, b: func.functional_call(simulator, (p, b), ()))(
        parameters, buffers
    )
    assert torch.equal(values, torch.stack([each() for each in ensemble]))
    assert simulator.status.tolist() == [0] * 6
    run = lambda cl: simulator(cl=cl)  # noqa: E731
    torch.testing.assert_close(
        func.jacfwd(run)(number(4.0)), func.jacrev(run)(number(4.0)), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"learnable": ["cl"], "fixed": {"cl": 1.0}, "positive": ()},
            "'cl' is learnable and fixed",
        ),
        ({"learnable": ["clx"], "positive": ()}, "unknown parameter 'clx'"),
        ({"fixed": {"clx": 1.0}}, "unknown parameter 'clx'"),
        ({"positive": ["ka"]}, "'ka' is positive, not learnable"),
        ({"learnable": {"cl": -1.0}}, "'cl' starts at -1.0"),
        ({"learnable": {"cl": [[1.0]]}}, "has shape"),
        ({"dtype": torch.float16}, "float16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments(arguments, words):
    with pytest.raises(tl.InputError, match=words):
        make(**arguments)


def test_a_regimen_for_each_patient_and_times_of_torch():
    regimens = [tl.Regimen.bolus(100.0, into="gut"), None]
    simulator = teorell.nn.Simulator(
        oral(amounts=True), regimens, torch.tensor(TIMES), "cp", learnable=["cl"]
    )
    assert simulator().shape == (2, 6, 1)
    simulator().sum().backward()
    assert simulator.learnable_cl.grad < 0
    mapped = func.vmap(lambda cl: simulator(cl=cl))(number([4.0, 5.0, 6.0]))
    assert torch.equal(mapped[1], simulator(cl=number(5.0)))


def test_tensors_in_the_regimen_are_refused():
    regimen = tl.Regimen.bolus(number(100.0), into="gut")
    with pytest.raises(tl.InputError, match="regimen of a Simulator holds tensors"):
        teorell.nn.Simulator(oral(amounts=True), regimen, TIMES)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.ones(3, device="meta"), "lies on device meta"),
        (torch.ones(3, dtype=torch.bfloat16), "a tensor of bfloat16"),
        (torch.ones(3, dtype=torch.complex128), "a tensor of complex128"),
        (torch.ones((3, 1)), "has shape"),
        (torch.ones(2), "has 2 patients|has 3 patients"),
        (number(np.nan), "not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unfit_tensors(simulator, value, words):
    with pytest.raises(tl.InputError, match=words):
        simulator(cl=value)


# ---------------------------------------------------------------- torch.compile

BACKENDS = ["eager", "aot_eager"]  # inductor needs a C++ compiler, and half a minute


@pytest.fixture(autouse=True)
def fresh_compiler():
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_whole(simulator, backend):
    fast = torch.compile(simulator, fullgraph=True, backend=backend)
    values = fast()
    assert torch.equal(values, simulator())
    for one, other in zip(
        gradients(simulator, values), gradients(simulator, simulator()), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    for patients in (3, 5):
        cl = torch.linspace(3.0, 5.0, patients)
        assert torch.equal(fast(cl=cl, v=number(20.0)), simulator(cl=cl, v=number(20.0)))
        assert simulator.status.tolist() == [0] * patients


def test_a_vector_compiled():
    model = tl.Model("vector")
    rates = model.parameter_vector("rates", [0.1, 0.2])
    first, second = model.states("first", "second")
    model.flow(first, second, rates[0] * first)
    model.flow(second, None, rates[1] * second)
    dose = tl.Regimen.bolus(1.0, into="first")
    module = teorell.nn.Simulator(model, dose, TIMES, learnable=["rates"])
    fast = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.equal(fast(), module())


def test_compiled_with_a_network(simulator):
    torch.manual_seed(5)
    network = nn.Linear(2, 1)
    covariates = torch.randn((3, 2))

    def loss(covariates):
        return simulator(cl=5.0 * network(covariates)[:, 0].exp()).square().mean()

    loss(covariates).backward()
    expected = network.weight.grad.clone()
    network.zero_grad()
    torch.compile(loss, fullgraph=True, backend="aot_eager")(covariates).backward()
    torch.testing.assert_close(network.weight.grad, expected)


def test_operators_pass_the_checks_of_torch(simulator):
    number_of, inputs = (
        simulator._number,
        [x.detach().clone().requires_grad_() for x in problem_inputs(simulator)],
    )
    torch.library.opcheck(compiled.simulate, (number_of, inputs))
    cotangent = torch.ones((3, 6, 1), dtype=torch.float64)
    torch.library.opcheck(compiled.pull_back, (number_of, [x.detach() for x in inputs], cotangent))


def problem_inputs(simulator):
    given = simulator.parameter_values()
    return [given.get(name, constant) for name, constant in simulator._constants]


TRANSFORMS = {
    "grad": lambda f, x: func.grad(f)(x),
    "jvp": lambda f, x: func.jvp(f, (x,), (torch.ones_like(x),))[1],
    "jacrev": lambda f, x: func.jacrev(f)(x),
    "jacfwd": lambda f, x: func.jacfwd(f)(x),
    "vmap": lambda f, x: func.vmap(f)(torch.stack([x, 2 * x])),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("fullgraph", [False, True], ids=["", "fullgraph"])
def test_transforms_inside_compiled_code_are_right_or_refused(simulator, name, fullgraph):
    ask = lambda cl: TRANSFORMS[name](lambda each: simulator(cl=each).sum(), cl)  # noqa: E731
    asked = torch.compile(ask, fullgraph=fullgraph, backend="aot_eager")
    if fullgraph:
        with pytest.raises(Exception, match=r"a transform of torch\.func inside compiled code"):
            asked(number(5.0))
    else:
        torch.testing.assert_close(asked(number(5.0)), ask(number(5.0)))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_compiled_code_are_right_or_refused(simulator, name):
    fast = torch.compile(simulator, fullgraph=True, backend="aot_eager")
    expected = TRANSFORMS[name](lambda each: simulator(cl=each).sum(), number(5.0))
    with contextlib.suppress(torch._dynamo.exc.Unsupported):
        found = TRANSFORMS[name](lambda each: fast(cl=each).sum(), number(5.0))
        torch.testing.assert_close(found, expected)


def test_the_operator_refuses_forward_derivatives(simulator):
    run = lambda cl: compiled.simulate(  # noqa: E731
        simulator._number,
        [
            cl if name == "cl" else x
            for (name, _), x in zip(simulator._constants, inputs, strict=True)
        ],
    )[0]
    inputs = [x.detach() for x in problem_inputs(simulator)]
    with pytest.raises(NotImplementedError, match="no forward derivative of a compiled simulation"):
        func.jvp(run, (number(5.0),), (number(1.0),))
    with pytest.raises(RuntimeError):
        func.grad(lambda cl: run(cl).sum())(number(5.0))


def test_a_graph_does_not_outlive_its_simulator():
    number_of = make()._number
    with pytest.raises(tl.InputError, match="no problem"):
        compiled.simulate(number_of, [])


def test_what_is_no_parameter_is_refused(simulator):
    with pytest.raises(tl.InputError, match="parameters are a Tensor"):
        simulator(number(4.0))
    with pytest.raises(tl.InputError, match="values of a stepwise parameter are a torch tensor"):
        tl.stepwise([0.0, 1.0], torch.ones(2, requires_grad=True))
    limits = tl.ConstraintSet("limits")
    (p,) = limits.quantities("p")
    limits.at_least("low", p, 1.0)
    asked = torch.tensor([0.5, 2.0], requires_grad=True)
    assert limits.violations({"p": asked}).violated["low"].tolist() == [True, False]


def test_a_model_changed_since_is_refused():
    m = tl.Model("m")
    (k,) = m.parameters(k=1.0)
    (x,) = m.states("x")
    m.flow(x, None, k * x)
    layer = teorell.nn.Simulator(m, tl.Regimen.bolus(1.0, "x"), [1.0], learnable=["k"])
    values = layer()
    m.rate(x, -5.0 * k * x)
    with pytest.raises(tl.InputError, match="model 'm' has changed"):
        values.sum().backward()
    with pytest.raises(tl.InputError, match="model 'm' has changed"):
        layer()


def test_a_tensor_without_a_name_is_refused():
    m = tl.Model("m")
    (k,) = m.parameters(k=1.0)
    (x,) = m.states("x")
    m.flow(x, None, k * x)
    with pytest.raises(tl.InputError, match="Give them by name"):
        teorell.nn.Simulator(m, None, [1.0])(torch.ones(2))
