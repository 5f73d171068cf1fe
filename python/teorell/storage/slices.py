"""A population that is looked at a few patients at a time, and its numbers hashed.

It is sliced, or asked for. Arrays stay where the user has them: a slice is a view, and whatever is
converted is converted a slice at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from teorell.arrays import agree, is_tensor, is_whole, numbers
from teorell.errors import InputError
from teorell.model import Model
from teorell.patients import Patients, patients_of
from teorell.schedule.covariates import Stepwise
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.dose_table import DoseTable
from teorell.schedule.given_doses import Given, check_regimen, dose_table
from teorell.schedule.regimen import Regimen
from teorell.simulation.parameters import check_people, parameter_columns, parameter_table

__all__ = ["Population", "among", "population_of"]

BLOCK = 65536  # patients checked and hashed at once


@dataclass(frozen=True, eq=False)
class Population:
    """What `simulate` takes as parameters and regimen, of any patients start to stop - 1."""

    patients: int
    parameters: Mapping[str, Any] | Callable[[int, int], object]
    regimen: Any  # what simulate takes, or what has .part(start, stop), or a callable (start, stop)
    people: Patients | None = None  # who they are, where it was told

    def labels(self, start: int, stop: int, taken: Collection[str]) -> dict[str, Any]:
        """id and covariates of the patients start to stop - 1, but those whose names are taken."""
        if self.people is None:
            return {}
        columns = self.people.part(start, stop).columns()
        return {name: each for name, each in columns.items() if name not in taken}

    def part(self, start: int, stop: int) -> tuple[Mapping[str, Any], Given]:
        """Parameters and regimen of the patients start to stop - 1.

        InputError for tensors that a callable returns.
        """
        return self._parameters(start, stop), self._regimen(start, stop)

    def fingerprint(self, model: Model) -> dict[str, str]:
        """A hash of all parameters and one of all doses; "not known" of a callable.

        Checks every number that it reads.
        """
        hashes = {name: hashlib.blake2b(digest_size=16) for name in ("parameters", "regimen")}
        for start in range(0, self.patients, BLOCK):
            stop = min(start + BLOCK, self.patients)
            with among(start, stop, self.patients):
                if not callable(self.parameters):
                    columns = parameter_columns(model, self._parameters(start, stop))
                    for name, column in zip(columns.names, columns.values, strict=True):
                        if name in columns.given:
                            _feed(hashes["parameters"], name, columns.steps.get(name, column))
                if not callable(self.regimen):
                    regimen = self._regimen(start, stop)
                    check_regimen(regimen, model.state_names)
                    _feed(
                        hashes["regimen"],
                        "doses",
                        dose_table(regimen, model.state_names, stop - start),
                    )
        told = {
            name: "not known" if callable(getattr(self, name)) else value.hexdigest()
            for name, value in hashes.items()
        }
        return told if self.people is None else {**told, "people": self.people.fingerprint()}

    def _parameters(self, start: int, stop: int) -> Mapping[str, Any]:
        """The parameters of the patients start to stop - 1, by name."""
        if callable(self.parameters):
            return _columns(self.parameters(start, stop))
        return {name: _part(value, start, stop) for name, value in self.parameters.items()}

    def _regimen(self, start: int, stop: int) -> Given:
        """The regimen of the patients start to stop - 1; InputError for tensors in it."""
        regimen = (
            self.regimen(start, stop)
            if callable(self.regimen)
            else _part(self.regimen, start, stop)
        )
        _check_no_tensors(regimen)
        given: Given = regimen
        return given


def population_of(model: Model, parameters: Any, regimen: Any, patients: int | None) -> Population:
    """The population, its size known: that of the arrays, or `patients`.

    InputError where these contradict each other.
    """
    check_people(model, parameters)
    known = parameters if callable(parameters) else _columns(parameters, model.parameter_names)
    people = patients_of(parameters)
    sizes = [] if callable(known) else list(_sizes(known))
    sizes += [] if people is None else [("the population", len(people))]
    foreign = hasattr(regimen, "part") and not isinstance(
        regimen, Regimen | DoseColumns | DoseTable
    )
    if not callable(regimen) and not foreign:
        _check_no_tensors(regimen)
        sizes += check_regimen(regimen, model.state_names)
    open_ended = callable(known) or callable(regimen) or foreign
    number = agree(sizes)
    if patients is not None:
        if not is_whole(patients) or patients < 1:
            raise InputError(
                f"patients is {patients!r} (it counts them). Give a whole number of 1 or more."
            )
        if number is None and not open_ended and patients > 1:
            raise InputError(
                f"patients is {patients} and no array tells them apart (they would all be the "
                "same). Give arrays, or leave patients out."
            )
        number = agree([*sizes, ("the argument patients", int(patients))])
    if number is None and open_ended:
        raise InputError(
            "the number of patients is not known (functions of start and stop do not tell). Give "
            "patients=."
        )
    return Population(number or 1, known, regimen, people)


@contextmanager
def among(start: int, stop: int, patients: int) -> Iterator[None]:
    """An InputError about some patients says which these are."""
    try:
        yield
    except InputError as error:
        if stop - start == patients:
            raise
        where = f"among patients {start} to {stop - 1}, counted from the first of them"
        raise InputError(f"{where}: {error}") from None


def _columns(parameters: object, names: Sequence[str] = ()) -> dict[str, Any]:
    """Parameters by name: arrays as they are, numbers and sequences as arrays.

    names: those of the model.
    """
    table = dict(parameter_table(parameters, names))
    for name, value in table.items():
        if is_tensor(value):
            raise InputError(
                f"parameter {name!r} is a torch tensor (a store holds no derivatives). Give "
                ".detach().numpy() of it."
            )
        if not isinstance(value, np.ndarray | Stepwise):
            table[name] = numbers(value, f"parameter {name!r}")
    return table


def _check_no_tensors(regimen: object) -> None:
    """InputError if a regimen holds torch tensors."""
    tensors = isinstance(regimen, DoseColumns) and regimen.has_tensors()
    if isinstance(regimen, Regimen):
        tensors = any(line.has_tensors() for line in regimen.lines)
    if tensors:
        raise InputError(
            "the regimen holds a torch tensor (a store holds no derivatives). Give "
            ".detach().numpy() of it."
        )


def _sizes(columns: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """What each column says about the number of patients, for `agree`."""
    for name, value in columns.items():
        if isinstance(value, np.ndarray) and value.ndim:
            yield f"parameter {name!r}", len(value)
        elif isinstance(value, Stepwise) and value.patients > 1:
            yield f"parameter {name!r}", value.patients


def _part(given: Any, start: int, stop: int) -> Any:
    """What is given of the patients start to stop - 1; what all share stays as it is."""
    if isinstance(given, np.ndarray):
        return given[start:stop] if given.ndim else given
    if isinstance(given, Stepwise | DoseTable):
        return given.part(start, stop) if given.patients > 1 else given
    if given is None or isinstance(given, Sequence):
        return None if given is None else given[start:stop]
    return given.part(start, stop)


def _feed(digest: Any, name: str, value: Any) -> None:
    """Add an array, or the arrays of a dataclass, each with its name and shape."""
    if isinstance(value, Stepwise | DoseTable):
        for field in fields(value):
            _feed(digest, f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, np.ndarray):
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    else:  # the names of the states, or an array that is not there
        digest.update(f"{name} {value!r}".encode())
