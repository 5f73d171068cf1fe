"""What a learning model gives the trainer, and the learners by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from teorell.errors import InputError, suggestion
from teorell.learn.configuration import Training

if TYPE_CHECKING:
    from torch import Tensor, nn

    from teorell.learn.report import Report

__all__ = ["LEARNERS", "Learner", "learner_class"]

LEARNERS: dict[str, tuple[str, str]] = {
    "allometry": ("teorell.learn.allometry.learner", "Allometry"),
    "diffusion": ("teorell.learn.diffusion.learner", "DiffusionLearner"),
    "transformer": ("teorell.learn.transformer.learner", "Transformer"),
}
"""Name on the command line -> module and class; a new learner is a line here."""


class Learner(ABC):
    """A learning model: data, network and loss. The trainer has the loop, and all that is saved.

    configuration: a frozen dataclass of plain values (numbers, text, tuples of such, dataclasses of
        such) whose field `training` is a Training. It is saved with the weights, and enough to make
        the learner again. A field `evaluated`, where there is one, says how many people figures are
        of.

    All that is random comes from `configuration.training.seed` and the step: `batch` draws by
    `randomness.generator(seed, step)`, and what `network` and `loss` draw from torch's own
    generator is seeded by the trainer, before each call. So nothing but the step has to be known to
    go on with a training to the same bits.
    """

    name: ClassVar[str]
    version: ClassVar[int]  # of what the weights mean: another one cannot be loaded
    configurations: ClassVar[Mapping[str, Any]]  # "tiny": under a minute; "shipped": the weights

    def __init__(self, configuration: Any) -> None:
        self.configuration = configuration

    @property
    def training(self) -> Training:
        """How it is trained."""
        training: Training = self.configuration.training
        return training

    @abstractmethod
    def network(self) -> nn.Module:
        """A new network on the CPU, with initial weights from torch's generator."""

    @abstractmethod
    def batch(self, step: int) -> Any:
        """The data of a step, a function of the seed and the step alone.

        Tensors, alone or in tuples, lists and dicts; the trainer moves them to its device.
        """

    @abstractmethod
    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """What is minimised, ()."""

    def held_out(self) -> Any | None:
        """A batch that is never trained on, for the learning curve; None for no such."""
        return None

    def evaluating(self, people: int) -> Learner:
        """This learner, with figures of so many people. Raises InputError if it has no such choice,
        and for too few.
        """
        if not hasattr(self.configuration, "evaluated"):
            raise InputError(
                f"people is {people} ({self.name} is evaluated on all that there are). Leave it "
                "out."
            )
        return type(self)(replace(self.configuration, evaluated=people))

    @abstractmethod
    def report(self, network: nn.Module) -> Report:
        """Every figure of a trained network, on the CPU."""


def learner_class(name: str) -> type[Learner]:
    """The class of a learner by name. Raises InputError for another name."""
    if name not in LEARNERS:
        raise InputError(
            f"unknown learner {name!r} (teorell has none such). {suggestion(name, LEARNERS)}"
        )
    module, kind = LEARNERS[name]
    found: type[Learner] = getattr(import_module(module), kind)
    return found
