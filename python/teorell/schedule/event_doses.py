"""The doses of an event table: its RATE, II, ADDL and SS, checked, as a dose table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.model import Model
from teorell.model.expression import leaves
from teorell.schedule.dose import (
    ADD,
    BOLUS,
    BY_RATE,
    MAX_DOSES,
    MODELLED_DURATION,
    MODELLED_RATE,
    NOT_STEADY,
    REPLACE,
    RESET,
)
from teorell.schedule.dose_table import DoseTable
from teorell.schedule.sheet import Sheet

__all__ = ["doses_of_records"]

MODELLED = {-1.0: ("rate", MODELLED_RATE), -2.0: ("duration", MODELLED_DURATION)}  # by RATE
STEADY = np.array([NOT_STEADY, REPLACE, ADD, REPLACE])  # by SS


def doses_of_records(
    table: Sheet,
    model: Model,
    *,
    evid: NDArray[np.int64],
    amount: Array,
    state: NDArray[np.int64],
    time: Array,
    place: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> DoseTable:
    """The doses and resets of the records with EVID 1, 3 and 4; one of EVID 4 is both.

    evid, amount, state, time, place: (rows,) of each record; state is its compartment, place its
    place among the records of its subject. offsets: (patients + 1,) where subjects begin.
    InputError, with row and column, for what does not fit.
    """
    rate, every = table.numbers("RATE", 0.0), table.numbers("II", 0.0)
    steady, more = table.numbers("SS", 0.0), table.numbers("ADDL", 0.0)
    dose = np.isin(evid, (1, 4))
    _check_rates(table, model, dose, rate, state)
    _check_repeats(table, dose, steady, more, every)
    for_ever = (amount == 0.0) & (rate > 0.0)
    _check_steady(table, model, dose & (steady > 0), every, for_ever)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        running = np.where(rate > 0.0, amount / rate, 0.0) / every
    table.refuse(
        dose & (steady > 0) & (every > 0.0) & (running >= MAX_DOSES),
        "RATE",
        f"at steady state more than {MAX_DOSES:,} infusions would run at once",
        "Correct AMT, RATE or II.",
    )
    _check_nothing(table, dose, amount, steady, for_ever & (every == 0.0))
    reset = np.isin(evid, (3, 4))
    rows = np.concatenate([np.flatnonzero(reset), np.flatnonzero(dose)])
    is_reset = np.arange(len(rows)) < reset.sum()
    by_record = np.lexsort((~is_reset, rows))
    rows, is_reset = rows[by_record], is_reset[by_record]
    kind = np.where(rate > 0.0, BY_RATE, BOLUS)
    for code, (_, modelled) in MODELLED.items():
        kind = np.where(rate == code, modelled, kind)
    given = np.where(is_reset, 0.0, 1.0)
    repeats = (more > 0) | (steady > 0)
    at_steady = STEADY[np.where(dose, steady, 0.0).astype(np.int64)]
    return DoseTable(
        states=model.state_names,
        offsets=np.searchsorted(rows, offsets).astype(np.int64),
        into=np.where(is_reset, -1, state[rows]).astype(np.int32),
        kind=np.where(is_reset, RESET, kind[rows]).astype(np.int8),
        steady=np.where(is_reset, NOT_STEADY, at_steady[rows]).astype(np.int8),
        amount=amount[rows] * given,
        time=time[rows],
        every=np.where(repeats[rows], every[rows], 0.0) * given,
        extent=np.maximum(rate[rows], 0.0) * given,
        doses=np.where(is_reset, 1, more[rows] + 1).astype(np.int64),
        order=2 * place[rows] + ~is_reset,
    )


def _check_rates(
    table: Sheet, model: Model, dose: NDArray[np.bool_], rate: Array, state: NDArray[np.int64]
) -> None:
    """InputError for a RATE without a meaning, and for a modelled one without its rule."""
    wrong = (rate < 0.0) & ~np.isin(rate, (-1, -2))
    table.refuse(dose & wrong, "RATE", "-1 and -2 alone mean something", "Correct it.")
    rules = [model.dosing_rules.get(name) for name in model.state_names]
    for code, (field, _) in MODELLED.items():
        without = [k for k, one in enumerate(rules) if getattr(one, field, None) is None]
        table.refuse(
            dose & (rate == code) & np.isin(state, without),
            "RATE",
            f"the {field} is the model's, which has no rule for this compartment",
            f"Declare it with model.dosing(state, {field}=...).",
        )


def _check_repeats(
    table: Sheet, dose: NDArray[np.bool_], steady: Array, more: Array, every: Array
) -> None:
    """InputError for an SS or ADDL without a meaning, and for additional doses without II."""
    table.refuse(dose & ~np.isin(steady, (0, 1, 2, 3)), "SS", "it is 0, 1, 2 or 3", "Correct it.")
    wrong = (more < 0) | (more != np.floor(more))
    table.refuse(dose & wrong, "ADDL", "it counts doses", "Give a whole number.")
    table.refuse(
        dose & (more >= MAX_DOSES),
        "ADDL",
        f"a record gives {MAX_DOSES:,} doses at most",
        "Correct it.",
    )
    table.refuse(
        dose & (more > 0) & ~(every > 0.0),
        "II",
        "additional doses need an interval",
        "Give II above 0.",
    )


def _check_nothing(
    table: Sheet,
    dose: NDArray[np.bool_],
    amount: Array,
    steady: Array,
    for_ever: NDArray[np.bool_],
) -> None:
    """InputError for a dose of 0 that has a rate or is at steady state: it means something else.

    for_ever: (rows,) has AMT 0 and a rate above 0, but no interval.
    """
    rate = table.numbers("RATE", 0.0)
    nothing = dose & (amount == 0.0) & ~(for_ever & (steady > 0))
    table.refuse(
        nothing & (rate > 0.0),
        "AMT",
        "an infusion of 0 gives nothing",
        "Give AMT above 0; or SS 1 and II 0, an infusion that has run for ever.",
    )
    table.refuse(
        nothing & (steady > 0),
        "AMT",
        "a dose of 0 for ever gives nothing, and would empty the subject",
        "Give AMT above 0, or leave SS out.",
    )


def _check_steady(
    table: Sheet,
    model: Model,
    at_steady: NDArray[np.bool_],
    every: Array,
    for_ever: NDArray[np.bool_],
) -> None:
    """InputError for a steady state without an interval, or of a model that depends on time.

    for_ever: (rows,) is the record an infusion that has run for ever, which needs no interval?
    """
    table.refuse(
        at_steady & (every < 0.0), "II", "steady state needs an interval", "Give II above 0."
    )
    table.refuse(
        at_steady & (every == 0.0) & ~for_ever,
        "II",
        "steady state needs an interval, unless the infusion is constant",
        "Give II above 0; or AMT 0 and RATE above 0, an infusion that has run for ever.",
    )
    timed = [
        name
        for name, expr in model.derivatives().items()
        if any(leaf.op == "time" for leaf in leaves(expr))
    ]
    if timed:
        table.refuse(
            at_steady,
            "SS",
            f"d {timed[0]}/dt depends on time, so nothing repeats",
            "Give the doses one by one, SS 0.",
        )
