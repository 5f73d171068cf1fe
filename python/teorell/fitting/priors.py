"""What is known of parameters beforehand: normal priors, of the parameters or their logarithms.

One parameter by itself, or several with a covariance; of all subjects, or of each its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, unmasked
from teorell.errors import InputError, suggestion

__all__ = ["LogNormal", "Normal", "Priors", "priors_of"]

HALF_LOG_TWO_PI = 0.9189385332046727


@dataclass(frozen=True, eq=False)
class _Prior:
    @property
    def center(self) -> Any:
        """What the prior is about, as it was given."""
        raise NotImplementedError

    def _check(self, name: str, positive: bool) -> None:
        sd, covariance = getattr(self, "sd", None), getattr(self, "covariance", None)
        center = _array(self.center, f"{name} of a prior", positive)
        if (sd is None) == (covariance is None):
            raise InputError(
                "a prior has sd and covariance, or neither (one of them is its width). Give sd of "
                "one parameter, covariance of several."
            )
        if sd is not None:
            width = _array(sd, "sd of a prior", True)
            if center.ndim > 1 or (center.ndim and width.ndim and center.shape != width.shape):
                raise InputError(
                    f"{name} of a prior has shape {center.shape}, its sd {width.shape} (one number "
                    "serves all subjects, or one a subject). Give numbers, or as many of each."
                )
            return
        matrix = _array(covariance, "covariance of a prior", False)
        k = matrix.shape[-1] if matrix.ndim else 0
        if matrix.ndim not in (2, 3) or matrix.shape[-2] != k or center.shape[-1:] != (k,):
            raise InputError(
                f"covariance of a prior has shape {matrix.shape}, its {name} {center.shape} (a row "
                "and a column a parameter). Give (k, k) for k parameters."
            )
        symmetric = np.allclose(matrix, np.swapaxes(matrix, -1, -2), rtol=1e-9, atol=0.0)
        if not symmetric or (np.linalg.eigvalsh(matrix) <= 0.0).any():
            raise InputError(
                "covariance of a prior is none (it is symmetric, with eigenvalues above 0). "
                "Correct it."
            )


@dataclass(frozen=True, eq=False)
class LogNormal(_Prior):
    """A prior: the logarithm is normal about that of `median`, with standard deviation `sd`.

    median, sd: numbers, or (subjects,). Of k parameters together, named by a tuple: median (k,) or
    (subjects, k), and `covariance` of the logarithms, (k, k) or (subjects, k, k).
    """

    median: Any
    sd: Any = None
    covariance: Any = None

    def __post_init__(self) -> None:
        self._check("median", True)

    @property
    def center(self) -> Any:
        return self.median


@dataclass(frozen=True, eq=False)
class Normal(_Prior):
    """A prior: the parameter is normal about `mean`, with standard deviation `sd`.

    mean, sd, covariance: as those of LogNormal, of the parameters as they are.
    """

    mean: Any
    sd: Any = None
    covariance: Any = None

    def __post_init__(self) -> None:
        self._check("mean", False)

    @property
    def center(self) -> Any:
        return self.mean


def _array(value: Any, what: str, positive: bool) -> Array:
    """A number or array of finite ones; InputError for others, and where one is not positive."""
    unmasked(value, what)
    given = np.asarray(value)
    good = given.dtype.kind in "iuf" and given.size > 0
    if good and np.isfinite(given).all() and not (positive and (given <= 0).any()):
        return given.astype(np.float64)
    why = "it is positive" if positive else "numbers are needed"
    told = repr(value) if given.ndim == 0 else "an array of others"
    remedy = "a number above 0" if positive else "finite numbers"
    raise InputError(f"{what} is {told} ({why}). Give {remedy}.")


@dataclass(frozen=True, eq=False)
class _Block:
    """The prior of some of the parameters, in all problems or each."""

    columns: tuple[int, ...]  # among the estimated parameters
    logarithmic: bool
    mean: Array  # (1 or problems, k)
    root: Array  # (1 or problems, k, k), lower triangular: the covariance is root root^T


@dataclass(frozen=True, eq=False)
class Priors:
    """The priors of a fit."""

    blocks: tuple[_Block, ...]

    @property
    def known(self) -> int:
        """How many parameters have a prior."""
        return sum(len(block.columns) for block in self.blocks)

    def add(
        self,
        which: NDArray[np.int64],
        points: Array,
        values: Array,
        slope: Array,
        found: tuple[Array, Array, Array],
    ) -> tuple[Array, Array, Array]:
        """Objective, gradient and information of problems (k,), with the priors.

        points: (k, q) of the search, logarithms where a prior is of these; values: (k, p) of the
        parameters; slope: their derivatives by the points.
        """
        value, gradient, information = found
        square, constant = np.zeros_like(value), np.zeros_like(value)
        for block in self.blocks:
            columns = list(block.columns)
            x = (points if block.logarithmic else values)[:, columns]
            by_point = 1.0 if block.logarithmic else slope[:, None, columns]
            of = which if len(block.mean) > 1 else np.zeros_like(which)
            root = block.root[of]
            away = np.linalg.solve(root, (x - block.mean[of])[..., None])[..., 0]
            white = np.linalg.inv(root) * by_point
            gradient[:, columns] += np.einsum("ki,kij->kj", away, white)
            information[np.ix_(range(len(which)), columns, columns)] += np.einsum(
                "kmi,kmj->kij", white, white
            )
            square += (away * away).sum(axis=1)
            constant += np.log(np.einsum("kii->ki", root)).sum(axis=1)
        constant += HALF_LOG_TWO_PI * self.known
        return value + 0.5 * square + constant, gradient, information


def priors_of(
    given: Mapping[Any, Any] | None, names: Sequence[str], positive: Sequence[bool], problems: int
) -> Priors:
    """The priors of a fit. InputError where they do not suit its parameters and problems.

    given: name, or a tuple of names -> prior. positive: which parameters can be nothing else.
    """
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(
            f"priors are a {type(given).__name__} (each has a name). Give "
            "{'cl': teorell.LogNormal(3.0, 0.3)}."
        )
    blocks, seen = [], set()
    for key, prior in (given or {}).items():
        together = key if isinstance(key, tuple) else (key,)
        for name in together:
            if name not in names:
                raise InputError(
                    f"priors name {name!r} (it is not estimated). {suggestion(str(name), names)}"
                )
            if name in seen:
                raise InputError(f"priors have {name!r} twice (which is meant?). Leave one out.")
            seen.add(name)
        columns = tuple(names.index(name) for name in together)
        if not isinstance(prior, LogNormal | Normal):
            raise TypeError(
                f"the prior of {key!r} is a {type(prior).__name__} (what is known of it?). Give "
                "teorell.LogNormal or teorell.Normal."
            )
        natural = isinstance(prior, Normal)
        if not (natural or all(positive[k] for k in columns)):
            raise InputError(
                f"the prior of {key!r} does not suit (a teorell.LogNormal is for what is positive: "
                "it starts above 0, with bounds that are). Give teorell.Normal for others."
            )
        blocks.append(_block(key, prior, columns, not natural, problems))
    return Priors(tuple(blocks))


def _block(
    key: Any, prior: LogNormal | Normal, columns: tuple[int, ...], logs: bool, problems: int
) -> _Block:
    """One prior. InputError where its shapes are not those of its parameters and the problems."""
    k = len(columns)
    center: Array = np.asarray(prior.center, np.float64)
    root: Any
    if prior.covariance is None:
        if k > 1:
            raise InputError(
                f"the prior of {key!r} has no covariance (how do they go together?). Give "
                "covariance, or priors one by one."
            )
        sd = np.asarray(prior.sd, np.float64)
        center, root = center[..., None], sd[..., None, None]
    else:
        matrix = np.asarray(prior.covariance, np.float64)
        if matrix.shape[-1] != k:
            raise InputError(
                f"the prior of {key!r} is of {matrix.shape[-1]} parameters (there are {k}). Name "
                "as many."
            )
        root = np.linalg.cholesky(matrix)
    for what, array, plain in (("center", center, 1), ("width", root, 2)):
        if array.ndim > plain and len(array) != problems:
            raise InputError(
                f"the {what} of the prior of {key!r} is {len(array)} long (there are {problems} "
                "to estimate, one a subject or one of all). Give one number, or as many."
            )
    count = problems if center.ndim > 1 or root.ndim > 2 else 1
    center = np.broadcast_to(np.log(center) if logs else center, (count, k))
    return _Block(columns, logs, center, np.broadcast_to(root, (count, k, k)))
