"""How often a non-compartmental analysis warns where its samples give wrong numbers, and where not.

Random people, infusions of random lengths and grids of samples; Cmax and AUC of the dense output
say what is wrong: by more than 5 %, the bound of results/nca_checks.py. Run
`python bench/nca_flags.py`; it prints a row for each model and grid.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import teorell as tl

WRONG, RIGHT = 0.05, 0.01
GRIDS = {
    "every 4 h": np.arange(0.0, 49.0, 4.0),
    "every 2 h": np.arange(0.0, 49.0, 2.0),
    "every hour": np.arange(0.0, 49.0),
    "every 6 min": np.linspace(0.0, 48.0, 481),
    "clinical": np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0, 36.0, 48.0]),
}


def model_of(compartments: int) -> tl.Model:
    """Drug in one or two compartments, given by infusions."""
    model = tl.Model(f"{compartments} compartments")
    cl, v, q, v2 = model.parameters(cl=5.0, v=10.0, q=8.0, v2=40.0)
    central = model.state("central")
    model.flow(central, None, cl / v * central)
    if compartments == 2:
        deep = model.state("deep")
        model.flow(central, deep, q / v * central - q / v2 * deep)
    model.output("cp", central / v)
    return model


def counted(
    model: tl.Model, regimen: tl.Regimen, people: dict[str, np.ndarray], times: np.ndarray
) -> tuple[int, int, int, int]:
    """Wrong, of these unflagged; right, of these flagged."""
    sums = [tl.Cmax("cp"), tl.AUC("cp")]
    dense = tl.simulate(model, people, regimen, times, reductions=sums)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tl.NCAWarning)
        found = tl.simulate(model, people, regimen, times).nca("cp")
    peak = dense.reductions["cmax_cp"] / found.cmax - 1.0
    area = np.abs(found.auc_last / dense.reductions["auc_cp"] - 1.0)
    wrong, right = (peak > WRONG) | (area > WRONG), (peak < RIGHT) & (area < RIGHT)
    return (
        int(wrong.sum()),
        int((wrong & ~found.coarse).sum()),
        int(right.sum()),
        int((right & found.coarse).sum()),
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--patients", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    rng, n = np.random.default_rng(given.seed), given.patients
    print(
        f"{'model':16}{'doses':>10}{'grid':>14}{'wrong':>8}{'unflagged':>11}{'right':>8}{'flagged':>9}"
    )
    for compartments in (1, 2):
        model = model_of(compartments)
        people = {
            name: value * np.exp(rng.normal(0.0, 0.4, n))
            for name, value in (("cl", 5.0), ("v", 10.0), ("q", 8.0), ("v2", 40.0))
        }
        duration = np.exp(rng.uniform(np.log(0.05), np.log(6.0), n))
        start = rng.uniform(0.0, 2.0, n)
        for doses, every in ((1, None), (3, 12.0)):
            regimen = tl.Regimen.infusion(
                100.0, into="central", time=start, duration=duration, every=every, doses=doses
            )
            for name, times in GRIDS.items():
                row = counted(model, regimen, people, times)
                print(
                    f"{model.name:16}{doses:10}{name:>14}{row[0]:8}{row[1]:11}{row[2]:8}{row[3]:9}"
                )


if __name__ == "__main__":
    main()
