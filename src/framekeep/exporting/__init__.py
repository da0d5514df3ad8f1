"""Tables written for others to read: JSON, JSON lines, CSV, TSV, Arrow, Parquet, Excel. No I/O, no sessions.

Knows arrays, not how frames are stored. Every writer gives pieces of bounded size and never holds a whole
file.
"""

from framekeep.exporting.documents import json_values, page_json
from framekeep.exporting.labels import label_text, resolve_columns
from framekeep.exporting.media import FORMATS, Format, format_accepted, format_named, format_of
from framekeep.exporting.options import ExportOptions
from framekeep.exporting.window import Heading, Window
from framekeep.exporting.write import Export, export

__all__ = [
    "FORMATS",
    "Export",
    "ExportOptions",
    "Format",
    "Heading",
    "Window",
    "export",
    "format_accepted",
    "format_named",
    "format_of",
    "json_values",
    "label_text",
    "page_json",
    "resolve_columns",
]
