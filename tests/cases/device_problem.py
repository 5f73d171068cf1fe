"""One problem of everything that device kernels do, run by this file in a process of its own:
python device_problem.py RESULT.npz [EXTENSION THREADS], the extension in place of _core.

Saturable elimination, infusion, boluses and a reset, switches in time and on states, a declared
event, reductions, one patient who cannot be solved; values, gradients, tangents; penalties, their
slopes, violations and projections.
"""

import importlib.util
import sys

import numpy as np

if __name__ == "__main__" and len(sys.argv) > 2:  # before anything imports the extension
    spec = importlib.util.spec_from_file_location("_core", sys.argv[2])
    sys.modules["teorell._core"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["teorell._core"])

import teorell as tl
from teorell.constraints import ConstraintSet
from teorell.engine.executors import instruction_sets

PATIENTS = 37
OPTIONS = {"rtol": 1e-7, "atol": 1e-9, "executor": "interpreter"}


def model():
    m = tl.Model("shim")
    ka, vmax, km, v, q = m.parameters(ka=1.2, vmax=9.0, km=2.0, v=20.0, q=4.0)
    depot, central, peripheral = m.states("depot", "central", "peripheral")
    m.flow(depot, central, ka * depot)
    half = tl.where(m.time > 20.0, 0.5, 1.0)
    m.flow(central, None, vmax * half * (central / v) / (km + central / v))
    m.flow(central, peripheral, q / v * central - q / 40.0 * peripheral)
    m.flow(peripheral, None, tl.where(central > 1.5 * v, 0.05, 0.01) * peripheral)
    peaks = m.level("peaks")
    m.event(when=central > 2.5 * v, then={peaks: peaks + 1.0, depot: 0.9 * depot})
    m.output("peaks", peaks)
    m.output("cp", central / v)
    m.output("log", tl.log(1.0 + peripheral))
    return m


def patients():
    rng = np.random.default_rng(5)
    spread = {"ka": (0.0, 0.5), "vmax": (2.0, 0.3), "v": (3.0, 0.2)}
    found = {name: np.exp(rng.normal(mean, sd, PATIENTS)) for name, (mean, sd) in spread.items()}
    found["vmax"][17] = 1e308
    return found


def solved(found, name, solution):
    for field in ("values", "status", "steps", "rejected", "failure_time"):
        found[f"{name} {field}"] = getattr(solution, field)
    for label, values in solution.reductions.items():
        found[f"{name} {label}"] = values


def differentiated(found, name, value, gradient):
    found[f"{name} loss"] = np.asarray(value)
    for label, slopes in {**gradient.parameters, **gradient.initial}.items():
        found[f"{name} by {label}"] = slopes
    lines = [(line.amount, line.time) for line in gradient.doses]
    found[f"{name} by doses"] = np.array(lines, dtype=np.float64)


def simulations(threads):
    """Every array by name."""
    found = {}
    regimen = (
        tl.Regimen.bolus(100, into="depot", every=12, doses=3)
        + tl.Regimen.infusion(50, into="central", duration=1.5)
        + tl.Regimen.reset(time=40.0)
        + tl.Regimen.bolus(30, into="central", time=41.0)
    )
    times = np.linspace(0.0, 48.0, 97)
    reductions = [
        tl.Cmax("cp"), tl.Tmax("cp"), tl.AUC("cp", start=1.0, end=30.0), tl.AUC("log"),
        tl.TimeAbove("cp", threshold=1.0),
    ]  # fmt: skip
    options = {**OPTIONS, "threads": threads}
    given = (model(), patients(), regimen)
    solved(found, "grid", tl.simulate(*given, times, **options, reductions=reductions))
    rng = np.random.default_rng(6)
    own = [np.sort(rng.uniform(0.0, 48.0, k % 5)) for k in range(PATIENTS)]
    solved(found, "own times", tl.simulate(*given, own, **options, samples="before"))
    weights = rng.normal(size=(PATIENTS, 25, 1))
    by = (*given, times[::4], ["cp"])
    differentiated(found, "weights", *tl.value_and_grad(weights, *by, **options))
    reduced = {"cmax_cp": 0.1, "auc_cp": 0.2, "auc_log": 0.3, "time_above_cp": 0.4}
    differentiated(
        found, "reduced", *tl.value_and_grad(reduced, *by, **options, reductions=reductions)
    )
    solution = tl.jacobian(*by, wrt=["ka", "vmax", (0, "amount"), (2, "time")], **options)
    found["jacobian"] = solution.derivatives
    return found


def columns(threads):
    """The same of constraints."""
    c = ConstraintSet("adults")
    weight, height, a, b = c.quantities("weight", "height", "a", "b")
    c.between("BMI", weight / height**2, 18.5, 45.0, group="size")
    c.equal("parts", a + b, weight, group="sums")
    c.at_least("a", a, 0.2 * weight, barrier=0.1)
    c.at_most("log", tl.log(weight), 5.0, group="size")
    rng = np.random.default_rng(1)
    people = {
        "weight": rng.lognormal(4.3, 0.4, PATIENTS), "height": rng.normal(1.7, 0.1, PATIENTS),
        "a": rng.lognormal(3.0, 0.3, PATIENTS), "b": rng.lognormal(4.0, 0.3, PATIENTS),
    }  # fmt: skip
    options = {"executor": "interpreter", "threads": threads}
    found = {"penalties": c.penalty(people, **options)}
    projection = c.project(people, **options)
    found["found"] = projection.success
    for name, values in projection.values.items():
        found[f"nearest {name}"] = values
    return found


if __name__ == "__main__":
    best = instruction_sets()[0]
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    of_all = {**simulations(threads), **columns(threads)}
    np.savez(sys.argv[1], name=best["name"], fma=best["fma"], **of_all)
