"""The tree of an expression, and the parser that makes it (precedence climbing, as Pratt does it).

Owns the grammar and the bounds on size and depth; knows no table. From loose to tight: ``or``, ``and``,
``not``, comparisons with ``is`` and ``in`` (which do not chain), ``+ -``, ``* / // %``, signs, ``**`` (from
the right).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from framekeep.editing.expressions.tokens import Token, tokenize
from framekeep.errors import InvalidExpressionError

MAX_LENGTH = 10_000
"""Characters of an expression."""

MAX_NODES = 2_000
"""Parts of an expression."""

MAX_DEPTH = 100
"""Levels of its tree."""

MAX_NESTING = 40
"""How deep brackets, functions and powers stand in one another."""

_COMPARISONS: Final = frozenset(("==", "!=", "<", "<=", ">", ">="))
_SUMS: Final = frozenset("+-")
_PRODUCTS: Final = frozenset(("*", "/", "//", "%"))


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression.

    Attributes:
        position: the character it is about.
        depth: levels of parts in it, counted from 1.
    """

    position: int
    depth: int = field(default=1, kw_only=True)


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number, a text, true or false; None is "missing"."""

    value: int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Column(Node):
    """The row's value in a column."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """A sign, a binary operator, a comparison, ``not``; ``and`` and ``or`` of any number of parts."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class IsMissing(Node):
    """Whether a value is missing."""

    operand: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class In(Node):
    """Whether a value equals one of several."""

    operand: Node
    options: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function of some values."""

    function: str
    arguments: tuple[Node, ...]


def parse(text: str) -> Node:
    """Return the tree of an expression.

    Raises:
        InvalidExpressionError: it is none, or too long, too large or too deep.
    """
    if not isinstance(text, str):
        raise InvalidExpressionError(f"An expression must be text, not {type(text).__name__}.")
    if len(text) > MAX_LENGTH:
        raise InvalidExpressionError(f"An expression may have {MAX_LENGTH:,} characters, not {len(text):,}.")
    parser = _Parser(tokenize(text))
    node = parser.expression()
    parser.expect_end()
    return node


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nodes = 0
        self._level = 0

    # --- words -----------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.sort != "end"
        return token

    def _takes(self, sort: str, *values: str) -> bool:
        if self._next.sort == sort and self._next.value in values:
            self._at += 1
            return True
        return False

    def _expect(self, operator: str, why: str) -> None:
        if not self._takes("operator", operator):
            raise self._unexpected(f"{operator!r} {why}")

    def expect_end(self) -> None:
        """Raise InvalidExpressionError unless all words are taken."""
        if self._next.sort != "end":
            raise self._unexpected("the end or an operator")

    def _unexpected(self, wanted: str) -> InvalidExpressionError:
        token = self._next
        found = "the expression ends" if token.sort == "end" else f"there is {str(token.value)[:40]!r}"
        return InvalidExpressionError(
            f"At character {token.position} {found} where {wanted} should be.", position=token.position
        )

    # --- bounds ----------------------------------------------------------------------------------

    def _depth(self, position: int, *parts: Node) -> int:
        self._nodes += 1
        depth = 1 + max((part.depth for part in parts), default=0)
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise InvalidExpressionError(
                f"The expression has more than {MAX_NODES:,} parts, or more than {MAX_DEPTH} levels of them. "
                "Compute it in several columns.",
                position=position,
            )
        return depth

    def _operation(self, token: Token, *operands: Node) -> Operation:
        depth = self._depth(token.position, *operands)
        return Operation(token.position, str(token.value), operands, depth=depth)

    # --- grammar ---------------------------------------------------------------------------------

    def expression(self) -> Node:
        """Take an expression."""
        with self._nested():
            return self._chain("or", self._conjunction)

    @contextmanager
    def _nested(self) -> Iterator[None]:
        """Bound how often the parser calls itself: Python's own bound is no answer to a caller."""
        self._level += 1
        if self._level > MAX_NESTING:
            raise InvalidExpressionError(
                f"The expression is nested more than {MAX_NESTING} deep. Compute it in several columns.",
                position=self._next.position,
            )
        yield
        self._level -= 1

    def _conjunction(self) -> Node:
        return self._chain("and", self._negation)

    def _chain(self, word: str, part: Callable[[], Node]) -> Node:
        operands = [part()]
        token = self._next
        while self._takes("word", word):
            operands.append(part())
        return operands[0] if len(operands) == 1 else self._operation(token, *operands)

    def _negation(self) -> Node:
        negations = []
        while self._next.sort == "word" and self._next.value == "not":
            negations.append(self._take())
        node = self._comparison()
        for token in reversed(negations):
            node = self._operation(token, node)
        return node

    def _comparison(self) -> Node:
        node = self._sum()
        token = self._next
        if token.sort == "operator" and token.value in _COMPARISONS:
            node = self._operation(self._take(), node, self._sum())
        elif self._takes("word", "is"):
            negated = self._takes("word", "not")
            if not self._takes("word", "missing"):
                raise self._unexpected("'missing'")
            node = IsMissing(token.position, node, negated, depth=self._depth(token.position, node))
        elif token.sort == "word" and token.value in ("in", "not"):
            node = self._membership(node)
        else:
            return node
        again = self._next
        if (again.sort == "operator" and again.value in _COMPARISONS) or (
            again.sort == "word" and again.value in ("is", "in", "not")
        ):
            raise InvalidExpressionError(
                f"Comparisons do not chain (character {again.position}): write a < b and b < c.",
                position=again.position,
            )
        return node

    def _membership(self, operand: Node) -> Node:
        token = self._next
        negated = self._takes("word", "not")
        if not self._takes("word", "in"):
            raise self._unexpected("'in'")
        self._expect("(", "after 'in'")
        options = self._listed()
        if not options:
            raise InvalidExpressionError(
                f"'in' at character {token.position} has no values.", position=token.position
            )
        depth = self._depth(token.position, operand, *options)
        return In(token.position, operand, options, negated, depth=depth)

    def _sum(self) -> Node:
        return self._left_to_right(_SUMS, self._product)

    def _product(self) -> Node:
        return self._left_to_right(_PRODUCTS, self._signed)

    def _left_to_right(self, operators: frozenset[str], part: Callable[[], Node]) -> Node:
        node = part()
        while self._next.sort == "operator" and self._next.value in operators:
            node = self._operation(self._take(), node, part())
        return node

    def _signed(self) -> Node:
        signs = []
        while self._next.sort == "operator" and self._next.value in ("+", "-"):
            signs.append(self._take())
        node = self._power()
        for token in reversed(signs):
            if isinstance(node, Literal) and type(node.value) in (int, float) and token.value == "-":
                node = Literal(token.position, -node.value)  # type: ignore[operator]  # -2^63 is one number
            else:
                node = self._operation(token, node)
        return node

    def _power(self) -> Node:
        base = self._primary()
        if self._next.sort == "operator" and self._next.value == "**":
            token = self._take()
            with self._nested():
                return self._operation(token, base, self._signed())
        return base

    def _primary(self) -> Node:
        token = self._take()
        if token.sort in ("number", "text"):
            return Literal(token.position, token.value, depth=self._depth(token.position))
        if token.sort == "word" and token.value in ("true", "false", "missing"):
            value = None if token.value == "missing" else token.value == "true"
            return Literal(token.position, value, depth=self._depth(token.position))
        if token.sort == "name" and self._takes("operator", "("):
            arguments = self._listed()
            depth = self._depth(token.position, *arguments)
            return Call(token.position, str(token.value), arguments, depth=depth)
        if token.sort in ("name", "quoted"):
            return Column(token.position, str(token.value), depth=self._depth(token.position))
        if token.sort == "operator" and token.value == "(":
            node = self.expression()
            self._expect(")", f"for the bracket at character {token.position}")
            return node
        self._at -= token.sort != "end"
        raise self._unexpected("a value")

    def _listed(self) -> tuple[Node, ...]:
        """Take what stands between an opening bracket, which is taken already, and its end."""
        if self._takes("operator", ")"):
            return ()
        parts = [self.expression()]
        while self._takes("operator", ","):
            parts.append(self.expression())
        self._expect(")", "or ','")
        return tuple(parts)
