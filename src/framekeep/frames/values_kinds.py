"""The tables of the exact value encoding: which kinds of values there are, and how each is taken apart.

Owns the two forms of a kind (leaf and node), the limits, and the two ways to say no. Knows no particular
type: the modules for Python, times, NumPy and pandas fill the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from framekeep.errors import SessionDamagedError

if TYPE_CHECKING:
    from framekeep.frames.values_reader import Reader
    from framekeep.frames.values_writer import Writer

VERSION: Final = 1
"""First byte of every encoding; grows when a stored meaning changes."""

BACK_REFERENCE: Final = 0x1C
NESTED: Final = 0x57
PICKLED: Final = 0x7F
MAX_SET_DEPTH: Final = 16
"""Sets within sets are the one thing encoded recursively (their order comes from the encoded elements)."""

MAX_DEPTH: Final = 100
"""How deep kinds nest that CPython or NumPy free recursively: 100,000 nested deques crash the interpreter."""

MAX_KEY_DEPTH: Final = 200
MAX_KEY_PARTS: Final = 1_000_000
"""Bounds of what is hashed: the hash of a tuple visits all it holds, recursively and without a memory.

The second is for one dict or set, which may hold 64 more for each of its keys.
"""


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


def hashes_safely(keys: Collection[Any]) -> bool:
    """Tell whether hashing the keys takes bounded time and stack."""
    most = MAX_KEY_PARTS + 64 * len(keys)
    level = [key for key in keys if type(key) in (tuple, slice)]
    parts = 0
    for _ in range(MAX_KEY_DEPTH):
        if not level:
            return True
        inner: list[Any] = []
        for key in level:
            inner += key if type(key) is tuple else (key.start, key.stop, key.step)
            if parts + len(inner) > most:
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
