"""Populations put together: people of several, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.errors import InputError

if TYPE_CHECKING:
    from teorell.population.population import Population

__all__ = ["parts_together"]


def parts_together(some: Sequence[Population], of: type[Population]) -> dict[str, Any]:
    """What the population of all people is made of: the arguments of `Population`.

    InputError for none, for other species or drugs, and for columns or units that one has and
    another has not; TypeError for what is no population.
    """
    for each in some:
        if not isinstance(each, of):
            raise TypeError(
                f"a {type(each).__name__} among populations (all must be tl.Population). Leave it "
                "out, or make it one by Population.from_dataframe."
            )
    if not some:
        raise InputError("no population to put together (there are none). Give one at least.")
    first = some[0]
    for place, each in enumerate(some):
        for what, ours, theirs in (
            ("species", first.species, each.species),
            ("drug", first._drug, each._drug),
        ):
            if ours != theirs:
                raise InputError(
                    f"population {place} is of the {what} {theirs!r} and population 0 of {ours!r} "
                    "(one population has one). Put them together by what they share."
                )
        for kind in ("columns", "parameters", "covariates"):
            ours, theirs = getattr(first, kind), getattr(each, kind)
            for name in [*ours, *theirs]:
                if name not in ours or name not in theirs:
                    lacking = place if name in ours else 0
                    raise InputError(
                        f"population {lacking} has no {name!r} among its {kind} (another has it). "
                        "Give it to all, or to none."
                    )
        for name in (*first.parameters, *first.covariates):
            if first.unit(name) != each.unit(name):
                raise InputError(
                    f"{name!r} is in {each.unit(name)!r} in population {place} and in "
                    f"{first.unit(name)!r} in population 0 (one column has one unit). Convert it."
                )

    def joined(kind: str) -> dict[str, Any]:
        return {
            name: np.concatenate([getattr(each, kind)[name] for each in some])
            for name in getattr(first, kind)
        }

    return {
        "columns": joined("columns"), "parameters": joined("parameters"),
        "covariates": joined("covariates"), "species": first.species, "units": first.units,
        "origin": "; ".join(dict.fromkeys(each.origin for each in some if each.origin)),
        "drug": first._drug,
    }  # fmt: skip
