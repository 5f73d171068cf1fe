"""Which code runs a model on a device: the interpreter or kernels of the model's own text, compiled
as host C++ and launched by a fake driver. Both give the CPU's bits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import teorell as tl
from device_case import TIMES, N, driver, here, model, people
from device_kernels import OnHost
from fake_driver import FakeDriver
from folders import child_environment
from teorell.device import apart, compiler, executor, kernel_cache
from teorell.engine.executors import instruction_sets
from teorell.lowering import lower
from teorell.memo import Memo

__all__ = ["driver"]  # a fixture

needs_nvrtc = pytest.mark.skipif(
    compiler.compiler_missing() is not None,
    reason="NOT RUN: needs cuda-bindings and nvidia-cuda-nvrtc",
)
SCALE = "template <class T> __global__ void scale(T* x) { x[threadIdx.x] = x[threadIdx.x] / 3; }"


@pytest.fixture(autouse=True)
def no_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_uses", Memo(8))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> OnHost:
    return OnHost(tmp_path_factory.mktemp("emitted"))


@pytest.fixture
def on_host(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, compiled: OnHost) -> OnHost:
    """Kernels of models are compiled by the compiler of the host."""
    monkeypatch.setattr(executor, "kernels_of", compiled.on(driver.kernels))
    return compiled


def chain() -> tl.Model:
    """More states than a step holds in registers."""
    made = tl.Model("chain")
    ka, vmax, v = made.parameters(ka=1.2, vmax=9.0, v=20.0)
    boxes = made.states(*(f"x{k}" for k in range(42)))
    for k, (box, after) in enumerate(pairwise(boxes)):
        made.flow(box, after, ka * (1.0 + k / 45.0) * box)
    made.flow(boxes[-1], None, vmax * boxes[-1] / (v + boxes[-1]))
    made.output("cp", boxes[5] / v)
    return made


def problem(made: tl.Model) -> tuple[Any, ...]:
    dose = tl.Regimen.bolus(100, into=made.state_names[0], every=12, doses=3)
    return made, people(), dose, TIMES, ["cp"]


def outcome(found: Any) -> list[np.ndarray]:
    return [found.status, found.steps, found.rejected, found.failure_time]


def solved(given: tuple[Any, ...], **options: Any) -> list[Any]:
    made = tl.simulate(*given[:4], outputs=given[4], reductions=[tl.Cmax("cp")], **options)
    return [made.values, *made.reductions.values(), *outcome(made)]


def differentiated(given: tuple[Any, ...], **options: Any) -> list[Any]:
    weights = np.random.default_rng(6).normal(size=(N, TIMES.size, 1))
    _, found = tl.value_and_grad(weights, *given, **options)
    return [*found.parameters.values(), *outcome(found)]


def pushed(given: tuple[Any, ...], **options: Any) -> list[Any]:
    found = tl.jacobian(*given, wrt=["ka", "vmax"], **options)
    return [found.values, found.derivatives, *outcome(found)]


def same(there: list[Any], cpu: list[Any]) -> None:
    """Bit by bit."""
    if not instruction_sets()[0]["fma"]:
        pytest.skip("NOT RUN: this processor has no fused multiply-add")
    for mine, theirs in zip(there, cpu, strict=True):
        np.testing.assert_array_equal(here(mine), theirs)


@pytest.mark.parametrize(
    ("run", "made"),
    [(solved, model), (differentiated, chain), (pushed, model)],
)
def test_kernels_of_a_model_give_the_bits_of_the_cpu(
    driver: FakeDriver, on_host: OnHost, run: Any, made: Any
) -> None:
    given = problem(made())
    cpu = run(given)
    for _ in range(2):  # the second time they are there
        same(run(given, device="cuda", executor="machine_code"), cpu)
    assert len(on_host.asked) == 1
    assert {call[1] for call in driver.named("launch")} >= set(driver.kernels.of_models)
    assert cpu[-4][N // 2] != 0  # one patient cannot be solved


class Elsewhere:
    """In place of Apart: done when it is told to, or never."""

    begun: ClassVar[list[Elsewhere]] = []
    ready: Any = None  # what compiles then
    failing: str | None = None

    def __init__(self, *asked: Any) -> None:
        self.asked = asked
        self.begun.append(self)

    def made(self) -> Any:
        if self.failing:
            raise RuntimeError(self.failing)
        return self.ready and self.ready(*self.asked)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> type[Elsewhere]:
    monkeypatch.setattr(executor, "Apart", Elsewhere)
    monkeypatch.setattr(Elsewhere, "begun", [])
    monkeypatch.setattr(Elsewhere, "ready", None)
    return Elsewhere


def ran(driver: FakeDriver, there: list[Any], cpu: list[Any]) -> bool:
    """Was the last launch that of a model's own kernel? The bits are the same in any case."""
    same(there, cpu)
    return driver.named("launch")[-1][1] in driver.kernels.of_models


