"""What has no exact encoding is refused by name, or handed to a pickler that was given for it."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import enum
import functools
import importlib.resources
import io
import pathlib
import pickle
import types
import uuid
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dateutil.relativedelta import relativedelta

from framekeep.errors import SessionDamagedError, UnsupportedTypeError
from framekeep.frames import values_pandas
from framekeep.frames.values import dump, load, register_nested


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Stamp(dt.datetime):
    pass


class Zone(dt.tzinfo):
    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)


@dataclasses.dataclass
class Point:
    x: int


Pair = collections.namedtuple("Pair", "a b")


def generator() -> Any:
    yield 1


with importlib.resources.files("tzdata.zoneinfo.Europe").joinpath("Paris").open("rb") as _file:
    FROM_FILE = ZoneInfo.from_file(_file, key="Europe/Paris")


class OwnError(ValueError):
    pass


class OwnDelta(relativedelta):
    pass


class OwnDtype(pd.CategoricalDtype):
    pass


def raised(error: BaseException) -> BaseException:
    """Return it with a traceback, and with the exception it was raised for."""
    try:
        try:
            raise OSError("first")
        except OSError:
            raise error  # noqa: B904 - the context is what is wanted
    except type(error) as caught:
        return caught


def noted(error: BaseException) -> BaseException:
    error.add_note("n")
    return error


def masked_with(**attributes: object) -> Any:
    value = np.ma.masked_array([1], [True])
    vars(value).update(attributes)
    return value


REFUSED: list[Any] = [
    *(Colour.RED, Level.LOW, Text("a"), Whole(1), Pair(1, 2), Point(1), object(), Point, print, len),
    *(lambda: 1, generator(), functools.partial(int), types.SimpleNamespace(a=1), types.MappingProxyType({})),
    *(memoryview(b"a"), io.BytesIO(), pathlib, Stamp(2020, 1, 1), Zone(), FROM_FILE),
    dt.datetime(2020, 1, 1, tzinfo=Zone()),
    collections.defaultdict(lambda: 1),
    collections.UserDict(),
    collections.ChainMap(),
    *(np.rec.array([(1,)]), np.ma.masked_array(np.rec.array([(1,)])), masked_with(note="x")),
    np.array(["a"], np.dtypes.StringDType(na_object=7)),
    np.dtype("i4", metadata={"a": 1}),
    np.array([object()], object),
    np.array(1, object).reshape((1,) * 33),
    np.random.default_rng(1),
    pl.Series([1]),
    *(pa.uuid(), pa.array([b"x" * 16], pa.uuid()), pa.schema([("a", pa.list_(pa.uuid()))])),
    pd.ArrowDtype(pa.uuid()),
    pd.CategoricalDtype(pd.Index([Whole(1)], dtype=object)),
    OwnDtype(),
    *(relativedelta(year=Whole(1)), OwnDelta(days=1)),
    *(raised(ValueError("x")), raised(KeyError(1)).with_traceback(None), noted(ValueError("x"))),
    *(ImportError("x", name="m"), AttributeError("x", name="a", obj=1), OwnError("x"), ValueError(object())),
    array.array("u", "a"),
    uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe),
]


@pytest.mark.parametrize(
    "value", [pytest.param(v, id=f"{i}-{type(v).__name__}") for i, v in enumerate(REFUSED)]
)
def test_what_has_no_exact_encoding_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        dump({"k": [value]}, where="column 'x'")
    assert caught.value.where == "column 'x'"
    assert caught.value.type_name
    assert "column 'x'" in str(caught.value)


def test_the_refusal_names_the_type_and_never_the_value() -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        dump(Text("secret"), where="column 'x'")
    assert caught.value.type_name.endswith(".Text")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("make", [pd.Series, pd.DataFrame, pd.Index, pd.Categorical])
def test_pandas_objects_are_refused_until_somebody_registers_for_them(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values_pandas, "_nested", [])
    with pytest.raises(UnsupportedTypeError):
        dump([make(["a"])])


# --- pickles --------------------------------------------------------------------------------------


def test_a_container_with_attributes_is_refused() -> None:
    for value in (collections.Counter("a"), collections.OrderedDict(a=1)):
        value.note = "lost otherwise"  # type: ignore[attr-defined]
        with pytest.raises(UnsupportedTypeError, match="carries attributes"):
            dump(value)


def test_series_within_series_are_kept_to_a_limit() -> None:
    value: Any = 1
    for _ in range(8):
        value = pd.Series([value, None], dtype=object)
    again = load(dump(value))
    for _ in range(8):
        again = again[0]
    assert again == 1
    with pytest.raises(UnsupportedTypeError, match="nested too deep"):
        dump(pd.Series([value, None], dtype=object))


class PlainPickler:
    def dumps(self, value: object) -> bytes:
        return pickle.dumps(value)

    def loads(self, data: bytes) -> object:
        return pickle.loads(data)


def test_a_pickler_takes_over_what_is_refused_and_nothing_else() -> None:
    value = [Decimal(1), Colour.RED, (Text("a"), uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe))]
    data = dump(value, pickler=PlainPickler())
    again = load(data, pickler=PlainPickler())
    assert again == value
    assert [type(each) for each in again[2]] == [Text, uuid.UUID]
    assert again[2][1].is_safe is uuid.SafeUUID.safe
    assert dump([Decimal(1)], pickler=PlainPickler()) == dump([Decimal(1)])


def test_sharing_survives_a_pickled_neighbour() -> None:
    inner: list[int] = []
    again = load(dump([Colour.RED, inner, Point(1), inner], pickler=PlainPickler()), pickler=PlainPickler())
    assert again[1] is again[3]


def test_what_cannot_be_pickled_either_is_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match="pickled"):
        dump([lambda: 1], pickler=PlainPickler())


def test_a_pickle_is_not_read_without_a_pickler() -> None:
    data = dump(Colour.RED, pickler=PlainPickler())
    with pytest.raises(SessionDamagedError, match="signing key"):
        load(data)


def test_nested_pandas_objects_go_through_the_registered_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values_pandas, "_nested", [])
    register_nested(lambda value: value.to_json().encode(), lambda data, _: pd.read_json(io.BytesIO(data)))
    frame = pd.DataFrame({"a": [1, 2]})
    again = load(dump([frame, frame]))
    pd.testing.assert_frame_equal(again[0], frame)
    assert again[0] is again[1]
