"""The kernels as they are shipped, compiled by NVRTC: no spills, no header of the C library."""

from __future__ import annotations

import pytest
from teorell.device import columns, compiler, executor
from teorell.device.kernel_cache import kernels_of

pytestmark = pytest.mark.skipif(
    compiler.compiler_missing() is not None,
    reason="NOT RUN: needs cuda-bindings and nvidia-cuda-nvrtc",
)


PLAIN = {
    "column_check.cuh": ("check_columns", 0),
    "placed.cuh": ("place_numbers", 0),
    "exact_total.cuh": ("total_of_patients", 600),  # bytes of a thread's sum, and what is beside
}


@pytest.mark.parametrize("header", PLAIN)
def test_kernels_that_go_over_numbers_once(header: str) -> None:
    kernel, stack = PLAIN[header]
    name = f"teorell::{kernel}"
    usage = kernels_of(f'#include "{header}"\n', [name], "sm_80").usage[name]
    assert usage.spill_stores == 0
    assert usage.stack <= stack


def test_constraints() -> None:
    for kernel in (columns.MAP, columns.PROJECT, columns.JUDGE, columns.DESCRIBE):
        usage = kernels_of(columns.TEXT, [kernel], "sm_90").usage[kernel]
        assert usage.spill_stores == usage.spill_loads == usage.stack == 0, kernel


def test_the_solve() -> None:
    """Of one architecture: the others are compiled by .ci/cuda."""
    kernel = executor.kernel_of("rodas5p")
    usage = kernels_of(executor.TEXT, [kernel], "sm_90").usage[kernel]
    assert usage.spill_stores == usage.spill_loads == 0
    assert 0 < usage.registers <= 255
