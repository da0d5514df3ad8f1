"""Kinds of the exact value encoding for NumPy scalars, arrays and dtypes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.frames.values_kinds import FAMILIES, KINDS, Kind, Node, Refused, damaged, exactly, leaf, node
from framekeep.frames.values_reader import Reader
from framekeep.frames.values_writer import Writer

# --- dtypes -------------------------------------------------------------------------------------

_LETTERS: Final = "?bBhHiIlLqQefdgFDG"
"""NumPy's one-letter names of the C types; they tell ``long`` from ``long long``, which ``str`` does not."""


def _plain_name(dtype: np.dtype[Any]) -> str:
    if dtype.char in _LETTERS:
        return dtype.char if dtype.isnative else (">" if np.little_endian else "<") + dtype.char
    return dtype.str


def _dtype_parts(dtype: np.dtype[Any]) -> tuple[Any, ...]:
    if dtype.metadata is not None:
        raise Refused(dtype, "it carries metadata")
    if dtype.subdtype is not None:
        return (*dtype.subdtype,)
    if dtype.names is not None:
        fields: Any = dtype.fields
        return (
            # A new tuple: that two arrays have one dtype is not to be seen in the bytes.
            tuple(each for each in dtype.names),
            tuple(fields[name][0] for name in dtype.names),
            tuple(fields[name][1] for name in dtype.names),
            tuple(fields[name][2] if len(fields[name]) > 2 else None for name in dtype.names),
            dtype.itemsize,
            dtype.isalignedstruct,
        )
    if dtype.char not in _LETTERS and dtype.kind not in "mMSUVO":
        raise Refused(dtype)
    return (_plain_name(dtype), dtype.itemsize)


def _dtype_build(parts: list[Any]) -> np.dtype[Any]:
    if len(parts) == 6:
        names, formats, offsets, titles, size, aligned = parts
        if any(not isinstance(each, np.dtype) for each in formats):
            damaged("an unknown dtype")
        spec: dict[str, Any] = {
            "names": list(names),
            "formats": list(formats),
            "offsets": list(offsets),
            "itemsize": size,
        }
        if any(title is not None for title in titles):
            spec["titles"] = list(titles)
        made: Any = np.dtype
        dtype: np.dtype[Any] = made(spec, align=aligned)
        return dtype
    first, second = exactly(parts, 2)
    if isinstance(first, np.dtype):
        if type(second) is not tuple or any(type(length) is not int for length in second):
            damaged("an unknown dtype")
        return np.dtype((first, second))
    if type(first) is not str or first.lstrip("<>|=")[:1] not in tuple(_LETTERS + "mMSUVO"):
        damaged("an unknown dtype")
    dtype = np.dtype(first)
    if dtype.itemsize != second or dtype.names is not None:
        damaged("a dtype was written on a machine with other sizes")
    return dtype


def _dtype_same(a: np.dtype[Any], b: np.dtype[Any]) -> bool:
    return bool(
        a == b
        and a.char == b.char
        and a.flags == b.flags
        and a.alignment == b.alignment
        and repr(a) == repr(b)
    )


_dtype = node([], Node(0x47, _dtype_parts, build=_dtype_build, same=_dtype_same))


def _dtype_family(value: object) -> Kind | None:
    if type(value) is _StringDType:
        return _string
    return _dtype if isinstance(value, np.dtype) else None


FAMILIES.append(_dtype_family)

# --- arrays -------------------------------------------------------------------------------------

_FORTRAN: Final = 1
_READ_ONLY: Final = 2

# On x86 a long double has 10 significant bytes in a place of 16.
_LONG_DOUBLE_BYTES: Final = 10 if np.finfo(np.longdouble).nmant == 63 else np.dtype("g").itemsize


