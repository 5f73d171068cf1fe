"""People older than anybody the survey tells of: those of 70 to 79 stand for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import teorell as tl
from teorell.physiology.vocabulary import FLOWS, MASSES, flow_to, mass_of


def old_people(n: int, **asked: Any) -> tl.Population:
    with pytest.warns(tl.InputWarning, match="nobody older than 80 years was measured"):
        return tl.Population.sample(n, seed=6, **asked)


def test_the_very_old() -> None:
    """Ages fill the years asked for; filtration falls by what was measured from 50 to 97 years
    (Eriksen et al. 2020: about 1 mL/min/1.73 m2 a year, more in women); bodies add up; sizes are
    those of 70 to 79.
    """
    seventy = tl.Population.sample(8000, age=(70.0, 80.0), seed=6)
    for low, high in ((80.0, 90.0), (90.0, 100.0)):
        old = old_people(8000, age=(low, high))
        masses = sum(old[mass_of(part)] for part in MASSES)
        np.testing.assert_allclose(masses, old["body_weight"], rtol=4e-15)
        flows = sum(old[flow_to(organ)] for organ in FLOWS)
        np.testing.assert_allclose(flows, old["cardiac_output"], rtol=4e-15)
        assert low <= old["age"].min() < low + 0.01
        assert high - 0.01 < old["age"].max() <= high
        assert old["age"].mean() == pytest.approx(0.5 * (low + high), abs=0.1)
        for female, slope in ((0.0, 0.96), (1.0, 1.15)):
            ours, before = old[old["female"] == female], seventy[seventy["female"] == female]
            years = ours["age"].mean() - before["age"].mean()
            fall = (before["gfr"].mean() - ours["gfr"].mean()) / years
            assert fall == pytest.approx(slope, rel=0.15), (low, female)
            for name in ("height", "body_weight", "haematocrit"):
                assert ours[name].mean() == pytest.approx(before[name].mean(), rel=0.02), name
        assert np.median(old["flow_kidney"]) < 0.95 * np.median(seventy["flow_kidney"])
    # as many for each year of age above 80 as from 70 on
    both = old_people(20000, age=(70.0, 90.0))["age"]
    assert (both > 80.0).mean() == pytest.approx(0.5, abs=0.01)
    assert (old_people(50, age=95.0)["age"] == 95.0).all()
    ill = old_people(300, age=(85.0, 95.0), gfr="severe")
    assert ill["gfr"].min() >= 15.0
    assert ill["gfr"].max() <= 30.0


def test_old_people_are_like_the_typical_old_body() -> None:
    """Populations and single bodies tell old age the same: output, kidneys, muscle and liver."""
    old = old_people(4000, age=90.0, sex="male")
    table = {name: old[name] for name in ("age", "female", "height", "body_weight", "gfr")}
    typical = tl.Population.from_dataframe(table)
    for name in ("cardiac_output", "flow_kidney", "mass_muscle", "mass_liver"):
        ratio = np.median(old[name] / typical[name])
        assert ratio == pytest.approx(1.0, abs=0.02), name
