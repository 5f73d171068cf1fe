"""A small neural network as expressions, its weights one vector parameter: `tl.mlp`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from teorell.arrays import is_whole
from teorell.errors import ModelError
from teorell.model.expression import Expression, Operand, as_expression, tanh
from teorell.model.model import Model

__all__ = ["mlp"]

MOST = 65_536  # weights: each is a parameter, and each product an instruction


def mlp(
    model: Model,
    name: str,
    inputs: Sequence[Operand],
    hidden: Sequence[int] = (32, 32),
    outputs: int = 1,
    activation: Callable[[Expression], Expression] = tanh,
    seed: int = 0,
) -> tuple[Expression, ...]:
    """The outputs of a multilayer perceptron of the inputs, for a rate or any other equation.

    name: of the vector parameter with all weights, which is declared here: layer after layer the
        matrix, row by row (one a unit), then the biases. That is the order of
        torch.nn.utils.parameters_to_vector for Linear layers with activations between. Its default
        is drawn as torch draws it, uniform within 1 / sqrt(inputs of the layer), from `seed`.
    inputs: expressions or numbers, best of about unit size. hidden: units of the hidden layers.
    activation: of each hidden unit, any function of expressions; the outputs have none.
    Raises ModelError for sizes that are no positive whole numbers, and for a name that is taken.
    """
    sizes = [len(inputs), *hidden, outputs]
    if any(not is_whole(n) or n < 1 for n in sizes):
        raise ModelError(
            f"the network {name!r} has layers of {sizes} units (each has one at least). Give whole "
            "numbers of 1 or more."
        )
    pairs = list(itertools.pairwise(sizes))
    count = sum((into + 1) * out for into, out in pairs)
    if count > MOST:
        raise ModelError(
            f"the network {name!r} has {count:,} weights ({MOST:,} are the most: each becomes an "
            "instruction). Give smaller layers."
        )
    draws = np.random.default_rng(seed)
    start = [draws.uniform(-1.0, 1.0, (into + 1) * out) / np.sqrt(into) for into, out in pairs]
    weights = iter(model.parameter_vector(name, np.concatenate(start)))
    values = [as_expression(one) for one in inputs]
    for layer, (_, out) in enumerate(pairs):
        rows = [[next(weights) for _ in values] for _ in range(out)]
        sums: list[Expression] = []
        for row in rows:
            total = next(weights)
            for weight, value in zip(row, values, strict=True):
                total = total + weight * value
            sums.append(total)
        values = sums if layer == len(pairs) - 1 else [activation(each) for each in sums]
    return tuple(values)
