"""Virtual adults: the parameters of `whole_body` for many people, log-normal about the reference
man.

Sources: bodies as in `teorell.physiology`. Plasma binding: CV 0.3 of the fraction unbound, Pearce
et al. (2017), J Stat Softw 79(4). Intrinsic clearance and absorption rate: the drug's own. Shares
vary independently, so a heavy man is not a fatter one: correlations belong to a population module.
"""

from __future__ import annotations

import numpy as np

from teorell.errors import InputError
from teorell.pbpk.drug import Drug
from teorell.physiology.adults import Adults
from teorell.physiology.reference_adults import BODY_WEIGHT, CARDIAC_INDEX, MASS, REFERENCE
from teorell.physiology.variation import (
    BODY_WEIGHT_SD,
    CARDIAC_INDEX_CV,
    FLOW_CV,
    SPREAD,
    log_sd,
)
from teorell.physiology.vocabulary import FLOWS, MASSES, flow_share_to, mass_share_of

BINDING_CV = 0.3


def virtual_adults(n: int, seed: int, drug: Drug | None = None) -> Adults:
    """Parameters of `n` adults for `whole_body`, name -> (n,): body_weight (kg), cardiac_index
    (L/h/kg^0.75), mass_share_* of the body weight and flow_share_* of the cardiac output, which
    each add up to 1.

    With a `drug` also fu (fraction), clint (L/h/kg of liver) and ka (1/h), which the model of
    another drug refuses. The result's `.body` has
    the same people in kg and L/h, and a ConstraintSet such as teorell.constraints.human_adult()
    takes the result as it is. All are men of the reference height. The same seed gives the
    same people; person i does not depend on `n`, nor the bodies on the drug. Medians are the
    reference man's. InputError for n below 1.
    """
    if n < 1:
        raise InputError(
            f"n is {n} (a population has at least one person). Ask for 1 virtual adult or more."
        )
    if drug is not None and not isinstance(drug, Drug):
        raise InputError(
            f"drug is {drug!r} (a Drug is needed). Give teorell.pbpk.drug(name), or leave it out."
        )
    bodies, habits = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)
    )
    z = bodies.standard_normal((n, 2 + len(MASSES) + len(FLOWS)))

    people = Adults(
        body_weight=BODY_WEIGHT.man * np.exp(BODY_WEIGHT_SD * z[:, 0]),
        cardiac_index=CARDIAC_INDEX * np.exp(log_sd(CARDIAC_INDEX_CV) * z[:, 1]),
    )
    mass = {
        name: MASS[name].man * np.exp(log_sd(SPREAD[name].cv.man) * z[:, 2 + k])
        for k, name in enumerate(MASSES)
    }
    flow = {
        name: REFERENCE[name].flow.man * np.exp(log_sd(FLOW_CV) * z[:, 2 + len(MASSES) + k])
        for k, name in enumerate(FLOWS)
    }
    for share_of, parts in ((mass_share_of, mass), (flow_share_to, flow)):
        whole = sum(parts.values())
        people |= {share_of(name): part / whole for name, part in parts.items()}

    if drug is not None:
        z = habits.standard_normal((n, 3))
        # keeps fu within (0, 1)
        bound = (1.0 - drug.fu) / drug.fu * np.exp(log_sd(BINDING_CV) * z[:, 0])
        people = people.with_drug(
            drug.name,
            fu=1.0 / (1.0 + bound),
            clint=drug.clint * np.exp(drug.clint_sd * z[:, 1]),
            ka=drug.absorption_rate * np.exp(drug.absorption_sd * z[:, 2]),
        )
    return people
