"""Models fitted to observations."""

from __future__ import annotations

from teorell.fitting.estimate import fit
from teorell.fitting.residual_error import Additive, Combined, Proportional
from teorell.fitting.result import Fit
from teorell.fitting.scale import LogNormal

__all__ = ["Additive", "Combined", "Fit", "LogNormal", "Proportional", "fit"]
