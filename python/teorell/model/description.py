"""A model as readable text."""

from __future__ import annotations

from collections.abc import Sequence

from teorell.errors import ModelError, count
from teorell.model.balance import check_conservation
from teorell.model.equations import Equations
from teorell.model.expression import (
    Expression,
    constant,
    derivative,
    leaves,
    number_text,
    symbol,
    to_text,
)
from teorell.model.timing import looked_for

__all__ = ["describe"]

_LONGEST = 2000  # characters of one formula
_WIDEST = 120  # states in the picture of the Jacobian


def describe(model: Equations) -> str:
    """A model as readable text, section by section.

    Equations, parameters, states, outputs, doses, sparsity of the Jacobian and mass balance.
    """
    sizes = (
        f"{count(len(model.state_names), 'state')}, "
        f"{count(len(model.parameter_names), 'parameter')}"
    )
    parts = [f"{model.name}: {sizes}, time in {model.time_unit}"]
    names: dict[Expression, str] = {}
    defined = []
    for name, expr in model.definitions.items():
        defined.append((f"{name} =", to_text(expr, names, _LONGEST)))
        if expr.args:
            names.setdefault(expr, name)

    def text(expr: Expression) -> str:
        return to_text(expr, names, _LONGEST)

    parts += _section("Definitions", defined)
    parts += _section(
        "Equations", [(f"d {name}/dt =", text(expr)) for name, expr in model.derivatives().items()]
    )
    starts = [
        (f"{name}(0) =", text(e)) for name, e in model.initials().items() if e is not constant(0.0)
    ]
    parts += _section("Initial values (0 for the others)", starts)
    states = [model.state_info(name) for name in model.state_names]
    told = [s for s in states if s.unit or s.signed or not s.controlled or s.description]
    flags = [("signed" if s.signed else "", "" if s.controlled else "uncontrolled") for s in told]
    parts += _section(
        "States",
        [(s.name, s.unit, *flag, s.description) for s, flag in zip(told, flags, strict=True)],
    )
    infos = [model.parameter_info(name) for name in model.parameter_names]
    parts += _section(
        "Parameters",
        [
            (p.name, number_text(p.default), p.unit, _bounds(p.lower, p.upper), p.description)
            for p in infos
        ],
    )
    outputs = [
        (f"{name} =", text(expr), model.output_unit(name)) for name, expr in model.outputs().items()
    ]
    parts += _section("Outputs", outputs)
    doses = []
    for name, rule in model.dosing_rules.items():
        for what in ("lag", "bioavailability", "rate", "duration"):
            value = getattr(rule, what)
            if value is not None:
                doses.append((name, f"{what} =", text(value)))
    parts += _section("Doses", doses)
    changes = [
        (f"{name} becomes", text(value), f"where {text(event.when)}")
        for event in model.events
        for name, value in event.then.items()
    ]
    parts += _section("Events", changes)
    conditions = [event.when for event in model.events]
    passed = looked_for([*model.derivatives().values(), *conditions])
    parts += _section(
        "Conditions that a long step may pass over twice (bound the steps with max_step=)",
        [(text(condition),) for condition in passed],
    )
    parts += _jacobian(model)
    try:
        balance = str(check_conservation(model, warn=False))
    except ModelError as error:
        balance = str(error)
    parts += ["", "Mass balance", *[f"  {line}" for line in balance.splitlines()]]
    if model.events:
        parts.append("  Events change states beside it.")
    return "\n".join(parts)


def _jacobian(model: Equations) -> list[str]:
    """The lines that show the Jacobian: how many entries it has, and where they are.

    The pattern has a row for each equation and a column for each state: x varies with the states, c
    does not.
    """
    symbols = [symbol("state", name) for name in model.state_names]
    rows = []
    for expr in model.derivatives().values():
        found = leaves(expr)
        row = ""
        for state in symbols:
            entry = derivative(expr, state) if state in found else constant(0.0)
            nonlinear = any(leaf.op == "state" for leaf in leaves(entry))
            row += "." if entry is constant(0.0) else "x" if nonlinear else "c"
        rows.append(row)
    filled = sum(len(row) - row.count(".") for row in rows)
    varying = sum(row.count("x") for row in rows)
    size = len(symbols) ** 2
    share = f" ({100.0 * filled / size:.1f} %)" if size else ""
    kind = f"{varying} vary with the states" if varying else "the model is linear in its states"
    lines = ["", f"Jacobian: {filled} of {size} entries{share}, {kind}"]
    if len(symbols) > _WIDEST:
        return lines
    width = max(map(len, model.state_names), default=0)
    return lines + [
        f"  {name:{width}}  {row}" for name, row in zip(model.state_names, rows, strict=True)
    ]


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A title and aligned columns; nothing at all without rows.

    Columns that are empty throughout are left out.
    """
    if not rows:
        return []
    kept = [column for column in zip(*rows, strict=True) if any(column)]
    # A long formula does not push the next column away.
    widths = [max([len(cell) for cell in column if len(cell) <= 40], default=0) for column in kept]
    lines = []
    for row in zip(*kept, strict=True):
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return ["", title, *lines]


def _bounds(lower: float, upper: float) -> str:
    """The bounds of a parameter as text, "[lower, upper]"; "" if it has none."""
    if lower == -float("inf") and upper == float("inf"):
        return ""
    return f"[{number_text(lower)}, {number_text(upper)}]"
