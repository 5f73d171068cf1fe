"""`simulate`: check everything the user gave, lower the model, run it, label the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from teorell.arrays import is_on_device, is_tensor
from teorell.engine.batch import ATOL, MAX_STEPS, METHOD, RTOL
from teorell.model import Model
from teorell.progress import Progress
from teorell.results.solution import Solution
from teorell.schedule.given_doses import Given
from teorell.simulation.reductions import Reduction
from teorell.torch_compile import eager

__all__ = ["simulate"]


@eager
def simulate(
    model: Model,
    parameters: object = None,
    regimen: Given = None,
    times: Any = None,
    outputs: Sequence[str] | str | None = None,
    *,
    rtol: float = RTOL,
    atol: float | ArrayLike | Mapping[str, float] = ATOL,
    method: str = METHOD,
    threads: int | None = None,
    samples: str = "after",
    max_steps: int = MAX_STEPS,
    max_step: float | None = None,
    progress: bool | Progress | None = None,
    executor: str | None = None,
    start: str = "initial",
    reductions: Sequence[Reduction] | None = None,
    device: str | Sequence[str] | None = None,
) -> Solution:
    """Simulate a population from time 0 and sample its outputs at `times`.

    parameters: mapping of name to number or (patients,) array, a DataFrame with a row a patient, or
        an object whose `.parameters` is one of these, in the units that the model declares; what is
        not given takes its default. Integers and float32 become float64. Torch tensors () or
        (patients,) may stand for any of these arrays, and for any number of a regimen (a list of
        regimens holds numbers). A parameter that changes over time is a teorell.stepwise. Or an
        EventTable, which has the regimen and the times too.
    regimen: a Regimen for all patients (its numbers may be (patients,) arrays), a list of one a
        patient, the table of doses of an EventTable, or None.
    times: (times,) in the model's time unit, finite, >= 0, ascending; equal times are allowed. Or a
        list of such, one a patient, or the RecordTimes of an EventTable. Or an array or tensor
        (patients, times), whose rows end in NaN where a patient has fewer: the values have its
        shape, and NaN in these places, which no gradient reaches.
    outputs: names in the order wanted, or one name; None is all.
    rtol, atol: tolerances of each step, rtol from 1e-13 to 0.1; atol is one number, one a state
        (states,), or a mapping from names of states (others take 1e-9), in the units of the states.
    method: "rodas5p" or "rodas4p2", of a lower order and less work a step; teorell.METHODS lists
    those of this version.
    threads: None takes all processors this process may use. No result depends on it.
    samples: does a sample at a dose time see the dose ("after") or not ("before")?
    max_steps: accepted and rejected steps after which a patient is given up.
    max_step: no step is longer, in the model's time unit: where a short input could lie between two
        steps unseen (docs/numerics.md). None is no bound.
    progress: True draws a bar; a callable is called with the patients done and all.
    executor: "machine_code", "interpreter", or None for the faster one that works here. The results
        are the same bits. On a device "machine_code" compiles kernels of the model, 7 to 13 s the
        first time; None interprets until such kernels pay and are there.
    start: "initial", the initial values of the model; "equilibrium", where these lead to without
    doses.
    reductions: a list of teorell.Cmax, Tmax, Cmin, AUC and TimeAbove: numbers that sum up a curve,
        found in the dense output
        while it is solved. With these times may be None: no curve is stored then.
    device: "cuda" or "cuda:1" computes there (docs/cuda.md), "cpu" here; None is where the
        parameters lie: arrays of CuPy, torch, JAX and others on a CUDA device are used without a
        copy if they are float64. Values and reductions stay there, in arrays of the same library;
        `Solution.cpu()` brings them here. A list, or "cuda:all", deals the patients of NumPy arrays
        out to several devices, and everything comes back to the host, as from the CPU. The numbers
        are the same bits. Steady states and equilibria are searched for here, by the CPU, wherever
        the rest is computed.

    Returns a Solution. Its values have the shape (patients, times, outputs), or (samples, outputs)
    where each patient has a list of times of its own; its reductions are (patients,) arrays by
    name. The number of patients is the common length of all arrays, 1 if there is none. Raises
    InputError (a ValueError) or TypeError before anything runs if something does not fit. A patient
    that fails
    numerically raises nothing: it has a status and NaN from the failing time on;
    `Solution.raise_for_status` turns that into an exception.

    Where anything is a torch tensor (float64, float32, integers; read where it lies, parameters on
    a CUDA device too) the values are one, in the type that the floating ones promote to. Torch
    differentiates them by every floating tensor but `times`, backward and forward, under torch.func
    too (docs/differentiation.md). A failed patient has gradient zero; a second derivative raises
    NotImplementedError. Under torch.vmap all else in the solution is that of the patients of all
    runs, one run after the other. torch.compile leaves this function out of its graph;
    teorell.nn.Simulator goes in.
    """
    # not at the top: `import teorell` is short
    from teorell.simulation.given import problem_of
    from teorell.simulation.labels import labelled

    tensors = is_tensor(times)
    if tensors:
        from teorell.derivatives.autograd import constant

        times = constant(times, "times")
    problem = problem_of(
        model,
        parameters,
        regimen,
        times,
        outputs,
        rtol=rtol,
        atol=atol,
        method=method,
        threads=threads,
        samples=samples,
        max_steps=max_steps,
        max_step=max_step,
        progress=progress,
        executor=executor,
        start=start,
        reductions=reductions,
    )
    if device is not None:
        from teorell.device.devices import several_of

        several = several_of(device)
        if several is not None:
            from teorell.simulation.over_devices import simulate_over

            return simulate_over(problem, several)
    if device is not None or any(map(is_on_device, problem.given)):
        from teorell.simulation.on_device import place_of, simulate_there

        place = place_of(device, problem)
        if place is not None and not any(map(is_tensor, problem.given)):
            return simulate_there(problem, place)
    if tensors or any(map(is_tensor, problem.given)):
        from teorell.derivatives.autograd import solve

        values, reduced, trace = solve(problem, problem.given)
        return labelled(trace.problem, trace.raw, values, trace.arrays, reduced)
    return labelled(problem, problem.solve(problem.given))
