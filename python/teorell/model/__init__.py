"""Expressions, and the models made of them."""

from __future__ import annotations

from teorell.model.declarations import Dosing, Flow, Parameter, Rate, State
from teorell.model.model import Model, ModelError

__all__ = ["Dosing", "Flow", "Model", "ModelError", "Parameter", "Rate", "State"]
