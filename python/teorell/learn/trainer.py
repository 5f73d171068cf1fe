"""The training loop that every learner is trained by.

A step is a function of the weights, the optimiser's state, the seed and its number. So a training
that is interrupted, even killed, goes on from its last checkpoint to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from teorell.errors import InputError
from teorell.learn.checkpoint import Checkpoint, read, write
from teorell.learn.configuration import to_text
from teorell.learn.learner import Learner
from teorell.learn.randomness import INITIAL, repeatable, seeded
from teorell.progress import Progress, reporting

__all__ = ["CHECKPOINT", "WEIGHTS", "Trained", "load", "train"]

CHECKPOINT = "checkpoint.safetensors"  # all that is needed to go on
WEIGHTS = "weights.safetensors"  # what is evaluated and shipped
SHIPPED = Path(__file__).parent / "weights"
HELD_OUT = 1  # added to INITIAL: what the loss of held-out data draws by, the same at every check


@dataclass(frozen=True)
class Trained:
    """A network after `step` steps, with the weights that are evaluated, on the CPU.

    losses: (steps,) of each batch; held_out: (steps,), NaN where it was not computed.
    """

    learner: Learner
    network: nn.Module
    step: int
    losses: Tensor
    held_out: Tensor


def train(
    learner: Learner,
    folder: Path | None = None,
    *,
    device: str = "cpu",
    progress: bool | Progress | None = None,
    save_every: int = 500,
    stop: int | None = None,
) -> Trained:
    """Train a learner, from its last checkpoint in `folder` if there is one; None saves nothing.

    device: "cpu", "cuda", or "auto" for CUDA where torch finds it. progress: as for tl.simulate, in
    steps. save_every: steps from one checkpoint to the next. stop: interrupt after this step, as if
    the process had been killed then, but saved.
    Raises InputError for a folder with another training, and for a loss that is not finite.
    """
    training, place = learner.training, _device(device)
    last = min(training.steps, training.steps if stop is None else stop)
    with repeatable(training.threads):
        state = _State(learner, place)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / CHECKPOINT).exists():
                state.restore(read(folder / CHECKPOINT), folder)
        with reporting(progress, training.steps, "steps") as report:
            while state.step < last:
                state.advance()
                if report is not None:
                    report(state.step, training.steps)
                if folder is not None and (state.step % save_every == 0 or state.step == last):
                    write(folder / CHECKPOINT, state.checkpoint())
        if folder is not None and state.step == training.steps:
            found = {f"network.{k}": v for k, v in state.checkpoint().weights().items()}
            write(folder / WEIGHTS, Checkpoint(learner, state.step, found))
        return state.trained()


def load(source: str | Path, device: str = "cpu") -> tuple[Learner, nn.Module]:
    """A learner and its trained network, ready to predict.

    source: the path of a checkpoint, or the name of a learner, whose shipped weights it then is.
    Raises InputError for one that cannot be read, is damaged, or is of another version.
    """
    path = Path(source)
    shipped = SHIPPED / f"{source}.safetensors"
    if not path.exists() and shipped.exists():
        path = shipped
    checkpoint = read(path)
    network = _network(checkpoint.learner)
    network.load_state_dict(checkpoint.weights())
    return checkpoint.learner, network.eval().to(_device(device))


class _State:
    """A training after some steps: weights, their average, the optimiser, the learning curve."""

    def __init__(self, learner: Learner, device: torch.device) -> None:
        training = learner.training
        self.learner, self.device, self.step = learner, device, 0
        self.network = _network(learner).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), training.learning_rate, weight_decay=training.weight_decay
        )
        named = dict(self.network.named_parameters())
        self.average = {k: x.detach().clone() for k, x in named.items()} if training.average else {}
        self.losses = torch.full((training.steps,), math.nan, dtype=torch.float64)
        self.held_out = self.losses.clone()

    def advance(self) -> None:
        """One step."""
        learner, training = self.learner, self.learner.training
        self.network.train()
        with seeded(training.seed, self.step, self.device):
            loss = self._loss(learner.batch(self.step))
            value = loss.item()
            if not math.isfinite(value):
                raise InputError(
                    f"the loss of step {self.step} is {value} (learning rate "
                    f"{training.rate(self.step):.3g}). Lower learning_rate, or clip more."
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            if training.clip:
                nn.utils.clip_grad_norm_(self.network.parameters(), training.clip)
            for group in self.optimizer.param_groups:
                group["lr"] = training.rate(self.step)
            self.optimizer.step()
        self.losses[self.step] = value
        self.step += 1
        decay = min(training.average, self.step / (self.step + 9))  # short while there is little
        for name, x in self.network.named_parameters():
            if name in self.average:
                self.average[name].lerp_(x.detach(), 1 - decay)
        if training.check_every and (
            self.step % training.check_every == 0 or self.step == training.steps
        ):
            self._check()

    def _check(self) -> None:
        """The loss of held-out data, with the weights that would be evaluated."""
        batch = self.learner.held_out()
        if batch is None:
            return
        mine = {name: x.detach().clone() for name, x in self.network.state_dict().items()}
        self.network.load_state_dict(mine | self.average)
        self.network.eval()
        with torch.no_grad(), seeded(self.learner.training.seed, INITIAL + HELD_OUT, self.device):
            self.held_out[self.step - 1] = self._loss(batch).item()
        self.network.load_state_dict(mine)

    def _loss(self, batch: Any) -> Tensor:
        mixed = self.learner.training.mixed
        kind = self.device.type
        with torch.autocast(kind, torch.bfloat16) if mixed else nullcontext():
            return self.learner.loss(self.network, _moved(batch, self.device))

    def checkpoint(self) -> Checkpoint:
        """All that the next step depends on."""
        optimizer = {
            f"{place}.{name}": value
            for place, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        groups: dict[str, Mapping[str, Tensor]] = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": optimizer,
            "history": {"losses": self.losses, "held_out": self.held_out},
        }
        tensors = {f"{group}.{k}": v for group, each in groups.items() for k, v in each.items()}
        return Checkpoint(self.learner, self.step, tensors)

    def restore(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Become what a checkpoint was made of. Raises InputError for that of another training."""
        mine, other = (
            (one.name, to_text(one.configuration)) for one in (self.learner, checkpoint.learner)
        )
        if mine != other:
            raise InputError(
                f"{folder} holds a training of {other[0]} (another learner, configuration or "
                "seed). Name another folder."
            )
        self.step = checkpoint.step
        self.network.load_state_dict(checkpoint.group("network"))
        for name, value in checkpoint.group("average").items():
            self.average[name].copy_(value)
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in checkpoint.group("optimizer").items():
            place, _, name = key.partition(".")
            state.setdefault(int(place), {})[name] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        history = checkpoint.group("history")
        self.losses, self.held_out = history["losses"], history["held_out"]

    def trained(self) -> Trained:
        """The network on the CPU, with the weights that are evaluated."""
        network = _network(self.learner)
        network.load_state_dict({k: v.cpu() for k, v in self.checkpoint().weights().items()})
        return Trained(self.learner, network.eval(), self.step, self.losses, self.held_out)


def _network(learner: Learner) -> nn.Module:
    """A new network of a learner, with the initial weights of its seed."""
    with seeded(learner.training.seed, INITIAL):
        return learner.network()


def _device(name: str) -> torch.device:
    """A device by name. Raises InputError for one that is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device is {name!r} (there is no such). Give cpu, cuda or auto.")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise InputError("device is 'cuda' (torch finds no such device). Give cpu or auto.")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def _moved(batch: Any, device: torch.device) -> Any:
    """A batch on a device: tensors, alone or in tuples, lists and dicts."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: _moved(each, device) for name, each in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_moved(each, device) for each in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(_moved(each, device) for each in batch)
    return batch
