"""Values within values: shared parts, cycles, depth."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framekeep.errors import UnsupportedTypeError
from framekeep.frames.values import dump, load


def test_an_object_held_twice_comes_back_as_one_object() -> None:
    inner: list[int] = [1]
    one, two, other = load(dump([inner, inner, [1]]))
    assert one is two
    assert other is not one


@pytest.mark.parametrize("make", [list, dict, collections.OrderedDict, lambda: collections.defaultdict(list)])
def test_a_container_that_holds_itself_comes_back(make: Any) -> None:
    value = make()
    if isinstance(value, list):
        value.append((value,))
    else:
        value["me"] = [value]
    again = load(dump(value))
    assert (again[0][0] if isinstance(again, list) else again["me"][0]) is again


@pytest.mark.parametrize(
    "outer",
    [
        lambda v: (v,),
        lambda v: collections.deque([v]),
        lambda v: np.array([(v, 1)], [("o", "O"), ("n", "i4")]),
        lambda v: np.ma.array(np.array([v, 1], object), mask=[True, False]),
        lambda v: pd.arrays.NumpyExtensionArray(np.array([v, 1], object)),
        ValueError,
    ],
)
def test_a_cycle_through_what_cannot_be_made_first_is_refused(outer: Any) -> None:
    inner: list[Any] = []
    value = outer(inner)
    inner.append(value)
    with pytest.raises(UnsupportedTypeError, match="holds itself"):
        dump(value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_objects_that_holds_itself_comes_back(order: Any) -> None:
    value = np.empty((2, 3), object, order=order)
    value[0, 1], value[1, 2] = [value], {"me": value}
    again = load(dump(value))
    assert again[0, 1][0] is again
    assert again[1, 2]["me"] is again
    assert again.shape == (2, 3)
    assert again.flags.f_contiguous is (order == "F")


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}])
def test_100_000_levels_come_back(wrap: Any) -> None:
    value: Any = None
    for _ in range(100_000):
        value = wrap(value)
    again, depth = load(dump(value)), 0
    while again is not None:
        again = again["k"] if isinstance(again, dict) else again[0]
        depth += 1
    assert depth == 100_000


def test_sets_within_sets_are_kept_up_to_a_limit_and_then_refused() -> None:
    value: Any = frozenset()
    for _ in range(15):
        value = frozenset([value])
    assert load(dump(value)) == value
    for _ in range(100_000):
        value = frozenset([value])
    with pytest.raises(UnsupportedTypeError, match="nested"):
        dump(value)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda v: collections.deque([v]),
        lambda v: collections.defaultdict(None, {1: v}),
        lambda v: slice(v),
        lambda v: ValueError(v),
        lambda v: np.array([v, None], object),
    ],
)
def test_what_the_interpreter_frees_recursively_nests_to_a_limit(wrap: Any) -> None:
    value: Any = 1
    for _ in range(100):
        value = wrap(value)
    assert dump(load(dump(value))) == dump(value)
    with pytest.raises(UnsupportedTypeError, match="nested too deep"):
        dump(wrap(value))


def test_keys_whose_hash_would_recurse_are_refused() -> None:
    key: Any = ()
    for _ in range(150):
        key = (key,)
    assert load(dump({key: 1})) == {key: 1}
    for _ in range(100):
        key = (key,)
    for value in ({key: 1}, {key}, frozenset([key])):
        with pytest.raises(UnsupportedTypeError, match="nested too deep"):
            dump(value)


def test_a_value_that_unfolds_exponentially_stays_small() -> None:
    value: Any = []
    for _ in range(200):
        value = [value, value]
    assert len(dump(value)) < 2000
