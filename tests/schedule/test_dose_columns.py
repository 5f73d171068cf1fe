"""Doses of each patient as columns: the bits of a list of regimens, and gradients row by row."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import teorell as tl
import torch
from compartments import oral
from teorell import InputError, Regimen

MODEL = oral(ka=1.2, cl=2.0, v=10.0, amounts=True)
TIMES = np.linspace(0.5, 30.0, 13)
PATIENTS = 7


def random_doses(seed, patients=PATIENTS):
    """Some patients have none; rows lie in a random order."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, patients)
    counts[1] = 0
    owner = rng.permutation(np.repeat(np.arange(patients), counts))
    rows = len(owner)
    duration = np.where(rng.random(rows) < 0.5, 0.0, rng.uniform(1.0, 5.0, rows))
    return {
        "amount": rng.uniform(10.0, 100.0, rows),
        "into": np.where(duration > 0.0, "central", "gut"),
        "time": rng.choice([0.0, 2.0, 3.5, 9.0, 12.0], rows),
        "duration": duration,
        "every": rng.choice([6.0, 8.0], rows),
        "doses": rng.integers(1, 4, rows),
        "patient": owner,
    }


def as_list(columns, patients=PATIENTS):
    regimens = []
    for i in range(patients):
        one = Regimen.none()
        for k in np.flatnonzero(columns["patient"] == i):
            told = {
                name: columns[name][k].item()
                for name in ("amount", "into", "time", "every", "doses")
            }
            if columns["duration"][k] > 0.0:
                one += Regimen.infusion(duration=columns["duration"][k], **told)
            else:
                one += Regimen.bolus(**told)
        regimens.append(one)
    return regimens


def padded(columns, patients=PATIENTS):
    """The same as arrays (patients, doses)."""
    owner = columns["patient"]
    width = np.bincount(owner).max() + 1
    result = {
        name: np.full((patients, width), fill, dtype)
        for name, fill, dtype in (
            ("amount", np.nan, float), ("into", "", "U7"), ("time", np.nan, float),
            ("duration", np.nan, float), ("every", np.nan, float), ("doses", 1, int),
        )
    }  # fmt: skip
    for i in range(patients):
        rows = np.flatnonzero(owner == i)
        for name, array in result.items():
            array[i, : len(rows)] = columns[name][rows]
    return result


def equal_bits(a, b):
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


CL = np.linspace(1.0, 4.0, PATIENTS)


@pytest.mark.parametrize("seed", range(3))
def test_the_bits_of_a_list_of_regimens(seed):
    columns = random_doses(seed)
    listed = tl.simulate(MODEL, {"cl": CL}, as_list(columns), TIMES)
    by_columns = Regimen.columns(**columns, patients=PATIENTS)
    by_arrays = Regimen.columns(**padded(columns))
    weights = np.random.default_rng(9).standard_normal((PATIENTS, len(TIMES), 2))
    _, expected = tl.value_and_grad(weights, MODEL, {"cl": CL}, as_list(columns), TIMES)
    for regimen in (by_columns, by_arrays, pickle.loads(pickle.dumps(by_columns))):
        equal_bits(tl.simulate(MODEL, {"cl": CL}, regimen, TIMES).values, listed.values)
        _, gradient = tl.value_and_grad(weights, MODEL, {"cl": CL}, regimen, TIMES)
        for name in ("cl", "ka"):
            equal_bits(gradient.parameters[name], expected.parameters[name])
    part = by_columns.part(2, 5)
    equal_bits(tl.simulate(MODEL, {"cl": CL[2:5]}, part, TIMES).values, listed.values[2:5])


def test_gradients_are_those_of_one_regimen_with_arrays():
    """Two doses of each patient, as two lines and as columns: the same bits."""
    rng = np.random.default_rng(4)
    amount, time = rng.uniform(10, 100, (PATIENTS, 2)), rng.uniform(0, 9, (PATIENTS, 2))
    duration = rng.uniform(1, 4, (PATIENTS, 2))
    lines = Regimen.none()
    for k in range(2):
        lines += Regimen.infusion(
            amount[:, k], "central", duration=duration[:, k], time=time[:, k], every=7.0, doses=2
        )
    columns = Regimen.columns(amount, "central", time, duration=duration, every=7.0, doses=2)
    weights = rng.standard_normal((PATIENTS, len(TIMES), 2))
    _, a = tl.value_and_grad(weights, MODEL, {"cl": CL}, lines, TIMES)
    _, b = tl.value_and_grad(weights, MODEL, {"cl": CL}, columns, TIMES)
    (found,) = b.doses
    for k in range(2):
        for name in ("amount", "time", "duration"):
            equal_bits(getattr(found, name)[:, k], getattr(a.doses[k], name))
    np.testing.assert_allclose(found.every, a.doses[0].every + a.doses[1].every, rtol=1e-12)
    wrt = [(k, name) for k in range(2) for name in ("amount", "time", "duration")]
    equal_bits(
        tl.jacobian(MODEL, {"cl": CL}, columns, TIMES, wrt=wrt).derivatives,
        tl.jacobian(MODEL, {"cl": CL}, lines, TIMES, wrt=wrt).derivatives,
    )
    directions = {(0, "amount"): rng.standard_normal(PATIENTS), (1, "time"): 0.5}
    equal_bits(
        tl.jvp(MODEL, {"cl": CL}, columns, TIMES, directions)[1],
        tl.jvp(MODEL, {"cl": CL}, lines, TIMES, directions)[1],
    )


