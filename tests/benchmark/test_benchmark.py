"""The benchmark measures what it says: its error metric, its peers, its reference, checked by
independent methods.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from folders import SHARED
from teorell import benchmark
from teorell.benchmark import contenders
from teorell.model.expression import evaluate_all, symbol

YARDSTICK = SHARED / "yardstick"


@pytest.fixture(params=["A", "B"])
def problem(request: pytest.FixtureRequest) -> benchmark.Problem:
    return benchmark.problem(request.param)


def yardstick(kind: str) -> dict[str, np.ndarray]:
    path = YARDSTICK / f"ref_{kind}.npz"
    if not path.exists():
        pytest.skip(f"NOT COMPARED WITH THE YARDSTICK: {path} is not there")
    with np.load(path) as file:
        return {name: file[name] for name in file}


def test_the_problems_have_the_sizes_that_the_documentation_says() -> None:
    for kind, states, parameters in (("A", 20, 45), ("B", 34, 53)):
        model = benchmark.problem(kind).model
        assert (len(model.state_names), len(model.parameter_names)) == (states, parameters)


def test_patients_do_not_depend_on_how_many_are_drawn(problem: benchmark.Problem) -> None:
    np.testing.assert_array_equal(problem.matrix(7), problem.matrix(20)[:7])


def test_population_and_reference_are_those_of_the_yardstick(problem: benchmark.Problem) -> None:
    shared = yardstick(problem.kind)
    columns = [list(shared["params"]).index(name) for name in problem.model.parameter_names]
    np.testing.assert_allclose(problem.matrix(20), shared["pop"][:, columns], rtol=1e-14)
    states = [list(shared["states"]).index(name) for name in problem.model.state_names]
    venous, everything = benchmark.errors(
        benchmark.reference(problem), shared["Y"][:, :, states], problem
    )
    assert venous < 1e-9
    assert everything < 1e-8


def test_reference_agrees_with_scipy_radau(problem: benchmark.Problem) -> None:
    """Another method, another right-hand side (the peers' source), the second dose included."""
    integrate = pytest.importorskip("scipy.integrate")
    rhs = contenders.compiled(problem.model)
    p, y = problem.matrix(1)[0].tolist(), problem.start(1)[0]
    exact = benchmark.reference(problem, 1)[0]

    def derivative(t: float, y: np.ndarray) -> list[float]:
        dy = [0.0] * len(y)
        rhs(t, y.tolist(), dy, p)
        return dy

    for first in (0, 24):
        y = y.copy()
        y[problem.depot] += benchmark.DOSE
        grid = benchmark.TIMES[first : first + 25]
        part = integrate.solve_ivp(
            derivative, grid[[0, -1]], y, "Radau", grid, rtol=1e-8, atol=1e-11
        )
        scale = np.abs(exact[first + 1 : first + 25]).max(axis=0)
        difference = np.abs(part.y.T[1:] - exact[first + 1 : first + 25]).max(axis=0)
        assert (difference / scale).max() < 1e-6
        y = part.y[:, -1]


def test_the_peers_source_is_the_model(problem: benchmark.Problem) -> None:
    model = problem.model
    rng = np.random.default_rng(3)
    y, p = rng.uniform(0.1, 3.0, len(model.state_names)), problem.matrix(1)[0]
    values = {symbol("state", name): y[k] for k, name in enumerate(model.state_names)}
    values |= {symbol("parameter", name): p[k] for k, name in enumerate(model.parameter_names)}
    derivatives = model.derivatives()
    truth = evaluate_all([derivatives[name] for name in model.state_names], values)
    dy = [0.0] * len(y)
    contenders.compiled(model)(0.0, y.tolist(), dy, p.tolist())
    np.testing.assert_allclose(dy, truth, rtol=1e-10, atol=1e-10 * np.abs(truth).max())


def test_errors_are_relative_to_the_value_or_a_thousandth_of_the_largest() -> None:
    problem = benchmark.problem("A")
    exact = np.ones((2, 3, 20))
    exact[0, 1, problem.venous] = 1e-9
    values = exact.copy()
    assert benchmark.errors(values, exact, problem) == (0.0, 0.0)
    values[0, 1, problem.venous] += 1e-6
    assert benchmark.errors(values, exact, problem)[0] == pytest.approx(1e-3)
    other = next(k for k in range(20) if k not in (problem.venous, problem.depot))
    values[1, 2, other] = 1.5
    assert benchmark.errors(values, exact, problem) == pytest.approx((1e-3, 0.5))
    values[1, 2, problem.depot] = 99.0
    assert benchmark.errors(values, exact, problem) == pytest.approx((1e-3, 0.5))
    values[1, 0, problem.venous] = np.nan
    assert benchmark.errors(values, exact, problem) == (np.inf, np.inf)


@pytest.mark.parametrize("name", list(benchmark.PEERS))
def test_each_installed_peer_solves_the_problem(name: str, problem: benchmark.Problem) -> None:
    module, make = benchmark.PEERS[name]
    pytest.importorskip(module)
    if name == "scipy" and problem.kind == "B":
        pytest.skip("SciPy takes seconds on B, and its contender has no part that A does not run")
    values = make(problem).run(2, 1e-6, 1e-9)
    venous, everything = benchmark.errors(values, benchmark.reference(problem, 2), problem)
    assert venous < 1e-5
    assert everything < 1e-4


def test_teorell_is_within_the_error_that_the_documentation_says(
    problem: benchmark.Problem,
) -> None:
    values = benchmark.teorell(problem).run(benchmark.CHECKED, 1e-6, 1e-9)
    venous, everything = benchmark.errors(values, benchmark.reference(problem), problem)
    assert venous < 1e-6
    assert everything < 1e-4
    curve = benchmark.teorell(problem).curve
    assert curve is not None
    np.testing.assert_array_equal(curve(5, 1e-6, 1e-9)[:, :, 0], values[:5, :, problem.venous])


def test_race_takes_turns_and_counts_patients() -> None:
    calls: list[tuple[str, int]] = []

    def runner(name: str) -> benchmark.Run:
        def run(n: int, rtol: float, atol: float) -> benchmark.FloatArray:
            calls.append((name, n))
            return np.zeros((n, 1, 1))

        return run

    rates = benchmark.race({"x": runner("x"), "y": runner("y")}, 1e-6, 1e-9, repeats=2, patients=5)
    assert calls == [("x", 5), ("y", 5)] * 3
    assert rates["x"].patients == 5
    assert len(rates["y"].rounds) == 2
    ratio, least, greatest = benchmark.Rates((2.0, 6.0, 4.0), 1).over(
        benchmark.Rates((1.0, 2.0, 1.0), 1)
    )
    assert (ratio, least, greatest) == (3.0, 2.0, 4.0)


def test_command_prints_speed_error_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--problem",
        "A",
        "--patients",
        "40",
        "--repeats",
        "1",
        "--no-peers",
        "--threads",
        "2",
    ]
    assert benchmark.main(arguments) == 0
    text = capsys.readouterr().out
    for word in (
        "instruction set",
        "rtol 1e-06",
        "atol 1e-09",
        "1 thread",
        "2 threads",
        "rtol 1e-11",
        "rodas5p",
    ):
        assert word in text
    rows = re.findall(r"^teorell .*?([\d,]+)  \(.*?\)\s+(\S+)\s+(\S+)  ", text, re.MULTILINE)
    assert len(rows) >= 2
    for speed, venous, everything in rows:
        assert float(speed.replace(",", "")) > 100.0
        assert 0.0 < float(venous) <= float(everything) < 1e-4


def test_command_refuses_nonsense(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--repeats", "0"])
    assert "--repeats" in capsys.readouterr().err
