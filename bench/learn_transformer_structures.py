"""Which structures are probable: what companions tell, and how probable saturable ones are before.

python bench/learn_transformer_structures.py [CHECKPOINT] [--data ../shared/data] [--studies 90]

Simulated: studies of one of the 18 oral structures of compartments each, all alike often; two
samples, three companions told as many; averages over the 18, all equally probable before, alone,
beside companions, and with the evidence of the companions in the probabilities too. osp: mean
curves of human studies, at most 12 a compound (theophylline and warfarin are not among these),
told as in `learn_transformer_real.py`; averages over all structures of the route, saturable ones
together with a probability before of 0.5, 0.2, 0.1, 0.05 and 0. Lines: log-RMSE of the mean [95 %
interval, studies drawn with replacement], the paired ratio to the first line.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learn_transformer_real import asked
from teorell.arrays import Array
from teorell.learn.metrics import resampled
from teorell.learn.trainer import load
from teorell.learn.transformer.averaging import Averaged, averaged, chosen, pooled
from teorell.learn.transformer.figures import SEED
from teorell.learn.transformer.inference import Effort
from teorell.learn.transformer.regimens import TRAINED
from teorell.learn.transformer.structures import COMPARTMENTS, Structure
from teorell.learn.transformer.studies import HELD_OUT, Studies, draw
from transformer_people import Person, studies

SHARES = (0.5, 0.2, 0.1, 0.05, 0.0)
MOST = 12  # studies of a compound
APART = 7000  # step of the stream of the simulated studies


def found_of(network: Any, given: Studies, what: tuple[Structure, ...], seed: int) -> Averaged:
    """The first patient, beside all others."""
    context = np.full((len(given.weight), 3), -1)
    context[0, : len(given.weight) - 1] = np.arange(1, len(given.weight))
    return averaged(network, given, context, what, 1, Effort(), seed)


def simulated(network: Any, count: int) -> None:
    what = chosen("oral", [one.name for one in COMPARTMENTS])
    equal = np.zeros((len(what), 1))
    given = draw(
        SEED, APART, HELD_OUT, structures=tuple(one.name for one in what), kinds=TRAINED,
        studies=-(-count // len(what)), patients=4, queries=8, samples=2,
    )  # fmt: skip
    lines: dict[str, list[Array]] = {"alone": [], "beside three": [], "and their evidence": []}
    for k, study in enumerate(np.unique(given.study)):
        four = given.rows(np.flatnonzero(given.study == study))
        if not np.isfinite(four.query).all():
            continue
        seed = 3 * len(what) * k
        for name, rows in (("alone", [0]), ("beside three", [0, 1, 2, 3])):
            found = found_of(network, four.rows(np.array(rows)), what, seed)
            mean = pooled(list(found.each), equal)[0].mean()[0]
            lines[name].append((mean - four.query[0]) ** 2)
        told = np.log(found.probabilities) - np.stack([x.log_evidence for x in found.each])
        share = np.log([0.1 if one.saturable else 0.9 for one in what])[:, None]
        mean = pooled(list(found.each), told - share)[0].mean()[0]  # companions without the prior
        lines["and their evidence"].append((mean - four.query[0]) ** 2)
    print(f"simulated, {len(lines['alone'])} studies, two samples")
    show({name: np.array(x) for name, x in lines.items()}, "beside three")


def real(network: Any, data: Path) -> None:
    for route, people in studies(data).items():
        rng = np.random.default_rng(5)
        by: dict[str, list[Person]] = {}
        for one in people:
            by.setdefault(one.name, []).append(one)
        some = []
        for _, each in sorted(by.items()):
            some += [each[i] for i in np.sort(rng.permutation(len(each))[:MOST])]
        what = chosen(route, [one.name for one in COMPARTMENTS])
        saturable = np.array([one.saturable for one in what])
        given, counts = asked(some, what[0].name)
        lines = {share: np.zeros(counts.shape) for share in SHARES}
        for k in range(len(some)):
            found = found_of(network, given.rows(np.array([k])), what, len(what) * k)
            for share in SHARES:
                with np.errstate(divide="ignore"):
                    log = np.where(saturable, np.log(share / saturable.sum()),
                                   np.log((1 - share) / (~saturable).sum()))  # fmt: skip
                mean = pooled(list(found.each), log[:, None])[0].mean()[0]
                lines[share][k] = np.where(counts[k], (mean - given.query[k]) ** 2, 0.0)
        print(f"osp, {route}, {len(some)} studies of {len(by)} compounds, {counts.sum()} samples")
        named = {f"saturable {share:g}": x for share, x in lines.items()}
        show(named, f"saturable {SHARES[0]:g}", counts)


def show(lines: dict[str, Array], to: str, counts: Array | None = None) -> None:
    first = next(iter(lines.values()))
    n = np.full(len(first), first.shape[1]) if counts is None else counts.sum(axis=1)
    columns = np.stack([*(x.sum(axis=1) for x in lines.values()), n], axis=1)
    sums = resampled(columns, np.arange(len(n)), draws=2000)
    rmse = dict(zip(lines, np.sqrt(sums[:, :-1] / sums[:, -1:]).T, strict=True))
    for name, x in rmse.items():
        told = [x, x / rmse[to]]
        ends = [np.quantile(each[1:], [0.025, 0.975]) for each in told]
        text = [
            f"{each[0]:.3f} [{low:.3f}, {high:.3f}]"
            for each, (low, high) in zip(told, ends, strict=True)
        ]
        print(f"  {name:20s} {text[0]}  ratio {text[1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", nargs="?", default="transformer")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--studies", type=int, default=90, help="simulated ones")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = load(options.checkpoint)[1]
    simulated(network, options.studies)
    real(network, options.data)


if __name__ == "__main__":
    main()