def rules_that_change():
    """A lag and a bioavailability that follow a covariate: records are split."""
    model = tl.Model("rules")
    ka, cl, v, f = model.parameters(ka=1.0, cl=2.0, v=10.0, f=1.0)
    gut, central = model.states("gut", "central")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, cl / v * central)
    model.output("cp", central / v)
    model.dosing(gut, lag=0.1 * cl, bioavailability=f)
    model.dosing(central, bioavailability=f)
    steps = tl.stepwise([0.0, 7.0], np.random.default_rng(0).uniform(0.5, 1.0, (PATIENTS, 2)))
    return model, {"cl": CL, "f": steps}


@pytest.mark.parametrize("steady", [False, True, "add"])
@pytest.mark.parametrize("start", ["initial", "equilibrium"])
def test_adjoint_tangents_and_differences_agree_row_by_row(steady, start):
    model, people = (MODEL, {"cl": CL}) if steady else rules_that_change()
    columns = random_doses(6)
    columns["steady_state"] = steady
    names = ("amount", "time", "duration", "every")
    rng = np.random.default_rng(2)
    options = {"outputs": "cp", "rtol": 1e-11, "atol": 1e-11, "start": start}
    weights = rng.standard_normal((PATIENTS, len(TIMES), 1))

    def of(**changed):
        return Regimen.columns(**{**columns, **changed}, patients=PATIENTS)

    value, gradient = tl.value_and_grad(weights, model, people, of(), TIMES, **options)
    (found,) = gradient.doses
    owner = columns["patient"]
    number = np.array([np.sum(owner[:k] == owner[k]) for k in range(len(owner))])
    moving = columns["duration"] > 0.0
    for name in names:
        bars = getattr(found, name)
        assert bars.shape == owner.shape
        for k in range(number.max() + 1):
            jacobian = tl.jacobian(model, people, of(), TIMES, wrt=[(k, name)], **options)
            per_patient = (weights[..., None] * jacobian.derivatives).sum(axis=(1, 2, 3))
            rows = np.flatnonzero(number == k)
            np.testing.assert_allclose(
                bars[rows], per_patient[owner[rows]], rtol=1e-7, atol=1e-9 * np.abs(bars).max()
            )
        assert (bars[~moving] == 0.0).all() or name != "duration"
    direction = {
        "amount": rng.standard_normal(len(owner)),
        "duration": np.where(moving, rng.standard_normal(len(owner)), 0.0),
    }
    h = 1e-4
    both = [
        tl.simulate(
            model, people, of(**{n: columns[n] + s * d for n, d in direction.items()}), TIMES,
            **options,
        ).values
        for s in (h, -h)
    ]  # fmt: skip
    difference = (weights * (both[0] - both[1])).sum() / (2 * h)
    exact = sum((getattr(found, name) * d).sum() for name, d in direction.items())
    np.testing.assert_allclose(exact, difference, rtol=1e-6)
    assert np.isfinite(value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torch_differentiates_row_by_row(dtype):
    columns = random_doses(3)
    arrays = padded(columns)
    names = ("amount", "time", "duration", "every")

    def gradients(given, patients):
        tensors = {n: torch.tensor(given[n], dtype=dtype, requires_grad=True) for n in names}
        regimen = Regimen.columns(**{**given, **tensors}, patients=patients)
        solution = tl.simulate(MODEL, {"cl": torch.tensor(CL, dtype=dtype)}, regimen, TIMES)
        assert solution.values.dtype == dtype
        solution.values.sum().backward()
        return {n: tensor.grad.numpy() for n, tensor in tensors.items()}

    rows, places = gradients(columns, PATIENTS), gradients(arrays, None)
    there = ~np.isnan(arrays["amount"])
    exact = {n: np.asarray(torch.tensor(columns[n], dtype=dtype), float) for n in names}
    _, expected = tl.value_and_grad(
        np.ones((PATIENTS, len(TIMES), 2)),
        MODEL,
        {"cl": np.asarray(torch.tensor(CL, dtype=dtype), float)},
        Regimen.columns(**{**columns, **exact}, patients=PATIENTS),
        TIMES,
    )
    order = np.argsort(columns["patient"], kind="stable")
    for n in names:
        equal_bits(rows[n], getattr(expected.doses[0], n).astype(rows[n].dtype))
        equal_bits(places[n][there], rows[n][order])
        assert (places[n][~there] == 0.0).all()


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_transforms_of_torch():
    columns = random_doses(5)
    amount = torch.tensor(columns["amount"])

    def curves(amount, cl):
        regimen = Regimen.columns(**{**columns, "amount": amount}, patients=PATIENTS)
        return tl.simulate(MODEL, {"cl": cl}, regimen, TIMES, outputs="cp").values[..., 0]

    cl = torch.tensor(2.0, dtype=torch.float64)
    runs = torch.stack([amount, 2.0 * amount])
    mapped = torch.func.vmap(curves, in_dims=(0, None))(runs, cl)
    for run, values in zip(runs, mapped, strict=True):
        equal_bits(values, curves(run, cl))
    forward = torch.func.jacfwd(curves)(amount, cl)
    backward = torch.func.jacrev(curves)(amount, cl)
    torch.testing.assert_close(forward, backward, rtol=1e-9, atol=1e-12)
    by_one = torch.func.grad(lambda a: curves(a, cl).sum())(amount[0])  # one number for all rows
    total = torch.func.grad(lambda a: curves(a * torch.ones_like(amount), cl).sum())(amount[0])
    torch.testing.assert_close(by_one, total, rtol=1e-12, atol=0.0)


def test_a_batch_of_one_and_nobody_dosed():
    one = Regimen.columns([[10.0, np.nan]], "gut", [[1.0, np.nan]])
    equal_bits(
        tl.simulate(MODEL, {}, one, TIMES).values,
        tl.simulate(MODEL, {}, [Regimen.bolus(10.0, "gut", time=1.0)], TIMES).values,
    )
    nobody = Regimen.columns(np.zeros(0), "gut", patient=np.zeros(0, int), patients=3)
    solution = tl.simulate(MODEL, {}, nobody, TIMES)
    assert solution.values.shape == (3, len(TIMES), 2)
    assert (solution.values == 0.0).all()
    _, gradient = tl.value_and_grad(np.ones((3, 1, 1)), MODEL, {}, nobody, TIMES)
    assert gradient.doses[0].amount.shape == (0,)
    learned = torch.full((3, 2), torch.nan, dtype=torch.float64, requires_grad=True)
    tl.simulate(MODEL, {}, Regimen.columns(learned, "gut", learned), TIMES).values.sum().backward()
    assert (learned.grad == 0.0).all()


def test_modelled_durations():
    model = tl.Model("modelled")
    d = model.parameter("d", 2.0)
    x = model.state("x")
    model.flow(x, None, 0.3 * x)
    model.dosing(x, duration=d)
    people = {"d": np.array([1.0, 3.0])}
    columns = Regimen.columns([[10.0], [20.0]], x, duration="modelled")
    line = Regimen.infusion([10.0, 20.0], x, duration="modelled")
    equal_bits(*(tl.simulate(model, people, r, TIMES).values for r in (columns, line)))


ROWS = {"amount": [1.0, 2.0], "into": "gut", "patient": [0, 1]}
ARRAYS = {"amount": [[1.0, 2.0], [3.0, np.nan]], "into": "gut", "time": [[0, 1], [0, np.nan]]}


@pytest.mark.parametrize(
    ("given", "changed", "message"),
    [
        (ROWS, {"amount": [1.0, -2.0]}, r"the amount of row 1 of the doses \(patient 1\) is -2"),
        (ROWS, {"amount": [1.0, np.nan]}, "column amount is not finite"),
        (ROWS, {"time": [np.inf, 0.0]}, "not finite"),
        (ROWS, {"time": [-1.0, 0.0]}, "the time of row 0"),
        (ROWS, {"patient": [0, 2], "patients": 2}, r"row 1 of the doses is of patient 2 \(there"),
        (ROWS, {"patient": [-1, 0]}, "patient -1"),
        (ROWS, {"patient": [0.0, 1.0]}, "Give integers"),
        (ROWS, {"patients": 0}, "patients is 0"),
        (ROWS, {"patients": 3}, "3 patients"),
        (ROWS, {"into": "gutt"}, "unknown compartment 'gutt'"),
        (ROWS, {"into": ["gut", "liver"]}, "unknown compartment 'liver'"),
        (ROWS, {"into": ["gut", ""]}, "row 1 of the doses .patient 1. has no state"),
        (ROWS, {"into": ["gut", 3]}, "into is 3"),
        (ROWS, {"into": ["gut"]}, r"column into has shape \(1,\)"),
        (ROWS, {"time": [[0.0], [1.0]]}, r"column time has shape \(2, 1\)"),
        (ROWS, {"time": [0.0, 1.0, 2.0]}, r"column time has shape \(3,\)"),
        (ROWS, {"duration": [1.0, 0.0], "rate": [2.0, 0.0]}, "row 0 .* both duration and rate"),
        (ROWS, {"duration": "modelled", "rate": 1.0}, "both duration and rate"),
        (ROWS, {"duration": [1.0, np.nan]}, "column duration is not finite"),
        (ROWS, {"doses": [1, 2]}, "row 1 .* without an interval"),
        (ROWS, {"doses": [1.5, 2.0]}, "Give integers"),
        (ROWS, {"doses": 0, "every": 1.0}, "column doses goes from 0"),
        (ROWS, {"steady_state": True}, "at steady state without an interval"),
        (ROWS, {"steady_state": 1, "every": 1.0}, "steady_state"),
        (ROWS, {"amount": ["a", "b"]}, "column amount has type"),
        (ROWS, {"amount": [True, False]}, "column amount has type bool"),
        (ARRAYS, {"amount": [[1.0, 2.0], [3.0, 4.0]]}, "dose 1 of patient 1 has an amount or a ti"),
        (ARRAYS, {"amount": [[1.0, 2.0], [-3.0, np.nan]]}, "dose 0 of patient 1 is -3"),
        (ARRAYS, {"rate": [[1.0, np.nan], [3.0, np.nan]]}, "rate of dose 1 of patient 0 is nan"),
        (ARRAYS, {"patients": 3}, "patients is 3"),
        (ARRAYS, {"patient": [0, 1]}, r"shape \(2, 2\)"),
        (ARRAYS, {"amount": np.ones((3, 2)), "time": 0.0}, "3 patients"),
        (ARRAYS, {"amount": np.ones((0, 2)), "time": 0.0}, "no patients"),
        ({"amount": 1.0, "into": "gut"}, {}, "single numbers"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(given, changed, message):
    with pytest.raises(InputError, match=message):
        tl.simulate(MODEL, {"cl": CL[:2]}, Regimen.columns(**{**given, **changed}), TIMES)


def test_tensors_are_checked_when_they_are_read():
    regimen = Regimen.columns(torch.tensor([1.0, -2.0]), "gut", patient=[0, 1])
    with pytest.raises(InputError, match="the amount of row 1"):
        tl.simulate(MODEL, {"cl": CL[:2]}, regimen, TIMES)
    with pytest.raises(InputError, match="tensor of bool"):
        Regimen.columns(torch.tensor([True, False]), "gut", patient=[0, 1])
    with pytest.raises(InputError, match="unknown dose 4"):
        tl.jacobian(MODEL, {}, Regimen.columns([[1.0]], "gut"), TIMES, wrt=[(4, "amount")])
    with pytest.raises(InputError, match="unknown column 'rate'"):
        tl.jacobian(MODEL, {}, Regimen.columns([[1.0]], "gut"), TIMES, wrt=[(0, "rate")])
    with pytest.raises(TypeError):
        Regimen.columns([[1.0]], "gut") + Regimen.bolus(1, "gut")


def test_a_thousand_regimens_need_no_loop():
    """Of more patients no more functions of Python are called."""
    import cProfile

    def calls(patients):
        columns = random_doses(1, patients)
        profile = cProfile.Profile()
        profile.runcall(lambda: Regimen.columns(**columns, patients=patients).table(
            ("gut", "central")
        ))  # fmt: skip
        stats = profile.getstats()
        return sum(entry.callcount for entry in stats if not isinstance(entry.code, str))

    assert calls(1024) < calls(64) + 50


@pytest.mark.parametrize("name", ["amount", "time", "patient", "doses", "into"])
def test_masks_are_not_dropped(name):
    given = {"amount": [1.0, 2.0], "time": [0.0, 1.0], "into": ["depot", "depot"]}
    given |= {"patient": [0, 1], "doses": [1, 2]}
    given[name] = np.ma.masked_array(given[name], [False, True])
    with pytest.raises(InputError, match=f"the column {name} has masked elements"):
        Regimen.columns(**given, every=1.0)
