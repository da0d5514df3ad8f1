"""The grammar of expressions: Python's where they overlap, clear refusals elsewhere, no way to crash it."""

from __future__ import annotations

import ast
import contextlib
import re
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framekeep.editing import apply
from framekeep.editing.expressions import parse
from framekeep.editing.expressions.syntax import Call, Column, In, IsMissing, Literal, Node, Operation
from framekeep.errors import InvalidExpressionError

FRAME = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "t": ["x", None], "weight (kg)": [70, 80]})

# --- the same trees as Python's ---------------------------------------------------------------------

_SYMBOLS: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.And: "and", ast.Or: "or", ast.Not: "not", ast.USub: "-", ast.UAdd: "+",
}  # fmt: skip


def from_python(tree: Any) -> Any:
    match tree:
        case ast.Constant():
            return tree.value
        case ast.Name():
            return tree.id
        case ast.UnaryOp():
            inner = from_python(tree.operand)
            if isinstance(tree.op, ast.USub) and type(inner) in (int, float):
                return -inner
            return (_SYMBOLS[type(tree.op)], inner)
        case ast.BinOp():
            return (_SYMBOLS[type(tree.op)], from_python(tree.left), from_python(tree.right))
        case ast.BoolOp():
            return (_SYMBOLS[type(tree.op)], *map(from_python, tree.values))
        case ast.Compare() if isinstance(tree.ops[0], ast.In | ast.NotIn):
            options = map(from_python, tree.comparators[0].elts)
            return ("in", isinstance(tree.ops[0], ast.NotIn), from_python(tree.left), *options)
        case ast.Compare():
            return (_SYMBOLS[type(tree.ops[0])], from_python(tree.left), from_python(tree.comparators[0]))
        case ast.Call():
            return ("call", tree.func.id, *map(from_python, tree.args))
    raise AssertionError(tree)


def from_ours(node: Node) -> Any:
    match node:
        case Literal():
            return node.value
        case Column():
            return node.name
        case Operation():
            return (node.operator, *map(from_ours, node.operands))
        case In():
            return ("in", node.negated, from_ours(node.operand), *map(from_ours, node.options))
        case Call():
            return ("call", node.function, *map(from_ours, node.arguments))
    raise AssertionError(node)


def written(depth: int) -> Any:
    """Expressions that are Python, too, with few brackets."""
    atoms = st.sampled_from(["a", "bb", "ünï", "1", "2.5", "1e3", ".5", "'x'", '"y z"'])
    if depth == 0:
        return atoms
    inner = written(depth - 1)
    arithmetic = st.sampled_from(["+", "-", "*", "/", "//", "%", "**"])
    return st.one_of(
        atoms,
        st.builds("{} {} {}".format, inner, arithmetic, inner),
        st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner),
        st.builds("({})".format, inner),
        st.builds("{}({})".format, st.sampled_from(["-", "+", "not "]), inner),
        st.builds("- {}".format, atoms),
        st.builds("(({}) {} ({}, {}))".format, inner, st.sampled_from(["in", "not in"]), inner, inner),
        st.builds("f({}, {})".format, inner, inner),
    )


@settings(max_examples=300, deadline=None)
@given(written(3))
def test_what_is_python_too_has_the_same_tree(text: str) -> None:
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:  # 1 + not (a)
        tree = None
    chained = any(
        isinstance(node, ast.Compare) and len(node.ops) > 1 for node in ast.walk(tree or ast.Pass())
    )
    if tree is None or chained:
        with pytest.raises(InvalidExpressionError):
            parse(text)
    else:
        assert from_ours(parse(text)) == from_python(tree)


# --- what is our own --------------------------------------------------------------------------------


def test_equals_and_unequal_have_a_second_spelling() -> None:
    assert from_ours(parse("a = 1")) == from_ours(parse("a == 1"))
    assert from_ours(parse("a <> 1")) == from_ours(parse("a != 1"))


def test_quotes_are_doubled_within_quotes() -> None:
    assert from_ours(parse("'it''s'")) == "it's"
    assert from_ours(parse('"say ""so"""')) == 'say "so"'
    assert from_ours(parse("`a``b c`")) == "a`b c"


def test_missing_is_asked_for_with_is() -> None:
    node = parse("a is not missing")
    assert isinstance(node, IsMissing)
    assert node.negated
    assert not parse("a is missing").negated  # type: ignore[attr-defined]


def test_a_column_of_any_characters_stands_in_backquotes() -> None:
    assert apply(FRAME, [derive("`weight (kg)` + 1")])["q"].tolist() == [71, 81]


