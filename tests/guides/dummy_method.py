"""A dummy method, by the guide of How to add."""

from __future__ import annotations

import numpy as np
import teorell as tl
from compartments import bateman, oral
from patched_copy import Change, Steps, before

# The stiffly accurate method of two stages, order 2, whose first stage alone has order 1. With
# beta_21 = b_1 = 1 - gamma and b_2 = gamma the condition b_2 beta_21 = 1/2 - gamma gives
# gamma = 1 - 1/sqrt(2) (Hairer & Wanner, Solving ODEs II, IV.7); alpha_21 = 1, gamma_21 = -gamma.
# Transformed: a_21 = 1 / gamma = 2 + sqrt(2), C_21 = -1 / gamma, H = -1 / (sqrt(2) gamma).
TABLEAU = """struct TwoStages {
    static constexpr const char* name = "two_stages";
    static constexpr int stages = 2, order = 2, error_order = 1, dense = 1;
    static constexpr double gamma = 0.2928932188134524;
    static constexpr double a[2][2] = {{}, {3.414213562373095}};
    static constexpr double C[2][2] = {{}, {-3.414213562373095}};
    static constexpr double c[2] = {0.0, 1.0};
    static constexpr double d[2] = {0.2928932188134524, 0.0};
    static constexpr double H[1][2] = {{0.0, -2.414213562373095}};
};

"""
STEPS: Steps = {
    "cpp/include/teorell/tableau.hpp": [
        before("// The names of methods, in constants", TABLEAU),
        Change("using Methods = MethodList<", "using Methods = MethodList<TwoStages, "),
    ],
}
LEFT = {"python/teorell/simulate.py": "a docstring"}


def use() -> None:
    """In a process that imports the changed copy."""
    model, regimen = oral(), tl.Regimen.bolus(100.0, into="gut")
    times, people = np.array([1.0, 3.0, 7.0]), {"cl": np.array([3.0, 5.0]), "v": 20.0, "ka": 1.2}
    known = np.array([bateman(times, 1.2, cl, 20.0) for cl in people["cl"]])
    assert "two_stages" in tl.METHODS
    steps, errors = [], []
    for rtol in (1e-4, 1e-6):
        given = {"method": "two_stages", "rtol": rtol, "atol": 1e-3 * rtol}
        found = tl.simulate(model, people, regimen, times, executor="machine_code", **given)
        again = tl.simulate(model, people, regimen, times, executor="interpreter", **given)
        assert found.values.tobytes() == again.values.tobytes()
        steps.append(found.steps.mean())
        errors.append(np.abs(found["cp"] - known).max())
    order = -np.log(errors[1] / errors[0]) / np.log(steps[1] / steps[0])
    assert 1.7 < order < 2.3, order
    h = 1e-30  # the complex step through the closed form
    slopes = [bateman(times, 1.2, cl + 1j * h, 20.0).imag / h for cl in people["cl"]]
    for executor in ("machine_code", "interpreter"):
        given["executor"] = executor
        weights = np.array([[[1.0], [-2.0], [0.5]]])
        _, back = tl.value_and_grad(weights, model, people, regimen, times, **given)
        forth = tl.jacobian(model, people, regimen, times, wrt="cl", **given)
        by_cl = forth.derivatives.reshape(2, 3)
        np.testing.assert_allclose(by_cl, slopes, rtol=1e-3)
        np.testing.assert_allclose(back.parameters["cl"], by_cl @ weights.ravel(), rtol=1e-9)


if __name__ == "__main__":
    use()
