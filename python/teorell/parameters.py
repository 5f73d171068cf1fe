"""What the user gives as parameters, turned into one column a parameter.

A column is float64 of shape () (every patient the same) or (patients,). Numbers that are aligned
float64 already are used
where they lie, whatever their stride: a million patients' parameters are never copied. Integers and
float32 are converted to float64; booleans, complex numbers, strings and objects are refused,
because a silent conversion would hide a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.covariates import Stepwise
from teorell.errors import InputError, count, suggestion

if TYPE_CHECKING:
    from teorell.model import Model

Array = NDArray[np.float64]


FLOATS = ("float64", "float32")
INTEGERS = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")


def is_tensor(value: object) -> bool:
    """Is it a torch tensor, of a subclass perhaps? Torch is not imported to know."""
    return any(
        base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__
    )


def numbers_or_tensor(value: Any, what: str) -> Any:
    """`numbers(value, what)`, or a torch tensor as it is, once `check_tensor` has passed it.

    Its values are not read.
    """
    if not is_tensor(value):
        return numbers(value, what)
    check_tensor(value, what)
    return value


def check_tensor(value: Any, what: str) -> None:
    """Raise InputError for a torch tensor whose device, type or shape do not suit.

    what: how messages name it, for example "parameter 'cl'".
    """
    if value.device.type != "cpu":
        raise InputError(
            f"{what} lies on device {value.device} (this version computes on the CPU, and moves "
            "nothing by itself). Give .cpu() of it, which has a derivative too."
        )
    kind = str(value.dtype).removeprefix("torch.")
    if kind not in FLOATS + INTEGERS or str(value.layout) != "torch.strided":
        raise InputError(
            f"{what} is a tensor of {kind}, {value.layout} (only dense float64, float32 and "
            "integers are converted to float64). Give .double(), or .to_dense(), of it."
        )
    if value.ndim > 1:
        raise InputError(
            f"{what} has shape {tuple(value.shape)} (it should be one number, or one number a "
            "patient). Give shape () or (patients,)."
        )


def numbers(value: object, what: str) -> Array:
    """`value` as float64, shape () or (patients,), every element finite; not copied if it is
    float64 already.

    Python numbers, sequences and NumPy arrays of integers and floats are taken; nothing is repeated
    or cut off.

    what: how messages name the value, for example "parameter 'cl'".
    Raises TypeError for arrays of torch, CuPy and JAX, InputError for everything else that is not
    plain finite numbers.
    """
    library = type(value).__module__.partition(".")[0]
    if library in ("torch", "cupy", "jax", "jaxlib", "tensorflow"):
        raise TypeError(
            f"{what} is a {library} array (NumPy is needed here). "
            "Convert it first, for example with .detach().cpu().numpy() or .get()."
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise InputError(
            f"{what} has masked elements (a patient without a value cannot run). Fill or drop them "
            "first."
        )
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise InputError(
            f"{what} is not an array of numbers ({error}). Give a number, or one a patient."
        ) from None
    if given.dtype.kind not in "iuf" or given.dtype.itemsize > 8:
        raise InputError(
            f"{what} has type {given.dtype if given.ndim else type(value).__name__} (only real "
            "numbers of up to 64 bits are converted to float64). Give a number, or an array of "
            "float64, float32 or integers."
        )
    if given.ndim > 1:
        raise InputError(
            f"{what} has shape {given.shape} (it should be one number, or one number a patient). "
            "Give shape () or (patients,)."
        )
    # A field of a packed structured array is not aligned to whole float64 steps: that one is
    # copied.
    result: Array = np.require(given, np.float64, "A")
    # min and max pass NaN on
    if result.size and not (np.isfinite(result.min()) and np.isfinite(result.max())):
        bad = ~np.isfinite(np.atleast_1d(result))
        raise InputError(
            f"{what} is not finite ({_where(bad, np.atleast_1d(result))}). Replace or drop NaN and "
            "infinite values."
        )
    return result


def _where(bad: NDArray[np.bool_], values: Array) -> str:
    """'3 of 100 patients, the first is patient 7 with value -1' for a mask and values of shape
    (patients,).
    """
    first = int(np.argmax(bad))
    if values.size == 1:
        return f"value {values[first]:.6g}"
    return (
        f"{int(bad.sum())} of {values.size} patients, the first is patient {first} with value "
        f"{values[first]:.6g}"
    )


def agree(sizes: Iterable[tuple[str, int]]) -> int | None:
    """The one number of patients that all arrays have, None if there is no array.

    sizes: what gives the number, and the number. Raises InputError where two differ, or where there
    are no patients.
    """
    first: tuple[str, int] | None = None
    for what, size in sizes:
        if size == 0:
            raise InputError(f"{what} has no patients (its length is 0). Give at least one.")
        if first is None:
            first = (what, size)
        elif size != first[1]:
            raise InputError(
                f"{what} has {count(size, 'patient')}, {first[0]} has {first[1]} (every array "
                "holds one value a patient; nothing is padded or repeated). Give arrays of equal "
                "length, or one number for all patients."
            )
    return None if first is None else first[1]


@dataclass(frozen=True)
class Columns:
    """One column a parameter of the model, and which of them the user gave."""

    names: tuple[str, ...]
    # [parameter], each of shape () or (patients,); at the start for one that changes
    values: tuple[Array, ...]
    given: frozenset[str]
    steps: Mapping[str, Stepwise] = field(default_factory=dict)  # of those that change over time

    def sizes(self) -> Iterable[tuple[str, int]]:
        """For `agree`: every parameter that is an array, and its length."""
        for name, value in zip(self.names, self.values, strict=True):
            if value.ndim:
                yield f"parameter {name!r}", value.shape[0]


def parameter_columns(model: Model, parameters: object) -> Columns:
    """The columns of `model`'s parameters, in `model.parameter_names` order and in the units
    declared there.

    What is not given takes its default.

    parameters: None, a mapping of name to number or (patients,) array, a DataFrame (one row a
    patient, one column a parameter), or an object whose `.parameters` is one of these.
    Raises InputError for unknown names and for values that are not finite or out of bounds.
    """
    names = tuple(model.parameter_names)
    table = parameter_table(parameters)
    known = set(names)
    for name in table:
        if name not in known:
            hint = (
                ""
                if isinstance(parameters, Mapping)
                else " Of a table, frame[[...]] selects the columns to pass."
            )
            raise InputError(
                f"unknown parameter {name!r} (model {model.name!r} does not declare it). "
                f"{suggestion(str(name), names)}{hint}"
            )
    values: list[Array] = []
    steps: dict[str, Stepwise] = {}
    for name, default in zip(
        names, np.asarray(model.parameter_defaults, dtype=np.float64), strict=True
    ):
        if name in table and isinstance(table[name], Stepwise):
            steps[name] = table[name]
            check_bounds(model, name, steps[name].values)
            column = steps[name].first
        elif name in table:
            column = numbers_or_tensor(table[name], f"parameter {name!r}")
            if not is_tensor(column):
                check_bounds(model, name, column)
        else:
            column = np.asarray(default)
        values.append(column)
    return Columns(names, tuple(values), frozenset(str(name) for name in table), steps)


def parameter_table(parameters: object) -> Mapping[Any, Any]:
    """The user's parameters as a mapping; a DataFrame's columns are taken as NumPy arrays."""
    if parameters is None:
        return {}
    if isinstance(parameters, Mapping):
        return parameters
    if hasattr(parameters, "columns") and hasattr(parameters, "__getitem__"):  # pandas, polars
        frame: Any = parameters
        if len(set(frame.columns)) != len(frame.columns):
            raise InputError(
                "the table of parameters has two columns of one name (which is meant?). Rename one."
            )
        return {name: frame[name].to_numpy().reshape(-1) for name in frame.columns}
    inner = getattr(parameters, "parameters", None)
    if inner is not None and not callable(inner):
        return parameter_table(inner)
    raise InputError(
        f"parameters is a {type(parameters).__name__} (names are needed). Give a mapping of name "
        "to number or array, a DataFrame, or an object with .parameters."
    )


def check_bounds(model: Model, name: str, column: Array) -> None:
    """Raise InputError if values of `column`, shape () or (patients,), lie outside the parameter's
    declared bounds.
    """
    info = model.parameter_info(name)
    values = np.atleast_1d(column)
    for bound, side, word in ((info.lower, "lower", "below"), (info.upper, "upper", "above")):
        if not values.size or (values.min() >= bound if side == "lower" else values.max() <= bound):
            continue
        bad = values < bound if side == "lower" else values > bound
        raise InputError(
            f"parameter {name!r} is {word} its {side} bound {bound:.6g} ({_where(bad, values)}). "
            "Correct the values, or declare other bounds in the model."
        )


def stepwise(times: ArrayLike, values: Any) -> Stepwise:
    """values[..., j] from times[j] on, and the first of them before that too.

    times: (k,) ascending, in the model's time unit, the same for all patients. values: (k,) for all
    patients, or (patients, k), in the unit of the parameter. Raises InputError for other shapes,
    unsorted times, and numbers that are not finite.
    """
    at = numbers(times, "the times of a stepwise parameter")
    given = np.asarray(values)
    if at.ndim != 1 or not at.size or given.ndim not in (1, 2) or given.shape[-1] != at.size:
        raise InputError(
            f"a stepwise parameter has times of shape {at.shape} and values of shape {given.shape} "
            "(each value needs its time). Give times (k,), and values (k,) or (patients, k)."
        )
    if (np.diff(at) <= 0.0).any():
        raise InputError(
            "the times of a stepwise parameter do not ascend (which value holds?). Sort them, each "
            "once."
        )
    rows = numbers(given.reshape(-1), "the values of a stepwise parameter")
    patients = given.shape[0] if given.ndim == 2 else 1
    offsets = np.arange(patients + 1, dtype=np.int64) * at.size
    return Stepwise(np.array(rows), np.tile(at, patients), offsets)
