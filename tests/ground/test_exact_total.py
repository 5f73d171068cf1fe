"""Sums against Python's fsum of everything at once."""

import math

import numpy as np
import pytest
from teorell.exact_total import BLOCK, ExactTotal, total


@pytest.mark.parametrize("seed", range(4))
def test_sums_in_parts_are_exactly_rounded(seed):
    draws = np.random.default_rng(seed)
    numbers = draws.normal(size=3 * BLOCK + 7) * 2.0 ** draws.integers(-900, 900, 3 * BLOCK + 7)
    whole = ExactTotal()
    for part in np.array_split(draws.permutation(numbers), 37):
        whole.add(part)
    assert whole.value == total(numbers) == math.fsum(numbers)
    assert total(np.array([])) == 0.0


@pytest.mark.parametrize("last", [np.inf, -np.inf, np.nan])
def test_sums_of_what_is_infinite(last):
    numbers = np.concatenate([np.ones(2 * BLOCK), [np.inf], np.ones(2 * BLOCK), [last]])
    with np.errstate(invalid="ignore"):
        np.testing.assert_equal(total(numbers), float(np.sum(numbers)))
