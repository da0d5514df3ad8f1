"""Arrow tables that were read from a file become DataFrames; nothing changes on the way.

Integers and booleans stay what they are where cells are missing (``Int64``, ``boolean``), text is ``str``,
dates are ``datetime64[s]``. Numbers and times are not copied: the frame stands on the mapped file, and who
has it may change it. Pages that are written to are the process's own then, and never the file's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import DamagedFileError
from framekeep.importing.mapping import Mapping

_NULLABLE: dict[pa.DataType, Any] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
_TEXT = pd.StringDtype(na_value=np.nan)


def memory_of(table: pa.Table) -> int:
    """Return about how many bytes a DataFrame of the table takes; few in a file may make many objects."""
    return sum(table.num_rows * _bytes_of_cell(kind) for kind in table.schema.types)


def frame(table: pa.Table, memory: Mapping) -> pd.DataFrame:
    """Return the DataFrame of a table in mapped memory."""
    columns = {position: _column(column, memory) for position, column in enumerate(_widened(table, memory))}
    made = pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), copy=False)
    made.columns = pd.Index(table.schema.names, dtype=_TEXT)
    return made


def as_written(table: pa.Table) -> pd.DataFrame | pa.Table:
    """Return a DataFrame if pandas wrote the table (index and dtypes are in its metadata), else the table.

    pandas would turn integers and booleans with missing values into floats and objects; they become nullable.

    Raises:
        DamagedFileError: what pandas is said to have written there makes no sense.
    """
    try:
        if not table.schema.pandas_metadata:
            return table
        made: pd.DataFrame = table.to_pandas()
        for name, column in zip(table.schema.names, table.columns, strict=True):
            if column.null_count and column.type in _NULLABLE and name in made.columns:
                made[name] = pd.Series(_NULLABLE[column.type].__from_arrow__(column), index=made.index)
    except Exception as error:  # whatever a program can write into metadata comes out here
        raise DamagedFileError(
            "The file says that pandas wrote it, but its notes for pandas make no sense "
            f"({type(error).__name__}). Write it again without them."
        ) from error
    return made


def _bytes_of_cell(kind: pa.DataType) -> int:
    if pa.types.is_nested(kind):
        return 240  # a list, an array or a dict, if nothing is in it
    if pa.types.is_time(kind) or pa.types.is_decimal(kind) or pa.types.is_binary(kind):
        return 72
    return 8


def _widened(table: pa.Table, memory: Mapping) -> list[pa.ChunkedArray]:
    columns: list[pa.ChunkedArray] = table.columns
    narrow = [position for position, column in enumerate(columns) if pa.types.is_string(column.type)]
    for position, column in zip(narrow, memory.wide([columns[each] for each in narrow]), strict=True):
        columns[position] = column
    return columns


def _column(column: pa.ChunkedArray, memory: Mapping) -> Any:
    kind = column.type
    missing = column.null_count
    if pa.types.is_large_string(kind):
        return pd.array(column, dtype=_TEXT)
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("s")).to_pandas().copy()  # Arrow's own memory is not to be changed
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = memory.values(column)
        if values is not None:
            return _with_missing(_writable(values), column) if missing else values
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        values = memory.values(column)
        if values is not None:
            if missing:
                values = _writable(values)
                values[_nulls(column)] = "NaT"
            zone = getattr(kind, "tz", None)
            return values if zone is None else pd.Series(values).dt.tz_localize("UTC").dt.tz_convert(zone)
    if missing and kind in _NULLABLE:
        return _NULLABLE[kind].__from_arrow__(column)
    made = column.to_pandas()
    return made.copy() if pa.types.is_dictionary(kind) else made


def _with_missing(values: np.ndarray[Any, Any], column: pa.ChunkedArray) -> Any:
    nulls = _nulls(column)
    if column.type in _NULLABLE:
        values[nulls] = 1  # what pandas has there, so that equal columns are equal bytes
        return _NULLABLE[column.type].construct_array_type()(values, nulls)
    values[nulls] = np.nan
    return values


def _writable(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values if values.flags.writeable else values.copy()


def _nulls(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    nulls: np.ndarray[Any, Any] = pc.is_null(column).to_numpy()
    return nulls