def _said(dtype: np.dtype[Any]) -> npt.NDArray[np.bool_]:
    """Tell for each byte of one item whether it says anything; the rest is whatever memory held before."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.tile(_said(base), math.prod(shape))
    said = np.full(dtype.itemsize, dtype.names is None, np.bool_)
    for name in dtype.names or ():
        fields: Any = dtype.fields
        inner, offset = fields[name][:2]
        said[offset : offset + inner.itemsize] |= _said(inner)
    if dtype.char in "gG":
        places = said.reshape(-1, np.dtype("g").itemsize)
        padding = places.shape[1] - _LONG_DOUBLE_BYTES
        places[:, -padding or places.shape[1] :] = False
        if not dtype.isnative:
            said = said[::-1]
    return said


def _raw(array: npt.NDArray[Any], order: Any) -> bytearray:
    raw = bytearray(array.tobytes(order))
    if raw and (array.dtype.char in "gG" or array.dtype.names is not None):
        said = _said(array.dtype)
        if not said.all():
            np.frombuffer(raw, np.uint8).reshape(-1, len(said))[:, ~said] = 0
    return raw


def _order(array: npt.NDArray[Any]) -> tuple[Any, int]:
    """Return the order of the items in memory, and the flags."""
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    flags = (_FORTRAN if fortran else 0) | (0 if array.flags.writeable else _READ_ONLY)
    return "F" if fortran else "C", flags


def _size(shape: Any, flags: Any) -> int:
    if type(shape) is not tuple or type(flags) is not int:
        damaged("not an array")
    if any(type(length) is not int or length < 0 for length in shape):
        damaged("an array has an impossible shape")
    return math.prod(shape)


def _array_parts(array: npt.NDArray[Any]) -> Sequence[Any]:
    order, flags = _order(array)
    head = [array.dtype, array.shape, flags]
    if array.dtype.hasobject:
        names = array.dtype.names
        if names is None:
            raise Refused(array)
        fields = [array[name].copy() for name in names]
        if not _worth(array.size, array.dtype, fields):
            raise Refused(array, "it is mostly padding")
        return head + fields
    return [*head, _raw(array, order)]


def _worth(size: int, dtype: np.dtype[Any], fields: list[npt.NDArray[Any]]) -> bool:
    """Tell whether the fields take up a fair part of the array, so that few bytes cannot ask for many."""
    return size * dtype.itemsize <= 4096 + 16 * sum(field.nbytes for field in fields)


def _array_build(parts: list[Any]) -> npt.NDArray[Any]:
    dtype, shape, flags = exactly(parts[:3], 3)
    if not isinstance(dtype, np.dtype) or dtype.subdtype is not None:
        damaged("not an array")
    rest = parts[3:]
    size = _size(shape, flags)
    order: Any = "F" if flags & _FORTRAN else "C"
    array: npt.NDArray[Any]
    if dtype.hasobject and dtype.names is None:
        damaged("an array of objects is written otherwise")
    elif dtype.hasobject:
        names = dtype.names or ()
        if len(rest) != len(names) or any(not isinstance(field, np.ndarray) for field in rest):
            damaged("an array has a wrong number of fields")
        if any(field.shape[: len(shape)] != shape for field in rest):
            damaged("a field of an array has a wrong shape")
        if not _worth(size, dtype, rest):
            damaged("an array is mostly padding")
        array = np.empty(shape, dtype, order=order)
        for name, field in zip(names, rest, strict=True):
            array[name] = field
    else:
        (raw,) = exactly(rest, 1)
        if type(raw) is not bytearray or len(raw) != size * dtype.itemsize:
            damaged("an array has a wrong number of bytes")
        if dtype.itemsize:
            array = np.frombuffer(raw, dtype).reshape(shape, order=order)
        else:
            array = np.ndarray(shape, dtype, bytearray(), order=order)  # np.empty makes S1 of S0
        _check_contents(array)
    if flags & _READ_ONLY:
        array.flags.writeable = False
    return array


def _check_contents(array: npt.NDArray[Any]) -> None:
    """Refuse bit patterns that NumPy itself never makes and fails on later."""
    if array.dtype.names is not None:
        for name in array.dtype.names:
            _check_contents(array[name])
    elif array.dtype.kind == "b" and array.size:
        if np.ascontiguousarray(array).view(np.uint8).max() > 1:
            damaged("a boolean is neither true nor false")
    elif array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        points = np.ascontiguousarray(array).view(array.dtype.byteorder.replace("|", "=") + "u4")
        if points.max() > 0x10FFFF:
            damaged("a text holds something that is not a character")


_array = node([], Node(0x46, _array_parts, build=_array_build, shared=True))


_MOST_AXES: Final = 32
"""How many dimensions NumPy can fill with objects; beyond it leaves a broken array behind."""


def _objects_parts(array: npt.NDArray[Any]) -> Sequence[Any]:
    if array.dtype.metadata is not None:
        raise Refused(array, "its dtype carries metadata")
    if array.ndim > _MOST_AXES:
        raise Refused(array, f"it has more than {_MOST_AXES} dimensions")
    return [array.shape, _order(array)[1], *array.ravel("C").tolist()]


def _fill_objects(made: Any, parts: list[Any]) -> None:
    shape, flags = exactly(parts[:2], 2)
    items = parts[2:]
    if _size(shape, flags) != len(items) or len(shape) > _MOST_AXES:
        damaged("an array has a wrong number of items")
    # What pickle fills an array with: the one way to give it shape and order after it was made.
    made.__setstate__((1, shape, np.dtype(object), bool(flags & _FORTRAN), items))
    if flags & _READ_ONLY:
        made.flags.writeable = False


_objects = node(
    [],
    Node(
        0x48,
        _objects_parts,
        empty=lambda: np.ndarray((0,), object),
        fill=_fill_objects,
        shared=True,
    ),
)

# --- variable-width strings -----------------------------------------------------------------------

_StringDType: Final[Any] = np.dtypes.StringDType
_NA: Final = (type(None), str, type(pd.NA))


def _string_parts(dtype: Any) -> Sequence[Any]:
    if not hasattr(dtype, "na_object"):
        return (dtype.coerce,)
    return dtype.coerce, dtype.na_object


def _string_build(parts: list[Any]) -> Any:
    if not 1 <= len(parts) <= 2 or type(parts[0]) is not bool:
        damaged("an unknown dtype")
    if len(parts) == 1:
        return _StringDType(coerce=parts[0])
    missing = parts[1]
    if type(missing) not in _NA and not (type(missing) is float and missing != missing):
        damaged("an unknown dtype")
    return _StringDType(coerce=parts[0], na_object=missing)


_string = node(
    [],
    Node(
        0x49,
        _string_parts,
        build=_string_build,
        same=lambda a, b: a == b and repr(a) == repr(b) and a.coerce is b.coerce,
    ),
)


def _texts_parts(array: npt.NDArray[Any]) -> Sequence[Any]:
    return [array.dtype, array.shape, _order(array)[1], *array.ravel("C").tolist()]


def _texts_build(parts: list[Any]) -> npt.NDArray[Any]:
    dtype, shape, flags = exactly(parts[:3], 3)
    items = parts[3:]
    if type(dtype) is not _StringDType or _size(shape, flags) != len(items):
        damaged("not an array of strings")
    missing = type(dtype.na_object) if hasattr(dtype, "na_object") else str
    if not {str, missing}.issuperset(map(type, items)) or any(
        item == item for item in items if type(item) is float
    ):
        damaged("an array of strings holds something else")
    cells = np.fromiter(items, dtype=object, count=len(items)).reshape(shape)
    array: npt.NDArray[Any] = cells.astype(dtype, order="F" if flags & _FORTRAN else "C")
    if flags & _READ_ONLY:
        array.flags.writeable = False
    return array


def _texts_same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    if a.shape != b.shape or _order(a) != _order(b):
        return False
    # A missing value is one object within a dtype, or a NaN.
    return all(
        x is y or (type(x) is type(y) and (x == y if type(x) is str else x != x))
        for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    )


_texts = node([], Node(0x4A, _texts_parts, build=_texts_build, shared=True, same=_texts_same))


def _array_kind(array: npt.NDArray[Any]) -> Kind:
    return {"O": _objects, "T": _texts}.get(array.dtype.char, _array)


KINDS[np.ndarray] = _array_kind

# --- scalars ------------------------------------------------------------------------------------


def _write_scalar(w: Writer, value: np.generic) -> None:
    raw = _raw(np.asarray(value), "C")
    w.out.append(0x40)
    w.out.append(ord(value.dtype.char))
    w.block(raw)


def _read_scalar(r: Reader) -> Any:
    letter = chr(r.byte())
    raw = r.block()
    if letter not in _LETTERS:
        damaged("an unknown NumPy type")
    dtype = np.dtype(letter)
    if dtype.itemsize != len(raw):
        damaged("a number was written on a machine with other sizes")
    array = np.frombuffer(raw, dtype)
    _check_contents(array)
    return array[0]


leaf([np.dtype(letter).type for letter in _LETTERS], _write_scalar, {0x40: _read_scalar})


def _write_time(w: Writer, value: Any) -> None:
    w.out.append(0x41)
    w.text(value.dtype.str)
    w.int64(int(value.view(np.int64)))


def _read_time(r: Reader) -> Any:
    name = r.text()
    if name[:3] not in ("<M8", "<m8", ">M8", ">m8"):
        damaged("an unknown NumPy type")
    return np.array([r.int64()], np.int64).view(np.dtype(name).newbyteorder("="))[0]


leaf([np.datetime64, np.timedelta64], _write_time, {0x41: _read_time})


def _write_npstr(w: Writer, value: np.str_) -> None:
    w.out.append(0x42)
    w.block(str.encode(value, "utf-8", "surrogatepass"))


leaf([np.str_], _write_npstr, {0x42: lambda r: np.str_(str(r.block(), "utf-8", "surrogatepass"))})


def _write_npbytes(w: Writer, value: np.bytes_) -> None:
    w.out.append(0x43)
    w.block(bytes(value))


leaf([np.bytes_], _write_npbytes, {0x43: lambda r: np.bytes_(bytes(r.block()))})


def _void_parts(value: np.void) -> Sequence[Any]:
    array = np.empty((), value.dtype)
    array[()] = value
    if value.dtype.names is None:
        return [value.tobytes()]
    return [array]


def _void_build(parts: list[Any]) -> Any:
    (content,) = exactly(parts, 1)
    if type(content) is bytes:
        return np.void(content)
    if type(content) is not np.ndarray or content.shape != () or content.dtype.names is None:
        damaged("not a NumPy record")
    return content[()]


_void = node([], Node(0x44, _void_parts, build=_void_build, shared=True))
KINDS[np.void] = _void
