"""Torch tensors on a device that a fake driver plays: torch for the CPU alone, whose every tensor
counts as one of the device. Values, gradients and tangents are those of the CPU, bit by bit.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")

import teorell as tl  # noqa: E402
import teorell.nn  # noqa: E402
from arrays_there import Interface, tensors_lie_there  # noqa: E402
from device_case import REDUCTIONS, TIMES, N, doses, driver, lagged, model, people  # noqa: E402
from fake_driver import FakeDriver  # noqa: E402
from teorell.derivatives import autograd_compiled, tensors  # noqa: E402
from teorell.engine.executors import instruction_sets  # noqa: E402
from teorell.errors import InputError  # noqa: E402
from teorell.simulation import on_device  # noqa: E402
from torch import func  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402

__all__ = ["driver"]  # a fixture

pytestmark = [
    pytest.mark.skipif(
        not instruction_sets()[0]["fma"],
        reason="NOT RUN: this processor has no fused multiply-add",
    ),
    pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning"),
]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, driver: FakeDriver) -> FakeDriver:
    """From now on tensors lie there."""
    import teorell.derivatives.autograd_compiled
    import teorell.simulation.there

    tensors_lie_there(monkeypatch, driver)
    monkeypatch.setattr(tensors, "lies_there", lambda tensor: True)
    monkeypatch.setattr(teorell.nn, "lies_there", lambda tensor: True)
    return driver


def given(requires_grad: bool = True, n: int = N) -> dict[str, Any]:
    made = {name: torch.tensor(each) for name, each in people(n).items()}
    made["km"] = torch.tensor(2.0, dtype=torch.float64)
    return {name: each.requires_grad_(requires_grad) for name, each in made.items()}


def gradients(inputs: dict[str, Any], *problem: Any, **options: Any) -> list[Any]:
    """Of a loss of values and reductions: values, reductions, and what each input gets."""
    solution = tl.simulate(model(), inputs, *problem, **options)
    finite = torch.nan_to_num(solution.values)
    loss = (finite**2).sum()
    for each in solution.reductions.values():
        loss = loss + torch.nan_to_num(each).sum()
    loss.backward()
    found = [solution.values.detach(), *(each.detach() for each in solution.reductions.values())]
    return [*found, *(each.grad for each in inputs.values())]


def same(found: Any, known: Any) -> None:
    for a, b in zip(found, known, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def launched(driver: FakeDriver, kernel: str) -> int:
    return sum(kernel in call[1] for call in driver.named("launch"))


CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "grid": ((doses(), TIMES), {}),
    "reductions": ((doses(), TIMES, "cp"), {"reductions": REDUCTIONS}),
    "times of each": ((doses(), [TIMES[: k % 5] for k in range(N)]), {"samples": "before"}),
    "reductions alone": ((doses(),), {"reductions": REDUCTIONS}),
}


@pytest.mark.parametrize("call", CALLS)
def test_backward(request: pytest.FixtureRequest, call: str) -> None:
    args, options = CALLS[call]
    known = gradients(given(), *args, **options)
    driver = request.getfixturevalue("there")
    found = gradients(given(), *args, **options)
    same(found, known)
    assert launched(driver, "solve_patients")
    assert launched(driver, "pull_patients_back")


def test_forward(request: pytest.FixtureRequest) -> None:
    def derivatives(inputs: dict[str, Any]) -> list[Any]:
        with forward_ad.dual_level():
            moved = {
                name: forward_ad.make_dual(each, torch.linspace(0.0, 1.0, N, dtype=torch.float64))
                if each.ndim
                else each
                for name, each in inputs.items()
            }
            solution = tl.simulate(model(), moved, doses(), TIMES, "cp", reductions=REDUCTIONS)
            found = (solution.values, *solution.reductions.values())
            return [forward_ad.unpack_dual(each).tangent for each in found]

    known = derivatives(given(False))
    driver = request.getfixturevalue("there")
    same(derivatives(given(False)), known)
    assert launched(driver, "push_patients_forward")


def transforms() -> list[Any]:
    """Of simulations with parameters of the host, and doses of each patient's, beside tensors."""
    n = 3
    amounts = np.linspace(50.0, 100.0, n)
    regimen = tl.Regimen.bolus(amounts, into="depot", every=12.0, doses=2)
    host = {"vmax": np.linspace(8.0, 10.0, n)}

    def values(ka: Any, v: Any) -> Any:
        return tl.simulate(model(), {**host, "ka": ka, "v": v}, regimen, TIMES[:4], "cp").values

    ka = torch.linspace(0.5, 1.5, n, dtype=torch.float64)
    v = torch.tensor(20.0, dtype=torch.float64)
    several = torch.stack([ka, 2.0 * ka])
    return [
        func.vmap(values, (0, None))(several, v),
        func.vmap(lambda ka, v: func.grad(lambda v: values(ka, v).sum())(v))(
            several, torch.stack([v, v + 1.0])
        ),
        func.jacfwd(values, 1)(ka, v),
        func.jacrev(values, 0)(ka, v),
        func.vmap(lambda dot: func.jvp(lambda ka: values(ka, v), (ka,), (dot,))[1])(several),
    ]


