"""Checkpoints: tensors in a safetensors file, with what made them as JSON in its header.

Groups of tensors have a prefix: `network.` the weights, `average.` their moving average,
`optimizer.` its state, `history.` the learning curve. No code is ever run by reading one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from teorell.errors import InputError
from teorell.learn.configuration import from_text, to_text
from teorell.learn.learner import Learner, learner_class
from teorell.storage.files import replacing

__all__ = ["FORMAT", "Checkpoint", "read", "write"]

FORMAT = 1  # how files are laid out: another number is another version of this file
REMEDY = "Train again, or take the version of teorell that wrote it."


@dataclass(frozen=True)
class Checkpoint:
    """A learner, and tensors of its training after `step` steps, by prefixed name."""

    learner: Learner
    step: int
    tensors: Mapping[str, Tensor]

    def group(self, name: str) -> dict[str, Tensor]:
        """The tensors `name.*`, without the prefix; a moving average is a group of its own."""
        start = f"{name}."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def weights(self) -> dict[str, Tensor]:
        """The weights that are evaluated: averages where there are such, the rest as trained."""
        return self.group("network") | self.group("average")


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; it takes the place of `path` at once and whole."""
    from safetensors.torch import save

    tensors = {name: x.detach().cpu().contiguous() for name, x in checkpoint.tensors.items()}
    learner = checkpoint.learner
    header = {
        "format": str(FORMAT),
        "learner": learner.name,
        "version": str(learner.version),
        "configuration": to_text(learner.configuration),
        "step": str(checkpoint.step),
        "sha256": _digest(tensors),
    }
    with replacing(path) as part:
        part.write_bytes(save(tensors, {"teorell": json.dumps(header)}))


def read(path: Path) -> Checkpoint:
    """The checkpoint in a file.

    Raises InputError where there is none, for one that is damaged or not of teorell, and for one of
    another version of its format or of its learner.
    """
    header, tensors = _contents(path)
    try:
        form, step = int(header["format"]), int(header["step"])
        name, version, digest = header["learner"], int(header["version"]), header["sha256"]
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path} is no checkpoint of teorell (its header lacks fields). {REMEDY}"
        ) from None
    if form != FORMAT:
        raise InputError(f"{path} has format {form} (this version reads {FORMAT}). {REMEDY}")
    kind = learner_class(name)
    if version != kind.version:
        raise InputError(
            f"{path} has weights of version {version} of {name} (this is version {kind.version}). "
            f"{REMEDY}"
        )
    if _digest(tensors) != digest:
        raise InputError(f"{path} is damaged (its numbers are not those written). {REMEDY}")
    try:
        configuration = from_text(type(kind.configurations["tiny"]), header["configuration"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Checkpoint(kind(configuration), step, tensors)


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header that teorell wrote, and all tensors."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path} is no file (a checkpoint is needed). Give the path of one.")
    try:
        with safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get("teorell")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = None if told is None else json.loads(told)
    except (SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as safetensors ({reason}). {REMEDY}") from None
    if not isinstance(header, dict):
        raise InputError(f"{path} is no checkpoint of teorell (it has no such header). {REMEDY}")
    return header, tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and bits."""
    import torch

    found = hashlib.sha256()
    for name in sorted(tensors):
        x = tensors[name]
        found.update(f"{name} {x.dtype} {tuple(x.shape)} ".encode())
        found.update(x.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
