"""Checkpoints: round trips to the bit, and files that cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_learner import Line, SmallLearner
from teorell import InputError
from teorell.learn.checkpoint import Checkpoint, read, write
from teorell.learn.configuration import Training, from_text, to_text
from teorell.learn.learner import LEARNERS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEARNERS, "small", ("small_learner", "SmallLearner"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensors = {
        "network.a": torch.randn(3, 2),
        "network.b": torch.tensor(0.1, dtype=torch.float64),
        "average.a": torch.randn(3, 2).T.contiguous().T,
        "history.n": torch.tensor([[1, 2], [3, 4]]),
    }
    one = SmallLearner(Line(Training(learning_rate=0.1 + 0.2), widths=(3, 4), slope=1 / 3))
    write(tmp_path / "it.safetensors", Checkpoint(one, 17, tensors))
    return tmp_path / "it.safetensors"


def test_round_trip(path: Path) -> None:
    one = read(path)
    assert one.learner.configuration == Line(
        Training(learning_rate=0.1 + 0.2), widths=(3, 4), slope=1 / 3
    )
    assert one.step == 17
    assert one.weights().keys() == {"a", "b"}
    assert torch.equal(one.weights()["a"], one.tensors["average.a"])
    write(path.with_name("again"), one)
    again = read(path.with_name("again"))
    assert all(torch.equal(x, again.tensors[name]) for name, x in one.tensors.items())


def rewritten(path: Path, **changed: Any) -> None:
    """The same file with other fields in its header."""
    from safetensors.torch import load, save

    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    told = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["teorell"])
    told = {key: value for key, value in (told | changed).items() if value is not None}
    path.write_bytes(save(load(data), {"teorell": json.dumps(told)}))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "2"}, "has format 2"),
        ({"version": "2"}, "has weights of version 2 of small"),
        ({"learner": "large"}, "unknown learner 'large'"),
        ({"sha256": "0"}, "is damaged"),
        ({"step": None}, "its header lacks fields"),
        ({"configuration": "{"}, "is not JSON"),
        ({"configuration": '{"slopes": 1}'}, "Line has 'slopes'"),
        ({"configuration": '{"training": {"step": 1}}'}, "Training has 'step'"),
        ({"configuration": "[1]"}, "fields with values are needed"),
    ],
)
def test_headers_of_others(changed: dict[str, Any], message: str, path: Path) -> None:
    rewritten(path, **changed)
    with pytest.raises(InputError, match=message):
        read(path)


def test_damaged_files(path: Path) -> None:
    data = path.read_bytes()
    for place in (len(data) - 1, len(data) - 40, 8 + int.from_bytes(data[:8], "little")):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(InputError, match="is damaged"):
            read(path)
    for size in (0, 5, 100, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match="cannot be read as safetensors"):
            read(path)


def test_files_of_others(tmp_path: Path) -> None:
    from safetensors.torch import save

    with pytest.raises(InputError, match="is no file"):
        read(tmp_path)
    other = tmp_path / "other"
    other.write_bytes(save({"x": torch.zeros(2)}))
    with pytest.raises(InputError, match="is no checkpoint of teorell"):
        read(other)


def test_configurations_as_text() -> None:
    one = replace(SmallLearner.configurations["tiny"], slope=1e-300, widths=(1, 2, 3))
    assert from_text(Line, to_text(one)) == one
    assert from_text(Line, "{}") == Line()  # fields that came later have their defaults
