"""`teorell train` and `teorell evaluate` as a user sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from teorell.cli import main
from teorell.learn.learner import LEARNERS

pytest.importorskip("torch", reason="NOT RUN: needs torch")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(LEARNERS, "small", ("small_learner", "SmallLearner"))
    monkeypatch.chdir(tmp_path)


def test_train_and_evaluate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["train", "small", "--config", "tiny", "--out", "here"]
    assert main(command) == 0
    first = capsys.readouterr()
    assert "RMSE" in first.out
    assert "30 of 30" not in first.err  # no terminal, no bar
    for name in ("learning_curve.png", "figures.csv", "checkpoint.safetensors"):
        assert (tmp_path / "here" / name).stat().st_size > 0
    assert main(["evaluate", "here/weights.safetensors"]) == 0
    again = capsys.readouterr().out
    assert again.strip() in first.out  # the same figures
    assert main(["evaluate", "here/weights.safetensors", "--people", "9"]) == 2
    assert "small is evaluated on all that there are" in capsys.readouterr().err
    assert main(command) == 0  # it is trained: nothing but the report
    assert main([*command, "--seed", "1"]) == 2
    assert "Name another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "smal"], "Did you mean 'small'?"),
        (["train", "small", "--config", "huge"], "there is no such choice"),
        (["train", "small", "--device", "tpu"], "there is no such choice"),
        (["evaluate", "nowhere"], "nowhere is no file"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
