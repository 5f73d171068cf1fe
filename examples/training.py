"""A network learns clearance from weight and age through random regimens and sample times.

Patients come in mini-batches of unequal size; each has doses and sample times of its own, some are
never dosed, and some fail (their parameters cannot be simulated). 200 Adam steps, no loop over
patients. Run it: python examples/training.py
"""

from __future__ import annotations

import numpy as np
import teorell as tl
import torch
from teorell.nn import Simulator

PATIENTS, STEPS, MOST_DOSES, MOST_SAMPLES = 600, 200, 4, 6


def one_compartment() -> tl.Model:
    """Oral absorption, one compartment; growth above zero makes a simulation fail."""
    model = tl.Model("training")
    ka, cl, v, growth = model.parameters(ka=1.0, cl=5.0, v=30.0, growth=0.0)  # 1/h, L/h, L, 1/h/mg
    gut, central = model.states("gut", "central", unit="mg")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, cl / v * central)
    model.rate(central, growth * central * central)
    model.output("cp", central / v, unit="mg/L")
    return model


def true_clearance(weight: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
    """L/h, of kg and years: allometric, and less in the old."""
    return 5.0 * (weight / 70.0) ** 0.75 * torch.exp(-0.01 * (age - 40.0))


def population(draws: np.random.Generator) -> dict[str, torch.Tensor]:
    """Covariates, doses and sample times: arrays padded with NaN."""
    doses = draws.integers(0, MOST_DOSES + 1, PATIENTS)  # some have none
    samples = draws.integers(1, MOST_SAMPLES + 1, PATIENTS)
    amount = draws.uniform(50.0, 200.0, (PATIENTS, MOST_DOSES))
    given = draws.uniform(0.0, 36.0, (PATIENTS, MOST_DOSES))
    times = np.sort(draws.uniform(0.5, 48.0, (PATIENTS, MOST_SAMPLES)), axis=1)
    amount[np.arange(MOST_DOSES) >= doses[:, None]] = np.nan
    given[np.isnan(amount)] = np.nan
    times[np.arange(MOST_SAMPLES) >= samples[:, None]] = np.nan
    growth = np.where(draws.random(PATIENTS) < 0.03, 1.0, 0.0)  # these fail once they are dosed
    columns = {
        "weight": draws.uniform(45.0, 110.0, PATIENTS),
        "age": draws.uniform(20.0, 80.0, PATIENTS),
        "growth": growth,
        "amount": amount,
        "given": given,
        "times": times,
    }
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def simulated(layer: Simulator, people: dict[str, torch.Tensor], cl: torch.Tensor) -> torch.Tensor:
    """(patients, samples) concentrations, mg/L; NaN without a sample, and after a failure."""
    regimen = tl.Regimen.columns(people["amount"], "gut", people["given"])
    values: torch.Tensor = layer(
        cl=cl, growth=people["growth"], regimen=regimen, times=people["times"]
    )
    return values[..., 0]


def train(steps: int = STEPS, seed: int = 0) -> tuple[list[float], float, int]:
    """The losses, the median relative error of clearance, and how often a patient failed."""
    torch.manual_seed(seed)
    draws = np.random.default_rng(seed)
    layer = Simulator(one_compartment(), None, [0.0], learnable=["ka"], positive=["ka"])
    people = population(draws)
    with torch.no_grad():
        truth = true_clearance(people["weight"], people["age"])
        observed = simulated(layer, people, truth)
    network = torch.nn.Sequential(
        torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
    ).double()

    def clearance(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        inputs = torch.stack([batch["weight"] / 70.0 - 1.0, batch["age"] / 40.0 - 1.0], dim=1)
        result: torch.Tensor = 4.0 * torch.exp(network(inputs)[:, 0])
        return result

    optimiser = torch.optim.Adam([*network.parameters(), *layer.parameters()], lr=0.02)
    losses, failed = [], 0
    for _ in range(steps):
        chosen = torch.from_numpy(draws.choice(PATIENTS, draws.integers(1, 129), replace=False))
        batch = {name: column[chosen] for name, column in people.items()}
        predicted = simulated(layer, batch, clearance(batch))
        failed += int((layer.status != 0).sum())
        residual = torch.log((predicted + 0.01) / (observed[chosen] + 0.01))
        loss = torch.nanmean(residual**2)  # leaves out what has no sample, and who failed
        optimiser.zero_grad()
        if torch.isfinite(loss):  # a batch may have no sample at all
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    with torch.no_grad():
        error = (clearance(people) / truth - 1.0).abs().median().item()
    return losses, error, failed


if __name__ == "__main__":
    losses, error, failed = train()
    print(f"{len(losses)} steps, loss {np.mean(losses[:20]):.3f} -> {np.mean(losses[-20:]):.5f}")
    print(f"median error of clearance {100.0 * error:.1f} %; {failed} simulations failed")