def test_transforms(request: pytest.FixtureRequest) -> None:
    known = transforms()
    driver = request.getfixturevalue("there")
    same(transforms(), known)
    assert launched(driver, "push_patients_forward")


def test_types_and_other_arrays(request: pytest.FixtureRequest) -> None:
    single = {name: each.detach().float() for name, each in given().items() if name != "ka"}
    known = tl.simulate(model(), single, doses(), TIMES)
    driver = request.getfixturevalue("there")
    found = tl.simulate(model(), single, doses(), TIMES)
    assert found.values.dtype == torch.float32
    same([found.values], [known.values])
    single["v"] = Interface(driver, single["v"].double().numpy())
    same([tl.simulate(model(), single, doses(), TIMES).values], [known.values])
    moved = found.cpu()
    assert isinstance(moved.values, np.ndarray)
    assert isinstance(moved.parameters["v"], np.ndarray)
    with pytest.raises(InputError, match="a tensor of float16"):
        tl.simulate(model(), {"ka": torch.ones(3).half()}, doses(), TIMES)


def test_times_of_maxima(there: FakeDriver) -> None:
    inputs = given()
    both = [tl.Cmax("cp", end=9.0), tl.Tmax("cp", end=9.0)]
    found = tl.simulate(model(), inputs, doses(), reductions=both).reductions
    torch.nan_to_num(found["cmax_cp"]).sum().backward(retain_graph=True)
    assert inputs["v"].grad.abs().sum() > 0.0
    with pytest.raises(InputError, match="no derivative of 'tmax_cp'"):
        torch.nan_to_num(found["tmax_cp"]).sum().backward()


