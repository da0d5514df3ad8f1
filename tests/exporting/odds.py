"""The corpus of odd frames by kind: those that are kept, but not the long ones, which are about chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pandas as pd
from odd.corpus import CORPUS, Odd

KINDS: dict[str, list[Odd]] = defaultdict(list)
for _odd in CORPUS.values():
    if _odd.fate == "kept" and not _odd.heavy and not _odd.row.startswith("border/"):
        KINDS[_odd.row].append(_odd)


def check_each(kind: str, check: Callable[[pd.DataFrame], None]) -> None:
    """Check the frames of a kind; what is raised for one gets its name as a note."""
    for odd in KINDS[kind]:
        try:
            check(odd.build())
        except Exception as error:
            error.add_note(odd.name)
            raise
