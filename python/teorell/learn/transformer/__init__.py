"""Forecasts of concentrations: a transformer trained on simulated studies, weighed by the solver.

`forecast` is what a user calls; `teorell train transformer` trains.
"""

from teorell.learn.transformer.forecasting import Forecast, forecast

__all__ = ["Forecast", "forecast"]
