"""A table of the coefficients of a drug by all methods, without a simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, suggestion
from teorell.tables import aligned

__all__ = ["PartitionTable"]


@dataclass(frozen=True, eq=False)
class PartitionTable:
    """Tissue:plasma partition coefficients, total to total; NaN where a method does not know a
    tissue.
    """

    name: str
    species: str
    tissues: tuple[str, ...]
    methods: tuple[str, ...]
    values: NDArray[np.float64]  # (tissues, methods)
    # method -> the species whose composition it read; "any" for one set for all
    composition: Mapping[str, str]

    def __getitem__(self, key: str) -> dict[str, float]:
        """A method: tissue -> coefficient; or a tissue: method -> coefficient."""
        if key in self.methods:
            column = self.values[:, self.methods.index(key)]
            return dict(zip(self.tissues, column.tolist(), strict=True))
        if key in self.tissues:
            row = self.values[self.tissues.index(key)]
            return dict(zip(self.methods, row.tolist(), strict=True))
        raise InputError(
            f"unknown {key!r} (it is neither a method nor a tissue). "
            f"{suggestion(str(key), (*self.methods, *self.tissues))}"
        )

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, a row a tissue, a column a method. ImportError without pandas."""
        import pandas as pd

        return pd.DataFrame(self.values, index=list(self.tissues), columns=list(self.methods))

    def __str__(self) -> str:
        rows: list[Sequence[str]] = [
            [tissue, *("-" if np.isnan(x) else f"{x:.3g}" for x in row)]
            for tissue, row in zip(self.tissues, self.values, strict=True)
        ]
        return f"{self.name}, {self.species}: tissue:plasma\n" + aligned(
            [["", *self.methods], *rows]
        )

    __repr__ = __str__
