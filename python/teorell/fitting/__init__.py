"""Models fitted to observations."""

from __future__ import annotations

from teorell.fitting.estimate import fit
from teorell.fitting.priors import LogNormal, Normal
from teorell.fitting.residual_error import Additive, Combined, Proportional
from teorell.fitting.result import Fit

__all__ = ["Additive", "Combined", "Fit", "LogNormal", "Normal", "Proportional", "fit"]
