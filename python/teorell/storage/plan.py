"""What a store will hold, checked before anything is made: chunks, variables, their names."""

from __future__ import annotations

from teorell.arrays import Array, agree, is_whole
from teorell.errors import InputError
from teorell.schedule.given_doses import check_regimen
from teorell.schedule.record_times import RecordTimes
from teorell.simulation.parameters import ParameterColumns, parameter_columns
from teorell.simulation.problem import Problem
from teorell.storage.chunks import PER_PATIENT, check_size
from teorell.storage.contents import Chunk, Contents, Variable
from teorell.storage.slices import Population, among

__all__ = ["contents_of"]

BYTES = 64e6  # of values in a chunk, unless the user says how many patients
LARGEST = 2**31 - 1  # bytes of one output in a chunk: what the compressors of Zarr take


def contents_of(whole: Problem, population: Population, chunk: int | None) -> Contents:
    """What the store of a simulation will hold; the first chunk of the patients is checked.

    chunk: how many patients a chunk has, None for BYTES of values. InputError for what a store
    cannot hold.
    """
    if isinstance(whole.times, RecordTimes):
        raise InputError(
            "each patient has times of its own (a store has one grid for all). Give one sequence "
            "of times."
        )
    own = [what for what, _ in whole.reductions.sizes()]
    if own:
        raise InputError(
            f"{own[0]} differs by patient (a store has one window for all). Give one number."
        )
    numbers = whole.times.size * len(whole.outputs) + len(whole.reductions)
    chunk = _patients_a_chunk(numbers, whole.times.size, population.patients, chunk)
    first = Chunk(0, 0, chunk)
    with among(0, chunk, population.patients):
        parameters, regimen = population.part(0, chunk)
        columns = parameter_columns(whole.model, parameters)
        sizes = [*columns.sizes(), *check_regimen(regimen, whole.model.state_names)]
        check_size(agree(sizes) or 1, first)
    return Contents(
        model=whole.model.name,
        times=whole.times,
        time_unit=whole.model.time_unit,
        patients=population.patients,
        chunk=chunk,
        variables=_variables(whole, columns, population),
    )


def _patients_a_chunk(numbers: int, times: int, patients: int, chunk: int | None) -> int:
    """How many patients a chunk has; InputError for a number that does not do.

    numbers: in all outputs and reductions of a patient. times: samples of one output.
    """
    if chunk is None:
        chunk = max(1, int(BYTES // (8 * numbers)))
    elif not is_whole(chunk) or chunk < 1:
        raise InputError(
            f"chunk is {chunk!r} (it counts patients). Give a whole number of 1 or more, or None."
        )
    chunk = min(int(chunk), patients)
    size = 8 * times * chunk
    if size > LARGEST:
        raise InputError(
            f"chunk is {chunk} (an output of it takes {size / 1e9:.1f} GB, and 2.1 are the most). "
            "Give less."
        )
    return chunk


def _variables(
    whole: Problem, columns: ParameterColumns, population: Population
) -> dict[str, Variable]:
    """name -> Variable, of all arrays that a chunk will have.

    InputError where two have one name.
    """
    model = whole.model
    curves = {
        name: Variable(("patient", "time"), "float64", model.output_unit(name))
        for name in whole.outputs
    }
    reduced = {
        name: Variable(("patient",), "float64", unit)
        for name, unit in whole.reductions.units(model).items()
    }
    given = {
        name: Variable(("patient",), "float64", model.parameter_info(name).unit)
        for name, value in zip(columns.names, columns.values, strict=True)
        if name in columns.given and name not in columns.steps and value.ndim
    }
    ours = {"patient": "int64", **PER_PATIENT}
    labels = {
        name: Variable(("patient",), _stored(each), _unit(population, name))
        for name, each in population.labels(0, 1, given).items()
    }
    every = (curves, reduced, given, labels, ours)
    for name in (*curves, *reduced, *given, *labels):
        if sum(name in each for each in every) > 1:
            raise InputError(
                f"the store would hold {name!r} twice (outputs, reductions, parameters, ids and "
                f"covariates, {', '.join(ours)} lie side by side). Rename one of them."
            )
    counted = {name: Variable(("patient",), dtype) for name, dtype in ours.items()}
    return curves | reduced | given | labels | counted


def _stored(column: Array) -> str:
    """How a column of ids or covariates is stored: numbers as they are told, other things as
    text.
    """
    return {"f": "float64", "i": "int64", "u": "int64", "b": "int64"}.get(column.dtype.kind, "str")


def _unit(population: Population, name: str) -> str:
    return "" if population.people is None else population.people.units.get(name, "")
