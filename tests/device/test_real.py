"""On a real CUDA device, where one is: arrays of its libraries, in and out, with the CPU's bits.

tests/device/test_bodies_there.py runs tests of the CPU there too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import teorell as tl
from compartments import bateman, oral
from places import no_device
from stores_case import contents

if no_device():
    pytest.skip(f"NOT RUN ON A CUDA DEVICE: {no_device()}", allow_module_level=True)
pytestmark = pytest.mark.cuda

TIMES = np.linspace(0.0, 24.0, 49)
DOSE = tl.Regimen.bolus(100, into="gut")
CL = np.exp(np.random.default_rng(1).normal(1.5, 0.3, 1000))


def made_of(library: str, numbers: np.ndarray) -> Any:
    """The numbers on the first device."""
    module = pytest.importorskip(library, reason=f"NOT RUN: needs {library}")
    if library == "cupy":
        return module.asarray(numbers)
    if not module.cuda.is_available():
        pytest.skip("NOT RUN: needs a torch that knows CUDA")
    return module.as_tensor(numbers, device="cuda:0")


@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_arrays_in_and_out(library: str) -> None:
    there = tl.simulate(oral(), {"cl": made_of(library, CL)}, DOSE, TIMES)
    here = tl.simulate(oral(), {"cl": CL}, DOSE, TIMES)
    assert type(there.values).__module__.partition(".")[0] == library
    np.testing.assert_array_equal(there.cpu().values, here.values)
    np.testing.assert_array_equal(there.steps, here.steps)
    exact = bateman(TIMES, 1.2, CL[:, None], 20.0)
    np.testing.assert_allclose(there.cpu().values[..., 0], exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("executor", ["interpreter", "machine_code", None])
def test_executors(executor: str | None) -> None:
    given, there = (oral(), {"cl": CL}, DOSE, TIMES), {"device": "cuda", "executor": executor}
    solved = tl.simulate(*given, **there)
    np.testing.assert_array_equal(solved.cpu().values, tl.simulate(*given).values)
    _, gradient = tl.value_and_grad(1.0, *given, **there)
    _, here = tl.value_and_grad(1.0, *given)
    for name, each in here.parameters.items():
        np.testing.assert_array_equal(gradient.cpu().parameters[name], each)


@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_constraints(library: str) -> None:
    c = tl.ConstraintSet("clearance")
    cl, v = c.quantities("cl", "v")
    c.between("half-life", np.log(2) * v / cl, 2.0, 4.0)
    c.at_most("clearance", cl * cl, 20.0)
    given = {"cl": made_of(library, CL), "v": 20.0}
    here = c.project({"cl": CL, "v": 20.0})
    there = c.project(given)
    assert type(there.values["cl"]).__module__.partition(".")[0] == library
    for name, each in here.values.items():
        np.testing.assert_array_equal(there.cpu().values[name], each)
    penalty = c.penalty(given)
    np.testing.assert_array_equal(
        penalty.get() if library == "cupy" else penalty.cpu().numpy(),
        c.penalty({"cl": CL, "v": 20.0}),
    )
    assert c.violations(given).intervals == c.violations({"cl": CL, "v": 20.0}).intervals


@pytest.mark.parametrize("device", [["cuda:0"], "cuda:all"])
def test_dealt_out(device: Any) -> None:
    there = tl.simulate(oral(), {"cl": CL}, DOSE, TIMES, device=device)
    here = tl.simulate(oral(), {"cl": CL}, DOSE, TIMES)
    assert isinstance(there.values, np.ndarray)
    np.testing.assert_array_equal(there.values, here.values)
    np.testing.assert_array_equal(there.steps, here.steps)


@pytest.mark.filterwarnings("default")  # what Dask and its servers warn of is theirs
def test_stores(tmp_path: Path) -> None:
    """Here, and by a worker of Dask that has the device."""
    given = (oral(), {"cl": CL}, DOSE, TIMES)
    tl.simulate_to(tmp_path / "here.parquet", *given, chunk=300)
    tl.simulate_to(tmp_path / "there.parquet", *given, chunk=300, device="cuda")
    assert contents(tmp_path / "there.parquet") == contents(tmp_path / "here.parquet")
    distributed = pytest.importorskip("distributed", reason="NOT RUN: needs Dask")
    with (
        distributed.LocalCluster(n_workers=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        path = tmp_path / "dask.parquet"
        tl.simulate_to(path, *given, chunk=300, executor=client, device="cuda")
    assert contents(path) == contents(tmp_path / "here.parquet")


def test_gradients_of_arrays() -> None:
    there, weights = made_of("cupy", CL), made_of("cupy", np.ones((CL.size, TIMES.size, 1)))
    value, found = tl.value_and_grad(weights, oral(), {"cl": there}, DOSE, TIMES)
    known, here = tl.value_and_grad(1.0, oral(), {"cl": CL}, DOSE, TIMES)
    assert type(found.parameters["cl"]).__module__.partition(".")[0] == "cupy"
    np.testing.assert_array_equal(found.cpu().parameters["cl"], here.parameters["cl"])
    np.testing.assert_array_equal(found.doses[0].amount, here.doses[0].amount)
    np.testing.assert_allclose(value, known, rtol=1e-12)
    moves = made_of("cupy", np.linspace(0.0, 1.0, CL.size))
    _, derivative = tl.jvp(oral(), {"cl": there}, DOSE, TIMES, {"cl": moves})
    _, expected = tl.jvp(oral(), {"cl": CL}, DOSE, TIMES, {"cl": moves.get()})
    np.testing.assert_array_equal(derivative.get(), expected)


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_of_a_layer(compiled: bool) -> None:
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")
    from teorell.nn import Simulator

    def of(cl: Any) -> tuple[Any, Any]:
        layer = Simulator(oral(), DOSE, TIMES, learnable={"v": 20.0}).to(cl.device)
        run = torch.compile(layer, fullgraph=True, backend="aot_eager") if compiled else layer
        values = run(cl=cl)
        assert values.device == cl.device
        values.square().sum().backward()
        return cl.grad.cpu(), layer.learnable_v.grad.cpu()

    there = of(made_of("torch", CL).requires_grad_())
    here = of(torch.tensor(CL, requires_grad=True))
    for a, b in zip(there, here, strict=True):  # torch adds up on its own
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0.0)


def test_transforms() -> None:
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")

    def of(cl: Any) -> list[Any]:
        def values(cl: Any) -> Any:
            return tl.simulate(oral(), {"cl": cl}, DOSE, TIMES).values

        one = torch.func.jvp(values, (cl,), (torch.ones_like(cl),))[1]
        several = torch.func.vmap(values)(torch.stack([cl, 2.0 * cl]))
        return [one.cpu(), several.cpu()]

    for a, b in zip(of(made_of("torch", CL)), of(torch.tensor(CL)), strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=0.0)


def test_gradients_of_penalties() -> None:
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")
    c = tl.ConstraintSet("clearance")
    c.at_most("clearance", c.quantity("cl") ** 2, 9.0)
    there = made_of("torch", CL).requires_grad_()
    c.penalty({"cl": there}).sum().backward()
    here = torch.tensor(CL, requires_grad=True)
    c.penalty({"cl": here}).sum().backward()
    torch.testing.assert_close(there.grad.cpu(), here.grad, rtol=0, atol=0)


def test_gradients_of_projections() -> None:
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")
    c = tl.ConstraintSet("sum")
    a, b = c.quantities("a", "b")
    c.equal("product", a * b, 20.0)
    c.at_most("bound", a, 5.0)

    def slopes(numbers: Any) -> Any:
        x = numbers.requires_grad_()
        found = c.project({"a": x, "b": 4.0}).values
        (2.0 * found["a"] + found["b"] ** 2).sum().backward()
        return x.grad.cpu()

    there, here = slopes(made_of("torch", CL)), slopes(torch.tensor(CL))
    assert here.abs().max() > 0.0
    torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-9)
