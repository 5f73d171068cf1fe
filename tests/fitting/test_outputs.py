"""Several outputs in one table: by DVID or CMT, each with its residual error; never by guess."""

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from fitting_case import TIGHT
from scipy.optimize import minimize
from scipy.stats import norm

T = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0])


def parent():
    """A drug p that becomes q: km 0.3 /h, k 0.1 /h, v 20 L; outputs cp and cm."""
    model = tl.Model("parent")
    km, k, v = model.parameters(km=0.3, k=0.1, v=20.0)
    p, q = model.states("p", "q")
    model.flow(p, q, km * p)
    model.flow(q, None, k * q)
    model.output("cp", p / v)
    model.output("cm", q / 10.0)
    model.output("both", (p + q) / v)
    return model


def curves(km, k, v):
    """cp and cm at T after 100 into p, in closed form."""
    q = 100.0 * km / (k - km) * (np.exp(-km * T) - np.exp(-k * T))
    return 100.0 / v * np.exp(-km * T), q / 10.0


RNG = np.random.default_rng(3)
CP, CM = (each * (1.0 + 0.05 * RNG.standard_normal(T.size)) for each in curves(0.3, 0.1, 20.0))


def events(model, cmt=True, dvid=("1", "2"), compartments=None, **more):
    rows = [{"ID": 1, "TIME": 0.0, "AMT": 100.0, "EVID": 1, "CMT": "p", "DVID": dvid[0]}]
    for t, *pair in zip(T, CP, CM, strict=True):
        rows += [
            {"ID": 1, "TIME": t, "AMT": 0.0, "EVID": 0, "CMT": state, "DVID": label, "DV": value}
            for state, label, value in zip("pq", dvid, pair, strict=True)
        ]
    frame = pd.DataFrame(rows).assign(**more)
    frame = frame.drop(columns=[] if cmt else ["CMT"])
    if dvid[0] is None:
        frame = frame.drop(columns="DVID")
    return tl.EventTable(frame, model, compartments)


