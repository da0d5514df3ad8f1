"""How a table is written, beyond its format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Choices of who asks for a file; each format uses those it knows.

    Attributes:
        orient: JSON: "rows" gives a list for each row, "records" an object.
        neutralize_formulas: CSV and TSV: texts and headers that a spreadsheet would run as a formula get an
            apostrophe before them. Numbers are not touched.
    """

    orient: str = "rows"
    neutralize_formulas: bool = False
