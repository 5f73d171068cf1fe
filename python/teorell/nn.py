"""Simulations as a layer of a network: `teorell.nn.Simulator`, a torch.nn.Module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from teorell.arrays import check_tensor, is_tensor, numbers_or_tensor
from teorell.derivatives import autograd_compiled as compiled
from teorell.derivatives.autograd import common_type, constant, simulated
from teorell.derivatives.tensors import lies_there, on_one_device, places_of
from teorell.errors import InputError, suggestion
from teorell.model import Model
from teorell.schedule.given_doses import Given
from teorell.simulation.given import problem_of
from teorell.simulation.parameters import check_people, elementwise, parameter_table
from teorell.simulation.problem import Problem
from teorell.torch_compile import eager

__all__ = ["Simulator"]

Values = Mapping[str, Any]


class Simulator(nn.Module):
    """One model, regimen and grid of times as a layer; a network may give its parameters.

    model, regimen, times, outputs, options: as for teorell.simulate (rtol, method, threads, ...),
        in numbers.
    learnable: names of parameters, which start at the model's defaults, or a mapping of name to
        start. Each becomes a torch.nn.Parameter, () or (patients,), in the unit that the model
        declares.
    fixed: mapping of name to value, () or (patients,), kept as a buffer. What is nowhere given
        takes its default.
    positive: those of `learnable` that are learned on the log scale, and so stay above zero.
    dtype: of parameters and buffers, float64 or float32. The solver always computes in float64.

    `module(cl=tensor)` or `module({"cl": tensor})`, for any parameters, replaces them in this call
    by tensors, () or (patients,). It returns the values (patients, times, outputs), differentiable
    by all that went in, in the type that the floating tensors promote to. A patient that failed has
    NaN from then on and no gradient flows through it; see `status`.

    `module(cl=tensor, regimen=regimen, times=times)` gives doses and times of this call, in place
    of the module's own: those of a mini-batch, of any number of patients. Numbers of the regimen
    may be tensors then, and have gradients. torch.compile breaks its graph at such a call.

    `.to("cuda")` moves what it has, and simulations run there, of tensors there and numbers.

    In state_dict a learnable cl is "learnable_cl", or "log_cl" if positive, a fixed one "fixed_cl".
    torch.compile takes the module whole (fullgraph=True); transforms of torch.func in compiled code
    run eagerly, or raise.
    Raises InputError as teorell.simulate does, and for names that are unknown or given twice.
    """

    def __init__(
        self,
        model: Model,
        regimen: Given = None,
        times: Any = None,
        outputs: Sequence[str] | str | None = None,
        learnable: Values | Iterable[str] = (),
        fixed: Values | None = None,
        positive: Iterable[str] = (),
        dtype: torch.dtype = torch.float64,
        **options: Any,
    ) -> None:
        super().__init__()
        if dtype not in (torch.float64, torch.float32):
            raise InputError(
                f"dtype is {dtype} (parameters are real numbers). Give torch.float64 or "
                "torch.float32."
            )
        if not isinstance(model, Model):
            raise TypeError(
                f"model is a {type(model).__name__} (equations are needed). Give a teorell.Model."
            )
        if fixed is not None and not hasattr(fixed, "keys"):
            raise TypeError(
                f"fixed is a {type(fixed).__name__} (names are needed). Give a mapping of name to "
                "value; of an event table events.parameters."
            )
        check_people(model, fixed)
        check_people(model, learnable)
        fixed = parameter_table(fixed, model.parameter_names)
        defaults = map(float, model.parameter_defaults)
        self._defaults = dict(zip(model.parameter_names, defaults, strict=True))
        grid = constant(times, "times") if is_tensor(times) else times
        self._recipe = (model, regimen, grid, outputs, options)
        self._declare(learnable, dict(fixed or {}), _names(positive), dtype)
        self._status: Any = ()  # an array, or in compiled code a tensor
        self._prepare()

    def _declare(
        self,
        learnable: Values | Iterable[str],
        fixed: Values,
        positive: Sequence[str],
        dtype: torch.dtype,
    ) -> None:
        """Make the module's parameters and buffers; InputError for names given twice."""
        if isinstance(learnable, Mapping):
            starts: Values = learnable
        else:
            starts = {name: self._start(name) for name in _names(learnable)}
        for name, value in starts.items():
            if name in fixed:
                raise InputError(
                    f"parameter {name!r} is learnable and fixed (which is meant?). Leave it out of "
                    "one."
                )
            start = self._tensor(name, value, dtype)
            if name in positive and not (start > 0).all():
                raise InputError(
                    f"parameter {name!r} starts at {value} (its logarithm is learned). Start above "
                    "zero."
                )
            key, start = (
                (f"log_{name}", start.log()) if name in positive else (f"learnable_{name}", start)
            )
            self.register_parameter(key, nn.Parameter(start))
        for name, value in fixed.items():
            self.register_buffer(f"fixed_{name}", self._tensor(name, value, dtype))
        for name in positive:
            if name not in starts:
                raise InputError(
                    f"parameter {name!r} is positive, not learnable (positive says how). Add it to "
                    "learnable."
                )

    def forward(
        self,
        parameters: Values | None = None,
        /,
        *,
        regimen: Given = None,
        times: Any = None,
        **more: Any,
    ) -> Tensor:
        """The values (patients, times, outputs), differentiable by all that went in.

        parameters, more: name -> tensor, () or (patients,), in place of the module's own.
        regimen, times: as for teorell.simulate, in place of the module's own; None is these.
        Raises InputError for unknown names and unfit tensors, and as teorell.simulate does.
        """
        if parameters is not None and not isinstance(parameters, Mapping):
            raise InputError(
                f"parameters are a {type(parameters).__name__} (whose number would be which?). "
                "Give them by name, as module(cl=tensor) or module({'cl': tensor})."
            )
        given = self.parameter_values()
        check_people(self._recipe[0], parameters)
        for name, value in (*(parameters or {}).items(), *more.items()):
            self._check_known(name)
            given[name] = value
        given = on_one_device(given)
        given = dict(elementwise(self._recipe[0], given))
        for name, value in given.items():
            check_tensor(value, f"parameter {name!r}", there=True)
        if regimen is not None or times is not None:
            return self._with_own(given, regimen, times)
        places = places_of([name for name, _ in self._constants], given)
        named = [self._constants[k] for k in places]
        inputs = [given.get(name, value).to(torch.float64) for name, value in named]
        whole = len(places) == len(self._constants)
        if not torch.compiler.is_compiling():
            problem = self._problem
            if not whole:
                problem = problem.by([problem.inputs[k] for k in places])
            values, _, trace = simulated(problem, inputs)
            self._status = trace.raw.status
        elif compiled.inside_a_transform():
            raise NotImplementedError(
                "a transform of torch.func inside compiled code (the compiled operator has no "
                "rules for it). Leave fullgraph=True out, and this part runs eagerly."
            )
        else:
            number = self._number if whole else compiled.part(self._number, places)
            values, self._status = compiled.simulate(number, inputs)
        result: Tensor = values.to(common_type(list(given.values())))
        return result

    @eager
    def _with_own(self, given: dict[str, Tensor], regimen: Given, times: Any) -> Tensor:
        """The values for doses or times of this call."""
        for name, value in (("regimen", regimen), ("times", times)):
            if value is not None and name in self._defaults:
                raise InputError(
                    f"{name}= is a parameter of the model, and what a call may give (which is "
                    "meant?). Rename the parameter."
                )
        model, own_regimen, own_times, outputs, options = self._recipe
        regimen = own_regimen if regimen is None else regimen
        at = own_times if times is None else constant(times, "times") if is_tensor(times) else times
        problem = problem_of(model, self._defaults, regimen, at, outputs, **options)
        doses: list[Any] = [x for x in problem.given if is_tensor(x)]
        if doses and any(map(lies_there, given.values())):
            raise InputError(
                "doses are tensors on the CPU, parameters lie on a device (nothing moves by "
                "itself). Give doses as numbers, or the module .cpu()."
            )
        places = places_of([x.name if x.kind == "parameter" else "" for x in problem.inputs], given)
        problem = problem.by([problem.inputs[k] for k in places])
        inputs: list[Tensor] = []
        for entry, value in zip(problem.inputs, problem.given, strict=True):
            own: Any = given.get(entry.name, value) if entry.kind == "parameter" else value
            inputs.append(own if is_tensor(own) else torch.tensor(own))
        values, _, trace = simulated(problem, [x.to(torch.float64) for x in inputs])
        self._status = trace.raw.status
        result: Tensor = values.to(common_type([*given.values(), *doses]))
        return result

    @property
    def status(self) -> NDArray[np.int32]:
        """(patients,) of the last call: 0 for each patient that succeeded.

        teorell.STATUS has a sentence for each number. Under torch.vmap the patients of all mapped
        runs, one run after the other; empty before the first call.
        """
        return np.asarray(self._status, dtype=np.int32)

    def parameter_values(self) -> dict[str, Tensor]:
        """Learnable and fixed parameters, name -> tensor () or (patients,), in declared units."""
        values = {}
        for key, tensor in (*self.named_parameters(), *self.named_buffers()):
            kind, _, name = key.partition("_")
            values[name] = tensor.exp() if kind == "log" else tensor
        return values

    def extra_repr(self) -> str:
        model, regimen, times, *_ = self._recipe
        return (
            f"{model.name!r}, {regimen}, {len(times)} times, {', '.join(self.parameter_values())}"
        )

    def _default(self, name: str) -> float:
        """The model's default of a parameter; InputError for an unknown name."""
        if name not in self._defaults:
            known = suggestion(str(name), self._defaults)
            raise InputError(f"unknown parameter {name!r} (the model does not declare it). {known}")
        return self._defaults[name]

    def _start(self, name: str) -> Any:  # of a vector (elements,)
        elements = self._recipe[0].parameter_vectors.get(name)
        return self._default(name) if elements is None else [self._defaults[k] for k in elements]

    def _check_known(self, name: str) -> None:
        if name not in self._recipe[0].parameter_vectors:
            self._default(name)

    def _tensor(self, name: str, value: Any, dtype: torch.dtype) -> Tensor:
        """A tensor of the module's own, () or (patients,)."""
        self._check_known(name)
        array = numbers_or_tensor(value, f"parameter {name!r}")
        return (array.detach().clone() if is_tensor(array) else torch.tensor(array)).to(dtype)

    def _prepare(self) -> None:
        """Make the problem, and what its inputs are where a call does not give them.

        The inputs are all parameters and doses.
        """
        model, regimen, times, outputs, options = self._recipe
        self._problem: Problem = problem_of(
            model, self._defaults, regimen, times, outputs, **options
        )
        self._number = compiled.register(self._problem)
        if self._problem.reductions:
            raise InputError(
                "reductions in a Simulator (it returns values alone). Call teorell.simulate where "
                "reductions are needed."
            )
        if any(is_tensor(value) for value in self._problem.given):
            raise InputError(
                "the regimen of a Simulator holds tensors (its doses are the same in every call). "
                "Give numbers, or a regimen at the call: module(regimen=...)."
            )
        self._constants = [
            (entry.name if entry.kind == "parameter" else "", torch.tensor(value))
            for entry, value in zip(self._problem.inputs, self._problem.given, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        made = ("_problem", "_number", "_constants")  # by _prepare
        return {key: value for key, value in self.__dict__.items() if key not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepare()


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
