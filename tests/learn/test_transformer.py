"""The learner and `forecast`: shapes, bits, one batch by heart, checkpoints, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from teorell import InputError
from teorell.learn.configuration import Training
from teorell.learn.trainer import SHIPPED, WEIGHTS, load, train
from teorell.learn.transformer import forecast
from teorell.learn.transformer.calibration import held
from teorell.learn.transformer.figures import case, forecasts, held_out, table
from teorell.learn.transformer.floors import floor, maximum
from teorell.learn.transformer.inference import answers
from teorell.learn.transformer.learner import Transformer
from teorell.learn.transformer.network import LEVELS, pinball
from teorell.learn.transformer.scores import crps
from teorell.learn.transformer.studies import HELD_OUT, TRAINING
from teorell.learn.transformer.tokens import FEATURES, Tokens, companions, tokens

TINY = Transformer.configurations["tiny"]
DOSES = {"time": [0, 12, 24], "amount": [100, 100, 100]}
SAMPLES = {"time": [2, 10], "concentration": [1.8, 0.9]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transformer")
    train(Transformer(replace(TINY, training=replace(TINY.training, steps=6))), folder)
    return folder / WEIGHTS


def one() -> Transformer:
    return Transformer(TINY)


def test_shapes() -> None:
    learner = one()
    batch = learner.batch(0)
    given: Tokens = batch["tokens"]
    n = TINY.studies * (TINY.groups + len(TINY.bodies)) * TINY.patients
    assert given.dose.shape == (n, 12, FEATURES["dose"])
    assert given.sample.shape == (n, 6, FEATURES["sample"])
    quantiles, mean, posterior = learner.network()(given)
    assert quantiles.shape == (n, TINY.queries, len(LEVELS))
    assert (quantiles.diff(dim=-1) > 0).all()
    assert mean.shape == batch["query"].shape == (n, TINY.queries)
    assert posterior.log_density(batch["standard"][None]).shape == (1, n)
    for part in (given.dose, given.sample, given.query, given.covariates):
        assert torch.isfinite(part).all()


def test_the_same_seed_has_the_same_bits(checkpoint: Path) -> None:
    again = train(Transformer(replace(TINY, training=replace(TINY.training, steps=6))))
    _, network = load(checkpoint)
    for name, x in again.network.state_dict().items():
        assert torch.equal(x, network.state_dict()[name]), name


def test_one_batch_is_learned_by_heart() -> None:
    class OneBatch(Transformer):
        def batch(self, step: int) -> Any:
            return super().batch(0)

    training = Training(steps=150, learning_rate=8e-3, warmup=10, check_every=0)
    few = replace(TINY, training=training, studies=1, groups=1, structures=("first-2",), bodies=())
    losses = train(OneBatch(few)).losses
    assert losses[-1] < 0  # minus the log density of a truth known by heart has no bound


def test_what_is_padded_or_of_others_has_no_effect() -> None:
    """A patient's answer depends on its own tokens and its companions', in any order."""
    learner = one()
    given = learner.studies(0, HELD_OUT)
    network = learner.network().eval()
    context = companions(given.study, np.random.default_rng(0), 3, 3)
    whole = network(tokens(given, context))[0]
    turned = network(tokens(given, context[:, ::-1].copy()))[0]
    torch.testing.assert_close(whole, turned, rtol=1e-5, atol=1e-5)
    alone = network(tokens(given, np.full_like(context, -1)))[0]
    single = network(tokens(given.rows(np.array([3])), np.full((1, 3), -1)))[0]
    torch.testing.assert_close(alone[3:4], single, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole, alone)
    hidden = tokens(given, context)
    hidden = hidden._replace(sample=hidden.sample + 9.0 * ~hidden.has_sample[..., None])
    torch.testing.assert_close(network(hidden)[0], whole, rtol=1e-5, atol=1e-5)


def test_companions_are_of_the_study_and_never_oneself() -> None:
    study = np.repeat(np.arange(5), 4)
    for count in (0, 2, 3):
        found = companions(study, np.random.default_rng(1), 3, count)
        assert ((found >= 0).sum(axis=1) == count).all()
        for row, others in enumerate(found):
            others = others[others >= 0]
            assert row not in others
            assert (study[others] == study[row]).all()
            assert len(set(others)) == count


def test_without_companions_the_prior_is_exact() -> None:
    learner = one()
    given = learner.studies(0, HELD_OUT)
    n = len(given.weight)
    context = companions(given.study, np.random.default_rng(0), 3, 3)
    context[0] = -1
    known = answers(learner.network().eval(), given, context)[2]
    z = torch.randn(7, n, given.logs.shape[1], generator=torch.Generator().manual_seed(0)).double()
    size = known.mask[0].sum()
    normal = -0.5 * ((z[:, 0] ** 2) * known.mask[0]).sum(-1) - 0.5 * size * np.log(2 * np.pi)
    found = known.log_density(z)
    torch.testing.assert_close(found[:, 0], normal)
    assert not torch.allclose(found[:, 1], normal)


def test_scores_by_hand() -> None:
    """Quantiles that are all m: the loss is level * |y - m| above, (1 - level) * |y - m| below."""
    q = torch.zeros(1, 1, len(LEVELS))
    assert pinball(q, torch.tensor([[2.0]])).item() == pytest.approx(2 * np.mean(LEVELS))
    area = (0.95**2 - 0.05**2) / 2  # of the levels, from 0.05 to 0.95
    assert crps(q.numpy(), np.array([[2.0]])) == pytest.approx(2 * 2 * area)
    assert crps(q.numpy(), np.array([[0.0]])) == 0


def test_a_report_is_of_patients_never_trained_on_and_has_the_same_figures_again() -> None:
    """One structure, few patients: every figure is there, finite, inside its interval."""
    torch.manual_seed(0)
    learner = Transformer(replace(TINY, structures=("iv-1",), kinds=("single",), evaluated=8))
    network = learner.network().eval()
    given = held_out(learner, ("single",), 3, 8)
    assert len(given.weight) == 8
    assert (np.isfinite(given.sample).sum(axis=1) == 3).all()
    assert not np.intersect1d(
        given.logs, [learner.studies(k, TRAINING).logs for k in range(3)]
    ).size
    found = case("case", learner, network, ("single",), 3, 0)
    figures = table(found)
    assert figures == table(case("case", learner, network, ("single",), 3, 0))
    by_name = {one.what: one for one in figures}
    for one in figures:
        assert np.isfinite(one.value)
        if one.low is not None and one.high is not None:
            assert one.low <= one.value <= one.high
    assert by_name["case: log-RMSE, direct"].value > by_name["case: log-RMSE, weighed"].value
    for who, (bands, shares) in held(found).items():  # the picture holds what the table says
        for band in (0.5, 0.9):
            share = shares[0, np.argmin(np.abs(np.array(bands) - band))]
            told = by_name[f"case: {who}, in {band:.0%} band"].value
            assert share == pytest.approx(told, abs=1e-12)
        assert (np.diff(shares[0][np.argsort(bands)]) >= 0).all()


def test_the_pictures_of_a_report_hold_what_it_says(tmp_path: Path) -> None:
    learner = Transformer(replace(TINY, structures=("iv-1",), kinds=("single",)))
    learner = learner.evaluating(4)
    torch.manual_seed(0)
    report = learner.report(learner.network().eval())
    by_name = {one.what: one for one in report.figures}
    assert len(by_name) == len(report.figures)
    assert {one.n for one in report.figures if "log-RMSE" in one.what} == {4}
    written = report.write(tmp_path)
    assert {path.stem for path in written} == {"figures", "forecasts", "calibration", "scaling"}
    assert all(path.stat().st_size for path in written)
    by_samples = ["0 samples", "1 sample", "2 samples", "4 samples", "6 samples"]
    companions = ["2 samples", *(f"2 samples, {k} companion{'s' * (k > 1)}" for k in (1, 2, 3))]
    panels = report.pictures["scaling"]().axes
    for axes, cases in zip(panels, (by_samples, companions), strict=True):
        for who, drawn in zip(("weighed", "direct", "population"), axes.containers, strict=True):
            told = [by_name[f"{name}: log-RMSE, {who}"].value for name in cases]
            assert drawn.lines[0].get_ydata() == pytest.approx(told)


def test_the_solver_and_the_prior_decide_not_a_network_that_has_learned_nothing() -> None:
    """Both are posterior means: they differ by the Monte Carlo errors of both."""
    torch.manual_seed(0)
    learner = Transformer(replace(TINY, structures=("iv-1",), kinds=("single",)))
    given = held_out(learner, ("single",), 3, 8)
    weighed = forecasts(learner, learner.network().eval(), given, 0)["weighed"]
    best = floor(given, maximum(given)[1])
    error = np.hypot(weighed["error"], best["error"])
    apart = np.sqrt(np.mean((weighed["mean"] - best["mean"]) ** 2))
    assert apart < 3 * np.sqrt(np.mean(error**2))


def test_what_ships_is_what_the_command_trains() -> None:
    learner, network = load("transformer")
    assert learner.configuration == Transformer.configurations["shipped"]
    assert sum(x.numel() for x in network.parameters()) < 1e6
    assert (SHIPPED / "transformer.safetensors").stat().st_size < 10e6


def test_a_forecast(checkpoint: Path) -> None:
    found = forecast(DOSES, SAMPLES, [26, 36, 48], covariates={"weight": 80}, checkpoint=checkpoint)
    again = forecast(DOSES, SAMPLES, [26, 36, 48], covariates={"weight": 80}, checkpoint=checkpoint)
    assert np.array_equal(found.quantiles, again.quantiles)
    assert found.quantiles.shape == found.direct.shape == (3, len(LEVELS))
    assert (found.lower < found.median).all()
    assert (found.median < found.upper).all()
    assert set(found.parameters) == {"cl", "v", "q", "v2", "ka"}
    assert 0 < found.effective <= found.draws
    assert "effective sample size" in str(found)
    wider = forecast(DOSES, None, [26, 36, 48], checkpoint=checkpoint)
    ratio = np.log(wider.upper / wider.lower) / np.log(found.upper / found.lower)
    assert (ratio > 1).all()  # samples tell something
    helped = forecast(
        DOSES, None, [26.0], companions=[(DOSES, SAMPLES, None)], checkpoint=checkpoint
    )
    assert helped.median[0] > 0


def test_a_forecast_passes_through_exact_samples(checkpoint: Path) -> None:
    """With small noise the curve must go where it was measured, whatever the network says."""
    times = [1.0, 3.0, 6.0, 10.0]
    level = [100 / 30 * np.exp(-0.2 * t) for t in times]
    found = forecast(
        {"time": [0], "amount": [100]}, {"time": times, "concentration": level}, times,
        structure="iv-1", noise=0.05, checkpoint=checkpoint,
    )  # fmt: skip
    np.testing.assert_allclose(found.median, level, rtol=0.06)
    assert found.parameters["cl"][0] == pytest.approx(6.0, rel=0.1)


def test_below_the_limit_is_known_to_be_low(checkpoint: Path) -> None:
    late = {"time": [2.0, 20.0], "concentration": [1.0, 0.0]}
    dose = {"time": [0], "amount": [100]}
    found = forecast(dose, late, [20.0], structure="iv-1", limit=0.1, checkpoint=checkpoint)
    assert found.median[0] == pytest.approx(0.1)
    assert found.upper[0] < 0.15


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"doses": {"time": [0, 12, 6], "amount": [1, 1, 1]}}, "go back .12 h, then 6 h"),
        ({"samples": {"time": [5, 2], "concentration": [1, 1]}}, "samples of the patient go back"),
        ({"times": [4, 2]}, "the forecast go back"),
        ({"times": []}, "no times"),
        ({"doses": {"time": [], "amount": []}}, "no dose"),
        ({"doses": {"time": [0], "amont": [1]}}, "Did you mean 'amount'"),
        ({"doses": {"time": [0]}}, "lack the column 'amount'"),
        ({"doses": [(0, 100)]}, "columns are needed"),
        ({"samples": {"time": [1], "concentration": [-1.0]}}, "is below 0"),
        ({"samples": {"time": [1], "concentration": [0.0]}}, "Give limit="),
        ({"samples": {"time": [1], "concentration": [np.nan]}}, "not finite"),
        ({"samples": {"time": [1], "concentration": [1e-12]}}, "is 1e-12 mg/L .* Give limit="),
        ({"samples": {"time": [1], "concentration": ["1"]}}, "only real numbers"),
        ({"samples": {"time": [1], "concentration": np.ma.masked_all(1)}}, "masked"),
        ({"doses": {"time": [True], "amount": [1]}}, "only real numbers"),
        ({"covariates": {"weight": 4}}, "trained on 30 to 150 kg"),
        ({"covariates": {"weight": "heavy"}}, "weight of the patient is 'heavy'"),
        ({"covariates": {"weight": np.nan}}, "weight of the patient is nan"),
        ({"covariates": {"wieght": 70}}, "Did you mean 'weight'"),
        ({"structure": "first2"}, "Did you mean 'first-2'"),
        ({"structure": "zero-3"}, "trained without it"),
        ({"noise": 0}, "noise is 0"),
        ({"limit": -1}, "limit is -1"),
        ({"doses": {"time": [0], "amount": [1], "duration": [2]}}, "Take an 'iv' structure"),
        ({"companions": [(DOSES, SAMPLES, None)] * 4}, "4 companions"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], message: str, checkpoint: Path) -> None:
    given: dict[str, Any] = {"doses": DOSES, "samples": SAMPLES, "times": [30.0]} | changed
    with pytest.raises(InputError, match=message):
        forecast(**given, checkpoint=checkpoint)


def test_what_was_not_trained_on_is_said(checkpoint: Path) -> None:
    many = {"time": np.arange(15) * 12.0, "amount": np.full(15, 50.0)}
    found = forecast(many, None, [300.0], checkpoint=checkpoint)
    assert any("15 doses" in note for note in found.notes)
    assert any("300 hours" in note for note in found.notes)
