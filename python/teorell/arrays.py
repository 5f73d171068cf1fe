"""Arrays as users give them, and their checks: numbers, tensors, lengths that agree, bounds.

Numbers that are aligned float64 already are used where they lie, whatever their stride: a million
patients' parameters are never copied. Integers and float32 are converted to float64; booleans,
complex numbers, strings and objects are refused, because a silent conversion would hide a mistake.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, count

__all__ = [
    "FLOATS",
    "INTEGERS",
    "Array",
    "agree",
    "check_bounds",
    "check_flag",
    "check_tensor",
    "copied",
    "is_number",
    "is_on_device",
    "is_tensor",
    "is_whole",
    "numbers",
    "numbers_or_tensor",
    "on_host",
    "real_numbers",
    "unmasked",
]

Array = NDArray[np.float64]

FLOATS = ("float64", "float32")
INTEGERS = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
ON_HOST = (int, float, complex, str, list, tuple, dict, np.ndarray, np.generic, type(None))
HOST_MEMORY = (1, 3)  # the CPU's, plain or pinned, as DLPack numbers devices


def is_whole(value: object) -> TypeGuard[int]:
    """Is it a whole number? Booleans are none, nor durations, which NumPy counts among them."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def is_number(value: object) -> TypeGuard[float]:
    """Is it a real number of Python's or NumPy's, and no boolean, duration or text?"""
    return is_whole(value) or isinstance(value, float | np.floating)


def is_tensor(value: object) -> bool:
    """Is it a torch tensor, of a subclass perhaps? Torch is not imported to know."""
    known = getattr(sys.modules.get("torch"), "Tensor", None)
    if known is not None and isinstance(value, known):  # torch.compile follows no further
        return True
    return any(
        base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__
    )


def is_on_device(value: Any) -> bool:
    """Does it lie on a device of any kind, by what it says of itself? Torch tensors on the CPU do
    not; nothing is read or imported.
    """
    if isinstance(value, ON_HOST):
        return False
    if is_tensor(value):
        return str(value.device.type) == "cuda"
    if hasattr(type(value), "__cuda_array_interface__"):
        return True
    where = getattr(value, "__dlpack_device__", None)
    return where is not None and int(where()[0]) not in HOST_MEMORY


def on_host(values: Any, what: str, whose: str = "solution") -> Any:
    """Results as NumPy; of a tensor on the CPU a view without derivative.

    InputError where they lie on a device: what: how the message names them; whose: of what one can
    take `.cpu()`.
    """
    if is_on_device(values):
        raise InputError(
            f"{what} lie on a device (NumPy needs them on the host, and nothing moves by itself). "
            f"Take {whose}.cpu(), which copies them."
        )
    return values.numpy(force=True) if is_tensor(values) else values


def copied(values: Any) -> Any:
    """As NumPy, from wherever it lies: tensors by torch, other arrays by CuPy's name for it."""
    if is_on_device(values) and hasattr(values, "get"):
        return values.get()
    return values.numpy(force=True) if is_tensor(values) else values


def numbers_or_tensor(value: Any, what: str, *, there: bool = False) -> Any:
    """`numbers(value, what)`, or a torch tensor as it is, once `check_tensor` has passed it.

    Its values are not read.
    """
    if not is_tensor(value):
        return numbers(value, what)
    check_tensor(value, what, there=there)
    return value


def check_tensor(value: Any, what: str, *, there: bool = False) -> None:
    """Raise InputError for a torch tensor whose device, type or shape do not suit.

    what: how messages name it, for example "parameter 'cl'". there: a CUDA device suits too.
    """
    if value.device.type not in (("cpu", "cuda") if there else ("cpu",)):
        raise InputError(
            f"{what} lies on device {value.device} (only parameters and quantities may lie on a "
            "CUDA device, and nothing moves by itself). Give .cpu() of it, which has a derivative "
            "too."
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
    given = real_numbers(value, what)
    if given.ndim > 1:
        raise InputError(
            f"{what} has shape {given.shape} (it should be one number, or one number a patient). "
            "Give shape () or (patients,)."
        )
    # min and max pass NaN on
    if given.size and not (np.isfinite(given.min()) and np.isfinite(given.max())):
        bad = ~np.isfinite(np.atleast_1d(given))
        raise InputError(
            f"{what} is not finite ({_where(bad, np.atleast_1d(given))}). Replace or drop NaN and "
            "infinite values."
        )
    return given


def real_numbers(value: object, what: str) -> Array:
    """`value` as float64, of any shape, NaN and infinite ones among them; not copied if it is
    float64 already.

    TypeError for arrays of torch, CuPy and JAX, InputError for masked elements, texts, dates,
    booleans, complex numbers, objects, and rows of several lengths.
    """
    library = type(value).__module__.partition(".")[0]
    if library in ("torch", "cupy", "jax", "jaxlib", "tensorflow"):
        raise TypeError(
            f"{what} is a {library} array (NumPy is needed here). "
            "Convert it first, for example with .detach().cpu().numpy() or .get()."
        )
    unmasked(value, what)
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
    # A field of a packed structured array is not aligned to whole float64 steps: that one is
    # copied.
    result: Array = np.require(given, np.float64, "A")
    return result


def unmasked(value: object, what: str) -> None:
    """InputError for a masked array with masked elements, whose mask NumPy drops in silence."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise InputError(
            f"{what} has masked elements (a patient without a value cannot run). Fill or drop them "
            "first."
        )


def check_flag(value: object, what: str) -> None:
    """TypeError for anything but True and False: the text "no" would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{what} is {value!r} (it is a yes or no). Give True or False.")


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


def check_bounds(name: str, column: Array, lower: float, upper: float) -> None:
    """Raise InputError if a parameter's values, () or (patients,), lie outside its bounds."""
    values = np.atleast_1d(column)
    for bound, side, word in ((lower, "lower", "below"), (upper, "upper", "above")):
        if not values.size or (values.min() >= bound if side == "lower" else values.max() <= bound):
            continue
        bad = values < bound if side == "lower" else values > bound
        raise InputError(
            f"parameter {name!r} is {word} its {side} bound {bound:.6g} ({_where(bad, values)}). "
            "Correct the values, or declare other bounds in the model."
        )
