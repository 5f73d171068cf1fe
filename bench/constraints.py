"""Penalties and projections of the ready set of constraints: against eager torch in double
precision, and in seconds.

python bench/constraints.py --patients 100000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from teorell.constraints import Constraint, human_adult
from teorell.doctor import report
from teorell.model.expression import Expression, topological
from teorell.physiology.reference_adults import (
    BODY_WEIGHT,
    CARDIAC_OUTPUT,
    HEIGHT,
    MASS,
    REFERENCE,
)
from teorell.physiology.vocabulary import FLOWS, MASSES, flow_to, mass_of
from torch import Tensor

OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg,
    "max": torch.maximum, "min": torch.minimum, "sqrt": torch.sqrt, "abs": torch.abs,
    "pow": torch.pow, "lt": torch.lt, "le": torch.le, "where": torch.where,
}  # fmt: skip


def in_torch(constraints: tuple[Constraint, ...]) -> Callable[[dict[str, Tensor]], Tensor]:
    """The total penalty as torch computes it: each operation once, as someone would write it by
    hand.
    """
    expressions = [each.penalty for each in constraints]
    order = topological(expressions)

    def penalty(values: dict[str, Tensor]) -> Tensor:
        known: dict[Expression, Tensor] = {}
        for node in order:
            if node.op == "constant":
                known[node] = torch.tensor(node.value, dtype=torch.float64)
            elif node.op == "parameter":
                known[node] = values[node.name]
            else:
                known[node] = OPERATIONS[node.op](*(known[arg] for arg in node.args))
        return sum((known[each] for each in expressions), torch.zeros((), dtype=torch.float64))

    return penalty


def adults(n: int, spread: float) -> dict[str, np.ndarray]:
    """Reference men and women of ICRP 89, each number with an independent log-normal error."""
    rng = np.random.default_rng(1)
    female = (rng.uniform(size=n) < 0.5).astype(float)
    sex = female.astype(int)
    output = np.array(CARDIAC_OUTPUT)[sex]
    given = {
        "body_weight": np.array(BODY_WEIGHT)[sex], "height": np.array(HEIGHT)[sex],
        "haematocrit": np.array([0.45, 0.38])[sex], "gfr": np.full(n, 100.0),
        "cardiac_output": output,
    }  # fmt: skip
    given |= {mass_of(part): np.array(MASS[part])[sex] for part in MASSES}
    given |= {flow_to(organ): np.array(REFERENCE[organ].flow)[sex] * output for organ in FLOWS}
    return {"female": female} | {
        name: each * np.exp(spread * rng.standard_normal(n)) for name, each in given.items()
    }


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(report())
    c, n = human_adult(), options.patients
    given = adults(n, 0.05)
    tensors = {
        name: torch.tensor(values, requires_grad=name != "female") for name, values in given.items()
    }
    penalty = in_torch(c.constraints)

    def eager() -> Tensor:
        for tensor in tensors.values():
            tensor.grad = None
        values = penalty(tensors)
        values.sum().backward()
        return values

    ours, slopes = c.penalty(given, gradient=True)
    assert np.allclose(eager().detach().numpy(), ours, rtol=1e-10, atol=1e-14)
    assert all(
        np.allclose(tensors[k].grad, slopes[k], rtol=1e-9, atol=1e-12)
        for k in slopes
        if k != "female"
    )  # type: ignore[arg-type]
    rounds = [
        (timed(lambda: c.penalty(given, gradient=True)), timed(eager))
        for _ in range(options.rounds)
    ]
    kernel, torches = np.median(rounds, axis=0)
    ratio = np.median([b / a for a, b in rounds])
    print(
        f"{c!r}\nmedians of {options.rounds}, {n} patients, torch {torch.__version__} on "
        f"{torch.get_num_threads()} threads"
    )
    print(
        f"  penalty, value and gradient: {1e3 * kernel:.1f} ms; eager torch {1e3 * torches:.0f} "
        f"ms, {ratio:.0f} times"
    )
    for spread in (0.02, 0.05, 0.1):
        given = adults(n, spread)
        before = c.violations(given)
        c.project(given)
        seconds = np.median([timed(lambda g=given: c.project(g)) for _ in range(3)])
        found = c.project(given)
        worst = max(values.max() for values in c.residuals(found.values).values())
        active = np.mean(sum(each.astype(int) for each in found.active.values()))
        print(
            f"  projection, errors of {spread:.0%}: {seconds:.2f} s; {before.rate:.1%} violate "
            f"something, {active:.1f} active constraints, median of {np.median(found.steps):.0f} "
            f"steps; not found {int((~found.success).sum())}, worst residual {worst:.1e}"
        )


if __name__ == "__main__":
    main()