def test_none_interprets_until_kernels_of_the_model_are_there(
    driver: FakeDriver, on_host: OnHost, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem(model())
    cpu = solved(given)
    attempts = float((cpu[-3] + cpu[-2]).sum())

    def there(**options: Any) -> list[Any]:
        return solved(given, device="cuda", **options)

    assert not ran(driver, there(), cpu)
    assert not elsewhere.begun  # so few patients are not worth it
    # the second call counts what the first has done
    states = lower(given[0]).layout.n
    monkeypatch.setattr(executor, "WORTH", executor.SAVED * states * 8 * 2.5 * attempts)
    assert not ran(driver, there(), cpu)
    assert not elsewhere.begun
    assert not ran(driver, there(executor="interpreter"), cpu)
    for _ in range(2):  # begun, and not ready
        assert not ran(driver, there(), cpu)
        assert len(elsewhere.begun) == 1
    monkeypatch.setattr(elsewhere, "ready", on_host)
    assert ran(driver, there(), cpu)
    assert ran(driver, there(), cpu)
    assert not ran(driver, there(executor="interpreter"), cpu)
    assert len(elsewhere.begun) == 1


def test_what_is_on_disk_is_taken_at_once(
    driver: FakeDriver, on_host: OnHost, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem(model())
    monkeypatch.setattr(executor, "WORTH", 1.0)
    monkeypatch.setattr(executor, "kernels_there", on_host)
    assert ran(driver, solved(given, device="cuda"), solved(given))
    assert not elsewhere.begun


def test_a_failure_is_told_once_and_the_model_interpreted(
    driver: FakeDriver, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem(model())
    cpu = solved(given)
    monkeypatch.setattr(executor, "WORTH", 1.0)
    monkeypatch.setattr(elsewhere, "failing", "no room for it")
    with pytest.warns(RuntimeWarning, match=r"\(no room for it\)\. They are interpreted") as told:
        assert not ran(driver, solved(given, device="cuda"), cpu)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not ran(driver, solved(given, device="cuda"), cpu)
    assert len(elsewhere.begun) == 1


def waited(begun: apart.Apart) -> compiler.Compiled:
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        made = begun.made()
        if made is not None:
            return made
        time.sleep(0.05)
    raise AssertionError("it takes too long")


@needs_nvrtc
@pytest.mark.parametrize("cached", [True, False])
def test_another_process_compiles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cached: bool
) -> None:
    folder = tmp_path / "cache"
    if not cached:
        folder.write_text("a file where the folder should be")
    monkeypatch.setenv("TEORELL_CACHE", str(folder))
    monkeypatch.setattr(kernel_cache, "_kept", Memo(4))
    asked = (SCALE, ["scale<double>"], "sm_90")
    assert kernel_cache.kernels_there(*asked) is None
    made = waited(apart.Apart(*asked))
    assert made.code[:4] == b"\x7fELF"
    assert made.usage["scale<double>"].spill_stores == 0
    assert kernel_cache.kernels_there(*asked) is made
    monkeypatch.setattr(kernel_cache, "_kept", Memo(4))  # as another process has
    assert (kernel_cache.kernels_there(*asked) is not None) == cached


@needs_nvrtc
def test_what_another_process_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"do not compile for sm_90 .*expression must have"):
        waited(apart.Apart(SCALE, ["scale<int*>"], "sm_90"))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(OSError, match="nowhere"):
        apart.Apart(SCALE, ["scale<int>"], "sm_90")


EXIT = """
from teorell.device import apart, executor
begun = apart.Apart(executor.TEXT, [executor.kernel_of("rodas5p")], "sm_90")
assert begun.made() is None
print(begun._process.pid)
"""


@needs_nvrtc
def test_the_end_of_a_process_waits_for_no_compilation(tmp_path: Path) -> None:
    environment = child_environment() | {"TEORELL_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", EXIT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
    assert not [*tmp_path.iterdir()]
