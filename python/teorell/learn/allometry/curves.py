"""Human curves in the loss: clearance and volume through the whole-body model, and back.

A drug's prediction becomes the plasma curve of an adult after a dose into a vein; it is compared
with the curve of what was measured in humans. Both are simulated, by the adjoint of the solver
differentiable, so that the networks learn what errors of clearance and volume do to a curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import teorell as tl
from teorell.learn.allometry.drug_table import TARGETS, Drugs
from teorell.nn import Simulator
from teorell.pbpk import DRUGS, whole_body
from teorell.pbpk.chemicals import chemical, chemical_names
from teorell.pbpk.drug import Drug
from teorell.pbpk.drug_parameters import parameters_of
from teorell.physiology.reference_adults import BODY_WEIGHT, hepatic_flow

__all__ = ["CurveError", "HumanCurves", "chemistry_of"]

DOSE = 1.0  # mg, into a vein at once; curves are compared as logarithms, so that any dose does
TIMES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0)  # h
LEAST = 1e-6  # of the dose in mg/L: lower concentrations nobody measures
PER_HOUR = 60 / 1000  # L/h of mL/min
MOST = 0.9  # of the liver's blood flow: what a clearance above it counts as
SCALED = ("clearance", "fraction_renal", "gfr_fraction", "hepatocyte_clint", "microsome_clint",
          "liver_clint", "vmax", "km")  # fmt: skip
UNIT_VOLUMES = (5.0, 10.0)  # L/kg, at two of which the factor of the tissues is read off a Drug


def chemistry_of(drugs: Drugs) -> dict[int, Drug]:
    """Row of the table -> the drug as the package or httk knows it; rows of others are not there.

    Lipophilicity, ionisation and binding say where a drug goes in the body; they are not fitted.
    """
    known = {name.casefold(): name for name in (*chemical_names(), *DRUGS)}
    found = {}
    for row, name in enumerate(drugs.names):
        key = known.get(name.casefold())
        if key is not None:
            found[row] = DRUGS[key] if key in DRUGS else chemical(key)
    return found


class HumanCurves(nn.Module):
    """log10 concentrations in plasma of the reference man, of given clearances and volumes.

    drugs: what is known of each but its kinetics, which are given: all is cleared by the liver.
    """

    of_blood_to_plasma: Tensor
    slope: Tensor
    empty: Tensor
    factor: Tensor

    def __init__(self, drugs: Sequence[Drug]) -> None:
        super().__init__()
        bare = [replace(drug, **_unkinetic()) for drug in drugs]
        given = parameters_of(bare, partition="berezhkovskiy")
        self.names = tuple(name for name in given if name not in ("clint", "kp_scale"))
        for name in self.names:
            self.register_buffer(f"of_{name}", torch.from_numpy(np.asarray(given[name], float)))
        # the factor of the tissues is linear in the volume, the same for any method
        low, high = (
            parameters_of([replace(drug, volume=v) for drug in bare], partition="berezhkovskiy")
            for v in UNIT_VOLUMES
        )
        slope = (high["kp_scale"] - low["kp_scale"]) / (UNIT_VOLUMES[1] - UNIT_VOLUMES[0])
        self.register_buffer("slope", torch.from_numpy(slope))
        self.register_buffer(
            "empty", torch.from_numpy(UNIT_VOLUMES[0] - low["kp_scale"] / slope)
        )  # L/kg, of blood alone
        # the unbound intrinsic clearance of a well-stirred liver, over q c / (q - c) of blood
        unit = [replace(drug, clearance=1.0).clint for drug in bare]
        self.flow = float(hepatic_flow())
        ratio = np.array([drug.ratio for drug in bare])
        blood = 1.0 / ratio
        factor = np.array(unit) * (self.flow - blood) / (self.flow * blood)
        self.register_buffer("factor", torch.from_numpy(factor))
        self.simulator = Simulator(
            whole_body(bare[0], partition="berezhkovskiy"),
            tl.Regimen.bolus(DOSE, into="venous"),
            TIMES,
            "cp",
            rtol=1e-5,
            threads=1,
        )

    def forward(self, which: Tensor, clearance: Tensor, volume: Tensor) -> Tensor:
        """(n, times), of drugs `which` (n,) with log10 mL/min/kg and log10 L/kg, (n,).

        NaN where the solver gave up. No gradient flows where a liver could not clear so much, nor
        where a volume is not above that of the blood.
        """
        clearance, volume = clearance.double(), volume.double()
        ratio = self.of_blood_to_plasma[which]
        blood = 10**clearance * BODY_WEIGHT.man * PER_HOUR / ratio
        blood = blood.clamp(max=MOST * self.flow)
        clint = self.factor[which] * self.flow * blood / (self.flow - blood)
        least = 1.05 * self.empty[which]
        scale = self.slope[which] * (torch.maximum(10**volume, least) - self.empty[which])
        given = {name: getattr(self, f"of_{name}")[which] for name in self.names}
        found = self.simulator(given, clint=clint, kp_scale=scale)[..., 0]
        logs: Tensor = torch.log10(found / DOSE + LEAST)
        return logs


class CurveError:
    """How far simulated human curves are off: of predictions, from those of measured values.

    rows: (curves,) the drugs of the table whose chemistry, clearance and volume are known.
    """

    rows: NDArray[np.int64]

    def __init__(self, drugs: Drugs) -> None:
        chemistry = chemistry_of(drugs)
        known = np.isfinite(drugs.CL[:, 0]) & np.isfinite(drugs.VDss[:, 0])
        self.rows = np.array([row for row in chemistry if known[row]])
        self.curves = HumanCurves([chemistry[row] for row in self.rows])
        measured = (torch.from_numpy(drugs.of(target)[self.rows, 0]) for target in TARGETS)
        self.truth = self.curves(torch.arange(len(self.rows)), *measured)

    def of(self, which: Tensor, clearance: Tensor, volume: Tensor) -> Tensor:
        """(n,) mean absolute log10 over the times, of curves `which`; log10 of what is predicted.

        0 of a curve that the solver gave up.
        """
        apart = (self.curves(which, clearance, volume) - self.truth[which]).abs().mean(dim=1)
        return torch.where(torch.isfinite(apart), apart, 0.0)

    def __call__(
        self, logs: Mapping[str, Tensor], weights: Mapping[str, Tensor], pairs: int
    ) -> Tensor:
        """() the mean over `pairs` of a model and a drug, drawn among those that it is trained on.

        logs, weights: target -> (models, drugs), the predictions, and 0 where a model may not see
        a drug. The solver runs on the CPU, in float64.
        """
        rows = torch.from_numpy(self.rows)
        clearance, volume = (logs[target].cpu()[:, rows] for target in TARGETS)
        seen = torch.stack([weights[target].cpu()[:, rows] > 0 for target in TARGETS]).all(dim=0)
        places = seen.nonzero()
        model, which = places[torch.randint(len(places), (pairs,))].T
        found = self.of(which, clearance[model, which], volume[model, which]).mean()
        return found.to(logs["CL"].device, torch.float32)


def _unkinetic() -> dict[str, Any]:
    """Fields of a Drug without its own kinetics."""
    return dict.fromkeys(SCALED) | {"fraction_renal": 0.0, "gfr_fraction": 0.0, "volume": None,
                                    "partition": None}  # fmt: skip
