"""The notes that pandas keeps in Arrow and Parquet files: what the index was, and which dtypes there were.

Other readers pass over them; with them pandas (and our own import) makes the frame that was exported.
"""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa

from framekeep.exporting.window import Window


def noted(table: pa.Table, window: Window) -> pa.Table:
    """Return the table of a window with pandas' notes; as it is where they would say what is not so."""
    labels = window.heading.labels
    index = pd.RangeIndex(0) if window.numbered else window.index[:0]
    empty = pd.DataFrame({i: array[:0] for i, array in enumerate(window.arrays)}, index=index)
    empty.columns = pd.Index(labels, tupleize_cols=False) if len(labels) else pd.RangeIndex(0)
    try:
        schema = pa.Schema.from_pandas(empty, preserve_index=None if window.numbered else True)
        if schema.names != table.schema.names:
            return table
        notes = schema.pandas_metadata
        if window.numbered:
            notes["index_columns"] = []  # it would give the length of the empty frame
        made = table.replace_schema_metadata({"pandas": json.dumps(notes)})
        made.schema.empty_table().to_pandas()
    except Exception:  # pyarrow and pandas have many, for types that only one of them knows
        return table
    return made
