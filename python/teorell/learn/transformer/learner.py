"""The transformer as a learner: studies drawn anew in every step, both heads in one loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from teorell.learn.configuration import Training
from teorell.learn.learner import Learner
from teorell.learn.randomness import generator
from teorell.learn.report import Report
from teorell.learn.transformer.decoding import to_standard
from teorell.learn.transformer.network import Forecaster, pinball
from teorell.learn.transformer.regimens import TRAINED
from teorell.learn.transformer.structures import BODIES, COMPARTMENTS
from teorell.learn.transformer.studies import HELD_OUT, LONGER, TRAINING, Studies, draw
from teorell.learn.transformer.tokens import companions, scale_of, to_network, tokens

__all__ = ["Transformer", "TransformerConfiguration"]

LINEAR = ("iv-1", "first-1", "first-2")
CONTEXT_STREAM = 100  # added to a stream: what companions are chosen by


@dataclass(frozen=True)
class TransformerConfiguration:
    """What is trained on, the network's size, and how much of it is evaluated.

    structures, bodies: names (`structures.py`), of compartments and of the whole-body model; kinds:
        of regimens (`regimens.py`). A step has `studies` studies of each of `groups` structures and
        of each of `bodies`, `patients` patients a study, `queries` times a patient.
    weight: of the posterior head's loss beside the direct head's.
    evaluated: patients of each table of the report.
    """

    training: Training = field(default_factory=Training)
    structures: tuple[str, ...] = tuple(each.name for each in COMPARTMENTS)
    bodies: tuple[str, ...] = tuple(each.name for each in BODIES)
    kinds: tuple[str, ...] = TRAINED
    studies: int = 8
    groups: int = 8
    patients: int = 4
    queries: int = 8
    width: int = 48
    heads: int = 4
    layers: int = 2
    components: int = 2
    weight: float = 0.1
    evaluated: int = 192

    @property
    def decoders(self) -> tuple[str, ...]:
        """All that posteriors are told over."""
        return self.structures + self.bodies


class Transformer(Learner):
    """Forecasts of new patients: a direct head, and a posterior that is weighed by the solver."""

    name = "transformer"
    version = 1
    configurations: ClassVar = {
        "tiny": TransformerConfiguration(
            Training(steps=20, learning_rate=2e-3, warmup=5, check_every=10),
            structures=LINEAR, studies=2, groups=3, width=32, layers=1, components=1, evaluated=12,
        ),
        "shipped": TransformerConfiguration(
            Training(
                steps=1000, learning_rate=3e-3, weight_decay=1e-4, warmup=50, average=0.99,
                check_every=100,
            ),
        ),
    }  # fmt: skip

    def network(self) -> nn.Module:
        one = self.configuration
        return Forecaster(one.width, one.heads, one.layers, one.components)

    def batch(self, step: int) -> Any:
        return self._tensors(step, TRAINING)

    def held_out(self) -> Any:
        return self._tensors(0, HELD_OUT)

    def studies(self, step: int, stream: int) -> Studies:
        """The studies of a step of a stream."""
        one = self.configuration
        return draw(
            self.training.seed, step, stream, structures=one.structures, kinds=one.kinds,
            studies=one.studies, patients=one.patients, queries=one.queries, groups=one.groups,
            always=one.bodies, horizons=LONGER,
        )  # fmt: skip

    def _tensors(self, step: int, stream: int) -> Any:
        """Tokens, and the truth: log concentrations and log parameters as the network has them."""
        given = self.studies(step, stream)
        rng = generator(self.training.seed, step, stream + CONTEXT_STREAM)
        context = companions(given.study, rng, self.configuration.patients - 1)
        query = to_network(given.query, scale_of(given)[:, None])
        fine = np.isfinite(query)
        return {
            "tokens": tokens(given, context),
            "query": torch.from_numpy(np.where(fine, query, 0.0).astype(np.float32)),
            "fine": torch.from_numpy(fine),
            "standard": torch.from_numpy(to_standard(given.logs, given.weight).astype(np.float32)),
        }

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Quantile loss and squared error of curves, and minus the log density of the truth."""
        given, truth, fine = batch["tokens"], batch["query"], batch["fine"].float()
        quantiles, mean, posterior = network(given)
        # the squared error is bounded where a curve is far below what samples reach
        square = nn.functional.huber_loss(mean, truth, reduction="none", delta=3.0)
        direct = ((4 * pinball(quantiles, truth) + square) * fine).sum() / fine.sum().clamp_min(1)
        missed = -posterior.log_density(batch["standard"][None])[0]
        whole = fine.min(dim=1).values
        lost = (missed * whole).sum() / whole.sum().clamp_min(1)
        found: Tensor = direct + self.configuration.weight * lost
        return found

    def report(self, network: nn.Module) -> Report:
        from teorell.learn.transformer.figures import report
        from teorell.learn.transformer.picture import picture

        return report(self, network, {"forecasts": lambda: picture(self, network)})