def test_second_derivatives_raise(there: FakeDriver) -> None:
    inputs = given()
    values = tl.simulate(model(), inputs, doses(), TIMES).values
    (slope,) = torch.autograd.grad(torch.nan_to_num(values).sum(), inputs["ka"], create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        slope.sum().backward()


def test_what_the_host_needs_is_refused(there: FakeDriver) -> None:
    late = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
    for name in ("late", "lag"):
        with pytest.raises(InputError, match=f"parameter '{name}' lies on cuda:0"):
            tl.simulate(lagged(), {name: late}, doses(), TIMES)
    with pytest.raises(InputError, match="parameter 'ka' is not finite"):
        tl.simulate(model(), {"ka": torch.tensor([1.0, np.nan]).double()}, doses(), TIMES)
    with pytest.raises(InputError, match="lies on cuda:0, device is 'cuda:1'"):
        tl.simulate(model(), given(), doses(), TIMES, device="cuda:1")
    with pytest.raises(TypeError, match="parameters or regimen hold torch tensors"):
        tl.value_and_grad(1.0, model(), given(), doses(), TIMES)


def test_tensors_of_the_cpu_beside_them(there: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(  # those of float32 are the CPU's
        on_device, "is_on_device", lambda value: getattr(value, "dtype", None) == torch.float64
    )
    inputs = {"ka": torch.ones(3, dtype=torch.float64), "v": torch.ones(3)}
    with pytest.raises(InputError, match="a tensor on the CPU with parameters on a device"):
        tl.simulate(model(), inputs, doses(), TIMES)


def test_no_memory_in_either_pass(there: FakeDriver) -> None:
    inputs = given()
    there.room = 100_000
    with pytest.raises(MemoryError, match="cuda:0 has no memory"):
        tl.simulate(model(), inputs, doses(), TIMES)
    there.room = 1 << 30
    values = tl.simulate(model(), inputs, doses(), TIMES).values
    there.room = 100_000
    with pytest.raises(MemoryError, match="cuda:0 has no memory"):
        torch.nan_to_num(values).sum().backward(retain_graph=True)
    gc.collect()
    assert not there.memory
    there.room = 1 << 30
    torch.nan_to_num(values).sum().backward()
    assert inputs["ka"].grad.abs().sum() > 0.0


def simulator() -> Any:
    return teorell.nn.Simulator(
        model(), doses(), TIMES, "cp", learnable={"v": 20.0}, fixed={"km": 2.5}, positive=["v"]
    )


def calls(module: Any) -> list[Any]:
    """Values and gradients of calls with parameters, doses and times of their own."""
    ka = torch.linspace(0.5, 1.5, 4, dtype=torch.float64, requires_grad=True)
    later = tl.Regimen.bolus(np.linspace(10.0, 40.0, 4), into="depot", time=2.0)
    found: list[Any] = []
    for values in (module(), module(ka=ka), module(ka=ka, vmax=8.0, regimen=later, times=TIMES)):
        values.square().sum().backward()
        found += [values.detach(), torch.tensor(module.status)]
    return [*found, ka.grad, module.log_v.grad]


def test_a_module(request: pytest.FixtureRequest) -> None:
    known = calls(simulator())
    driver = request.getfixturevalue("there")
    same(calls(simulator()), known)
    assert launched(driver, "pull_patients_back") >= 3


def test_a_compiled_module(request: pytest.FixtureRequest) -> None:
    def values(module: Any, ka: Any) -> list[Any]:
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        found = compiled(ka=ka)
        found.square().sum().backward()
        return [found.detach(), ka.grad.clone(), module.log_v.grad]

    ka = torch.linspace(0.5, 1.5, 4, dtype=torch.float64, requires_grad=True)
    known = values(simulator(), ka)
    driver = request.getfixturevalue("there")
    ka.grad = None
    torch.compiler.reset()
    same(values(simulator(), ka), known)
    assert launched(driver, "solve_patients")
    assert launched(driver, "pull_patients_back")


def test_a_graph_knows_the_device() -> None:
    """Torch without CUDA follows the layer, with tensors of which it only says where they lie."""
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph.forward

    module = simulator().requires_grad_(False)
    torch.compiler.reset()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        ka = torch.empty(4, dtype=torch.float64, device="cuda:0")
        asked = torch.compile(module.to("cuda:0"), fullgraph=True, backend=backend)
        values = asked(ka=ka)
        places = (3, 4)  # of km and ka among the inputs
        number = autograd_compiled.part(module._number, places)
        slopes = autograd_compiled.pull_back(number, [ka, ka], values)
    assert (str(values.device), values.shape) == ("cuda:0", (4, TIMES.size, 1))
    assert [(str(each.device), each.shape) for each in slopes] == [("cuda:0", (4,))] * 2
    assert "teorell.simulate.default" in graphs[0]
    torch.compiler.reset()


def test_a_module_in_two_places() -> None:
    with pytest.raises(InputError, match=r"'ka' lies on device meta, 'v' on cpu \(nothing moves"):
        simulator()(ka=torch.ones(3, device="meta"))


def test_doses_that_are_tensors_beside_parameters_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teorell.nn, "lies_there", lambda tensor: True)
    dose = tl.Regimen.bolus(torch.tensor(1.0), into="depot")
    with pytest.raises(
        InputError, match="doses are tensors on the CPU, parameters lie on a device"
    ):
        simulator()(regimen=dose)
