"""People and animals who differ: sampled, read from tables, and kept with ids and covariates."""

from __future__ import annotations

from teorell.population.population import Population

__all__ = ["Population"]
