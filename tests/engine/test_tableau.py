"""The coefficients of the methods satisfy the order conditions of Rosenbrock-Wanner methods.

Conditions: Hairer & Wanner, Solving Ordinary Differential Equations II, IV.7, table 7.1 up to order
4; the nine of order 5 follow the same rule (trees of order 5). Transformed coefficients are taken
back by Gamma = (I/gamma - C)^-1, alpha = a Gamma, b = m Gamma.
"""

import numpy as np
import pytest
from teorell.engine.executors import METHODS, tableau


def coefficients(name):
    t = tableau(name)
    s = t["stages"]
    gamma = np.linalg.inv(np.eye(s) / t["gamma"] - t["C"])
    return t, t["a"] @ gamma, gamma


def conditions(b, alpha, beta):
    """(order, value of the elementary weight, its target) for all trees up to order 5."""
    one = np.ones(len(b))
    a, be = alpha @ one, beta @ one
    ab, aa = alpha @ be, alpha @ a**2
    return [
        (1, b @ one, 1),
        (2, b @ be, 1 / 2),
        (3, b @ a**2, 1 / 3),
        (3, b @ beta @ be, 1 / 6),
        (4, b @ a**3, 1 / 4),
        (4, b @ (a * ab), 1 / 8),
        (4, b @ beta @ a**2, 1 / 12),
        (4, b @ beta @ beta @ be, 1 / 24),
        (5, b @ a**4, 1 / 5),
        (5, b @ (a**2 * ab), 1 / 10),
        (5, b @ ab**2, 1 / 20),
        (5, b @ (a * aa), 1 / 15),
        (5, b @ (a * (alpha @ beta @ be)), 1 / 30),
        (5, b @ beta @ a**3, 1 / 20),
        (5, b @ beta @ (a * ab), 1 / 40),
        (5, b @ beta @ beta @ a**2, 1 / 60),
        (5, b @ beta @ beta @ beta @ be, 1 / 120),
    ]


@pytest.mark.parametrize("name", METHODS)
def test_order_conditions(name):
    t, alpha, gamma = coefficients(name)
    m = np.append(t["a"][-1, :-1], 1.0)  # stiffly accurate: y_{n+1} = y_s + u_s
    checked = [c for c in conditions(m @ gamma, alpha, alpha + gamma) if c[0] <= t["order"]]
    for order, value, target in checked:
        assert value == pytest.approx(target, abs=2e-11), f"order {order}"


@pytest.mark.parametrize("name", METHODS)
def test_embedded_solution_has_its_order_and_not_more(name):
    t, alpha, gamma = coefficients(name)
    m = np.append(t["a"][-1, :-1], 0.0)  # without the last stage, which is the error estimate
    all_conditions = conditions(m @ gamma, alpha, alpha + gamma)
    for order, value, target in all_conditions:
        if order <= t["error_order"]:
            assert value == pytest.approx(target, abs=2e-11), f"order {order}"
    assert any(
        abs(value - target) > 1e-6
        for order, value, target in all_conditions
        if order == t["error_order"] + 1
    )


@pytest.mark.parametrize("name", METHODS)
def test_row_sums(name):
    t, alpha, gamma = coefficients(name)
    np.testing.assert_allclose(alpha.sum(axis=1), t["c"][0], atol=1e-12)
    np.testing.assert_allclose(gamma.sum(axis=1), t["d"][0], atol=1e-12)
    np.testing.assert_allclose(np.diag(gamma), t["gamma"], atol=1e-14)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("theta", [0.0, 0.1, 0.37, 0.5, 0.8, 1.0])
def test_dense_output_order(name, theta):
    """b(theta) satisfies the conditions with target scaled by theta^order, to one order less than
    the method.
    """
    t, alpha, gamma = coefficients(name)
    m = np.append(t["a"][-1, :-1], 1.0)
    powers = (1 - theta) * theta ** np.arange(1, len(t["H"]) + 1)
    weights = theta * m + powers @ t["H"]
    for order, value, target in conditions(weights @ gamma, alpha, alpha + gamma):
        if order < t["order"]:
            assert value == pytest.approx(target * theta**order, abs=2e-8), f"order {order}"


@pytest.mark.parametrize("name", METHODS)
def test_l_stable(name):
    """R(z) -> 0 as z -> -infinity, and abs(R) <= 1 on the negative real axis and the imaginary
    axis.
    """
    t, alpha, gamma = coefficients(name)
    b = np.append(t["a"][-1, :-1], 1.0) @ gamma
    one, identity = np.ones(len(b)), np.eye(len(b))

    def stability(z):
        return 1 + z * b @ np.linalg.solve(identity - z * (alpha + gamma), one)

    assert abs(stability(-1e12)) < 1e-3
    for z in np.concatenate([-np.logspace(-3, 8, 60), 1j * np.logspace(-3, 8, 60)]):
        assert abs(stability(z)) <= 1 + 1e-9
