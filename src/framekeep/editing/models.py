"""The vocabulary of edits: what may be asked of a table, as typed and documented models.

Owns names, types, bounds and examples (they are the API's schema, too); each says in words what it does. How
it is done is in the module of its family.

A column is named by its label, or by the text form of a label that is no text, when only one has it. A row is
named by its position, counted from 0. Values are JSON values, and must be of the column's kind: text for
text, a number for numbers, ISO 8601 text for dates and times, null for "missing". Nothing is converted
silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from framekeep.editing.fields import (
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_OPERATIONS,
    Columns,
    Expression,
    Model,
    Name,
    NewName,
    OnPurpose,
    Position,
    SomeColumns,
    Value,
    Whole,
    columns_said,
    listing,
    plural,
    short,
)
from framekeep.errors import InvalidEditError


class Cell(Model):
    """One cell and the value it gets."""

    row: Position
    column: Name
    value: Annotated[
        Value,
        Field(
            description="Of the column's kind; null makes the cell missing (a column of whole numbers or of "
            "true and false then takes the dtype that has missing values). Whole numbers may be given as "
            "text, as pages give those beyond 2^53. Unordered categories grow by a new value.",
            examples=[41],
        ),
    ]


class SetCells(Model):
    """Set single cells, in the order given."""

    op: Literal["set_cells"]
    cells: Annotated[
        list[Cell],
        Field(
            min_length=1,
            max_length=MAX_CELLS,
            description="The cells.",
            examples=[[{"row": 3, "column": "age", "value": 41}]],
        ),
    ]

    def describe(self) -> str:
        """Return what is done, in a few words."""
        names = listing(cell.column for cell in self.cells)
        return f"Set {len(self.cells)} {plural(self.cells, 'cell')} in {names}"


class FillMissing(Model):
    """Fill missing cells."""

    op: Literal["fill_missing"]
    columns: Columns = None
    method: Annotated[
        Literal["value", "mean", "median", "mode", "forward", "backward", "interpolate"],
        Field(
            description="`value`: the value given. `mean`, `median`: of the column's numbers; refused where "
            "whole numbers would get a fraction (cast them to number first). `mode`: the most frequent "
            "value, of equally frequent ones the one that comes first. `forward`, `backward`: the nearest "
            "value above, or below. `interpolate`: numbers on a straight line between their neighbours, by "
            "position; what has a neighbour on one side only stays missing.",
            examples=["median"],
        ),
    ]
    value: Annotated[
        bool | int | float | str | None, Field(description="For the method `value`.", examples=[0])
    ] = None
    limit: Annotated[
        int | None,
        Field(ge=1, description="For `forward` and `backward`: how many in a row are filled.", examples=[2]),
        Whole,
    ] = None
    include_intentional: OnPurpose = False

    @model_validator(mode="after")
    def _fits_the_method(self) -> FillMissing:
        if (self.value is None) == (self.method == "value"):
            raise ValueError("'value' belongs to the method 'value', and to no other")
        if self.limit is not None and self.method not in ("forward", "backward"):
            raise ValueError("'limit' belongs to the methods 'forward' and 'backward'")
        return self

    def describe(self) -> str:
        """Return what is done, in a few words."""
        how = {"value": "a value", "forward": "the value above", "backward": "the value below"}
        by = how.get(self.method, self.method if self.method != "interpolate" else "interpolation")
        return f"Fill missing in {columns_said(self.columns)} by {by}"


class DropMissing(Model):
    """Drop rows with missing cells."""

    op: Literal["drop_missing"]
    columns: Columns = None
    how: Annotated[
        Literal["any", "all"],
        Field(description="Whether one missing cell among the columns is enough, or all must be missing."),
    ] = "any"
    include_intentional: OnPurpose = False

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Drop rows with {self.how} missing in {columns_said(self.columns)}"


class DropDuplicates(Model):
    """Drop rows that repeat another one in the columns; missing equals missing."""

    op: Literal["drop_duplicates"]
    columns: Columns = None
    keep: Annotated[Literal["first", "last", "none"], Field(description="Which of equal rows stays.")] = (
        "first"
    )

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Drop duplicates by {columns_said(self.columns)}"


class DropColumns(Model):
    """Drop columns."""

    op: Literal["drop_columns"]
    columns: SomeColumns

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Drop {plural(self.columns, 'column')} {listing(self.columns)}"


class RenameColumns(Model):
    """Rename columns, all at once: two may swap their names."""

    op: Literal["rename_columns"]
    names: Annotated[
        dict[Name, NewName],
        Field(
            min_length=1,
            max_length=MAX_COLUMNS,
            description="Old name to new name. No two columns may end up with one name.",
            examples=[{"Age (years)": "age"}],
        ),
    ]

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Rename {plural(self.names, 'column')} {listing(self.names)}"


class ReorderColumns(Model):
    """Put columns first, in this order; the others follow as they stand."""

    op: Literal["reorder_columns"]
    columns: SomeColumns

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Put {plural(self.columns, 'column')} {listing(self.columns)} first"


class Cast(Model):
    """Change the type of columns. A column that has the type already stays exactly as it is."""

    op: Literal["cast"]
    columns: SomeColumns
    to: Annotated[
        Literal["text", "integer", "number", "boolean", "date", "datetime", "category"],
        Field(
            description="`integer`: 64-bit whole numbers. `number`: 64-bit floating point. `boolean`: from "
            "true/false, yes/no, t/f, y/n, 1/0 in any case. `date`, `datetime`: from ISO 8601, or in "
            "`format`. `text`: dates and times in ISO 8601, booleans as true and false.",
            examples=["number"],
        ),
    ]
    on_error: Annotated[
        Literal["refuse", "missing"],
        Field(description="What becomes of a value that cannot be converted without loss."),
    ] = "refuse"
    format: Annotated[
        str | None,
        Field(
            min_length=2,
            max_length=100,
            description="How dates and times are written in text, in the codes of strptime.",
            examples=["%d.%m.%Y"],
        ),
    ] = None
    decimal: Annotated[Literal[".", ","], Field(description="The decimal mark of numbers in text.")] = "."
    thousands: Annotated[
        Literal["", ".", ",", " ", "'"], Field(description="What groups the thousands of numbers in text.")
    ] = ""

    @model_validator(mode="after")
    def _fits_the_type(self) -> Cast:
        if self.format is not None and self.to not in ("date", "datetime"):
            raise ValueError("'format' belongs to the types 'date' and 'datetime'")
        if self.decimal == self.thousands:
            raise ValueError("'decimal' and 'thousands' must differ")
        return self

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Cast {listing(self.columns)} to {self.to}"


class Replacement(Model):
    """A value, and what takes its place."""

    model_config = ConfigDict(populate_by_name=True)

    old: Annotated[
        bool | int | float | str, Field(alias="from", description="The value to replace.", examples=[-999])
    ]
    new: Annotated[Value, Field(alias="to", description="What takes its place; null for missing.")]


class ReplaceValues(Model):
    """Replace values by others, all at once: what was put in is not replaced again."""

    op: Literal["replace_values"]
    columns: Columns = None
    replacements: Annotated[
        list[Replacement],
        Field(
            min_length=1,
            max_length=MAX_COLUMNS,
            description="The values; each may be named once.",
            examples=[[{"from": "m", "to": "male"}, {"from": "f", "to": "female"}]],
        ),
    ]
    match: Annotated[
        Literal["whole", "part"],
        Field(
            description="`whole`: cells that are the value. `part`: wherever it stands in a text; one "
            "replacement after the other."
        ),
    ] = "whole"

    @model_validator(mode="after")
    def _texts_for_parts(self) -> ReplaceValues:
        if self.match == "part":
            for each in self.replacements:
                if not isinstance(each.old, str) or not isinstance(each.new, str) or not each.old:
                    raise ValueError("parts of texts are replaced by texts, and an empty part by none")
        return self

    def describe(self) -> str:
        """Return what is done, in a few words."""
        count = len(self.replacements)
        return f"Replace {count} {plural(self.replacements, 'value')} in {columns_said(self.columns)}"


class TrimText(Model):
    """Remove white space at the ends of texts."""

    op: Literal["trim_text"]
    columns: Columns = None
    side: Annotated[Literal["both", "left", "right"], Field(description="At which ends.")] = "both"
    collapse: Annotated[bool, Field(description="Whether white space within becomes one space, too.")] = False
    empty_to_missing: Annotated[
        bool, Field(description="Whether a text of which nothing is left becomes missing.")
    ] = False

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Trim text in {columns_said(self.columns)}"


class ChangeCase(Model):
    """Write texts in upper, lower, title or sentence case."""

    op: Literal["change_case"]
    columns: Columns = None
    to: Annotated[
        Literal["upper", "lower", "title", "sentence"],
        Field(description="`title`: Each Word; `sentence`: The first letter.", examples=["lower"]),
    ]

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Write {columns_said(self.columns)} in {self.to} case"


class FilterRows(Model):
    """Keep or drop the rows for which an expression is true, or rows by position."""

    op: Literal["filter_rows"]
    where: Annotated[
        Expression | None, Field(description="Which rows.", examples=["age >= 18 and sex == 'f'"])
    ] = None
    rows: Annotated[
        list[Position] | None,
        Field(max_length=1_000_000, description="Which rows, by position; in place of `where`."),
    ] = None
    action: Annotated[
        Literal["keep", "drop"],
        Field(
            description="What happens to them. A row for which the expression is missing counts as one for "
            "which it is false."
        ),
    ] = "keep"

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> FilterRows:
        if (self.where is None) == (self.rows is None):
            raise ValueError("rows are chosen by 'where' or by 'rows', and by one of them only")
        return self

    def describe(self) -> str:
        """Return what is done, in a few words."""
        if self.rows is not None:
            return f"{self.action.capitalize()} {len(self.rows)} {plural(self.rows, 'row')}"
        return f"{self.action.capitalize()} rows where {short(self.where or '')}"


class SortKey(Model):
    """A column to sort by."""

    column: Name
    descending: Annotated[bool, Field(description="Whether the largest comes first.")] = False


class SortRows(Model):
    """Sort rows; equal ones stay in their order.

    Texts go by their characters' code points, ordered categories by their order.
    """

    op: Literal["sort_rows"]
    by: Annotated[
        list[SortKey],
        Field(
            min_length=1,
            max_length=100,
            description="The columns, the most important first.",
            examples=[[{"column": "age", "descending": True}, {"column": "name"}]],
        ),
    ]
    missing: Annotated[Literal["last", "first"], Field(description="Where rows with a missing value go.")] = (
        "last"
    )

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Sort by {listing(key.column for key in self.by)}"


class DeriveColumn(Model):
    """Compute a column from others."""

    op: Literal["derive_column"]
    name: Annotated[NewName, Field(description="Its name.", examples=["bmi"])]
    expression: Annotated[Expression, Field(examples=["round(weight / (height / 100) ** 2, 1)"])]
    overwrite: Annotated[
        bool, Field(description="Whether a column of that name is replaced, in its place.")
    ] = False
    after: Annotated[
        str | None,
        Field(max_length=10_000, description="After which column a new one stands; null: at the end."),
    ] = None

    def describe(self) -> str:
        """Return what is done, in a few words."""
        return f"Compute {short(self.name)}"


Operation = Annotated[
    SetCells
    | FillMissing
    | DropMissing
    | DropDuplicates
    | DropColumns
    | RenameColumns
    | ReorderColumns
    | Cast
    | ReplaceValues
    | TrimText
    | ChangeCase
    | FilterRows
    | SortRows
    | DeriveColumn,
    Field(discriminator="op"),
]
"""One operation; ``op`` says which."""

Operations = Annotated[
    list[Operation],
    Field(
        min_length=1,
        max_length=MAX_OPERATIONS,
        description="Carried out in this order, each on what the one before left; they are one step.",
    ),
]
"""What one edit does."""

_OPERATIONS: TypeAdapter[list[Operation]] = TypeAdapter(Operations)


def parse_operations(operations: Iterable[Operation | Mapping[str, Any]]) -> list[Operation]:
    """Return operations given as models or as JSON objects, checked.

    Raises:
        InvalidEditError: one is no operation of the vocabulary.
    """
    if isinstance(operations, str | bytes | Mapping | BaseModel) or not isinstance(operations, Iterable):
        raise InvalidEditError(f"Operations must be a list, not {type(operations).__name__}.")
    try:
        return _OPERATIONS.validate_python(list(operations))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place, said = first["loc"], first["msg"].removeprefix("Value error, ")
        number = place[0] if place and isinstance(place[0], int) else None
        where = ".".join(str(part) for part in place[1:]) if number is not None else "operations"
        raise InvalidEditError(
            f"Operation {number} is not in the vocabulary: {said}{f' (at {where})' if where else ''}."
            if number is not None
            else f"The operations are no valid list: {said}.",
            operation=number,
        ) from None


def describe(operations: Iterable[Operation], *, length: int = 200) -> str:
    """Return one line that says what operations do, for want of a better summary."""
    text = "; ".join(operation.describe() for operation in operations)
    return text if len(text) <= length else f"{text[: length - 1]}…"
