"""The peers of gradients.py: the gradient of the sum of 97 venous concentrations by all parameters,
from the same models.

Each maker takes a problem and returns a Run: of the first n patients (n, parameters), mg/L per unit
of the parameter.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from teorell import benchmark
from teorell.model.expression import to_text

__all__ = ["PEERS"]


def diffrax(problem: benchmark.Problem, solver: str) -> benchmark.Run:
    """Diffrax's discrete adjoint (RecursiveCheckpointAdjoint): all patients in one vmap, on one
    processor.
    """
    stay_on_one_processor()
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )
    jax = importlib.import_module("jax")
    loss = diffrax_loss(problem, solver)
    gradient = jax.jit(jax.vmap(jax.grad(loss), in_axes=(0, None, None)))
    return lambda n, rtol, atol: np.asarray(gradient(problem.matrix(n), rtol, atol))


def diffrax_loss(problem: benchmark.Problem, solver: str) -> Callable[[Any, float, float], Any]:
    """The sum of the venous curve of one patient (parameters,), rtol, atol; from dose to dose in
    one scan.
    """
    jax, jnp, dfx = (importlib.import_module(name) for name in ("jax", "jax.numpy", "diffrax"))
    jax.config.update("jax_enable_x64", True)
    model, states = problem.model, len(problem.model.state_names)
    namespace: dict[str, Any] = {"math": jnp}
    exec(benchmark.rhs_source(model), namespace)
    places = {name: place for place, name in enumerate(model.parameter_names)}

    def derivative(t: Any, y: Any, p: Any) -> Any:
        dy = [0.0] * states
        namespace["rhs"](t, jnp.unstack(y), dy, jnp.unstack(p))
        return jnp.stack(dy)

    def initial(p: Any) -> Any:
        """(states,) before the first dose; a constant or one parameter each, which is all that the
        two problems have.
        """
        exprs = [model.initials()[name] for name in model.state_names]
        return jnp.array(
            [p[places[expr.name]] if expr.op == "parameter" else expr.value for expr in exprs]
        )

    def loss(p: Any, rtol: float, atol: float) -> Any:
        def to_next_dose(y: Any, begin: Any) -> tuple[Any, Any]:
            solution = dfx.diffeqsolve(
                dfx.ODETerm(derivative), getattr(dfx, solver)(), begin, begin + benchmark.EVERY,
                None, y.at[problem.depot].add(benchmark.DOSE), args=p, max_steps=16384,
                saveat=dfx.SaveAt(ts=begin + jnp.linspace(0.0, benchmark.EVERY,
                benchmark.BETWEEN + 1)[1:]), stepsize_controller=dfx.PIDController(rtol=rtol,
                atol=atol), adjoint=dfx.RecursiveCheckpointAdjoint(),
            )  # fmt: skip
            return solution.ys[-1], solution.ys[:, problem.venous]

        start = initial(p)
        _, amounts = jax.lax.scan(
            to_next_dose, start, jnp.arange(benchmark.DOSES) * benchmark.EVERY
        )
        return (start[problem.venous] + amounts.sum()) / p[places["V_ven"]]

    return loss


def stay_on_one_processor() -> None:
    """JAX starts a thread for each processor that the process may use, whatever its flags say."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def amici(problem: benchmark.Problem, method: str) -> benchmark.Run:
    """AMICI (CVODES and KLU, C++ generated from SBML), method "adjoint" or "forward", patient after
    patient.

    AMICI differentiates a log-likelihood, whose slope by a value y is (measurement - y) / noise^2.
    With measurements of 1e10 and noise of 1e5 that is 1, to 1e-10: the gradient is that of the sum.
    """
    sundials, parameters, module = amici_module(problem.kind)
    native = module.get_model()
    native.set_timepoints(benchmark.TIMES)
    native.require_sensitivities_for_all_parameters()
    data = sundials.ExpData(native)
    data.set_measurements([1e10] * len(benchmark.TIMES))
    data.set_noise_scales([1e5] * len(benchmark.TIMES))
    theirs = [parameters.index(name) for name in native.get_free_parameter_ids()]
    ours = np.argsort(theirs)

    def run(n: int, rtol: float, atol: float) -> benchmark.FloatArray:
        solver = native.create_solver()
        solver.set_relative_tolerance(rtol)
        solver.set_absolute_tolerance(atol)
        solver.set_sensitivity_order(sundials.SensitivityOrder.first)
        solver.set_sensitivity_method(getattr(sundials.SensitivityMethod, method))
        solver.set_return_data_reporting_mode(sundials.RDataReporting.likelihood)
        out = np.empty((n, len(parameters)))
        for i, row in enumerate(problem.matrix(n)):
            native.set_free_parameters(row[theirs])
            result = sundials.run_simulation(native, solver, data)
            if result.status != 0:
                raise RuntimeError(
                    f"AMICI failed on problem {problem.kind}, patient {i} (status {result.status})."
                )
            out[i] = np.asarray(result.sllh)[ours]
        return out

    return run