def test_a_word_of_the_language_is_a_column_in_backquotes() -> None:
    frame = pd.DataFrame({"missing": [1], "and": [2]})
    assert apply(frame, [derive("`missing` + `and`")])["q"].tolist() == [3]


def test_the_smallest_whole_number_can_be_written() -> None:
    assert apply(FRAME, [derive("-9223372036854775808")])["q"].tolist() == [-(2**63)] * 2


def derive(expression: str) -> dict[str, Any]:
    return {"op": "derive_column", "name": "q", "expression": expression}


# --- what is refused, and where ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("", 0, "ends where a value"),
        ("a +", 3, "ends where a value"),
        ("a b", 2, "'b'"),
        ("(a", 2, "')'"),
        ("a)", 1, "')'"),
        ("1abc", 0, "no number"),
        ("1.2.3", 0, "no number"),
        ("'x", 0, "not closed"),
        ("`x", 0, "not closed"),
        ("``", 0, "not closed"),
        ("a ? b", 2, "'?'"),
        ("a \x00", 2, "U+0000"),
        ("a < b < c", 6, "chain"),
        ("a is missing is missing", 13, "chain"),
        ("a is b", 5, "'missing'"),
        ("a in 1", 5, "'('"),
        ("a in ()", 2, "no values"),
        ("a not 1", 6, "'in'"),
        ("1e999", 0, "too large"),
        ("9" * 401, 0, "too long"),
        ("9" * 30, 0, "64 bits"),
        ("a.b", 1, "'.'"),
        ("__import__('os')", 0, "no function"),
        ("abs()", 0, "1 arguments"),
        ("if(a)", 0, "3 arguments"),
        ("min(a)", 0, "2 or more"),
        ("nothing + 1", 0, "no column 'nothing'"),
        ("a + t", 2, "numbers"),
        ("t + 'x'", 2, "concat"),
        ("a == t", 2, "do not go together"),
        ("a and b", 2, "true and false"),
        ("not a", 0, "true and false"),
        ("upper(a)", 0, "text"),
        ("year(t)", 0, "date"),
        ("a in (1, missing)", 9, "is missing"),
        ("round(b, 31)", 0, "digits"),
        ("round(b, a)", 0, "digits"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, position: int, said: str) -> None:
    with pytest.raises(InvalidExpressionError, match=re.escape(said)) as caught:
        apply(FRAME, [derive(text)])
    assert caught.value.position == position
    assert caught.value.operation == 0


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5_000,
        "- -" * 3_000 + "a",
        "not " * 2_000 + "a",
        "2 ** " * 1_900 + "2",
        "a + " * 2_000 + "a",
        "f(" * 3_000,
        "1 in (" * 1_500,
        "a or " * 1_999 + "a",
        "abs(" * 50 + "a" + ")" * 50,
    ],
    ids=lambda text: text[:6],
)
def test_no_program_is_too_large_to_be_refused(text: str) -> None:
    with pytest.raises(InvalidExpressionError):
        apply(FRAME, [derive(text)])


def test_an_expression_has_a_longest_length() -> None:
    with pytest.raises(InvalidExpressionError, match="10,000"):
        parse("1+" * 5_000 + "1")


@pytest.mark.parametrize("text", [None, 5, b"a", ["a"]])
def test_an_expression_is_text(text: Any) -> None:
    with pytest.raises(InvalidExpressionError, match="text"):
        parse(text)


# --- whatever is typed ------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["a", "b", "t", "`weight (kg)`", "1", "0", "2.5", "1e300", "-9223372036854775808", "'x'", "''", "missing",
     "true", "+", "-", "*", "/", "//", "%", "**", "(", ")", ",", "==", "<", "and", "or", "not", "is", "in",
     "round(", "if(", "concat(", "replace(", "date(", "text(", "number(", "min(", "coalesce(", "year(",
     "length(", "log(", "exp(", "sqrt("]
)  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(WORDS, max_size=14).map(" ".join)))
def test_random_text_is_a_column_or_an_invalid_expression(text: str) -> None:
    with contextlib.suppress(InvalidExpressionError):
        assert len(apply(FRAME, [derive(text)])["q"]) == 2


@settings(max_examples=300, deadline=None)
@given(written(2), st.data())
def test_a_program_with_a_slip_is_a_column_or_an_invalid_expression(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    slip = (
        text[:at]
        + data.draw(st.sampled_from(["", "(", "'", "`", "\x00", "🙂", "**", "not "]))
        + text[at + 1 :]
    )
    with contextlib.suppress(InvalidExpressionError):
        assert len(apply(FRAME, [derive(slip)])["q"]) == 2
