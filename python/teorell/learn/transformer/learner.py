"""The transformer as a learner: studies drawn anew in every step, both heads in one loss."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from teorell.learn.configuration import Training
from teorell.learn.learner import Learner
from teorell.learn.randomness import generator
from teorell.learn.report import Report
from teorell.learn.transformer.configuration import TransformerConfiguration
from teorell.learn.transformer.decoding import to_standard
from teorell.learn.transformer.network import Forecaster, pinball
from teorell.learn.transformer.studies import HELD_OUT, LONGER, TRAINING, Studies, draw
from teorell.learn.transformer.teacher import organs
from teorell.learn.transformer.tokens import companions, scale_of, to_network, tokens

__all__ = ["Transformer", "TransformerConfiguration"]

LINEAR = ("iv-1", "first-1", "first-2")
CONTEXT_STREAM = 100  # added to a stream: what companions are chosen by


class Transformer(Learner):
    """Forecasts of new patients: a direct head, and a posterior that is weighed by the solver."""

    name = "transformer"
    version = 2
    configurations: ClassVar = {
        "tiny": TransformerConfiguration(
            Training(steps=20, learning_rate=2e-3, warmup=5, check_every=10),
            structures=LINEAR, bodies=("oral-whole-body",), studies=2, groups=3, width=32, layers=1,
            components=1, evaluated=12,
        ),
        "shipped": TransformerConfiguration(
            Training(
                steps=3000, learning_rate=2e-3, weight_decay=1e-4, warmup=100, average=0.995,
                check_every=250,
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
        batch = {
            "tokens": tokens(given, context),
            "query": torch.from_numpy(np.where(fine, query, 0.0).astype(np.float32)),
            "fine": torch.from_numpy(fine),
            "standard": torch.from_numpy(to_standard(given.logs, given.weight).astype(np.float32)),
        }
        if self.configuration.physics:
            taught = to_network(organs(given), scale_of(given)[:, None, None])
            batch["organs"] = torch.from_numpy(taught.astype(np.float32))
        return batch

    def loss(self, network: Any, batch: Any) -> Tensor:
        """Quantile loss and squared error of curves, minus the log density of the truth, and the
        squared error of organs.
        """
        given, truth, fine = batch["tokens"], batch["query"], batch["fine"].float()
        x, there = network.encode(given)
        query = network.read(x, there, given)
        quantiles, mean = network.direct_of(query)
        posterior = network.posterior_of(x[:, 0], given)
        direct = _mean(4 * pinball(quantiles, truth) + _bounded(mean, truth), fine)
        missed = -posterior.log_density(batch["standard"][None])[0]
        found: Tensor = direct + self.configuration.weight * _mean(missed, fine.min(dim=1).values)
        if self.configuration.physics:
            told, taught = network.organs(query), batch["organs"]
            known = torch.isfinite(taught)
            off = _bounded(told, torch.where(known, taught, 0.0))
            found = found + self.configuration.physics * _mean(off, known.float())
        return found

    def report(self, network: nn.Module) -> Report:
        from teorell.learn.transformer.report import report

        return report(self, network)


def _bounded(found: Tensor, truth: Tensor) -> Tensor:
    """Squared errors, bounded where a curve is far below what samples reach."""
    return nn.functional.huber_loss(found, truth, reduction="none", delta=3.0)


def _mean(x: Tensor, share: Tensor) -> Tensor:
    """The mean of what counts; 0 if nothing does."""
    return (x * share).sum() / share.sum().clamp_min(1)
