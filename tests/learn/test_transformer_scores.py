"""Scores of forecasts by hand: horizons, bands, quantile scores; sums drawn again."""

from __future__ import annotations

import numpy as np
import pytest
from teorell import InputError
from teorell.learn.metrics import bootstrap, resampled
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.scores import ahead, crps, quantile_scores, within
from teorell.learn.transformer.studies import Studies, draw


def three() -> Studies:
    """Last samples at 5 h, at 2 h, and none at all; asked for at 1, 5, 8, 29 and 100 h."""
    given = draw(
        1, 0, 1, structures=("iv-1",), kinds=("single",), studies=3, patients=1, queries=5,
        samples=2,
    )  # fmt: skip
    none = np.full((3, 6), np.nan)
    time, sample = none.copy(), none.copy()
    time[0, :2], time[1, 0] = (1.0, 5.0), 2.0
    sample[0, :2], sample[1, 0] = 0.0, 0.0
    queries = np.tile([1.0, 5.0, 8.0, 29.0, 100.0], (3, 1))
    return given._replace(sample_time=time, sample=sample, query_time=queries)


def test_hours_after_the_last_sample() -> None:
    """A query at a bound is in the horizon that ends there; at the sample itself it is in none."""
    assert ahead(three()).tolist() == [[-1, -1, 0, 1, 3], [-1, 0, 0, 2, 3], [-1] * 5]


def test_bands_and_scores_by_hand() -> None:
    quantiles = np.tile(np.arange(7.0), (4, 1))  # 0 at 5 %, 3 at 50 %, 6 at 95 %
    truth = np.array([0.0, 1.5, 3.0, 6.5])
    assert within(quantiles, truth, 0).tolist() == [1, 1, 1, 0]
    assert within(quantiles, truth, 2).tolist() == [0, 0, 1, 0]
    levels = np.array(LEVELS)
    loss = np.where(truth[:, None] > quantiles, levels, levels - 1) * (truth[:, None] - quantiles)
    area = ((loss[:, 1:] + loss[:, :-1]) / 2 * np.diff(levels)).sum(axis=1)
    np.testing.assert_allclose(quantile_scores(quantiles, truth), 2 * area)
    assert crps(quantiles, truth) == pytest.approx(2 * area.mean())


def test_sums_drawn_again_are_a_bootstrap() -> None:
    """The interval of a ratio, by sums and by rows, within the noise of both."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 3)
    x = np.exp(rng.standard_normal(60)[groups] + 0.3 * rng.standard_normal((2, 180)))
    sums = resampled(x.T, groups, draws=4000)
    assert sums.shape == (4001, 2)
    np.testing.assert_allclose(sums[0], x.sum(axis=1))
    ratio = sums[:, 0] / sums[:, 1]
    rows = bootstrap(lambda i: x[0, i].sum() / x[1, i].sum(), 180, groups=groups, draws=4000)
    spread = ratio[1:].std()
    np.testing.assert_allclose(np.quantile(ratio[1:], [0.025, 0.975]), rows, atol=0.2 * spread)


@pytest.mark.parametrize(
    ("columns", "groups"), [(np.ones(3), np.ones(3)), (np.ones((3, 1)), np.ones(2))]
)
def test_sums_need_a_group_for_each_row(columns: np.ndarray, groups: np.ndarray) -> None:
    with pytest.raises(InputError, match="a group for each row"):
        resampled(columns, groups)


def test_sums_of_what_is_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        resampled(np.array([[np.nan]]), np.zeros(1))