@lru_cache(maxsize=2)
def amici_module(kind: str) -> tuple[Any, list[str], Any]:
    """AMICI's solvers, the names of our parameters, and the extension that it compiles for the
    problem.
    """
    package, importer, utils, sundials = (
        importlib.import_module(name)
        for name in ("amici", "amici.importers.sbml", "amici.importers.utils", "amici.sim.sundials")
    )
    problem, name, folder = benchmark.problem(kind), f"problem_{kind}", tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    venous = utils.MeasurementChannel("venous", formula="VEN / V_ven")
    source = importer.SbmlImporter(sbml(problem), from_file=False)
    source.sbml2amici(name, folder, compute_conservation_laws=False, observation_model=[venous])
    return sundials, list(problem.model.parameter_names), package.import_model_module(name, folder)


def sbml(problem: benchmark.Problem) -> str:
    """The problem as SBML: rate rules, the first dose in the initial amount,
    the others as events.
    """
    libsbml = importlib.import_module("libsbml")

    def formula(text: str) -> Any:
        return libsbml.parseL3Formula(text.replace("**", "^"))

    document = libsbml.SBMLDocument(3, 2)
    target, model = document.createModel(), problem.model
    target.setId("pbpk")
    derivatives, initials = model.derivatives(), model.initials()
    for name in model.parameter_names:
        parameter = target.createParameter()
        parameter.setId(name)
        parameter.setConstant(True)
        parameter.setValue(float(problem.patients(1)[name][0]))
    depot = model.state_names[problem.depot]
    for name in model.state_names:
        state, first, rule = (
            target.createParameter(),
            target.createInitialAssignment(),
            target.createRateRule(),
        )
        state.setId(name)
        state.setConstant(False)
        first.setSymbol(name)
        first.setMath(
            formula(to_text(initials[name]) + (f" + {benchmark.DOSE}" if name == depot else ""))
        )
        rule.setVariable(name)
        rule.setMath(formula(to_text(derivatives[name])))
    for dose in range(1, benchmark.DOSES):
        event = target.createEvent()
        event.setId(f"dose_{dose}")
        event.setUseValuesFromTriggerTime(True)
        trigger, assignment = event.createTrigger(), event.createEventAssignment()
        trigger.setInitialValue(True)
        trigger.setPersistent(True)
        trigger.setMath(formula(f"time >= {dose * benchmark.EVERY}"))
        assignment.setVariable(depot)
        assignment.setMath(formula(f"{depot} + {benchmark.DOSE}"))
    return str(libsbml.writeSBMLToString(document))


PEERS: Mapping[str, tuple[str, Callable[[benchmark.Problem], benchmark.Run]]] = {
    "AMICI adjoint": ("amici", partial(amici, method="adjoint")),
    "AMICI forward": ("amici", partial(amici, method="forward")),
    "diffrax Kvaerno5, checkpointed adjoint": ("diffrax", partial(diffrax, solver="Kvaerno5")),
    "diffrax Kvaerno3, checkpointed adjoint": ("diffrax", partial(diffrax, solver="Kvaerno3")),
}
"""Name -> (module that must be installed, how to make it)."""
