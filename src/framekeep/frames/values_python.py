"""Kinds of the exact value encoding for Python's built-in types and its standard library (without times)."""

from __future__ import annotations

import array
import collections
import ipaddress
import pathlib
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from framekeep.frames.values_kinds import KINDS, Node, Refused, damaged, exactly, hashes_safely, leaf, node
from framekeep.frames.values_reader import Reader
from framekeep.frames.values_writer import Writer

# --- scalars ------------------------------------------------------------------------------------


def _constant(tag: int, value: object) -> None:
    leaf([type(value)], lambda w, _: w.out.append(tag), {tag: lambda _: value})


_constant(0x00, None)
_constant(0x0B, ...)
_constant(0x0C, NotImplemented)

leaf(
    [bool],
    lambda w, value: w.out.append(0x02 if value else 0x01),
    {0x01: lambda _: False, 0x02: lambda _: True},
)


def _write_int(w: Writer, value: int) -> None:
    if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        w.out.append(0x03)
        w.int64(value)
    else:
        w.out.append(0x04)
        w.block(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


leaf(
    [int],
    _write_int,
    {0x03: Reader.int64, 0x04: lambda r: int.from_bytes(r.block(), "little", signed=True)},
)


def _write_float(w: Writer, value: float) -> None:
    w.out.append(0x05)
    w.float64(value)


leaf([float], _write_float, {0x05: Reader.float64})


def _write_complex(w: Writer, value: complex) -> None:
    w.out.append(0x06)
    w.float64(value.real)
    w.float64(value.imag)


leaf([complex], _write_complex, {0x06: lambda r: complex(r.float64(), r.float64())})


def _write_str(w: Writer, value: str) -> None:
    try:
        data = value.encode()
        w.out.append(0x07)
    except UnicodeEncodeError:  # lone surrogates
        data = value.encode("utf-8", "surrogatepass")
        w.out.append(0x08)
    w.block(data)


leaf([str], _write_str, {0x07: Reader.text, 0x08: lambda r: str(r.block(), "utf-8", "surrogatepass")})


def _write_bytes(w: Writer, value: bytes) -> None:
    w.out.append(0x09)
    w.block(value)


leaf([bytes], _write_bytes, {0x09: lambda r: bytes(r.block())})


def _write_bytearray(w: Writer, value: bytearray) -> None:
    w.out.append(0x0A)
    w.block(value)


leaf([bytearray], _write_bytearray, {0x0A: lambda r: bytearray(r.block())}, shared=True)


def _write_decimal(w: Writer, value: Decimal) -> None:
    # The scientific form is exact (sign, digits, exponent, NaN payload); only its "E" follows the context.
    w.out.append(0x20)
    w.text(str(value).replace("e", "E"))


leaf([Decimal], _write_decimal, {0x20: lambda r: Decimal(r.text())})


def _write_uuid(w: Writer, value: uuid.UUID) -> None:
    if value.is_safe is not uuid.SafeUUID.unknown:
        raise Refused(value, "it carries is_safe")
    w.out.append(0x22)
    w.out += value.bytes


leaf([uuid.UUID], _write_uuid, {0x22: lambda r: uuid.UUID(bytes=bytes(r.take(16)))})

# --- containers ---------------------------------------------------------------------------------


def _pairs(value: dict[Any, Any]) -> list[Any]:
    if getattr(value, "__dict__", None):  # OrderedDict and Counter take attributes
        raise Refused(value, "it carries attributes")
    if not hashes_safely(value):
        raise Refused(value, "a key is nested too deep")
    parts: list[Any] = [None] * (2 * len(value))
    parts[::2] = value.keys()
    parts[1::2] = value.values()
    return parts


def _fill_dict(made: dict[Any, Any], parts: list[Any]) -> None:
    if len(parts) % 2:
        damaged("a key has no value")
    keys = parts[::2]
    if not hashes_safely(keys):
        damaged("a key is nested too deep")
    pairs = zip(keys, parts[1::2], strict=True)
    if type(made) is collections.Counter:
        dict.update(made, pairs)  # its own update counts
    else:
        made.update(pairs)
    if 2 * len(made) != len(parts):
        damaged("a key occurs twice")


FACTORIES: Final[dict[str, Callable[[], Any] | None]] = {
    "": None,
    "bool": bool,
    "bytes": bytes,
    "complex": complex,
    "dict": dict,
    "float": float,
    "int": int,
    "list": list,
    "set": set,
    "str": str,
    "tuple": tuple,
}
_FACTORY_NAMES: Final = {id(factory): name for name, factory in FACTORIES.items()}


def _defaultdict_parts(value: collections.defaultdict[Any, Any]) -> list[Any]:
    name = _FACTORY_NAMES.get(id(value.default_factory))
    if name is None:
        raise Refused(value, "its default factory is not one of the built-in types")
    return [*_pairs(value), name]


def _fill_defaultdict(made: collections.defaultdict[Any, Any], parts: list[Any]) -> None:
    if not parts or parts[-1] not in FACTORIES:
        damaged("an unknown default factory")
    made.default_factory = FACTORIES[parts.pop()]
    _fill_dict(made, parts)


def _deque_build(parts: list[Any]) -> collections.deque[Any]:
    limit = parts.pop()
    if limit is not None and len(parts) > limit:
        damaged("a deque is longer than it may be")
    return collections.deque(parts, limit)


def _fraction_parts(value: Fraction) -> tuple[int, int]:
    parts = (value.numerator, value.denominator)
    if type(parts[0]) is not int or type(parts[1]) is not int:
        raise Refused(value, "its parts are not plain integers")
    return parts


# A copy, so that another thread's append cannot come between the count and the parts.
node([list], Node(0x10, list.copy, empty=list, fill=list.extend, shared=True, deep=True))
node([tuple], Node(0x11, lambda v: v, build=tuple, shared=True, deep=True))
node([dict], Node(0x12, _pairs, empty=dict, fill=_fill_dict, shared=True, deep=True))
leaf(
    [set],
    lambda w, value: w.elements(0x13, value),
    {0x13: lambda r: _distinct(set, r.elements())},
    shared=True,
)
leaf(
    [frozenset],
    lambda w, value: w.elements(0x14, value),
    {0x14: lambda r: _distinct(frozenset, r.elements())},
    shared=True,
)
node(
    [collections.OrderedDict],
    Node(
        0x15,
        _pairs,
        empty=collections.OrderedDict,
        fill=_fill_dict,
        shared=True,
        deep=True,
    ),
)
node(
    [collections.defaultdict],
    Node(
        0x16,
        _defaultdict_parts,
        empty=collections.defaultdict,
        fill=_fill_defaultdict,
        shared=True,
    ),
)
node(
    [collections.Counter],
    Node(0x17, _pairs, empty=collections.Counter, fill=_fill_dict, shared=True, deep=True),
)
node([collections.deque], Node(0x18, lambda v: [*v, v.maxlen], build=_deque_build, shared=True))
node([range], Node(0x19, lambda v: (v.start, v.stop, v.step), build=lambda p: range(*exactly(p, 3))))
node(
    [slice],
    Node(0x1A, lambda v: (v.start, v.stop, v.step), build=lambda p: slice(*exactly(p, 3)), shared=True),
)


def _fraction_build(parts: list[Any]) -> Fraction:
    above, below = exactly(parts, 2)
    if type(above) is not int or type(below) is not int:  # a text such as "1e999999999" would unfold
        damaged("not a fraction")
    return Fraction(above, below)


node([Fraction], Node(0x21, _fraction_parts, build=_fraction_build))


def _distinct(make: Callable[[list[Any]], Any], elements: list[Any]) -> Any:
    if not hashes_safely(elements):
        damaged("an element is nested too deep")
    made = make(elements)
    if len(made) != len(elements):
        damaged("an element of a set occurs twice")
    return made


# --- values with a text form --------------------------------------------------------------------


def _named(tag: int, classes: list[type], text: Callable[[Any], Any]) -> None:
    """Enter classes that are rebuilt from their text, under one tag with the class's name."""
    by_name = {each.__name__: each for each in classes}

    def build(parts: list[Any]) -> Any:
        name, content = exactly(parts, 2)
        if name not in by_name or type(content) is not str:
            damaged("an unknown class name")
        return by_name[name](content)

    node(
        classes,
        Node(
            tag,
            lambda v: (type(v).__name__, text(v)),
            build=build,
            same=lambda a, b: a == b and text(a) == text(b),
        ),
    )


_named(
    0x23,
    [
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
    ],
    str,
)
_named(0x24, [pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath], str)


def _pattern_parts(value: re.Pattern[Any]) -> tuple[Any, int]:
    if value.flags & re.DEBUG or type(value.pattern) not in (str, bytes):
        raise Refused(value)
    return value.pattern, value.flags


def _pattern_build(parts: list[Any]) -> re.Pattern[Any]:
    pattern, flags = exactly(parts, 2)
    if type(pattern) not in (str, bytes) or type(flags) is not int or flags & re.DEBUG:
        damaged("not a regular expression")
    return re.compile(pattern, flags)


node(
    [re.Pattern],
    Node(
        0x25,
        _pattern_parts,
        build=_pattern_build,
        same=lambda a, b: a == b and a.flags == b.flags and a.groups == b.groups,
    ),
)

# "u" is left out: its width depends on the platform and newer Pythons warn about it.
_ARRAY_CODES: Final = "bBhHiIlLqQfd"


def _write_array(w: Writer, value: array.array[Any]) -> None:
    if value.typecode not in _ARRAY_CODES:
        raise Refused(value, f"type code {value.typecode!r} is not portable")
    w.out.append(0x1B)
    w.out.append(ord(value.typecode))
    w.out.append(value.itemsize)
    w.block(value.tobytes())


def _read_array(r: Reader) -> array.array[Any]:
    code, size = chr(r.byte()), r.byte()
    if code not in _ARRAY_CODES:
        damaged("an unknown array type code")
    made: array.array[Any] = array.array(code)
    if made.itemsize != size:
        damaged("an array was written on a machine with other sizes")
    made.frombytes(r.block())
    return made


leaf([array.array], _write_array, {0x1B: _read_array}, shared=True)


def name_types() -> None:
    """Enter the classes that may themselves be values: those whose instances have an encoding.

    Called once, after every module has filled the table.
    """
    # Only the top-level package is named: where in it a class lives changes between releases.
    names = {
        f"{each.__module__.partition('.')[0]}.{each.__qualname__}": each for each in (*KINDS, type, object)
    }
    known = {each: name for name, each in names.items()}
    assert len(known) == len({*KINDS, type, object}), "two classes have one name"

    def write(w: Writer, value: type) -> None:
        name = known.get(value)
        if name is None:
            raise Refused(value, "only classes of supported values are kept")
        w.out.append(0x26)
        w.text(name)

    def read(r: Reader) -> type:
        name = r.text()
        if name not in names:
            damaged("an unknown class name")
        return names[name]

    leaf([type], write, {0x26: read})
