"""Manifests and chunks that say what is not so, every digest right, are refused and ask for no memory."""

from __future__ import annotations

import tracemalloc

import pandas as pd
import pytest
from forgeries import FORGED, LIMIT, column, deep, doubled
from forging import REFUSALS, Forged

from framekeep.errors import DamagedFileError
from framekeep.frames import pack, unpack
from framekeep.testing.identical import assert_identical


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_frame_is_refused_and_asks_for_no_memory(name: str) -> None:
    make, forge = FORGED[name]
    forged = Forged.of(make())
    forge(forged)
    data = forged.container()
    tracemalloc.start()
    try:
        with pytest.raises(REFUSALS):
            unpack(data, max_bytes=LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 24


@pytest.mark.parametrize("name", FORGED)
def test_what_is_forged_is_read_when_it_is_not(name: str) -> None:
    frame = FORGED[name][0]()
    assert_identical(unpack(Forged.of(frame).container(), max_bytes=LIMIT), frame)


@pytest.mark.parametrize(
    "cell",
    [deep(50_000), doubled(60), pd.Index([deep(50_000), 1], dtype=object, tupleize_cols=False)],
    ids=["crash", "no end", "in a nested index"],
)
def test_a_tuple_that_cannot_be_hashed_is_refused(cell: object) -> None:
    with pytest.raises(DamagedFileError, match=r"column 'a'.*tuple"):
        unpack(b"".join(pack(column(pd.Series([cell], dtype=object)))))


def test_damage_names_the_column() -> None:
    forged = Forged.of(pd.DataFrame({"fine": [1], "flag": [True]}))
    forged.change_chunk(forged.refs[-1][0], b"\x02")
    with pytest.raises(DamagedFileError, match="column 'flag'") as caught:
        unpack(forged.container())
    assert caught.value.where == "column 'flag'"
