"""bench/same_bytes.py tells two copies apart by one bit, and bench/copies.py runs the copy that it
says.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from folders import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of bench/ can be imported."""
    monkeypatch.syspath_prepend(ROOT / "bench")


@pytest.mark.usefixtures("bench")
def test_one_bit_is_a_difference() -> None:
    from same_bytes import difference

    a = np.array([[1.0, np.nan, 0.0], [3.0, 4.0, -5.0]])
    assert difference(a, a.copy()) is None
    other = a.copy()
    other[1, 0] = np.nextafter(3.0, 4.0)
    assert difference(a, other) == "1 of 6 by up to 1.5e-16"
    zero = a.copy()
    zero[0, 2] = -0.0
    assert difference(a, zero) == "the same numbers, other bytes"
    gone = a.copy()
    gone[0, 0] = np.nan
    assert difference(a, gone) == "1 of 6, 1 not finite in one"
    assert difference(a, a[:1]) == "float64 (2, 3) before, float64 (1, 3) after"
    assert difference(a, a.astype(np.float32)) is not None
    assert difference(None, a) == "only after"
    assert difference(a, None) == "only before"


@pytest.mark.usefixtures("bench")
def test_a_copy_is_the_one_that_runs(tmp_path: Path) -> None:
    from copies import Copy

    for name in ("here", "there"):
        package = tmp_path / name / "teorell"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"__version__ = {name!r}\n")
        told = Copy("before", tmp_path / name).check(tmp_path)
        assert told == f"before: teorell {name} in {package.resolve()}"
    shutil.rmtree(tmp_path / "there" / "teorell")
    with pytest.raises(RuntimeError, match=r"fails|not the copy"):
        Copy("after", tmp_path / "there").check(tmp_path)
    with pytest.raises(RuntimeError, match=r"after .* fails"):
        Copy("after", Path(sys.executable)).run("-c", "1 / 0", cache=tmp_path)
