"""Constraints of tensors on a device that a fake driver plays: values, gradients, transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays_there import Interface, tensors_lie_there
from device_case import driver
from fake_driver import FakeDriver
from judged_adults import N, adults, people, same_projection
from teorell.engine.executors import instruction_sets
from teorell.errors import InputError

__all__ = ["driver"]  # a fixture

pytestmark = [
    pytest.mark.skipif(
        not instruction_sets()[0]["fma"],
        reason="NOT RUN: this processor has no fused multiply-add",
    ),
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]


def tensors() -> dict[str, Any]:
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")
    return {name: torch.from_numpy(each) for name, each in people().items()}


def test_penalties_of_tensors_have_gradients(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def derivatives(dtype: Any) -> list[Any]:
        given = {n: x.to(dtype).requires_grad_() for n, x in tensors().items()}
        penalty = adults().penalty({**given, "height": 1.7})
        assert penalty.dtype == dtype
        slopes = torch.autograd.grad(penalty.sum(), [given["weight"], given["fat"]])
        fat = given["fat"].detach()

        def of_fat(x: Any) -> Any:
            rest = {n: each.detach() for n, each in given.items()}
            return adults().penalty({**rest, "fat": x})

        _, forward = torch.func.jvp(of_fat, (fat,), (torch.ones_like(fat),))
        mapped = torch.func.vmap(of_fat)(torch.stack([fat, fat + 1.0]))
        with pytest.raises(NotImplementedError, match="second derivatives"):
            torch.func.hessian(lambda x: of_fat(x).sum())(fat)
        return [penalty.detach(), *slopes, forward, mapped]

    for dtype in (torch.float64, torch.float32):
        here = derivatives(dtype)
        with monkeypatch.context() as patch:
            tensors_lie_there(patch, driver)
            del driver.calls[:]
            there = derivatives(dtype)
            assert driver.named("launch")
        for a, b in zip(there, here, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_projections_of_tensors(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    c = adults()
    c.quantity("age")
    given = {**tensors(), "age": torch.arange(float(N), dtype=torch.float64)}
    scale = {"fat": torch.full((N,), 2.0, dtype=torch.float64), "rest": 3.0}
    here = c.project(given, scale=scale)
    flags = adults().violations(tensors())
    tensors_lie_there(monkeypatch, driver)
    there = c.project(given, scale=scale)
    assert driver.named("launch")
    assert isinstance(there.values["fat"], torch.Tensor)
    same_projection(there, here)
    found = adults().violations(tensors())
    assert isinstance(found.residuals["fat"], torch.Tensor)
    np.testing.assert_array_equal(found.any, flags.any)
    mapped = torch.func.vmap(lambda x: c.project({**given, "fat": x}).values["weight"])
    stacked = mapped(torch.stack([given["fat"], given["fat"] + 1.0]))
    expected = c.project({**given, "fat": given["fat"] + 1.0}).values["weight"]
    torch.testing.assert_close(stacked[1], expected, rtol=0, atol=0)
    with pytest.raises(InputError, match=r"tensors of float32 on cuda:0 .* Give \.double\(\)"):
        c.project({name: each.float() for name, each in given.items()})
    with pytest.raises(InputError, match="is an array of float32 on a device"):
        adults().violations({name: each.float() for name, each in tensors().items()})


@pytest.mark.parametrize("hold", [(), "weight"])
def test_gradients_of_projections(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, hold: Any
) -> None:
    """Those of the CPU, but for the order of sums; of one who is not found they are 0."""
    import torch

    c = adults()
    c.at_most("curved", c.quantity("extra") ** 2 * 0.001, 1.0)
    given = {**tensors(), "extra": torch.linspace(-40.0, 40.0, N, dtype=torch.float64)}
    scale = torch.linspace(0.5, 2.0, N, dtype=torch.float64)

    def derivatives() -> list[Any]:
        inputs = {name: x.clone().requires_grad_() for name, x in given.items()}
        size, shared = scale.clone().requires_grad_(), torch.tensor(3.0, dtype=torch.float64)
        shared.requires_grad_()
        found = c.project(inputs, scale={"fat": size, "rest": shared}, hold=hold)
        weights = torch.linspace(1.0, 2.0, N, dtype=torch.float64)
        total = sum((k + 1) * (weights * x).nansum() for k, x in enumerate(found.values.values()))
        slopes = torch.autograd.grad(total, [*inputs.values(), size, shared])
        plain = {name: x.detach() for name, x in inputs.items()}

        def moved(fat: Any, size: Any) -> Any:
            all_of_them = {**plain, "fat": fat}
            return c.project(all_of_them, scale={"fat": size}, hold=hold).values["rest"]

        point = (plain["fat"], scale)
        _, forward = torch.func.jvp(moved, point, tuple(torch.ones_like(x) for x in point))
        mapped = torch.func.vmap(torch.func.grad(lambda x: moved(x, scale).nansum()))(
            torch.stack([plain["fat"], plain["fat"] + 1.0])
        )
        assert (found.success.sum() < N) == bool(hold)
        return [*slopes, forward, mapped]

    here = derivatives()
    tensors_lie_there(monkeypatch, driver)
    del driver.calls[:]
    there = derivatives()
    assert driver.named("launch")
    for a, b in zip(there, here, strict=True):
        assert a.abs().max() > 0.0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_tensors_of_the_cpu_do_not_move(driver: FakeDriver) -> None:
    given = tensors()
    for call in (adults().penalty, adults().violations, adults().project):
        with pytest.raises(InputError, match=r"'weight' is a tensor on the CPU, and cuda:0 comp"):
            call(given, device="cuda")
        with pytest.raises(InputError, match=r"is a tensor on the CPU, and cuda:0 computes"):
            call({**given, "fat": Interface(driver, people()["fat"])})
