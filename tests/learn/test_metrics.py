"""Metrics against cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from teorell import InputError
from teorell.learn.metrics import (
    bootstrap,
    calibration,
    coverage,
    fold_errors,
    gmfe,
    paired_ratio,
    rmse,
    within_fold,
)


def test_rmse() -> None:
    assert rmse([1.0, 2.0, 3.0], [1.0, 4.0, 7.0]) == pytest.approx((20 / 3) ** 0.5, rel=1e-15)
    assert rmse([[1.0], [2.0]], [[1.0], [2.0]]) == 0.0


def test_fold_errors() -> None:
    # ten times too high, ten times too low, right: 10 ** (2 / 3)
    predicted, observed = [10.0, 0.1, 3.0], [1.0, 1.0, 3.0]
    assert fold_errors(predicted, observed) == pytest.approx([1.0, 1.0, 0.0])
    assert gmfe(predicted, observed) == pytest.approx(10 ** (2 / 3))
    assert gmfe([5.0], [5.0]) == 1.0
    assert within_fold([2.0, 0.5, 2.1, 1.0], [1.0] * 4) == 0.75
    assert within_fold([2.0, 0.5, 2.1, 1.0], [1.0] * 4, 3.0) == 1.0
    # 4-fold against 2-fold everywhere: twice as far
    assert paired_ratio([4.0, 0.25], [2.0, 2.0], [1.0, 1.0]) == pytest.approx(2.0)


def test_coverage() -> None:
    assert coverage([0, 0, 0, 0], [1, 1, 1, 1], [-0.1, 0.0, 1.0, 1.1]) == 0.5


def test_calibration() -> None:
    quantiles = np.tile([1.0, 2.0, 3.0], (4, 1))
    observed = [0.5, 1.5, 2.0, 9.0]
    assert [*calibration(quantiles, [0.25, 0.5, 0.75], observed)] == [0.25, 0.75, 0.75]


def test_bootstrap() -> None:
    x = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap(lambda i: float(x[i].mean()), x.size)
    half = 1.96 * x.std() / 20  # of the mean, by the central limit theorem
    assert low == pytest.approx(x.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(x.mean() + half, abs=0.15 * half)
    # groups of equal rows: as many independent ones as there are groups
    doubled = np.repeat(x, 2)
    groups = np.repeat(np.arange(x.size), 2)
    wide = bootstrap(lambda i: float(doubled[i].mean()), doubled.size, groups=groups)
    assert wide == pytest.approx((low, high), abs=1e-12)
    assert bootstrap(lambda i: float(x[i].mean()), x.size) == (low, high)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rmse([1.0], [1.0, 2.0]), "they must agree"),
        (lambda: rmse([], []), "no observations"),
        (lambda: rmse([np.nan], [1.0]), "not finite"),
        (lambda: gmfe([0.0], [1.0]), "no logarithm"),
        (lambda: coverage([2.0], [1.0], [1.5]), "above its upper"),
        (lambda: calibration([[1.0]], [0.1, 0.2], [1.0]), "they must be"),
    ],
)
def test_what_is_refused(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]