START = {"km": 0.4, "k": 0.15, "v": 25.0}
CHOICES = {
    "DVID": ({1: "cp", 2: "cm"}, {}),
    "DVID as text": ({"1": "cp", "2": "cm"}, {}),
    "DVID as floats": ({1.0: "cp", np.int64(2): "cm"}, {}),
    "states": ({"p": "cp", "q": "cm"}, {}),
    "numbers of states": ({1: "cp", 2: "cm"}, {"dvid": (None, None)}),
    "DVID says the names": (None, {"dvid": ("cp", "cm")}),
    "compartments": (
        {11: "cp", 12: "cm"},
        {"dvid": (None, None), "compartments": {"p": "p", "q": "q", 11: "p", 12: "q"}},
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_both_outputs_with_an_error_each(name):
    """The maximum is that of the likelihood written out, with cv of cp and sd of cm."""
    output, columns = CHOICES[name]
    model = parent()
    error = {"cp": tl.Proportional(), "cm": tl.Additive()}
    found = tl.fit(model, events(model, **columns), START, output, error=error, starts=1, **TIGHT)

    def objective(x):
        f, g = curves(*np.exp(x[:3]))
        parts = norm.logpdf(CP, f, np.exp(x[3]) * f), norm.logpdf(CM, g, np.exp(x[4]))
        return -2.0 * np.sum(parts)

    at = [found.estimates[each][0] for each in START]
    at += [found.error["cv_cp"][0], found.error["sd_cm"][0]]
    assert found.objective[0] == pytest.approx(objective(np.log(at)), abs=1e-6)
    options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 9000, "maxfev": 9000}
    known = minimize(objective, np.log(at), method="Nelder-Mead", options=options)
    assert found.objective[0] < known.fun + 1e-6
    assert found.output.tolist() == ["cp", "cm"] * T.size
    assert found.converged.all()


def test_one_output_of_the_table():
    """The rows of the other are left out where the choice says so, and only there."""
    model = parent()
    alone = events(model, MDV=np.append(1, np.tile([0, 1], T.size)))
    known = tl.fit(model, alone, {"km": 0.4, "v": 25.0}, "cp", starts=1, **TIGHT)
    for output, columns in (
        ({1: "cp", 2: None}, {}),
        ({"p": "cp", "q": None}, {"dvid": (None, None)}),
        ("cp", {"dvid": ("cp", "cm")}),
    ):
        observed = events(model, **columns)
        found = tl.fit(model, observed, {"km": 0.4, "v": 25.0}, output, starts=1, **TIGHT)
        np.testing.assert_array_equal(found.observed, CP)
        assert found.estimates["km"][0] == known.estimates["km"][0]
        assert list(found.error) == ["sd"]


def test_one_kind_of_error_is_each_outputs_own():
    model = parent()
    found = tl.fit(model, events(model), START, {1: "cp", 2: "cm"}, error=tl.Combined(), starts=1)
    assert set(found.error) == {"sd_cp", "cv_cp", "sd_cm", "cv_cm"}
    lines = found.summary().splitlines()
    assert max(map(len, lines)) <= 80
    assert all(name in found.summary() for name in (*START, *found.error, "objective"))


def test_an_output_below_its_limit():
    """Limits go with the rows of their output."""
    model = parent()
    low = np.append(np.nan, np.ravel(np.stack([CP < 1.0, np.zeros(T.size)], 1)))
    observed = events(model, CENS=low)
    found = tl.fit(model, observed, START, {1: "cp", 2: "cm"}, error=tl.Additive(0.2), **TIGHT)
    f, g = curves(*(found.estimates[each][0] for each in START))
    parts = np.where(CP < 1.0, norm.logcdf(CP, f, 0.2), norm.logpdf(CP, f, 0.2))
    known = -2.0 * (parts.sum() + norm.logpdf(CM, g, 0.2).sum())
    assert found.objective[0] == pytest.approx(known, abs=1e-6)


REFUSED = {
    "two analytes": ("cp", {"cmt": False}, None, "2 analytes .DVID is 1, 2"),
    "two states": ("both", {"dvid": (None, None)}, None, "2 analytes .CMT is p, q"),
    "no output": (None, {}, None, "no output named"),
    "a row that nobody names": ({1: "cp"}, {}, None, "does not say what DVID 2 is .row 3"),
    "a state that nobody names": ({"q": "cm"}, {"dvid": (None, None)}, None, "what CMT p is"),
    "no such DVID": ({1: "cp", 2: "cm", 3: None}, {}, None, "DVID 3 .no observation has it"),
    "no such output": ({1: "cp", 2: "cx"}, {}, None, "unknown output 'cx'"),
    "nothing": ({1: None, 2: None}, {}, None, "names nothing that was measured"),
    "twice": ({1: "cp", "1": "cm", 2: "cm"}, {}, None, "a DVID or CMT twice"),
    "another's name": ("cp", {"dvid": ("cm", "cm")}, None, "DVID says cm"),
    "a row without a name": ("cp", {"dvid": ("cp", "")}, None, "DVID without a value is"),
    "error of another": ({1: "cp", 2: None}, {}, {"cm": tl.Additive()}, "error names 'cm'"),
    "an error too few": ({1: "cp", 2: "cm"}, {}, {"cm": tl.Additive()}, "does not name 'cp'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_said_is_refused(name):
    output, columns, error, words = REFUSED[name]
    model = parent()
    with pytest.raises(tl.InputError, match=words):
        tl.fit(model, events(model, **columns), START, output, error=error)


@pytest.mark.parametrize(
    ("dvid", "mapping"), [((1, 2), {1: None, 2: "cm"}), ((None, None), {"p": None, "q": "cm"})]
)
def test_an_output_of_one_state_has_the_rows_of_its_compartment(dvid, mapping):
    model = parent()
    table, start = events(model, dvid=dvid), {"km": 0.4}
    fixed = {"k": 0.1, "v": 20.0}
    chosen = tl.fit(model, table, start, "cm", fixed=fixed)
    named = tl.fit(model, table, start, mapping, fixed=fixed)
    assert len(chosen.observed) == len(T)
    np.testing.assert_array_equal(chosen.objective, named.objective)


def test_other_kinds_are_type_errors():
    model = parent()
    with pytest.raises(tl.InputError, match="output is a list"):
        tl.fit(model, events(model), START, ["cp", "cm"])
    with pytest.raises(TypeError, match="how do observations scatter"):
        tl.fit(model, events(model), START, {1: "cp", 2: "cm"}, error={"cp": 0.1, "cm": 0.1})


def test_a_subject_without_one_of_the_outputs():
    """Its residual error cannot be told, unless it is known, or all are pooled."""
    model = parent()
    rows = [{"ID": who, "TIME": 0.0, "AMT": 100.0, "EVID": 1, "DVID": 1} for who in (1, 2)]
    rows += [
        {"ID": who, "TIME": t, "AMT": 0.0, "EVID": 0, "DVID": dvid, "DV": value}
        for who, dvids in ((1, (1, 2)), (2, (1,)))
        for dvid in dvids
        for t, value in zip(T, (CP, CM)[dvid - 1], strict=True)
    ]
    frame = pd.DataFrame(rows).sort_values(["ID", "TIME", "DVID"], kind="stable")
    observed = tl.EventTable(frame, model)
    both, start = {1: "cp", 2: "cm"}, {"km": 0.4, "v": 25.0}
    with pytest.raises(tl.InputError, match="subject 2 has no observation of 'cm'"):
        tl.fit(model, observed, start, both)
    found = tl.fit(model, observed, start, both, error=tl.Additive(0.1), starts=1)
    assert found.converged.all()
    assert tl.fit(model, observed, start, both, pooled=True, starts=1).converged.all()


def test_the_command_line_takes_a_choice():
    from teorell.fitting.command import _output

    assert _output([]) is None
    assert _output(["cp"]) == "cp"
    assert _output(["1=cp", "2="]) == {"1": "cp", "2": None}
    for wrong in (["1=cp", "cm"], ["=cp"], ["1=cp", "1=cm"]):
        with pytest.raises(tl.InputError, match="--output has"):
            _output(wrong)
