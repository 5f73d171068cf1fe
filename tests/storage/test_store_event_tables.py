"""An event table into a store: its parameters and doses, sampled on one grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import stores_case as case
import teorell as tl
from compartments import oral
from teorell import InputError

MODEL = oral(ka=1.2, cl=2.0, v=10.0)
TIMES = [0.0, 3.0, 12.0]
FRAME = pd.DataFrame(
    {
        "ID": [1, 1, 2, 3, 3],
        "TIME": [0.0, 5.0, 1.0, 0.0, 2.0],
        "EVID": [1, 0, 1, 0, 0],
        "AMT": [100.0, 0.0, 50.0, 0.0, 0.0],
        "CMT": ["gut"] * 5,
        "CL": [1.0, 1.0, 2.0, 3.0, 4.0],
    }
)


@pytest.mark.parametrize("kind", case.KINDS)
def test_the_bits_of_a_simulation_of_its_parts(kind, tmp_path):
    events = tl.EventTable(FRAME, MODEL)
    path = tmp_path / f"population.{kind}"
    stored = tl.simulate_to(path, MODEL, events, times=TIMES, chunk=2)
    whole = tl.simulate(MODEL, events.parameters, events.regimen, TIMES)
    opened = stored.open() if kind == "zarr" else pd.read_parquet(path)
    curves = opened["cp"].to_numpy().reshape(3, 3)
    assert curves.tobytes() == np.ascontiguousarray(whole["cp"]).tobytes()
    again = tl.simulate_to(
        path, MODEL, events.parameters, events.regimen, TIMES, chunk=2
    )  # it is the same store
    assert again.patients == 3


def test_what_is_missing_or_given_twice_is_one_sentence(tmp_path):
    events = tl.EventTable(FRAME, MODEL)
    path = tmp_path / "population.zarr"
    with pytest.raises(InputError, match="Give times= beside it"):
        tl.simulate_to(path, MODEL, events)
    with pytest.raises(InputError, match="regimen beside an event table"):
        tl.simulate_to(path, MODEL, events, tl.Regimen.none(), TIMES)
    assert not path.exists()
