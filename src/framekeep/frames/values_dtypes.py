"""Kinds of the exact value encoding for pandas' own dtypes: the name of the class, and its parameters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionDtype

from framekeep.frames.values_kinds import Node, damaged, exactly, node
from framekeep.frames.values_pandas import offset_same

_CategoricalDtype: Any = pd.CategoricalDtype
_NumpyEADtype: Any = type(pd.arrays.NumpyExtensionArray(np.empty(0)).dtype)


class _Form(NamedTuple):
    """How one class is taken apart and made again.

    Attributes:
        parts: the parameters.
        types: what each of them may be.
        make: the dtype of such parameters.
    """

    parts: Callable[[Any], Sequence[Any]]
    types: tuple[tuple[type, ...], ...]
    make: Callable[..., Any]


_NONE: Final = type(None)
_FORMS: Final[dict[type, _Form]] = {
    pd.CategoricalDtype: _Form(
        lambda v: (v.categories, v.ordered),
        ((pd.Index, _NONE), (bool, _NONE)),
        # The constructor would look at every category, and turn a None ``ordered`` into False.
        lambda categories, ordered: _CategoricalDtype._from_fastpath(categories, ordered),
    ),
    pd.IntervalDtype: _Form(
        lambda v: (v.subtype, v.closed),
        ((np.dtype, ExtensionDtype, _NONE), (str, _NONE)),
        pd.IntervalDtype,
    ),
    pd.PeriodDtype: _Form(lambda v: (v.freq,), ((pd.offsets.BaseOffset,),), pd.PeriodDtype),
    pd.SparseDtype: _Form(lambda v: (v.subtype, v.fill_value), ((np.dtype,), (object,)), pd.SparseDtype),
    pd.StringDtype: _Form(
        lambda v: (v.storage, v.na_value),
        ((str,), (type(pd.NA), float)),
        lambda storage, missing: pd.StringDtype(storage, na_value=missing),
    ),
    pd.ArrowDtype: _Form(lambda v: (v.pyarrow_dtype,), ((pa.DataType,),), pd.ArrowDtype),
    pd.DatetimeTZDtype: _Form(lambda v: (v.unit, v.tz), ((str,), (dt.tzinfo,)), pd.DatetimeTZDtype),
    _NumpyEADtype: _Form(lambda v: (v.numpy_dtype,), ((np.dtype,),), _NumpyEADtype),
    **{
        each: _Form(lambda _: (), (), each)
        for each in (
            *(pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype),
            *(pd.UInt8Dtype, pd.UInt16Dtype, pd.UInt32Dtype, pd.UInt64Dtype),
            *(pd.Float32Dtype, pd.Float64Dtype, pd.BooleanDtype),
        )
    },
}
_BY_NAME: Final = {each.__name__: each for each in _FORMS}


def _build(parts: list[Any]) -> Any:
    name, *rest = parts
    if type(name) is not str or name not in _BY_NAME:
        damaged("an unknown dtype")
    form = _FORMS[_BY_NAME[name]]
    for part, types in zip(exactly(rest, len(form.types)), form.types, strict=True):
        if not isinstance(part, types):
            damaged("an unknown dtype")
    return form.make(*rest)


def _same(a: Any, b: Any) -> bool:
    parts = _FORMS[type(a)].parts
    return repr(a) == repr(b) and all(map(_alike, parts(a), parts(b)))


def _alike(a: Any, b: Any) -> bool:
    """Compare two parameters: pandas hands out dtypes it made before, for equal ones that may differ."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) in _FORMS:
        return _same(a, b)
    if isinstance(a, pd.offsets.BaseOffset):
        return offset_same(a, b)
    if isinstance(a, pa.DataType):
        return bool(a.equals(b, check_metadata=True))
    if isinstance(a, np.dtype):
        return bool(a == b and a.char == b.char and repr(a) == repr(b))
    return repr(a) == repr(b)


node(
    list(_FORMS),
    Node(0x5B, lambda v: (type(v).__name__, *_FORMS[type(v)].parts(v)), build=_build, same=_same),
)

# --- numpy's arrays in pandas' clothes ------------------------------------------------------------


def _wrapped_parts(value: Any) -> Sequence[Any]:
    return value._ndarray, getattr(value, "_readonly", False)


def _wrapped_build(parts: list[Any]) -> Any:
    array, read_only = exactly(parts, 2)
    if type(array) is not np.ndarray or type(read_only) is not bool:
        damaged("not a pandas array")
    made = pd.arrays.NumpyExtensionArray(array)
    if read_only:
        made._readonly = True  # type: ignore[attr-defined]
    return made


node(
    [pd.arrays.NumpyExtensionArray],
    Node(
        0x5C,
        _wrapped_parts,
        build=_wrapped_build,
        shared=True,
        same=lambda a, b: a._ndarray is b._ndarray,
    ),
)
