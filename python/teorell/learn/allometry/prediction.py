"""What users call: human clearance and volume from animals, a human curve, organs at any mass."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.arrays import Array
from teorell.errors import InputError, InputWarning, suggestion
from teorell.learn.allometry.drug_head import DrugPart, jackknife_mean
from teorell.learn.allometry.drug_table import ANIMALS, TARGETS, Drugs, drugs_of, measured
from teorell.learn.allometry.learner import Allometry
from teorell.learn.allometry.organ_head import half
from teorell.learn.allometry.organ_table import QUANTITIES
from teorell.learn.allometry.trajectory import HIGHEST, LOWEST
from teorell.learn.trainer import load
from teorell.pbpk.drug import Drug
from teorell.physiology.reference_adults import hepatic_flow

if TYPE_CHECKING:
    from teorell.results.solution import Solution

__all__ = ["GROUPS", "human_curve", "organs", "predict", "scaled", "with_kinetics"]

GROUPS = ("rodent", "carnivore", "primate", "ungulate")  # the clades, in the order of their numbers
ADULT = 73.0  # kg, of the adult whose clearance a Drug has
PER_HOUR = 60 / 1000  # L/h of mL/min
MOST = 0.9  # of the liver's blood flow
CLOSE, IMPOSSIBLE = 1e-9, 3.0  # decades beyond the drugs of the training
HEPATIC = ("hepatocyte_clint", "microsome_clint", "liver_clint", "vmax", "km")
"""What a Drug says of the liver beside its clearance."""


def predict(table: Any, *, level: float = 0.9, weights: str | Path = "allometry") -> Any:
    """Clearance and volume of drugs in humans from those in animals, as a DataFrame.

    table: a DataFrame, a mapping of columns or the path of a CSV file, a drug a row, with columns
        of PKSmart's Animal_PK_data.csv: rat_CL_mL_min_kg, dog_..., monkey_..., rat_VDss_L_kg, ...;
        rat_fup, ..., human_fup; smiles_r, molecular_weight_smiles_r, NAME. All but a number of one
        animal may be missing. Values in humans of CL and VDss may stand there and are not read.
    level: of the intervals. weights: a checkpoint, or the shipped weights.

    Columns: NAME; human_CL_mL_min_kg and human_VDss_L_kg, each with _low and _high (jackknife+);
    the number of animals that each is from; `trained_on`: the drug is one of the training table,
    and is predicted by networks that never saw it. NaN where no animal has the quantity.
    Raises InputError for a table that cannot be read (see `drugs_of`), a level outside 0 to 1, and
    a value of an animal a thousandfold beyond all of the training; warns of one beyond them.
    """
    import pandas as pd

    level = _share(level)
    learner, network, unseen = _loaded(str(weights))
    asked = drugs_of(table)
    part = learner.drugs
    _check_range(part.drugs, asked)
    mine = _trained(part, asked)
    found: dict[str, Any] = {"NAME": list(asked.names)}
    for target, column in TARGETS.items():
        every = part.predictions(network.drugs, target, asked)  # (folds, drugs)
        middle = jackknife_mean(every)
        known = mine >= 0
        middle[known] = every[part.fold[mine[known]], np.flatnonzero(known)]
        animals = measured(asked.of(target))
        low, high = _interval(part, unseen[target], every, animals, target, mine, level)
        for name, logs in (("", middle), ("_low", low), ("_high", high)):
            found[f"human_{column}{name}"] = np.where(animals > 0, 10**logs, np.nan)
        found[f"{target}_animals"] = animals
    found["trained_on"] = mine >= 0
    return pd.DataFrame(found)


def scaled(drug: Drug, table: Any, *, weights: str | Path = "allometry") -> Drug:
    """A drug whose clearance and volume in humans are those predicted from a table of one row.

    drug: its chemistry, fraction unbound and absorption are kept, and the share of the kidney; what
    it says of clearance, the liver and the volume is not read.
    Raises InputError for another number of rows, or no animal with a clearance; warns of a
    clearance that is cut to what the liver's blood can bring (`with_kinetics`).
    """
    found = predict(table, weights=weights)
    if len(found) != 1:
        raise InputError(f"the table has {len(found)} rows (one drug is needed). Give its row.")
    clearance = float(found["human_CL_mL_min_kg"].iloc[0])
    volume = float(found["human_VDss_L_kg"].iloc[0])
    if np.isnan(clearance):
        raise InputError(
            f"{drug.name}: no animal has a clearance (nothing to scale). Give rat_CL_mL_min_kg."
        )
    return with_kinetics(drug, clearance, None if np.isnan(volume) else volume)


def with_kinetics(drug: Drug, clearance: float, volume: float | None) -> Drug:
    """A drug with a clearance (mL/min/kg of plasma) and a volume (L/kg; None: as predicted).

    Warns (tl.InputWarning) where the liver would clear more than 90 % of its blood, and takes 90 %:
    a well-stirred liver cannot clear all.
    """
    total = clearance * ADULT * PER_HOUR
    most = MOST * hepatic_flow() * drug.ratio / max(1 - drug.fraction_renal, 1e-9)
    if total > most:
        warnings.warn(
            f"{drug.name}: a clearance of {total:.3g} L/h (more than the liver's blood can bring). "
            f"{most:.3g} L/h is taken.",
            InputWarning,
            stacklevel=3,
        )
        total = most
    cleared = dict.fromkeys(HEPATIC) | {"clearance": total, "gfr_fraction": 0.0, "volume": volume}
    return replace(drug, **cleared)  # type: ignore[arg-type]


def human_curve(
    drug: Drug, table: Any, regimen: Any, times: Sequence[float], *, weights: Any = "allometry"
) -> Solution:
    """Plasma concentrations of an adult, by the whole-body model of a drug scaled from animals.

    table: its row of animals, see `predict`. regimen: doses (mg) into states of `whole_body`;
    times: h. Returns tl.simulate's Solution of the output "cp" [mg/L]. Raises InputError, and
    warns, as `scaled` does.
    """
    from teorell.pbpk import whole_body
    from teorell.simulate import simulate

    model = whole_body(scaled(drug, table, weights=weights))
    return simulate(model, None, regimen, times, outputs=["cp"])


def organs(
    mass: Any, group: str = "primate", *, level: float = 0.9, weights: str | Path = "allometry"
) -> Any:
    """Volumes [L] and blood flows [mL/min] of organs of mammals of any body mass, as a DataFrame.

    mass: kg, from 0.01 to 5,000, () or (animals,); group: "rodent" (rabbits too), "carnivore",
    "primate" or "ungulate", which nothing was learned of. Columns: mass, organ, quantity, value,
    low, high (interval of a new species), and exponent: the local one, d log value / d log mass.
    Raises InputError for masses outside and another group.
    """
    import pandas as pd

    if group not in GROUPS:
        raise InputError(f"unknown group {group!r} (of mammals). {suggestion(group, GROUPS)}")
    given = np.atleast_1d(np.asarray(mass, dtype=float))
    if given.ndim > 1 or not ((given >= 10**LOWEST) & (given <= 10**HIGHEST)).all():
        raise InputError(
            f"mass is {mass!r:.60} (kg, from {10**LOWEST:g} to {10**HIGHEST:,.0f}). Give such."
        )
    level = _share(level)
    learner, network, _ = _loaded(str(weights))
    logs, order = np.unique(np.log10(given), return_inverse=True)
    step = 1e-3  # decades, for the exponent
    nudged = np.clip(logs, LOWEST + step, HIGHEST - step)
    part, clade = learner.organs, GROUPS.index(group)
    mean, sd = part.at(network.organs, logs, clade)
    ends = np.sort(np.unique(np.concatenate([nudged - step, nudged + step])))
    curve = part.at(network.organs, ends, clade)[0]
    rise = (
        curve[np.searchsorted(ends, nudged + step)] - curve[np.searchsorted(ends, nudged - step)]
    ) / (2 * step)
    reach = half(part.scores(network.organs), level) * sd
    rows = []
    for i, place in enumerate(order.ravel()):
        for j, organ in enumerate(part.organs.organs):
            for k, quantity in enumerate(QUANTITIES):
                if not np.isfinite(part.organs.logs[:, j, k]).any():
                    continue
                at = place, j, k
                values = 10 ** (mean[at] + reach[at] * np.array([0.0, -1.0, 1.0]))
                rows.append((given[i], organ, quantity, *values, rise[at]))
    names = ["mass", "organ", "quantity", "value", "low", "high", "exponent"]
    return pd.DataFrame(rows, columns=names)


def _check_range(known: Drugs, asked: Drugs) -> None:
    """Raise InputError for a value of an animal too far from those of the training, warn of one
    beyond them.
    """
    for target, column in TARGETS.items():
        for place, animal in enumerate(ANIMALS, start=1):
            trained, logs = known.of(target)[:, place], asked.of(target)[:, place]
            low, high = np.nanmin(trained), np.nanmax(trained)
            beyond = np.fmax(
                np.nan_to_num(logs - high, nan=-1.0), np.nan_to_num(low - logs, nan=-1.0)
            )
            row = int(beyond.argmax())
            if beyond[row] <= CLOSE:
                continue
            what = f"{animal}_{column} of row {row} is {10 ** logs[row]:.3g}"
            known_are = f"the drugs that it was learned from have {10**low:.3g} to {10**high:.3g}"
            if beyond[row] > IMPOSSIBLE:
                raise InputError(f"{what} ({known_are}). Look at its unit, or leave it out.")
            warnings.warn(
                f"{what} ({known_are}). The prediction is an extrapolation: do not rely on it.",
                InputWarning,
                stacklevel=3,
            )


def _share(level: Any) -> float:
    """The level of intervals, a number; text and booleans are none."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < float(level) < 1:
        raise InputError(f"level is {level!r:.60} (between 0 and 1). Give 0.9 for 90 % intervals.")
    return float(level)


