"""Labelled results: access, tables, pictures, failures."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
import teorell as tl
from teorell.engine.executors import STATUS

TIMES = np.linspace(0.0, 12.0, 25)


def make(patients=40, status=None, parameters=None, outputs=("cp", "tissue")):
    rng = np.random.default_rng(3)
    rates = rng.lognormal(-1.5, 0.3, patients)
    cp = 8.0 * np.exp(-rates[:, None] * TIMES)
    values = np.stack([cp * (k + 1) for k in range(len(outputs))], axis=2)
    status = np.zeros(patients, np.int32) if status is None else np.asarray(status, np.int32)
    failure = np.where(status != 0, 5.0, np.nan)
    values[(status != 0)[:, None] & (TIMES > 5.0)] = np.nan
    steps = np.full(patients, 100)
    return tl.Solution(
        values,
        TIMES,
        outputs,
        status=status,
        failure_time=failure,
        steps=steps,
        rejected=steps // 10,
        model="test model",
        time_unit="h",
        units=("mg/L", "")[: len(outputs)],
        parameters=parameters,
    )


def test_access():
    solution = make()
    assert solution["cp"].shape == (40, 25)
    assert np.shares_memory(solution["tissue"], solution.values)
    np.testing.assert_array_equal(solution["tissue"], solution.values[:, :, 1])
    assert solution.success.all()
    assert solution.success.dtype == bool
    with pytest.raises(tl.InputError, match="Did you mean 'tissue'"):
        solution["tisue"]
    assert repr(solution) == (
        "<Solution of 'test model': 40 patients, 25 times from 0 to 12 h, outputs cp, tissue; all "
        "succeeded>"
    )
    assert "1 failed" in repr(make(2, [0, 4]))


def test_pickle():
    solution = make(3, [0, 2, 0], {"cl": np.ones(3)})
    again = pickle.loads(pickle.dumps(solution))
    np.testing.assert_array_equal(again.values, solution.values)
    np.testing.assert_array_equal(again.parameters["cl"], solution.parameters["cl"])
    assert repr(again) == repr(solution)


def test_raise_for_status_is_silent_on_success():
    make().raise_for_status()


def test_raise_for_status_names_patients_reasons_and_parameters():
    rng = np.random.default_rng(0)
    cl, kon, shift = rng.lognormal(1.0, 0.3, 40), np.ones(40), rng.standard_normal(40)
    cl[7], kon[9], shift[9] = 1e4, 1e9, -50.0
    status = np.zeros(40)
    status[[7, 9, 20]] = 4, 2, 2
    solution = make(
        40,
        status,
        {"cl": cl, "kon": kon, "shift": shift, "v": np.asarray(3.0), "same": np.ones(40)},
    )
    with pytest.raises(tl.SimulationError) as caught:
        solution.raise_for_status()
    message = str(caught.value)
    lines = message.splitlines()
    assert lines[0] == "3 of 40 patients failed."
    assert lines[1] == f"Status 2, 2 patients: {STATUS[2]}."
    assert lines[2] == f"Status 4, 1 patient: {STATUS[4]}."
    of = {n: next(line for line in lines if line.startswith(f"  patient {n}:")) for n in (7, 9, 20)}
    assert "status 4 at 5 h after 100 steps; unusual: cl = 1e+04 (median" in of[7]
    assert "kon = 1e+09 (median 1)" in of[9]
    assert "shift = -50" in of[9]
    assert "same" not in message
    assert "cl = " not in of[20]
    assert caught.value.patients.tolist() == [7, 9, 20]
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == message


def test_raise_for_status_of_one():
    with pytest.raises(
        tl.SimulationError, match=r"^1 of 1 patient failed\.\nStatus 4, 1 patient: "
    ):
        make(1, [4]).raise_for_status()


def test_raise_for_status_names_a_few_of_many():
    with pytest.raises(tl.SimulationError, match="and 35 more") as caught:
        make(40, np.full(40, 2)).raise_for_status()
    assert str(caught.value).count("  patient ") == 5


def test_dataframe():
    solution = make(3)
    frame = solution.to_dataframe()
    assert list(frame.columns) == ["patient", "time", "cp", "tissue"]
    assert len(frame) == 75
    np.testing.assert_array_equal(frame.loc[frame.patient == 2, "tissue"], solution["tissue"][2])
    np.testing.assert_array_equal(frame.loc[frame.patient == 1, "time"], TIMES)
    with pytest.raises(tl.InputError, match="Rename the output"):
        make(3, outputs=("time",)).to_dataframe()


def test_xarray():
    solution = make(3, [0, 2, 0])
    data = solution.to_xarray()
    assert data["cp"].dims == ("patient", "time")
    assert data["cp"].attrs == {"units": "mg/L"}
    assert data["time"].attrs == {"units": "h"}
    np.testing.assert_array_equal(data["tissue"].sel(patient=0), solution["tissue"][0])
    np.testing.assert_array_equal(data["status"], solution.status)


@pytest.mark.parametrize(
    ("module", "call"),
    [("pandas", "to_dataframe"), ("xarray", "to_xarray"), ("matplotlib.pyplot", "plot")],
)
def test_what_is_not_installed_is_named(monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'teorell\["):
        getattr(make(3, outputs=("cp",)), call)()


def test_nca():
    solution = make()
    with pytest.warns(tl.NCAWarning, match="for 3 of 40 patients"):
        results = solution.nca("cp")
    np.testing.assert_allclose(results.cmax, 8.0)
    assert results.units["auc_inf"] == "mg/L h"
    assert "half_life [h]" in str(results.summary())
    with pytest.raises(tl.InputError, match="Name one of cp, tissue"):
        solution.nca()
    assert np.isnan(make(2, [0, 2], outputs=("cp",)).nca().auc_last).tolist() == [False, True]


@pytest.fixture
def pyplot():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_plot_bands(pyplot):
    solution = make()
    ax = solution.plot("cp", observed=([1.0, 2.0], [4.0, 3.0]), title="theophylline")
    (line, points) = ax.get_lines()
    np.testing.assert_allclose(line.get_ydata(), np.percentile(solution["cp"], 50, axis=0))
    assert points.get_xdata().tolist() == [1.0, 2.0]
    assert len(ax.collections) == 2
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time [h]", "cp [mg/L]")
    assert ax.get_ylim()[0] == 0.0
    ax.figure.canvas.draw()


def test_plot_log_single_and_given_axes(pyplot):
    _, ax = pyplot.subplots()
    assert make(3).plot("cp", log=True, ax=ax) is ax
    assert len(ax.get_lines()) == 3
    assert ax.get_yscale() == "log"
    failed = make(20, np.arange(20) == 4)
    # the patient that failed is left out
    assert np.isfinite(failed.plot("cp").get_lines()[0].get_ydata()).all()
    with pytest.raises(tl.InputError, match="observed has 2 times and 1 value "):
        make(3).plot("cp", observed=([1.0, 2.0], [1.0]))
