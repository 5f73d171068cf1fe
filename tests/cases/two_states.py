"""A depot and a compartment with every rule of doses, and the closed form of any history of doses
and resets.

The closed form takes complex numbers: its derivatives are those of the complex step
(closed_form.py).
"""

from __future__ import annotations

import numpy as np
import teorell as tl

TIGHT = {"rtol": 1e-11, "atol": 1e-12}
TIMES = np.linspace(0.0, 24.0, 49) + 0.0123  # no event of the tests is at a sample
STEP = 1e-100
DEFAULTS = {"k": 0.3, "ka": 1.1, "c0": 0.0, "lag": 0.75, "f": 0.625, "rate": 12.0, "duration": 2.5}


def two_states(**rules):
    """A depot and a compartment.

    rules: state -> function of the parameters that gives the rules of its doses.
    """
    model = tl.Model("two states")
    p = dict(zip(DEFAULTS, model.parameters(**DEFAULTS), strict=True))
    gut, central = model.states("gut", "central")
    model.initial(central, p["c0"])
    model.flow(gut, central, p["ka"] * gut)
    model.flow(central, None, p["k"] * central)
    model.output("gut", gut)
    model.output("central", central)
    for state, rule in rules.items():
        model.dosing(state, **rule(p))
    return model


def rules_of_central(p):
    return {
        "lag": p["lag"],
        "bioavailability": p["f"],
        "rate": p["rate"],
        "duration": p["duration"],
    }


def rules_of_gut(p):
    exp = tl.exp if isinstance(p["f"], tl.model.expression.Expression) else np.exp
    return {
        "lag": 2 * p["lag"], "bioavailability": exp(-p["f"]), "rate": p["rate"] * (1 + p["f"]),
        "duration": p["duration"] * p["duration"],
    }  # fmt: skip


RULES = {"central": rules_of_central, "gut": rules_of_gut}
MODEL = two_states(**RULES)


def of_patient(value, patient):
    return np.asarray(value)[patient] if np.ndim(value) else np.asarray(value)[()]


def exact(parameters, lines, patients=1):
    """(patients, times, 2): the amounts in both states.

    Numbers may be complex; lines as for dosing_case.regimen_of.
    """
    found = []
    for patient in range(patients):
        p = {name: of_patient(value, patient) for name, value in (DEFAULTS | parameters).items()}
        mine = [
            (*one[:3], {f: of_patient(value, patient) for f, value in one[3].items()})
            for one in lines
        ]
        found.append(of_one(p, mine, TIMES))
    return np.array(found)


def of_one(p, lines, t):
    """(times, 2) of one patient."""
    gut, central = np.zeros((2, t.size), complex)
    k, ka = p["k"], p["ka"]
    # stable: as written at equal times
    in_order = sorted(lines, key=lambda one: one[3]["time"].real)
    last_reset = np.zeros(t.size, complex)
    for place, (kind, into, doses, fields) in enumerate(in_order):
        if kind == "reset":
            last_reset = np.where(t >= fields["time"].real, fields["time"], last_reset)
            continue
        until = next(
            (f["time"].real for kind, _, _, f in in_order[place + 1 :] if kind == "reset"), np.inf
        )
        rule = RULES[into](p)
        amount = rule["bioavailability"] * fields["amount"]
        width = width_of(kind, fields, amount, rule)
        for number in range(doses):
            start = fields["time"] + rule["lag"] + number * fields.get("every", 0.0)
            here = (t >= start.real) & (t < until)
            if start.real >= until:
                continue
            since = np.where(here, t - start, 0.0)
            by_k, by_ka = left(since, width, k), left(since, width, ka)
            if into == "gut":
                gut += np.where(here, amount * by_ka, 0.0)
                central += np.where(here, amount * ka / (ka - k) * (by_k - by_ka), 0.0)
            else:
                central += np.where(here, amount * by_k, 0.0)
    central += p["c0"] * np.exp(-k * (t - last_reset))
    return np.stack([gut, central], axis=-1)


def width_of(kind, fields, amount, rule):
    """How long what reaches the state takes to go in."""
    if kind == "bolus":
        return 0.0
    if kind.endswith("rate"):
        return amount / (fields["rate"] if kind == "rate" else rule["rate"])
    return fields["duration"] if kind == "duration" else rule["duration"]


def left(since, width, rate):
    """What is left of one unit that goes in over `width` and out at `rate`."""
    if width == 0.0:
        return np.exp(-rate * since)
    after = np.where(since.real > width.real, since - width, 0.0)
    return (np.exp(-rate * after) - np.exp(-rate * since)) / (rate * width)