@lru_cache(maxsize=2)
def _loaded(weights: str) -> tuple[Allometry, Any, dict[str, Array]]:
    """Learner, network, and what it says of each drug of its table unseen, by target."""
    learner, network = load(weights)
    if not isinstance(learner, Allometry):
        raise InputError(
            f"{weights} has weights of {learner.name} (of allometry are needed). Give those."
        )
    heads: Any = network
    return learner, network, {each: learner.drugs.unseen(heads.drugs, each) for each in TARGETS}


def _trained(part: DrugPart, asked: Drugs) -> Any:
    """The row of each drug in the training table, by structure or name; -1 where it is in none."""
    by_smiles = {smiles: i for i, smiles in enumerate(part.drugs.smiles) if smiles}
    by_name = {name.casefold(): i for i, name in enumerate(part.drugs.names) if name}
    return np.array(
        [
            by_smiles.get(smiles, by_name.get(name.casefold(), -1))
            for smiles, name in zip(asked.smiles, asked.names, strict=True)
        ]
    )


def _interval(
    part: DrugPart, unseen: Array, every: Array, animals: Any, target: str, mine: Any, level: float
) -> tuple[Array, Array]:
    """log10 bounds (drugs,): quantiles of what each fold says, less and plus how far it was off on
    the drugs that it had not seen. Barber et al. 2021, equation 1.2, among drugs with as many
    animals as the one that is asked for.
    """
    logs = part.drugs.of(target)
    error = np.abs(unseen - logs[:, 0])
    low, high = (np.full(every.shape[1], np.nan) for _ in range(2))
    for drug, row in enumerate(mine):
        like = np.flatnonzero(np.isfinite(error) & (measured(logs) == animals[drug]))
        if not animals[drug]:
            continue
        if row >= 0:  # one of the training table: the networks that never saw it
            like = like[like != row]
            middle = np.full(like.size, every[part.fold[row], drug])
        else:
            middle = every[part.fold[like], drug]
        low[drug] = np.quantile(middle - error[like], 1 - level, method="lower")
        high[drug] = np.quantile(middle + error[like], level, method="higher")
    return low, high
