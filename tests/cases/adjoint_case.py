"""A model, its patients and doses, ready for the derivatives of the core: what the tests of
derivatives share.
"""

from __future__ import annotations

import numpy as np
import teorell as tl
from dosing_case import doses_and_events
from teorell.engine import solve
from teorell.engine.batch import Batch
from teorell.lowering.recent import programs_of
from teorell.schedule.dose import BOLUS, RESET
from teorell.schedule.given_doses import dose_table
from teorell.simulation.parameters import parameter_columns


class Case:
    def __init__(
        self,
        model,
        parameters=None,
        regimen=None,
        times=(1.0,),
        patients=1,
        outputs=None,
        switches=(),
        **options,
    ):
        self.model, self.patients, self.times = model, patients, np.asarray(times, dtype=float)
        self.names, self.states = model.parameter_names, model.state_names
        self.columns = list(parameter_columns(model, parameters).values)
        self.infused = infused_states(regimen, self.states, patients)
        self.outputs = outputs or model.output_names
        self.regimen, self.switches = regimen, switches
        self.timeline = self.table(regimen)
        self.options = {"rtol": 1e-6, "atol": np.full(len(self.states), 1e-9), **options}

    def table(self, regimen, switches=None):
        number = {name: k for k, name in enumerate(self.states)}
        given = self.switches if switches is None else switches
        infused = {name: k for k, name in enumerate(self.infused)}
        return doses_and_events(regimen, number, infused, self.patients, given)[1]

    def programs(self, derivatives=None):
        return programs_of(self.model, self.outputs, self.infused, derivatives)

    def batch(self, derivatives=None, columns=None, timeline=None):
        columns = tuple(columns or self.columns)
        timeline = timeline or self.timeline
        return Batch(self.programs(derivatives), columns, self.patients, timeline, self.times)

    def solve(self, columns=None, timeline=None, **options):
        return solve.solve(self.batch(None, columns, timeline), **(self.options | options))

    def pull_back(self, cotangent, columns=None, **options):
        """cotangent: of the values, or a function (values, patients) -> their slopes."""
        chosen, batch = {**self.options, **options}, self.batch("vjp", columns)
        if not callable(cotangent):
            return solve.pull_back(batch, cotangent, **chosen)

        def slopes(values, reduced, reached, patients):
            return cotangent(values, patients), None

        return solve.pull_back(batch, slopes=slopes, **chosen)

    def push_forward(self, tangents, **options):
        return solve.push_forward(self.batch("jvp"), tangents, **(self.options | options))[:2]

    def scaled(self, gradient):
        """p dG/dp of each patient, over the largest of them."""
        values = gradient * np.column_stack(
            [np.broadcast_to(column, self.patients) for column in self.columns]
        )
        return values / np.abs(values).max(axis=1, keepdims=True)


def infused_states(regimen, states, patients):
    table = dose_table(regimen, states, patients)
    infused = set(table.into[~np.isin(table.kind, (BOLUS, RESET))].tolist())
    return tuple(name for number, name in enumerate(states) if number in infused)


def oral(name="oral"):
    """One compartment with saturable elimination: three parameters, an output
    that is not linear.
    """
    model = tl.Model(name)
    ka, vmax, km, v = model.parameters(ka=1.2, vmax=9.0, km=2.0, v=20.0)
    gut, central = model.states("gut", "central")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, vmax * central / (km * v + central))
    model.output("cp", central / v)
    model.output("log", tl.log(1.0 + central / v))
    return model
