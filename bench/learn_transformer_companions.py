"""What patients of the same study bring: forecasts beside 0, 1, 2 and 3 of them, paired.

python bench/learn_transformer_companions.py [CHECKPOINT ...] [--patients 960] [--samples 1 2]

Held-out drugs and patients of compartments, regimens that the checkpoint was trained on; companions
are told as many samples as the patient. Lines:
log-RMSE of the weighed forecast and of the direct head, the ratio to no companion, and how many
are in the bands [95 % interval, studies drawn with replacement].
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from teorell.arrays import Array
from teorell.learn.metrics import resampled
from teorell.learn.trainer import load
from teorell.learn.transformer.figures import SEED, forecasts
from teorell.learn.transformer.scores import within
from teorell.learn.transformer.studies import HELD_OUT, draw

STEP = 6000  # of the stream of held-out studies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoints", nargs="*", default=["transformer"])
    parser.add_argument("--patients", type=int, default=960)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for checkpoint in options.checkpoints:
        learner, network = load(checkpoint)
        one = learner.configuration
        print(f"\n## {checkpoint}, seed {learner.training.seed}")
        for samples in options.samples:
            studies = -(-options.patients // (4 * len(one.structures)))
            given = draw(
                SEED, STEP + samples, HELD_OUT, structures=one.structures, kinds=one.kinds,
                studies=studies, patients=4, queries=8, samples=samples,
            )  # fmt: skip
            given = given.rows(np.isfinite(given.query).all(axis=1))
            columns = [np.full(len(given.study), given.query.shape[1])]
            for k in range(4):
                found = forecasts(learner, network, given, k)
                columns += [
                    ((found[who]["mean"] - given.query) ** 2).sum(axis=1)
                    for who in ("weighed", "direct")
                ]
                bands = found["weighed"]["quantiles"]
                columns += [within(bands, given.query, low).sum(axis=1) for low in (0, 2)]
            sums = resampled(np.stack(columns, axis=1), given.study)
            each = (sums[:, 1:] / sums[:, :1]).reshape(len(sums), 4, 4)
            rmse = np.sqrt(each[:, :, :2])
            print(f"{samples} samples, n = {len(given.study)}")
            for k in range(4):
                told = [interval(rmse[:, k, 0]), interval(rmse[:, k, 0] / rmse[:, 0, 0])]
                told += [interval(rmse[:, k, 1]), *(f"{x:.1%}" for x in each[0, k, 2:])]
                print(f"  {k} companions: weighed {told[0]}, ratio {told[1]}; direct {told[2]}; "
                      f"in 90 % and 50 % bands {told[3]}, {told[4]}", flush=True)  # fmt: skip


def interval(x: Array) -> str:
    low, high = np.quantile(x[1:], [0.025, 0.975])
    return f"{x[0]:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
