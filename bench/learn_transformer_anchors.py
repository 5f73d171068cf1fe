"""Train what the transformer is compared with, an LSTM and a neural ODE, on the same studies.

python bench/learn_transformer_anchors.py OUT [--minutes 4] [--only lstm neural_ode] [--told]

Studies are those of `teorell train transformer`, step by step, with the loss of its direct head.
Each network has so many minutes of the processor, studies included. Writes OUT/lstm.pt and
OUT/neural_ode.pt, which `bench/learn_transformer.py --anchors` takes. --told trains nothing, and
tells their log-RMSE and CRPS on that table's patients.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anchor_events import events
from anchor_lstm import LSTM
from anchor_neural_ode import NeuralODE
from teorell.arrays import Array
from teorell.learn.metrics import resampled
from teorell.learn.transformer.learner import Transformer
from teorell.learn.transformer.network import pinball
from teorell.learn.transformer.regimens import KINDS
from teorell.learn.transformer.scores import quantile_scores, within
from teorell.learn.transformer.structures import COMPARTMENTS
from teorell.learn.transformer.studies import TRAINING, Studies
from teorell.learn.transformer.tokens import CENTRE, WIDTH, scale_of, to_network
from torch import nn
from transformer_cases import patients_of

ANCHORS: dict[str, Any] = {"lstm": LSTM, "neural_ode": NeuralODE}
RATE, CLIP = 3e-3, 1.0


class Anchor:
    """A trained one: patients to means and quantiles of log concentrations, mg/L."""

    def __init__(self, network: Any) -> None:
        self.name: str = network.name
        self.network = network.eval()

    def __call__(self, given: Studies) -> tuple[Array, Array]:
        """(patients, queries), (patients, queries, LEVELS), not below the limit."""
        with torch.no_grad():
            quantiles, mean = (x.double().numpy() for x in self.network(events(given)))
        scale, limit = scale_of(given)[:, None], given.limit[:, None]
        return (
            np.maximum(mean * WIDTH + CENTRE + scale, limit),
            np.maximum(quantiles * WIDTH + CENTRE + scale[..., None], limit[..., None]),
        )


def read(path: str) -> Anchor:
    """An anchor of a file that `main` wrote."""
    network = ANCHORS[Path(path).stem]()
    network.load_state_dict(torch.load(path, weights_only=True))
    return Anchor(network)


def trained(network: Any, seconds: float) -> int:
    """Train until the processor time is over; the rate falls along a cosine. Returns the steps."""
    learner = Transformer(Transformer.configurations["shipped"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    begun, step, losses = time.process_time(), 0, []
    while (part := (time.process_time() - begun) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, step / 50) * (0.5 + 0.5 * math.cos(math.pi * part))
        given = learner.studies(step, TRAINING)
        truth = to_network(given.query, scale_of(given)[:, None])
        fine = torch.from_numpy(np.isfinite(truth).astype(np.float32))
        target = torch.from_numpy(np.nan_to_num(truth).astype(np.float32))
        quantiles, mean = network(events(given))
        square = nn.functional.huber_loss(mean, target, reduction="none", delta=3.0)
        loss = ((4 * pinball(quantiles, target) + square) * fine).sum() / fine.sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        losses.append(float(loss.detach()))
        step += 1
        if step % 50 == 0:
            print(f"{network.name}: {step} steps, loss {np.mean(losses[-50:]):.3f}", flush=True)
    return step


def told(anchor: Anchor, patients: int) -> None:
    """log-RMSE, CRPS and bands on regimens trained on together, and on the others."""
    kinds = Transformer.configurations["shipped"].kinds
    names = tuple(each.name for each in COMPARTMENTS)
    for samples in (2, 4):
        for title, mine in (
            ("trained on", kinds),
            ("never trained on", tuple(kind for kind in KINDS if kind not in kinds)),
        ):
            columns, studies = [], []
            for k, kind in enumerate(mine):
                given = patients_of(names, (kind,), samples, patients)
                mean, quantiles = anchor(given)
                parts = [(mean - given.query) ** 2, quantile_scores(quantiles, given.query)]
                parts += [within(quantiles, given.query, low) for low in (0, 2)]
                columns.append(np.stack([part.mean(axis=1) for part in parts], axis=1))
                studies.append(given.study + 1_000_000 * k)
            whole = np.concatenate(columns)
            sums = resampled(np.pad(whole, ((0, 0), (0, 1)), constant_values=1.0),
                             np.concatenate(studies))  # fmt: skip
            each = sums[:, :4] / sums[:, 4:]
            rmse = np.sqrt(each[:, 0])
            low, high = np.quantile(rmse[1:], [0.025, 0.975])
            print(
                f"{anchor.name}, {samples} samples, regimens {title}, n = {len(whole)}: "
                f"{rmse[0]:.3f} [{low:.3f}, {high:.3f}], CRPS {each[0, 1]:.3f}, "
                f"in 90 % and 50 % bands {each[0, 2]:.1%}, {each[0, 3]:.1%}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--only", nargs="+", choices=list(ANCHORS), default=list(ANCHORS))
    parser.add_argument("--told", action="store_true")
    parser.add_argument("--patients", type=int, default=672)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        if options.told:
            told(read(str(options.out / f"{name}.pt")), options.patients)
            continue
        torch.manual_seed(0)
        network = ANCHORS[name]()
        steps = trained(network, 60 * options.minutes)
        torch.save(network.state_dict(), options.out / f"{name}.pt")
        size = sum(x.numel() for x in network.parameters())
        print(f"{network.name}: {size} weights, {steps} steps in {options.minutes:g} minutes")


if __name__ == "__main__":
    main()
