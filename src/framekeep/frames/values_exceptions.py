"""Kinds of the exact value encoding for the exceptions that Python itself defines.

An exception is its class and its arguments. One that was raised carries a traceback, which holds frames of a
program that ran; neither that nor notes, causes and attributes have an encoding, and it is refused.
"""

from __future__ import annotations

import builtins
import types
from typing import Any, Final

from framekeep.frames.values_kinds import Node, Refused, damaged, exactly, node

EXCEPTIONS: Final[dict[str, type[BaseException]]] = {
    name: each
    for name, each in vars(builtins).items()
    if isinstance(each, type) and issubclass(each, BaseException) and each.__name__ == name
}

_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    each: tuple(
        name
        for base in each.__mro__
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType)
        and not name.startswith("__")
        and name != "args"
    )
    for each in EXCEPTIONS.values()
}
"""What the constructors make of the arguments, and programs may set otherwise."""


def _parts(value: BaseException) -> tuple[Any, ...]:
    if value.__traceback__ is not None:
        raise Refused(value, "it carries a traceback")
    if value.__cause__ is not None or value.__context__ is not None or value.__suppress_context__:
        raise Refused(value, "it carries the exception that caused it")
    # An OSError keeps the names of files outside of its arguments; this is what pickle makes it from.
    reduced: Any = value.__reduce__()
    _, arguments, *state = reduced
    if any(state):
        raise Refused(value, "it carries attributes or notes")
    return type(value).__name__, arguments


def _build(parts: list[Any]) -> BaseException:
    name, arguments = exactly(parts, 2)
    if type(name) is not str or name not in EXCEPTIONS or type(arguments) is not tuple:
        damaged("not an exception")
    return EXCEPTIONS[name](*arguments)


def _same(a: BaseException, b: BaseException) -> bool:
    return _alike(a.args, b.args) and all(
        _alike(getattr(a, field, None), getattr(b, field, None)) for field in _FIELDS[type(a)]
    )


def _alike(a: object, b: object) -> bool:
    """Compare two that were made of the same objects."""
    if type(a) is tuple and type(b) is tuple:
        return len(a) == len(b) and all(map(_alike, a, b))
    return a is b or (type(a) is type(b) and type(a) in (int, str, bytes) and a == b)


node(list(EXCEPTIONS.values()), Node(0x27, _parts, build=_build, shared=True, same=_same))
