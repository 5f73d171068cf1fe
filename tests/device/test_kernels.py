"""The kernels as they are shipped, compiled by NVRTC: no spills, no header of the C library."""

from __future__ import annotations

import pytest
from teorell.device import column_check, columns, compiler, solve
from teorell.device.kernel_cache import kernels_of

pytestmark = pytest.mark.skipif(
    compiler.compiler_missing() is not None,
    reason="NOT RUN: needs cuda-bindings and nvidia-cuda-nvrtc",
)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_the_check_of_columns(architecture: str) -> None:
    compiled = kernels_of(column_check.TEXT, [column_check.KERNEL], architecture)
    assert compiled.usage[column_check.KERNEL].spill_stores == 0
    assert compiled.usage[column_check.KERNEL].stack == 0


def test_constraints() -> None:
    for kernel in (columns.MAP, columns.PROJECT, columns.JUDGE, columns.DESCRIBE):
        usage = kernels_of(columns.TEXT, [kernel], "sm_90").usage[kernel]
        assert usage.spill_stores == usage.spill_loads == usage.stack == 0, kernel


def test_the_solve() -> None:
    """Of one architecture: the others are compiled by .ci/cuda."""
    kernel = solve.kernel_of("rodas5p")
    usage = kernels_of(solve.TEXT, [kernel], "sm_90").usage[kernel]
    assert usage.spill_stores == usage.spill_loads == 0
    assert 0 < usage.registers <= 255
