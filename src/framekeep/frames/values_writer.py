"""Writing exact values: the walk over nested values with an explicit stack.

Depth costs memory and never the interpreter's stack; parts held twice are written once, and cycles end
in a back-reference. What a kind looks like in bytes is said by the kind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

from framekeep.frames.values_kinds import (
    BACK_REFERENCE,
    MAX_DEPTH,
    MAX_SET_DEPTH,
    PICKLED,
    HoldsItself,
    Leaf,
    Node,
    Pickler,
    Refused,
    hashes_safely,
    kind_of,
)

_INT64: Final = struct.Struct("<q")
_FLOAT64: Final = struct.Struct("<d")


class Writer:
    """Appends encoded values to one buffer."""

    __slots__ = ("depth", "out", "pickler")

    def __init__(self, pickler: Pickler | None = None) -> None:
        self.out = bytearray()
        self.pickler = pickler
        self.depth = 0

    # --- primitives ---

    def varint(self, number: int) -> None:
        """Append an unsigned number, 7 bits a byte, low bits first."""
        out = self.out
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)

    def int64(self, number: int) -> None:
        self.out += _INT64.pack(number)

    def float64(self, number: float) -> None:
        self.out += _FLOAT64.pack(number)

    def block(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes with their length before them."""
        self.varint(len(data))
        self.out += data

    def text(self, text: str) -> None:
        self.block(text.encode())

    # --- values ---

    def value(self, value: object) -> None:
        """Append one value with all it holds.

        Raises:
            Refused: it holds something that has no exact encoding.
        """
        out = self.out
        kind = kind_of(value)
        if isinstance(kind, Leaf) and not kind.shared and self.pickler is None:
            kind.write(self, value)
            return
        numbers: dict[int, int] = {}  # id -> number, for what is shared
        alive: list[object] = []  # keeps the ids above from being used again
        unfinished: set[int] = set()  # what can only be built once its parts are there
        stack: list[tuple[Iterator[Any], int, bool]] = []
        pending: Iterator[Any] = iter((value,))
        owner, deep, depth = 0, True, 0
        while True:
            for item in pending:
                kind = kind_of(item)
                if kind is None:
                    self._pickled(item, Refused(item))
                    continue
                if kind.shared:
                    identity = id(item)
                    number = numbers.get(identity)
                    if number is not None:
                        if identity in unfinished:
                            raise HoldsItself(item)
                        out.append(BACK_REFERENCE)
                        self.varint(number)
                        continue
                start = len(out)
                try:
                    if isinstance(kind, Leaf):
                        kind.write(self, item)
                        parts = None
                    else:
                        parts = kind.parts(item)
                        if kind.same is not None:
                            _verify(kind, item, parts)
                except HoldsItself:
                    raise
                except Refused as refused:
                    del out[start:]
                    self._pickled(item, refused)
                    continue
                if kind.shared:
                    numbers[identity] = len(numbers)
                    alive.append(item)
                if parts is None:
                    continue
                assert isinstance(kind, Node)
                out.append(kind.tag)
                self.varint(len(parts))
                stack.append((pending, owner, deep))
                pending = iter(parts)
                owner, deep = 0, kind.deep
                if not deep:
                    depth += 1
                    if depth > MAX_DEPTH:
                        raise Refused(item, "it is nested too deep")
                if kind.shared and kind.build is not None:
                    owner = id(item)
                    unfinished.add(owner)
                break
            else:
                unfinished.discard(owner)
                depth -= not deep
                if not stack:
                    return
                pending, owner, deep = stack.pop()

    def elements(self, tag: int, elements: set[Any] | frozenset[Any]) -> None:
        """Append a set: each element by itself, in the order of the encoded elements."""
        if self.depth >= MAX_SET_DEPTH:
            raise Refused(elements, f"sets are nested more than {MAX_SET_DEPTH} deep")
        if not hashes_safely(elements):
            raise Refused(elements, "an element is nested too deep")
        encoded = []
        for element in elements:
            inner = Writer(self.pickler)
            inner.depth = self.depth + 1
            inner.value(element)
            encoded.append(bytes(inner.out))
        encoded.sort()
        self.out.append(tag)
        self.varint(len(encoded))
        self.out += b"".join(encoded)

    def _pickled(self, value: object, refused: Refused) -> None:
        """Hand over what has no exact encoding, if there is someone to take it."""
        if self.pickler is None:
            raise refused
        try:
            data = self.pickler.dumps(value)
        except Exception as error:
            raise Refused(value, "it cannot be pickled either") from error
        self.out.append(PICKLED)
        self.block(data)


def _verify(kind: Node, value: object, parts: Sequence[Any]) -> None:
    assert kind.build is not None
    assert kind.same is not None
    try:
        again = kind.build(list(parts))
        exact = type(again) is type(value) and kind.same(value, again)
    except Exception as error:
        raise Refused(value, "it cannot be rebuilt from its attributes") from error
    if not exact:
        raise Refused(value, "what its attributes rebuild differs from it")
