"""Rows of patients, told by offsets: parts, choices and copies against one list a patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from teorell.rows import Rows, offsets_of, spread


@dataclass(frozen=True, eq=False)
class Marks(Rows):
    name: str
    value: NDArray[np.float64]
    offsets: NDArray[np.int64]
    order: NDArray[np.int64] | None = None


def marks(lists: list[list[float]], ordered: bool) -> Marks:
    value = np.array([x for each in lists for x in each], np.float64)
    order = np.arange(value.size)[::-1].copy() if ordered else None
    return Marks("marks", value, offsets_of(np.array([len(x) for x in lists], np.int64)), order)


def lists_of(rows: Marks) -> list[list[float]]:
    pairs = zip(rows.offsets[:-1], rows.offsets[1:], strict=True)
    return [rows.value[first:last].tolist() for first, last in pairs]


PATIENTS = st.lists(st.lists(st.floats(-9, 9), max_size=4), min_size=1, max_size=6)


@given(lists=PATIENTS, ordered=st.booleans(), data=st.data())
def test_rows_are_lists_of_each_patient(
    lists: list[list[float]], ordered: bool, data: st.DataObject
) -> None:
    rows, n = marks(lists, ordered), len(lists)
    assert rows.patients == n
    assert rows.counts.tolist() == [len(each) for each in lists]
    assert rows.owner.tolist() == [i for i, each in enumerate(lists) for _ in each]
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, n))
    assert lists_of(rows.part(start, stop)) == lists[start:stop]
    chosen = data.draw(st.lists(st.integers(0, n - 1), max_size=5))
    some = rows.of(np.array(chosen, np.int64))
    assert lists_of(some) == [lists[k] for k in chosen]
    assert some.name == "marks"
    assert (some.order is None) == (not ordered)
    if some.order is not None and rows.order is not None:
        np.testing.assert_array_equal(
            some.order, rows.order[rows.rows_of(np.array(chosen, np.int64))]
        )
    times = data.draw(st.integers(1, 3))
    assert lists_of(rows.repeated(times)) == lists * times


def test_a_part_is_a_view() -> None:
    rows = marks([[1.0, 2.0], [3.0]], ordered=False)
    assert np.shares_memory(rows.part(1, 2).value, rows.value)


@pytest.mark.parametrize(
    ("starts", "lengths", "expected"),
    [([], [], []), ([5], [0], []), ([5, 1], [2, 3], [5, 6, 1, 2, 3])],
)
def test_spread(starts: list[int], lengths: list[int], expected: list[int]) -> None:
    assert spread(np.array(starts, np.int64), np.array(lengths, np.int64)).tolist() == expected
