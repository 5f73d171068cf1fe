"""Kernels that go over numbers once: each thread takes one after the other, far apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.devices import Device
from teorell.device.kernel_cache import kernels_of

__all__ = ["MOST_BLOCKS", "THREADS", "go_over", "whole_numbers"]

THREADS, MOST_BLOCKS = 256, 1024


def go_over(
    device: Device,
    header: str,
    kernel: str,
    numbers: int,
    arguments: Sequence[int | NDArray[np.uint8]],
    stream: int,
) -> None:
    """Launches a kernel of a header of cuda/ on so many numbers of the current device.

    kernel: as C++ names it, but for its namespace. arguments: whole numbers and addresses, or the
    bytes of a view.
    """
    name = f"teorell::{kernel}"
    compiled = kernels_of(f'#include "{header}"\n', [name], device.architecture)
    given = [each if isinstance(each, np.ndarray) else whole_numbers(each)[0] for each in arguments]
    driver: Any = device.driver
    function = driver.function(compiled.code, compiled.names[name])
    driver.launch(function, min(-(-numbers // THREADS), MOST_BLOCKS), THREADS, stream, given)


def whole_numbers(*numbers: int) -> list[NDArray[np.uint8]]:
    """The bytes of whole numbers and addresses, each an argument of a kernel."""
    return [np.array([each % (1 << 64)], np.uint64).view(np.uint8) for each in numbers]
