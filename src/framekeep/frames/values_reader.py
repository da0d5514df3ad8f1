"""Reading exact values: an explicit stack again, and every length checked before anything is allocated.

Only values of the kinds in the tables are built; nothing that the bytes name is imported or run.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from framekeep.frames.foreign import Allowance, memory_of
from framekeep.frames.values_kinds import (
    BACK_REFERENCE,
    MAX_DEPTH,
    MAX_SET_DEPTH,
    NESTED,
    NODES,
    PICKLED,
    READERS,
    SHARED_LEAVES,
    Node,
    Pickler,
    damaged,
)

_INT64: Final = struct.Struct("<q")
_FLOAT64: Final = struct.Struct("<d")

_UNFINISHED: Final = object()
_SPENT_AT_ONCE: Final = 1 << 20


class Reader:
    """Reads encoded values from one buffer; every length is checked before anything is allocated."""

    __slots__ = ("allowance", "data", "depth", "end", "pickler", "position", "spent")

    def __init__(
        self,
        data: bytes | bytearray | memoryview,
        pickler: Pickler | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.data = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
        self.end = len(self.data)
        self.position = 0
        self.pickler = pickler
        self.allowance = allowance
        self.spent = 0
        self.depth = 0

    # --- primitives ---

    def byte(self) -> int:
        position = self.position
        if position >= self.end:
            damaged("it ends too early")
        self.position = position + 1
        return self.data[position]

    def take(self, count: int) -> memoryview:
        """Return the next ``count`` bytes as a view."""
        start = self.position
        if count > self.end - start:
            damaged("it ends too early")
        self.position = start + count
        return self.data[start : start + count]

    def varint(self) -> int:
        byte = self.byte()
        if byte < 0x80:
            return byte
        number = byte & 0x7F
        shift = 7
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
            if shift > 63:
                damaged("a number is too long")

    def count(self) -> int:
        """Return a number of items, each of which takes at least one byte."""
        count = self.varint()
        if count > self.end - self.position:
            damaged("it ends too early")
        return count

    def int64(self) -> int:
        number: int = _INT64.unpack(self.take(8))[0]
        return number

    def float64(self) -> float:
        number: float = _FLOAT64.unpack(self.take(8))[0]
        return number

    def block(self) -> memoryview:
        return self.take(self.varint())

    def text(self) -> str:
        return str(self.block(), "utf-8")

    def spend(self, nbytes: int) -> None:
        """Count what was, or is about to be, taken of memory for objects."""
        self.spent += nbytes
        if self.spent > _SPENT_AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        spent, self.spent = self.spent, 0
        if self.allowance is not None:
            self.allowance.take_objects(spent)

    def finished(self) -> None:
        """Check that nothing is left."""
        self._settle()
        if self.position != self.end:
            damaged("something follows it")

    # --- values ---

    def value(self) -> Any:
        """Read one value with all it holds."""
        known: list[Any] = []
        stack: list[tuple[Node, int, list[Any], Any, int]] = []
        depth = 0
        while True:
            tag = self.byte()
            reader = READERS.get(tag)
            if reader is not None:
                value = reader(self)
                if self.allowance is not None and tag != NESTED:  # what is nested counts itself
                    self.spend(memory_of(value))
                if tag in SHARED_LEAVES:
                    known.append(value)
            elif tag == BACK_REFERENCE:
                number = self.varint()
                if number >= len(known) or known[number] is _UNFINISHED:
                    damaged("a back-reference points nowhere")
                value = known[number]
            elif tag == PICKLED:
                value = self._pickled()
            else:
                kind = NODES.get(tag)
                if kind is None:
                    damaged(f"unknown tag {tag:#04x}")
                count = self.count()
                made = _UNFINISHED if kind.empty is None else kind.empty()
                number = len(known)
                if kind.shared:
                    known.append(made)
                if count:
                    stack.append((kind, count, [], made, number))
                    depth += not kind.deep
                    if depth > MAX_DEPTH:
                        damaged("it is nested too deep")
                    continue
                value = self._finish(kind, [], made, known, number)
            while True:
                if not stack:
                    return value
                kind, count, parts, made, number = stack[-1]
                parts.append(value)
                if len(parts) < count:
                    break
                stack.pop()
                depth -= not kind.deep
                value = self._finish(kind, parts, made, known, number)

    def elements(self) -> list[Any]:
        """Read the elements of a set."""
        if self.depth >= MAX_SET_DEPTH:
            damaged("sets are nested too deep")
        self.depth += 1
        elements = [self.value() for _ in range(self.count())]
        self.depth -= 1
        return elements

    def _pickled(self) -> Any:
        data = bytes(self.block())
        if self.pickler is None:
            damaged("it holds a signed pickle, and no signing key is set")
        return self.pickler.loads(data)

    def _finish(self, kind: Node, parts: list[Any], made: Any, known: list[Any], number: int) -> Any:
        if kind.build is None:
            assert kind.fill is not None
            kind.fill(made, parts)
            value = made
        else:
            value = kind.build(parts)
            if kind.shared:
                known[number] = value
        if self.allowance is not None:
            self.spend(memory_of(value))
        return value
