"""Parameters of all decoders and their priors: log-normal over drugs, and over patients of a drug.

Amounts in mg, volumes in L, times in h.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "MEDIANS", "PARAMETERS", "REFERENCE_WEIGHT", "SPREADS", "TAU", "WEIGHTS", "WEIGHT_POWERS",
    "WITHIN",
]  # fmt: skip

# Medians and standard deviations of logarithms over drugs and over the patients of one drug. Chosen
# wide, not fitted. For 1,211 drugs in humans the logarithms of clearance and volume have standard
# deviations of 1.49 and 1.48 (the human table of PKSmart, looked at, not copied).
_COMPARTMENTS = {  # name: median, sd over drugs, sd over patients
    "cl": (5.0, 1.6, 0.35),  # L/h; of a saturable one the clearance at low concentrations
    "v": (40.0, 1.3, 0.25),  # L
    "q": (6.0, 1.1, 0.2),  # L/h, to the second compartment
    "v2": (40.0, 1.1, 0.2),  # L
    "q3": (2.0, 1.1, 0.2),  # L/h, to the third
    "v3": (60.0, 1.1, 0.2),  # L
    "ka": (1.0, 0.9, 0.4),  # 1/h; in the whole body from the lumen of the intestine
    "mtt": (1.5, 0.7, 0.3),  # h, mean time of transit
    "dur": (2.0, 0.7, 0.3),  # h, how long a dose goes in at a constant rate
    "km": (2.0, 1.6, 0.2),  # mg/L, concentration at half of the greatest rate
}
# Of drugs in the whole body, chosen so that clearance and volume are about as wide as said above.
# The chemicals of httk 2.7.4 (teorell/pbpk/httk_chemicals.csv) are wider, as not all are medicines:
# log10 P has median 3.0 and sd 1.8, the odds of being unbound median 0.06 and an sd of logs, by
# quartiles, of 2.7, intrinsic clearance, where there is any, median 72 L/h/kg and 1.6. Affinity is
# how far volumes are from partition formulae; filtration the rate of the kidneys times what
# secretion adds and reabsorption takes.
_DRUG = {
    "lipophilicity": (10**2.5, 3.2, 0.02),  # octanol:water; 3.2 is 1.4 in log10
    "ionised": (1.0, 4.0, 0.02),  # ionised over neutral form at pH 7.4
    "unbound": (0.1, 1.8, 0.2),  # odds fu / (1 - fu)
    "affinity": (1.0, 0.5, 0.15),  # factor on all partition coefficients
    "clint": (20.0, 1.7, 0.39),  # L/h/kg of liver, unbound; 0.29 of people, 0.25 of livers' mass
    "filtration": (5.8, 1.0, 0.28),  # L/h, of unbound drug
    "absorbed": (4.0, 1.2, 0.3),  # odds of an oral dose to enter the gut wall
}
# Of people: medians at 70 kg, spreads about a power of weight, and the powers below, of 5,000
# people of tl.Population (NHANES), those of 18 to 80 years and 30 to 150 kg.
_PERSON = {
    "size": (70.0, 0.0, 0.05),  # kg, the body that organs and flows follow; scales are not exact
    "cardiac": (14.1, 0.0, 0.19),  # L/h/kg^0.75, cardiac index
    "fat": (0.29, 0.0, 0.31),  # adipose tissue, of the body weight
}
_PRIOR = _COMPARTMENTS | _DRUG | _PERSON
PARAMETERS = tuple(_PRIOR)
MEDIANS = np.array([np.log(median) for median, _, _ in _PRIOR.values()])
TAU = np.array([tau for _, tau, _ in _PRIOR.values()])
WITHIN = np.array([within for _, _, within in _PRIOR.values()])
SPREADS = np.sqrt(TAU**2 + WITHIN**2)  # of one patient of whom nothing is known

# Powers of weight over 70 kg: allometry (Anderson 2008, Annu Rev Pharmacol Toxicol 48:303); of
# people as above.
_POWERS = {"cl": 0.75, "q": 0.75, "q3": 0.75, "v": 1.0, "v2": 1.0, "v3": 1.0} | {
    "size": 1.0, "cardiac": -0.24, "fat": 0.52, "filtration": 0.45,
}  # fmt: skip
WEIGHT_POWERS = np.array([_POWERS.get(name, 0.0) for name in PARAMETERS])
REFERENCE_WEIGHT = 70.0  # kg
WEIGHTS = (30.0, 150.0)  # kg, the range of training
