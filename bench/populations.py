"""People sampled and simulated: seconds, and how far margins and correlations are from the weighted
survey.

python bench/populations.py --people 100000
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import teorell as tl
from teorell.doctor import report
from teorell.population.donors import donors

NAMES = ("age", "body_weight", "height", "haematocrit", "gfr")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100000)
    options = parser.parse_args()
    print(report())
    tl.Population.sample(10, seed=1)  # reads the tables
    start, used = time.perf_counter(), time.process_time()
    people = tl.Population.sample(options.people, seed=1)
    print(
        f"\n{options.people} people: {time.perf_counter() - start:.2f} s, "
        f"{time.process_time() - used:.2f} s of processor"
    )
    simulated(10_000)
    table = donors()
    survey = dict(
        zip(
            NAMES,
            (table.age, table.weight, table.height, table.haematocrit, table.gfr),
            strict=True,
        )
    )
    print("\nmean and 2.5, 50, 97.5 % over the survey's, less 1, in per cent")
    for low, high in ((0, 2), (2, 6), (6, 12), (12, 18), (18, 40), (40, 60), (60, 80)):
        for female in (0, 1):
            theirs = (table.age >= low) & (table.age < high) & (table.female == female)
            ours = (people["age"] >= low) & (people["age"] < high) & (people["female"] == female)
            told = []
            for name in NAMES[1:]:
                x, y = survey[name][theirs], people[name][ours]
                if np.isnan(x).any():
                    continue
                weight, at = table.survey_weight[theirs], [0.025, 0.5, 0.975]
                order = np.argsort(x)
                quantiles = np.interp(at, np.cumsum(weight[order]) / weight.sum(), x[order])
                off = [y.mean() / np.average(x, weights=weight), *(np.quantile(y, at) / quantiles)]
                told.append(f"{name} " + " ".join(f"{100 * (each - 1):+.1f}" for each in off))
            print(f"{low:2} to {high:2}, {'female' if female else 'male':6}: {'; '.join(told)}")
    grown, ours = table.age >= 18, people["age"] >= 18
    covariance = np.cov(
        [survey[name][grown] for name in NAMES], aweights=table.survey_weight[grown]
    )
    sd = np.sqrt(np.diag(covariance))
    x = covariance / np.outer(sd, sd)
    y = np.corrcoef([people[name][ours] for name in NAMES])
    print(f"\nadults: largest difference of a correlation {np.abs(x - y).max():.4f}")


def simulated(n: int) -> None:
    """Adults sampled, given four oral doses of midazolam, every organ at 97 times as a table."""
    from teorell import pbpk

    start = time.perf_counter()
    people = tl.Population.sample(n, age=(18, 80), seed=1)
    model = pbpk.whole_body(pbpk.drug("midazolam"))
    doses = tl.Regimen.bolus(7.5, into=model.state_names[0], every=12.0, doses=4)
    solution = tl.simulate(model, people, doses, np.linspace(0.0, 48.0, 97), model.output_names)
    solution.raise_for_status()
    rows, columns = solution.to_dataframe().shape
    print(
        f"{n} adults sampled and simulated for 48 h, {len(model.output_names)} outputs, a table of "
        f"{rows} rows and {columns} columns: {time.perf_counter() - start:.2f} s"
    )


if __name__ == "__main__":
    main()
