"""The learner of people: what it learns, generates, and refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import teorell as tl
import torch
from teorell import InputError
from teorell.constraints import plausible
from teorell.learn.configuration import Training
from teorell.learn.diffusion import generate
from teorell.learn.diffusion.baselines import Copula, Gaussian, Residuals
from teorell.learn.diffusion.calibration import LEVELS, below
from teorell.learn.diffusion.drawing import Wanted, draw
from teorell.learn.diffusion.fidelity import worst_ks
from teorell.learn.diffusion.learner import Diffusion, DiffusionLearner
from teorell.learn.diffusion.network import Denoiser
from teorell.learn.diffusion.physics import limits_of_people, penalties, projected, violated
from teorell.learn.diffusion.ratios import Ratios
from teorell.learn.diffusion.scaling import STEPS
from teorell.learn.diffusion.trajectory import curves_violated, trajectory_penalty
from teorell.learn.diffusion.vectors import COLUMNS, column, quantities_of, real_people
from teorell.learn.trainer import WEIGHTS, load, train
from teorell.pbpk import MIDAZOLAM, whole_body

SMALL = Diffusion(
    Training(steps=60, learning_rate=3e-3, warmup=5, average=0.9, check_every=30),
    people=1500, width=32, depth=1, batch=128, penalty_people=16, steps=8, evaluated=80,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("diffusion")
    train(DiffusionLearner(SMALL), found)
    return found


@pytest.fixture(scope="module")
def weights(folder: Path) -> Path:
    return folder / WEIGHTS


@pytest.fixture(scope="module")
def network(weights: Path) -> Denoiser:
    found = load(weights)[1]
    assert isinstance(found, Denoiser)
    return found


def changed(**changes: Any) -> DiffusionLearner:
    return DiffusionLearner(replace(SMALL, **changes))


def test_one_batch_is_learned_by_heart() -> None:
    class OneBatch(DiffusionLearner):
        def batch(self, step: int) -> Any:
            found = super().batch(0)
            found["noise"] = found["noise"].clamp(min=0.3)
            return found

    training = Training(steps=200, learning_rate=5e-3, warmup=20, check_every=0)
    one = replace(SMALL, training=training, batch=6, penalty=0.0, width=48)
    losses = train(OneBatch(one)).losses
    assert losses[-1] < 0.05 * losses[0]


def test_shapes_and_a_start_as_a_gaussian(network: Denoiser) -> None:
    fresh = DiffusionLearner(SMALL).network()
    size = network.coordinates.size
    noisy, noise = torch.randn(7, size), torch.full((7,), 0.5)
    intervals = torch.tensor([0.0, 1.0]).expand(7, 5, 2)
    found = fresh(noisy, noise, torch.ones(7), intervals)
    # before training: the mean of standard normal data given them with noise
    torch.testing.assert_close(found, noisy / (1 + 0.25))
    assert fresh.sex(intervals).shape == (7,)
    assert network(noisy, noise, torch.ones(7), intervals).shape == (7, size)


def test_training_is_deterministic_and_resumes(folder: Path, tmp_path: Path) -> None:
    for stop in (17, 60):
        found = train(DiffusionLearner(SMALL), tmp_path, stop=stop)
    again = load(folder / WEIGHTS)[1].state_dict()
    for name, x in found.network.state_dict().items():
        assert torch.equal(x, again[name]), name
    assert torch.isfinite(found.held_out[[29, 59]]).all()
    assert (folder / WEIGHTS).stat().st_size < 10e6


def test_generated_people_are_valid_and_the_same_again(weights: Path) -> None:
    people = generate(100, seed=5, weights=weights)
    assert len(people) == 100
    residuals = plausible().residuals(people)
    assert max(float(each.max()) for each in residuals.values()) <= 1e-6
    assert 0.2 < people["female"].mean() < 0.8
    again = generate(100, seed=5, weights=weights)
    assert all(np.array_equal(people[name], again[name]) for name in people)
    other = generate(100, seed=6, weights=weights)
    assert not np.array_equal(people["age"], other["age"])


def test_generated_people_are_simulated(weights: Path) -> None:
    people = generate(20, age=(20, 60), weights=weights)
    found = tl.simulate(
        whole_body(MIDAZOLAM), people, tl.Regimen.bolus(5.0, into="venous"), [1.0, 4.0]
    )
    found.raise_for_status()
    assert people.unit("abundance_CYP3A4") == "pmol/mg"
    assert (people["abundance_CYP3A4"] > 0).all()


@pytest.mark.parametrize(
    ("asked", "name", "low", "high"),
    [
        ({"age": 30.0}, "age", 30.0, 30.0),
        (
            {"weight": 80.0, "bmi": 27.0, "sex": "male"},
            "height",
            (80 / 27) ** 0.5,
            (80 / 27) ** 0.5,
        ),
        ({"bmi": (30, 35), "sex": "female"}, "body_mass_index", 30.0, 35.0),
        ({"gfr": "mild", "age": (30, 60)}, "gfr", 60.0, 90.0),
    ],
)
def test_conditions_hold(
    asked: dict[str, Any], name: str, low: float, high: float, weights: Path
) -> None:
    people = generate(12, **asked, weights=weights)
    close = 1e-8 * high
    assert ((people[name] >= low - close) & (people[name] <= high + close)).all()
    if "sex" in asked:
        assert (people["female"] == (asked["sex"] == "female")).all()
    assert not plausible().violations(people).any.any()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"age": 95.0}, r"age is 95 years \(the network was trained on people of"),
        ({"age": (50, 20)}, r"age goes from 50 to 20 \(nobody is there\)"),
        ({"gfr": "mil"}, "Did you mean 'mild'"),
        ({"height": 1.8, "weight": 70.0, "bmi": 30.0}, r"height and weight make it 21.6"),
        ({"age": 4.0, "height": 1.9}, r"nobody of \d+ draws fits age 4, height 1.9"),
        ({"sex": "femal"}, "female"),
        ({"weight": 800.0}, "weight is 800 kg"),
    ],
)
def test_what_is_refused(asked: dict[str, Any], message: str, weights: Path) -> None:
    with pytest.raises(InputError, match=message):
        generate(5, **asked, weights=weights)


def test_what_is_of_another_kind(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="bmi is True"):
        generate(5, bmi=True, weights=weights)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword"):
        generate(5, bodyweight=80.0, weights=weights)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="is no file"):
        generate(5, weights=tmp_path / "none")
    with pytest.raises(InputError, match="coordinates are 'polar'"):
        Diffusion(coordinates="polar")


def test_projection_moves_nobody_who_is_valid_and_makes_the_rest_so() -> None:
    rows = real_people(60, 8)
    broken = rows.copy()
    broken[:30, COLUMNS.index("mass_liver")] *= 1.4
    broken[20:40, COLUMNS.index("haematocrit")] *= 2.0
    moved, found = projected(limits_of_people(), broken)
    assert found.all()
    assert np.array_equal(moved[40:], rows[40:])
    assert not np.any(list(violated(limits_of_people(), moved, 1e-9).values()), axis=0).any()
    broken[50, COLUMNS.index("factor_CYP3A4")] = -0.1  # nothing that the constraints read
    again, _ = projected(limits_of_people(), broken)
    assert (again[:, 1:] > 0).all()
    kept, found = projected(limits_of_people(), broken, hold=("body_weight", "height"))
    assert np.array_equal(column(kept[found], "body_weight"), column(rows[found], "body_weight"))


def test_what_projection_does_to_gradients() -> None:
    rows = torch.from_numpy(real_people(6, 9))
    rows[:3, COLUMNS.index("mass_liver")] *= 1.01  # the first three: masses no longer add up
    rows.requires_grad_()
    after = limits_of_people().project(quantities_of(rows)).values
    masses = [name for name in after if name.startswith("mass_")]
    identity = sum(after[name] for name in masses) - after["body_weight"]
    (slope,) = torch.autograd.grad(identity.sum(), rows, retain_graph=True)
    assert slope.abs().max() < 1e-9  # nothing before it moves what it holds
    (slope,) = torch.autograd.grad(after["mass_liver"].sum(), rows)
    liver = slope[:, COLUMNS.index("mass_liver")]
    assert ((liver > 0.5) & (liver < 1.0)).all()  # part of a change is shared among the others


def test_gradients_go_through_coordinates_and_projection() -> None:
    coordinates, rows = Ratios(), torch.from_numpy(real_people(800, 9))
    coordinates.fit(rows)
    z, female = coordinates.encode(rows[:4]), rows[:4, 0]

    def after(moved: torch.Tensor) -> torch.Tensor:
        people = coordinates.decode(moved, female)
        large = people[:, COLUMNS.index("mass_liver")] * 4.0  # beyond its range: it is projected
        people = people.index_copy(1, torch.tensor([COLUMNS.index("mass_liver")]), large[:, None])
        return limits_of_people().project(quantities_of(people)).values["mass_liver"].sum()

    z.requires_grad_()
    (slope,) = torch.autograd.grad(after(z), z)
    direction = torch.randn(z.shape, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        h = 1e-5
        expected = (after(z + h * direction) - after(z - h * direction)) / (2 * h)
    torch.testing.assert_close((slope * direction).sum(), expected, rtol=1e-4, atol=1e-8)


def test_penalties_and_their_gradients() -> None:
    rows = torch.from_numpy(real_people(5, 10))
    assert penalties(limits_of_people(), rows).max() < 1e-24  # sums miss by their last bits
    rows[:, COLUMNS.index("mass_brain")] *= 1.3
    rows.requires_grad_()
    value = penalties(limits_of_people(), rows)
    assert (value > 0).all()
    (slope,) = torch.autograd.grad(value.sum(), rows)
    k, h = COLUMNS.index("mass_brain"), 1e-6
    with torch.no_grad():
        step = torch.zeros_like(rows)
        step[:, k] = h
        ahead, behind = (penalties(limits_of_people(), rows + s * step) for s in (1, -1))
    torch.testing.assert_close(slope[:, k], (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-7)


def test_curves_are_constrained_through_the_solver() -> None:
    rows = torch.from_numpy(real_people(4, 13))
    assert trajectory_penalty(rows).item() == 0.0
    assert not curves_violated(rows.numpy()).any()
    liver = [COLUMNS.index(f"flow_{name}") for name in ("liver", "gut", "stomach", "spleen")]
    rows[:, liver] *= 0.02  # flows no longer add up: blood of others cannot reach the liver
    assert curves_violated(rows.numpy()).tolist() == [True] * 4
    rows.requires_grad_()
    value = trajectory_penalty(rows)
    assert value > 0
    (slope,) = torch.autograd.grad(value, rows)
    with torch.no_grad():
        step = torch.zeros_like(rows)
        step[:, liver[0]] = 1e-4 * rows[:, liver[0]]
        difference = (trajectory_penalty(rows + step) - trajectory_penalty(rows - step)) / 2
        expected = (slope * step).sum()
    torch.testing.assert_close(difference, expected, rtol=1e-3, atol=0)


def test_who_cannot_be_simulated_counts_for_nothing() -> None:
    rows = torch.from_numpy(real_people(4, 13))
    liver = [COLUMNS.index(f"flow_{name}") for name in ("liver", "gut", "stomach", "spleen")]
    rows[:, liver] *= 0.02
    alone = rows[:1].clone().requires_grad_()
    rows[1, COLUMNS.index("body_weight")] = -3.0  # as raw columns of an untrained network may be
    rows[2:, COLUMNS.index("haematocrit")] = torch.tensor([torch.nan, 40.0], dtype=rows.dtype)
    rows.requires_grad_()
    assert curves_violated(rows.detach().numpy()).all()
    value = trajectory_penalty(rows)
    assert value.item() == pytest.approx(trajectory_penalty(alone).item() / 4)
    (slope,) = torch.autograd.grad(value, rows)
    (expected,) = torch.autograd.grad(trajectory_penalty(alone), alone)
    torch.testing.assert_close(4 * slope[:1], expected)
    assert (slope[1:] == 0).all()
    nobody = trajectory_penalty(torch.full_like(alone, -1.0, requires_grad=True))
    assert nobody.item() == 0.0


@pytest.mark.parametrize("coordinates", ["ratios", "raw"])
def test_a_loss_with_curves_trains(coordinates: str) -> None:
    learner = changed(
        coordinates=coordinates, trajectory=1.0, trajectory_people=2,
        training=Training(steps=2, check_every=0),
    )  # fmt: skip
    assert torch.isfinite(train(learner).losses).all()


def test_raw_coordinates_miss_identities_until_projected() -> None:
    learner = changed(coordinates="raw", penalty=0.0)
    network = train(learner).network
    assert isinstance(network, Denoiser)
    wanted = Wanted(1.0, {"age": (40.0, 40.0)})
    rows = draw(network, 50, wanted, seed=1, steps=8, project=False).rows
    np.testing.assert_allclose(column(rows, "age"), 40.0)
    assert violated(limits_of_people(), rows)["masses"].mean() > 0.8
    moved, found = projected(limits_of_people(), rows[:8])
    assert not np.any(list(violated(limits_of_people(), moved[found], 1e-6).values()))


def test_baselines_are_like_what_they_were_fitted_to() -> None:
    people = real_people(3000, 14)
    for kind in (Gaussian, Copula, Residuals):
        rows = kind(people).sample(people[:, 0].copy(), seed=1)
        assert rows.shape == people.shape
        for name in ("height", "body_weight"):
            mean, sd = column(people, name).mean(), column(people, name).std()
            assert abs(column(rows, name).mean() - mean) < 5 * sd / np.sqrt(1500)


def test_the_report(network: Denoiser) -> None:
    pytest.importorskip("sklearn", reason="NOT RUN: needs scikit-learn")
    report = DiffusionLearner(SMALL).report(network)
    figures = {one.what: one.value for one in report.figures}
    assert figures["projected: violate any, %"] == 0.0
    assert 0.4 <= figures["samples: discriminator's AUC"] <= 1.0
    assert set(report.pictures) == {"pairs", "calibration", "scaling"}
    for axes, what in zip(
        report.pictures["scaling"]().axes,
        ("discriminator's AUC", "worst KS", "correlation error"),
        strict=True,
    ):
        told = [figures[f"{steps} steps of sampling: {what}"] for steps in STEPS]
        assert axes.lines[0].get_ydata() == pytest.approx(told)
    assert len(report.pictures["calibration"]().axes) == 2


def test_a_calibration_is_the_distance_of_distribution_functions() -> None:
    """By hand: all below the median of others; and its greatest distance is that of Kolmogorov and
    Smirnov, found at 199 levels instead of everywhere.
    """
    real, other = real_people(3000, 15), real_people(3000, 16)
    heights = COLUMNS.index("height")
    assert np.abs(below(real, real)[heights] - LEVELS).max() < 1e-3
    lower = other.copy()
    lower[:, heights] = 0.01
    assert (below(lower, real)[heights] == 1.0).all()
    distance, worst = worst_ks(other, real)
    found = np.abs(below(other, real) - below(real, real)).max(axis=1)
    assert distance - 0.01 < found.max() <= distance + 1e-12
    assert found[COLUMNS.index(worst)] > distance - 0.01
