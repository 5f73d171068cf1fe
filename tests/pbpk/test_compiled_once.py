"""What is compiled, and how often: a step once for all drugs, bodies, methods and outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import teorell as tl
from teorell import pbpk
from teorell.engine import step_code
from teorell.engine.compile import compiled
from teorell.lowering import lower
from teorell.memo import Memo

ORAL = tl.Regimen.bolus(10.0, into="stomach_lumen")
TIMES = [1.0, 8.0]


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counter[str]:
    """How many modules of each kind LLVM compiles, from empty caches on."""
    pytest.importorskip("llvmlite")
    count: Counter[str] = Counter()

    def counted(text: Callable[[], str], key: tuple[str, ...], *rest: Any) -> Any:
        def written() -> str:
            count[key[0]] += 1
            return text()

        return compiled(written, key, *rest)

    monkeypatch.setenv("TEORELL_CACHE", str(tmp_path))
    monkeypatch.setattr(step_code, "_kept", Memo(8))
    monkeypatch.setattr(step_code, "compiled", counted)
    return count


def simulated(drug: pbpk.Drug, body: object = None, **options: Any) -> np.ndarray[Any, Any]:
    outputs = options.pop("outputs", ["cp"])
    executor = options.pop("executor", "machine_code")
    model = pbpk.whole_body(drug, **options)
    solution = tl.simulate(model, body, ORAL, TIMES, outputs=outputs, executor=executor)
    solution.raise_for_status()
    return solution.values


def test_one_compiled_step_for_drugs_bodies_methods_and_outputs(
    compilations: Counter[str],
) -> None:
    """Each with the bits of the interpreter."""
    metoprolol, warfarin = pbpk.drug("metoprolol"), pbpk.drug("warfarin")
    child, rat = tl.Body.human(age=5.0), tl.Body.of("rat")
    of_rat = pbpk.read_composition(species="rat")
    calls: list[tuple[pbpk.Drug, object, dict[str, Any]]] = [
        (metoprolol, None, {}),
        (warfarin, child, {}),
        (pbpk.chemical("caffeine", "rat"), rat, {"composition": of_rat}),
        *((metoprolol, None, {"partition": method}) for method in pbpk.METHODS),
        (metoprolol, None, {"outputs": ["cp", "c_brain"]}),
        (warfarin, None, {"outputs": ["auc", "urine", "c_liver"], "partition": "schmitt"}),
    ]
    for drug, body, options in calls:
        found = simulated(drug, body, **options)
        np.testing.assert_array_equal(
            found, simulated(drug, body, executor="interpreter", **options)
        )
    assert compilations["step"] == 1
    # `cp`, two outputs, and three: whatever the drug, the body or the method
    assert compilations["outputs"] == 3
    simulated(metoprolol, absorption="transit")  # another structure
    assert compilations["step"] == 2


def test_a_step_is_shared_with_its_derivatives(compilations: Counter[str]) -> None:
    drug = pbpk.drug("metoprolol")
    before = simulated(drug)
    value, gradient = tl.value_and_grad(
        np.ones((1, 2, 1)), pbpk.whole_body(drug), None, ORAL, TIMES, ["cp"], wrt=["fu"]
    )
    assert value == pytest.approx(before.sum(), rel=1e-14)
    assert np.isfinite(gradient.parameters["fu"]).all()
    assert compilations == {"step": 1, "outputs": 1, "derivatives": 1}


def test_a_step_that_differs_is_not_shared() -> None:
    """A constant of a step, a state's kind, a term: each has machine code of its own."""

    def digest(
        half: float = 2.0, scale: float = 1.0, signed: bool = False, more: bool = False
    ) -> str:
        model = tl.Model("decay")
        k = model.parameter("k", 1.0)
        x = model.state("x", initial=1.0, signed=signed)
        model.rate(x, -scale * k * x / (x + half) - (k * x if more else 0.0))
        return lower(model).step_digest

    assert len({digest(), digest(half=3.0), digest(signed=True), digest(more=True)}) == 4
    assert digest() == digest(scale=5.0)  # `prepare` multiplies
