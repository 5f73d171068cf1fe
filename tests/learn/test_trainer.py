"""The trainer: the same work has the same bits, whatever interrupts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import child_environment
from small_learner import Line, SmallLearner
from teorell import InputError
from teorell.learn.checkpoint import read
from teorell.learn.configuration import Training
from teorell.learn.learner import LEARNERS
from teorell.learn.trainer import CHECKPOINT, WEIGHTS, load, train

TINY = SmallLearner.configurations["tiny"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEARNERS, "small", ("small_learner", "SmallLearner"))


def learner(**training: Any) -> SmallLearner:
    return SmallLearner(replace(TINY, training=replace(TINY.training, **training)))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(x.nan_to_num(-1.0), other[name].nan_to_num(-1.0)) for name, x in one.items()
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, torch.Tensor]]:
    """Everything that an uninterrupted training ends with."""
    LEARNERS["small"] = ("small_learner", "SmallLearner")
    folder = tmp_path_factory.mktemp("whole")
    train(learner(), folder)
    yield dict(read(folder / CHECKPOINT).tensors)
    LEARNERS.pop("small", None)


@pytest.mark.parametrize("stops", [(1,), (7, 8, 29), (5, 10, 15, 20, 25)])
def test_an_interrupted_training_ends_with_the_same_bits(
    stops: tuple[int, ...], whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    for stop in stops:
        assert train(learner(), tmp_path, stop=stop).step == stop
        torch.rand(3)  # what others draw in between has no effect
    assert train(learner(), tmp_path).step == 30
    assert same(dict(read(tmp_path / CHECKPOINT).tensors), whole)


def test_a_killed_training_ends_with_the_same_bits(
    whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from small_learner import *\n"
        "from teorell.learn.trainer import train\n"
        "def die(done, total):\n"
        "    if done == 13: os.kill(os.getpid(), signal.SIGKILL)\n"
        "one = SmallLearner(SmallLearner.configurations['tiny'])\n"
        "train(one, Path(sys.argv[1]), progress=die, save_every=4)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=child_environment(), check=False
    )
    assert killed.returncode == -9
    assert read(tmp_path / CHECKPOINT).step == 12
    train(learner(), tmp_path)
    assert same(dict(read(tmp_path / CHECKPOINT).tensors), whole)


def test_the_seed_is_all_that_is_random() -> None:
    def last(**training: Any) -> dict[str, torch.Tensor]:
        return train(learner(**training)).network.state_dict()

    assert same(last(), last())
    assert not same(last(), last(seed=1))


def test_torch_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    threads = torch.get_num_threads()
    train(learner(threads=threads + 1, steps=3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_one_batch_is_learned_by_heart() -> None:
    class OneBatch(SmallLearner):
        def batch(self, step: int) -> Any:
            return super().batch(0)

    training = Training(steps=400, learning_rate=0.03, warmup=10)
    configuration = Line(training, widths=(32, 32), dropout=0.0, rows=3)
    losses = train(OneBatch(configuration)).losses
    assert losses[-1] < 1e-6 * losses[0]


def test_the_average_is_that_of_the_weights(tmp_path: Path) -> None:
    expected: dict[str, torch.Tensor] = {}
    for step in range(1, 9):
        train(learner(), tmp_path, stop=step)
        weights = read(tmp_path / CHECKPOINT).group("network")
        if step == 1:
            expected = train(learner(), stop=0).network.state_dict()
        decay = min(0.9, step / (step + 9))
        expected = {k: decay * v + (1 - decay) * weights[k] for k, v in expected.items()}
    found = read(tmp_path / CHECKPOINT).weights()
    for name, x in expected.items():
        torch.testing.assert_close(found[name], x, rtol=1e-5, atol=1e-6)


def test_held_out_data_is_seen_with_the_average_and_without_dropout() -> None:
    found = train(learner())
    seen = np.flatnonzero(np.isfinite(found.held_out.numpy()))
    assert [*seen] == [9, 19, 29]
    one = learner()
    with torch.no_grad():
        loss = one.loss(found.network, one.held_out()).item()
    assert found.held_out[29].item() == loss


def test_weights_come_back(tmp_path: Path) -> None:
    found = train(learner(), tmp_path)
    for name in (CHECKPOINT, WEIGHTS):
        loaded, network = load(tmp_path / name)
        assert loaded.configuration == TINY
        assert same(network.state_dict(), found.network.state_dict())
        assert not network.training
    assert (tmp_path / WEIGHTS).stat().st_size < (tmp_path / CHECKPOINT).stat().st_size


def test_mixed_precision_is_off_unless_asked_for() -> None:
    kinds = []

    class Watched(SmallLearner):
        def loss(self, network: torch.nn.Module, batch: Any) -> torch.Tensor:
            kinds.append(network(batch["x"]).dtype)
            return super().loss(network, batch)

    for mixed in (False, True):
        one = replace(TINY.training, steps=1, check_every=0, mixed=mixed)
        train(Watched(replace(TINY, training=one)))
    assert kinds == [torch.float32, torch.bfloat16]


def test_what_is_refused(tmp_path: Path) -> None:
    train(learner(), tmp_path, stop=2)
    with pytest.raises(InputError, match="holds a training of small"):
        train(learner(seed=4), tmp_path)
    with pytest.raises(InputError, match="the loss of step 0 is nan"):
        train(SmallLearner(replace(TINY, slope=float("nan"))))
    with pytest.raises(InputError, match="device is 'tpu'"):
        train(learner(), device="tpu")
    with pytest.raises(InputError, match="steps is 0"):
        Training(steps=0)
    with pytest.raises(InputError, match="average is 1"):
        Training(average=1.0)


def test_the_learning_rate_rises_then_falls() -> None:
    training = Training(steps=100, learning_rate=1.0, warmup=10)
    rates = [training.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[55] == pytest.approx(0.5)  # half of the cosine
    assert all(a > b for a, b in pairwise(rates[10:]))
