"""A learner of a straight line, with noise in its data and dropout in its network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from teorell.learn.configuration import Training
from teorell.learn.learner import Learner
from teorell.learn.metrics import rmse
from teorell.learn.randomness import generator
from teorell.learn.report import Figure, Report
from torch import Tensor, nn


@dataclass(frozen=True)
class Line:
    training: Training = field(default_factory=Training)
    widths: tuple[int, ...] = (8,)
    slope: float = 2.0
    dropout: float = 0.2
    rows: int = 16


class SmallLearner(Learner):
    name = "small"
    version = 3
    configurations: ClassVar = {
        "tiny": Line(Training(steps=30, average=0.9, check_every=10, warmup=5)),
        "shipped": Line(Training(steps=60)),
    }

    def network(self) -> nn.Module:
        layers: list[nn.Module] = []
        width = 1
        for wide in self.configuration.widths:
            layers += [nn.Linear(width, wide), nn.Tanh(), nn.Dropout(self.configuration.dropout)]
            width = wide
        return nn.Sequential(*layers, nn.Linear(width, 1))

    def batch(self, step: int) -> Any:
        rng = generator(self.training.seed, step)
        x = rng.normal(size=(self.configuration.rows, 1))
        y = self.configuration.slope * x + 0.1 * rng.normal(size=x.shape)
        return {"x": torch.tensor(x, dtype=torch.float32), "y": torch.tensor(y).float()}

    def held_out(self) -> Any:
        return self.batch(10**6)

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        return ((network(batch["x"]) - batch["y"]) ** 2).mean()

    def report(self, network: nn.Module) -> Report:
        batch = self.held_out()
        with torch.no_grad():
            error = rmse(network(batch["x"]), batch["y"])
        return Report("a line", (Figure("RMSE", error, self.configuration.rows, goal="< 1"),))
