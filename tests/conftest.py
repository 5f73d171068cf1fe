"""What all tests share: where ../shared is, quiet plots, reproducible Hypothesis runs."""

import os
from pathlib import Path

import hypothesis
import pytest
from folders import SHARED

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # hundreds of small matrix exponentials

# In CI the same examples every time; a developer's machine goes on looking for new ones.
hypothesis.settings.register_profile("teorell", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("teorell")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference data that lies beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(
            f"NOT RUN: needs the reference data in {SHARED}, which is not part of the repository"
        )
    return SHARED
