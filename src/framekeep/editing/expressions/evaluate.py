"""Expressions over a table: the tree walked once, a whole column at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from framekeep.editing.expressions import operators
from framekeep.editing.expressions.functions import FUNCTIONS
from framekeep.editing.expressions.syntax import (
    Call,
    Column,
    In,
    IsMissing,
    Literal,
    Node,
    Operation,
    parse,
)
from framekeep.editing.expressions.vectors import Vector, array_from, constant, vector_of
from framekeep.editing.kinds import Kind, Mask
from framekeep.editing.work import Work
from framekeep.errors import InvalidEditError, InvalidExpressionError


def evaluate(text: str, work: Work) -> Any:
    """Return what an expression is worth in each row, as a column's array.

    A column alone gives its own array, dtype and all.

    Raises:
        InvalidExpressionError: it is malformed, names no column, mixes kinds, or has no answer of its type.
    """
    node = parse(text)
    if isinstance(node, Column):
        return work.array(_position(node, work)).copy()
    vector = _Evaluation(work, node).of(node)
    try:
        return array_from(vector, len(work.frame))
    except InvalidEditError as error:
        raise InvalidExpressionError(f"The expression cannot be a column: {error}.") from None


def holds(text: str, work: Work) -> Mask:
    """Return in which rows an expression is true.

    Raises:
        InvalidExpressionError: as for ``evaluate``, or it is not of true and false.
    """
    node = parse(text)
    vector = _Evaluation(work, node).of(node)
    if vector.kind not in (Kind.BOOLEAN, None):
        raise InvalidExpressionError(
            f"Rows are chosen by true and false; the expression gives {vector.kind}."
        )
    return np.broadcast_to(operators.truths(vector, "")[0], len(work.frame)).copy()


MAX_BYTES = 1 << 32
"""Memory that the parts of an expression may take at once, by a rough estimate."""

_CELL = 16  # bytes of a value and its share of the answer, as texts and their pointers go


class _Evaluation:
    """One walk over a tree; each column is read once."""

    def __init__(self, work: Work, node: Node) -> None:
        self._work = work
        self._columns: dict[int, Vector] = {}
        vectors = _held(node) + len(set(_names(node)))
        if vectors * len(work.frame) * _CELL > MAX_BYTES:
            raise InvalidExpressionError(
                f"The expression would hold {vectors} columns of {len(work.frame):,} rows at once, which is "
                "more memory than it may have. Compute it in several columns."
            )

    def of(self, node: Node) -> Vector:
        """Return what a part is worth."""
        try:
            return self._of(node)
        except InvalidExpressionError:
            raise
        except InvalidEditError as error:
            message = f"At character {node.position}: {error}."
            raise InvalidExpressionError(message, position=node.position) from None

    def _of(self, node: Node) -> Vector:
        if isinstance(node, Literal):
            return constant(node.value)
        if isinstance(node, Column):
            return self._column(node)
        if isinstance(node, IsMissing):
            missing = self.of(node.operand).missing
            return Vector(Kind.BOOLEAN, missing ^ node.negated, np.zeros(1, dtype=bool))
        if isinstance(node, In):
            return self._membership(node)
        if isinstance(node, Call):
            return self._call(node)
        assert isinstance(node, Operation)
        return self._operation(node)

    def _column(self, node: Column) -> Vector:
        position = _position(node, self._work)
        if position not in self._columns:
            self._columns[position] = vector_of(self._work.array(position))
        return self._columns[position]

    def _operation(self, node: Operation) -> Vector:
        word = node.operator
        if word in ("and", "or"):
            return operators.chain(word, (self.of(operand) for operand in node.operands))
        parts = [self.of(operand) for operand in node.operands]
        if word == "not":
            return operators.negation(parts[0])
        if len(parts) == 1:
            return operators.sign(parts[0], word)
        if word in ("==", "!=", "<", "<=", ">", ">="):
            return operators.compare(word, *parts)
        return operators.arithmetic(word, *parts)

    def _membership(self, node: In) -> Vector:
        value = self.of(node.operand)
        for option in node.options:
            if isinstance(option, Literal) and option.value is None:
                raise InvalidExpressionError(
                    f"At character {option.position}: nothing equals a missing value; write 'is missing'.",
                    position=option.position,
                )
        found = operators.chain(
            "or", (operators.compare("==", value, self.of(option)) for option in node.options)
        )
        return operators.negation(found) if node.negated else found

    def _call(self, node: Call) -> Vector:
        function = FUNCTIONS.get(node.function)
        if function is None:
            raise InvalidExpressionError(
                f"At character {node.position}: there is no function {node.function[:40]!r}. "
                f"There are {', '.join(FUNCTIONS)}.",
                position=node.position,
            )
        count = len(node.arguments)
        if count < function.least or (function.most is not None and count > function.most):
            wanted = str(function.least) if function.most == function.least else f"{function.least} or more"
            raise InvalidEditError(f"{node.function} takes {wanted} arguments, not {count}")
        return function.of([self.of(argument) for argument in node.arguments])


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Operation():
            return node.operands
        case In():
            return (node.operand, *node.options)
        case IsMissing():
            return (node.operand,)
        case Call():
            return node.arguments
    return ()


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, Column):
        yield node.name
    for part in _parts(node):
        yield from _names(part)


def _held(node: Node) -> int:
    """Return how many vectors are held at once while a part is computed, its own among them."""
    folded = isinstance(node, In) or (isinstance(node, Operation) and node.operator in ("and", "or"))
    held = 1
    for number, part in enumerate(_parts(node)):
        held = max(held, _held(part) + (min(number, 2) if folded else number) + 1)
    return held


def _position(node: Column, work: Work) -> int:
    try:
        return work.labels.position(node.name)
    except InvalidEditError as error:
        raise InvalidExpressionError(
            f"At character {node.position}: {error} Texts stand in quotes, columns of other characters in "
            "`backquotes`.",
            position=node.position,
        ) from None
