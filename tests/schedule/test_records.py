"""Event tables with every kind of record, their rules changing from record to record, against a
walk over the records by NONMEM's rules, in plain Python.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from teorell import EventTable


def one_compartment():
    model = tl.Model("one compartment, every rule")
    ke, f, lag, r1, d1 = model.parameters(ke=0.1, f=1.0, lag=0.0, r1=5.0, d1=2.0)
    state = model.state("c")
    model.flow(state, None, ke * state)
    model.output("c", state)
    model.dosing(state, bioavailability=f, lag=lag, rate=r1, duration=d1)
    return model


MODEL = one_compartment()


class Walk:
    """The records of one subject; covariates by the `next` record or the one before."""

    def __init__(self, records, ahead):
        self.records, self.ahead = records, ahead
        self.times = [one["TIME"] for one in records]

    def after(self, time):
        """The record whose values hold just after a time."""
        last = len(self.times) - 1
        following = next((k for k, t in enumerate(self.times) if t > time), None)
        if self.ahead:
            return self.records[last if following is None else following]
        return self.records[last if following is None else following - 1]

    def arriving(self, time):
        """The record whose values an additional or lagged dose takes: it precedes those there."""
        following = next((k for k, t in enumerate(self.times) if t >= time), None)
        if self.ahead:
            return self.records[-1 if following is None else following]
        return self.records[-1 if following is None else max(following - 1, 0)]

    def between(self, start, end):
        """(from, to) without a record inside."""
        points = [start, *(t for t in sorted(set(self.times)) if start < t < end), end]
        return pairwise(points)

    def left(self, start, end):
        """What is left at `end` of one unit at `start`."""
        return np.exp(-sum(self.after(a)["KE"] * (b - a) for a, b in self.between(start, end)))

    def doses(self):
        """(place of the record, implied, time, amount, pieces of rates or None) of each dose."""
        for place, record in enumerate(self.records):
            for k in range(record["ADDL"] + 1 if record["EVID"] in (1, 4) else 0):
                time = record["TIME"] + record["LAG"] + k * record["II"]
                implied = k > 0 or record["LAG"] > 0.0
                acting = self.arriving(time) if implied else record
                amount = acting["F"] * record["AMT"]
                rate = record["RATE"]
                duration = amount / rate if rate > 0.0 else acting["D1"]
                if rate == 0.0 or (rate == -2.0 and duration == 0.0):
                    pieces = None
                elif rate == -1.0:
                    pieces = list(self.followed(time, amount))
                else:
                    pieces = [(time, time + duration, amount / duration if duration else 0.0)]
                yield place, implied, time, amount, pieces

    def followed(self, start, amount):
        while amount > 1e-12:
            rate = self.after(start)["R1"]
            change = next((t for t in self.times if t > start), np.inf)
            end = min(start + amount / rate, change)
            yield start, end, rate
            amount, start = amount - rate * (end - start), end

    def seen(self, place):
        """The amount that the record at this place sees."""
        now, total = self.times[place], 0.0
        resets = [k for k, one in enumerate(self.records[:place]) if one["EVID"] in (3, 4)]
        for record, implied, time, amount, pieces in self.doses():
            if record < max(resets, default=-1):
                continue
            if pieces is None:
                if time < now or (time == now and (implied or record < place)):
                    total += amount * self.left(time, now)
                continue
            for start, end, rate in pieces:
                for a, b in self.between(start, min(end, now)) if start < now else ():
                    k = self.after(a)["KE"]
                    total += rate * (1.0 - np.exp(-k * (b - a))) / k * self.left(b, now)
        return total


@st.composite
def tables(draw):
    rows = []
    for subject in range(draw(st.integers(1, 2))):
        for time in sorted(draw(st.lists(st.integers(0, 11), min_size=2, max_size=8))):
            evid = draw(st.sampled_from([0, 0, 1, 1, 1, 2, 3, 4]))
            dose = evid in (1, 4)
            row = {"ID": subject, "TIME": float(time), "EVID": evid}
            row["AMT"] = draw(st.sampled_from([0.0, 4.0, 10.0, 25.0])) if dose else 0.0
            given = dose and row["AMT"] > 0.0  # an infusion of nothing is refused
            row["RATE"] = draw(st.sampled_from([0.0, -1.0, -2.0, 3.0])) if given else 0.0
            row["ADDL"] = draw(st.integers(0, 3)) if dose else 0
            row["II"] = draw(st.sampled_from([1.0, 2.0, 3.5])) if row["ADDL"] else 0.0
            for name, values in (
                ("F", [0.25, 0.5, 1.0, 2.0]), ("LAG", [0.0, 0.0, 1.0, 0.5, 2.0]),
                ("R1", [1.0, 2.0, 5.0, 8.0]), ("D1", [0.0, 1.0, 2.0, 3.0]), ("KE", [0.1, 0.3]),
            ):  # fmt: skip
                row[name] = draw(st.sampled_from(values))
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("rule", ["next", "previous"])
@settings(max_examples=60, deadline=None)
@given(tables())
def test_a_table_is_what_a_walk_over_its_records_gives(rule, frame):
    assume((frame["EVID"] == 0).any())
    events = EventTable(frame, MODEL, covariates=rule)
    found = tl.simulate(
        MODEL, events.parameters, events.regimen, events.times, rtol=1e-10, atol=1e-12
    )["c"]
    expected = []
    for _, records in frame.groupby("ID"):
        walk = Walk(records.to_dict("records"), rule == "next")
        expected += [walk.seen(k) for k, one in enumerate(walk.records) if one["EVID"] == 0]
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)
