"""Doses for tests: regimens from plain lines, and doses and events without a model, as teorell.run
makes them.
"""

from __future__ import annotations

import numpy as np
from teorell.model.expression import leaves
from teorell.schedule.dosing_rules import doses_of
from teorell.schedule.given_doses import dose_table
from teorell.schedule.introduction import recorded
from teorell.schedule.regimen import Regimen
from teorell.schedule.timeline import timeline_of


def line(kind, into, doses, fields):
    """A line of a regimen: a bolus, an infusion of a `duration`, at a `rate`, `short`, or with
    either modelled, a reset.
    """
    if kind == "reset":
        return Regimen.reset(**fields)
    if kind == "bolus":
        return Regimen.bolus(into=into, doses=doses, **fields)
    modelled = {kind.split()[-1]: "modelled"} if kind.startswith("modelled") else {}
    return Regimen.infusion(into=into, doses=doses, **fields, **modelled)


def regimen_of(lines):
    return sum((line(*one) for one in lines), Regimen.none())


def doses_and_events(
    regimen, states, infused, patients=1, switches=(), rules=None, parameters=None
):
    """states, infused: name -> number. rules: state -> Dosing.

    parameters: symbol -> () or (patients,) of those in rules.
    """
    values = {leaf: np.asarray(value) for leaf, value in (parameters or {}).items()}
    table = dose_table(regimen, tuple(states), patients)
    differ = any(
        value.ndim for value in (*values.values(), *(switch.threshold for switch in switches))
    )
    if differ and table.patients == 1:
        table = table.repeated(patients)

    def values_at(expression, at):
        inside = {leaf: values[leaf] for leaf in leaves(expression) if leaf.op == "parameter"}
        return {leaf: value[at.owner] if value.ndim else value for leaf, value in inside.items()}

    doses = doses_of(recorded(table), rules or {}, values_at)
    return doses, timeline_of(doses, states, infused, switches)
