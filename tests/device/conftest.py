"""What the tests of devices share: the kernels compiled for the host, once."""

from __future__ import annotations

import ctypes

import pytest
from device_kernels import built_kernels


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """cuda/shim_kernels.cpp as a library."""
    return built_kernels(tmp_path_factory.mktemp("kernels"))
