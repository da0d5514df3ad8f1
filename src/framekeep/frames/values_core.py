"""The machinery of the exact value encoding: one writer, one reader, one table of kinds.

Owns the walk over nested values (an explicit stack, so depth costs memory and never the interpreter's
stack), shared and cyclic parts, and the checks against malformed bytes. Knows no particular type: the
``values_*`` modules beside it fill the table. ``framekeep.frames.values`` is the way in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

from framekeep.errors import SessionDamagedError

VERSION: Final = 1
"""First byte of every encoding; grows when a stored meaning changes."""

BACK_REFERENCE: Final = 0x1C
PICKLED: Final = 0x7F
MAX_SET_DEPTH: Final = 16
"""Sets within sets are the one thing encoded recursively (their order comes from the encoded elements)."""

MAX_DEPTH: Final = 100
"""How deep kinds nest that CPython or NumPy free recursively: 100,000 nested deques crash the interpreter."""

MAX_KEY_DEPTH: Final = 200
MAX_KEY_PARTS: Final = 1_000_000
"""Bounds of what is hashed: the hash of a tuple visits all it holds, recursively and without a memory."""

_INT64 = struct.Struct("<q")
_FLOAT64 = struct.Struct("<d")


class Pickler(Protocol):
    """Signs and checks pickles; consulted only for values that have no exact encoding."""

    def dumps(self, value: object) -> bytes: ...

    def loads(self, data: bytes) -> object: ...


class Refused(Exception):
    """A value that cannot be kept exactly; translated to UnsupportedTypeError at the way in."""

    def __init__(self, value: object, reason: str = "") -> None:
        super().__init__(reason)
        self.type = type(value)
        self.reason = reason


class HoldsItself(Refused):
    """A cycle through a value that can only be built after its parts. No pickle of a part repairs that."""

    def __init__(self, value: object) -> None:
        super().__init__(value, "it holds itself")


def damaged(problem: str) -> NoReturn:
    """Raise the error for bytes that no writer of this format produces."""
    raise SessionDamagedError(f"a stored value is malformed: {problem}")


def exactly(parts: list[Any], count: int) -> list[Any]:
    """Return ``parts`` when there are ``count`` of them; else they are malformed."""
    if len(parts) != count:
        damaged("a value has a wrong number of parts")
    return parts


def hashes_safely(keys: Iterable[Any]) -> bool:
    """Tell whether hashing the keys takes bounded time and stack."""
    level = [key for key in keys if type(key) in (tuple, slice)]
    parts = 0
    for _ in range(MAX_KEY_DEPTH):
        if not level:
            return True
        inner: list[Any] = []
        for key in level:
            inner += key if type(key) is tuple else (key.start, key.stop, key.step)
            if parts + len(inner) > MAX_KEY_PARTS + len(level):
                return False
        parts += len(inner)
        level = [key for key in inner if type(key) in (tuple, slice)]
    return False


@dataclass(frozen=True, slots=True)
class Leaf:
    """A kind without nested values. ``write`` puts the tag itself, since it may choose between several."""

    write: Callable[[Writer, Any], None]
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A kind made of other values.

    Attributes:
        tag: the byte that announces it.
        parts: takes the value apart.
        build: puts it together again from the parts; for values that cannot hold themselves.
        empty, fill: instead of ``build``: make it first, fill it later; for values that can.
        shared: whether its identity is kept within one encoded value (everything mutable, and what may
            hold something mutable).
        deep: whether it may nest without limit, because CPython frees it without recursion.
        same: compares the value with one rebuilt from its parts while dumping; kinds whose constructor
            is not plainly the inverse of their attributes have it.
    """

    tag: int
    parts: Callable[[Any], Sequence[Any]]
    build: Callable[[list[Any]], Any] | None = None
    empty: Callable[[], Any] | None = None
    fill: Callable[[Any, list[Any]], None] | None = None
    shared: bool = False
    deep: bool = False
    same: Callable[[Any, Any], bool] | None = None


Kind = Leaf | Node

KINDS: Final[dict[type, Kind | Callable[[Any], Kind]]] = {}
"""Exact type -> kind, or a function that chooses one by the value."""

FAMILIES: Final[list[Callable[[object], Kind | None]]] = []
"""Asked in order about a type that is not in KINDS (classes made at run time, families of classes)."""

READERS: Final[dict[int, Callable[[Reader], Any]]] = {}
"""Tag -> reader of a leaf."""

SHARED_LEAVES: Final[set[int]] = set()
NODES: Final[dict[int, Node]] = {}
"""Tag -> node."""


def leaf(
    types: Sequence[type],
    write: Callable[[Writer, Any], None],
    readers: dict[int, Callable[[Reader], Any]],
    *,
    shared: bool = False,
) -> Leaf:
    """Enter a leaf kind into the tables."""
    kind = Leaf(write, shared)
    for tag, reader in readers.items():
        _claim(tag)
        READERS[tag] = reader
        if shared:
            SHARED_LEAVES.add(tag)
    for each in types:
        KINDS[each] = kind
    return kind


def node(types: Sequence[type], kind: Node) -> Node:
    """Enter a node kind into the tables."""
    _claim(kind.tag)
    NODES[kind.tag] = kind
    for each in types:
        KINDS[each] = kind
    return kind


def _claim(tag: int) -> None:
    if tag in READERS or tag in NODES or tag in (BACK_REFERENCE, PICKLED):
        raise AssertionError(f"tag {tag:#04x} is taken")


def kind_of(value: object) -> Kind | None:
    """Return the kind that keeps ``value`` exactly, or None."""
    found = KINDS.get(type(value))
    if found is None:
        for family in FAMILIES:
            kind = family(value)
            if kind is not None:
                return kind
        return None
    return found if isinstance(found, (Leaf, Node)) else found(value)


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


_UNFINISHED: Final = object()


class Reader:
    """Reads encoded values from one buffer; every length is checked before anything is allocated."""

    __slots__ = ("data", "depth", "end", "pickler", "position")

    def __init__(self, data: bytes | bytearray | memoryview, pickler: Pickler | None = None) -> None:
        self.data = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
        self.end = len(self.data)
        self.position = 0
        self.pickler = pickler
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

    def finished(self) -> None:
        """Check that nothing is left."""
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
                value = _finish(kind, [], made, known, number)
            while True:
                if not stack:
                    return value
                kind, count, parts, made, number = stack[-1]
                parts.append(value)
                if len(parts) < count:
                    break
                stack.pop()
                depth -= not kind.deep
                value = _finish(kind, parts, made, known, number)

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


def _finish(kind: Node, parts: list[Any], made: Any, known: list[Any], number: int) -> Any:
    if kind.build is None:
        assert kind.fill is not None
        kind.fill(made, parts)
        return made
    value = kind.build(parts)
    if kind.shared:
        known[number] = value
    return value
