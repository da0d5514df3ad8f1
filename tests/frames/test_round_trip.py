"""Every odd frame comes back identical, or is refused by name; none comes back changed."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from odd.corpus import CORPUS, Odd

from framekeep.errors import BlobMissing, NotADataFrameError, UnsupportedTypeError
from framekeep.frames import FrameCodec, Manifest, Visit
from framekeep.names import Digest
from framekeep.testing.frames import frames
from framekeep.testing.identical import differences

ROWS: dict[str, list[Odd]] = defaultdict(list)
for _odd in CORPUS.values():
    if _odd.fate == "kept" and not _odd.heavy:
        ROWS[_odd.row].append(_odd)
REFUSALS = (UnsupportedTypeError, NotADataFrameError)


class Shelf:
    """The blobs of one space, by digest: all that a codec knows of an engine."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}

    def put(self, frame: object, codec: FrameCodec | None = None) -> Digest:
        encoded = (codec or FrameCodec()).encode(
            frame, present=frozenset(self.blobs), stage=self.blobs.update
        )
        self.blobs.update(encoded.blobs)
        return encoded.manifest.digest

    def read(self, digests: Sequence[Digest], visit: Visit) -> None:
        missing = [digest for digest in digests if digest not in self.blobs]
        if missing:
            raise BlobMissing(missing)
        for position, digest in enumerate(digests):
            visit(position, memoryview(self.blobs[digest]))

    def open(self, digest: Digest) -> tuple[FrameCodec, Manifest]:
        codec = FrameCodec()
        return codec, codec.manifest(self.read, digest)


class Kept(NamedTuple):
    """A frame on a shelf of its own, opened by a codec that never saw it."""

    name: str
    frame: pd.DataFrame
    codec: FrameCodec
    manifest: Manifest
    shelf: Shelf


def keep(odd: Odd) -> Kept:
    frame, shelf = odd.build(), Shelf()
    return Kept(odd.name, frame, *shelf.open(shelf.put(frame)), shelf)


@pytest.mark.parametrize("name", [name for name, odd in CORPUS.items() if odd.fate == "kept"])
def test_comes_back_identical_cold_warm_and_copied(name: str) -> None:
    frame, shelf = CORPUS[name].build(), Shelf()
    codec, manifest = shelf.open(shelf.put(frame))
    assert differences(frame, codec.decode(shelf.read, manifest)) == []
    assert differences(frame, codec.decode(shelf.read, manifest)) == []
    assert differences(frame, codec.decode(shelf.read, manifest, copy=True)) == []


@pytest.mark.parametrize("name", [name for name, odd in CORPUS.items() if odd.fate == "refused"])
def test_is_refused_by_the_name_of_what_holds_it(name: str) -> None:
    shelf = Shelf()
    with pytest.raises(REFUSALS) as refusal:
        shelf.put(CORPUS[name].build())
    assert not shelf.blobs
    if isinstance(refusal.value, UnsupportedTypeError) and isinstance(CORPUS[name].build(), pd.DataFrame):
        assert refusal.value.type_name
        assert refusal.value.where


@pytest.mark.parametrize("name", [name for name, odd in CORPUS.items() if odd.fate == "either"])
def test_is_kept_exactly_or_refused(name: str) -> None:
    frame, shelf = CORPUS[name].build(), Shelf()
    try:
        digest = shelf.put(frame)
    except UnsupportedTypeError:
        return
    codec, manifest = shelf.open(digest)
    assert differences(frame, codec.decode(shelf.read, manifest)) == []


# --- writing to what was given back -------------------------------------------------------------------


def copy_last_row_to_first(frame: pd.DataFrame) -> None:
    for position in range(min(frame.shape[1], 8)):
        if len(frame):
            frame.iloc[0, position] = frame.iloc[-1, position]


def reverse_columns_in_place(frame: pd.DataFrame) -> None:
    for position in range(min(frame.shape[1], 8)):
        frame.iloc[::-1, position] = frame.iloc[:, position].array


def write_one_cell(frame: pd.DataFrame) -> None:
    if frame.size:
        frame.iat[0, 0] = frame.iat[len(frame) - 1, 0]


def write_by_label(frame: pd.DataFrame) -> None:
    if frame.size:
        frame.loc[:, frame.columns[0]] = frame.iloc[-1, 0]


def write_by_mask(frame: pd.DataFrame) -> None:
    if frame.size:
        frame.loc[[True] * len(frame), frame.columns[-1]] = None


def add_in_place(frame: pd.DataFrame) -> None:
    for label in frame.columns[:4]:
        frame[label] += 1


def fill_in_place(frame: pd.DataFrame) -> None:
    frame.fillna(0, inplace=True)


def replace_column(frame: pd.DataFrame) -> None:
    if frame.shape[1]:
        frame.isetitem(0, range(len(frame)))


def insert_column(frame: pd.DataFrame) -> None:
    frame.insert(0, "new column", range(len(frame)))


def sort_in_place(frame: pd.DataFrame) -> None:
    frame.sort_index(inplace=True, ascending=False)


def rename_axes(frame: pd.DataFrame) -> None:
    frame.index.names = ["renamed"] * frame.index.nlevels
    frame.columns = range(frame.shape[1])


def write_attrs(frame: pd.DataFrame) -> None:
    frame.attrs["new"] = 1


WRITES: list[Callable[[pd.DataFrame], None]] = [
    copy_last_row_to_first, reverse_columns_in_place, write_one_cell, write_by_label, write_by_mask,
    add_in_place, fill_in_place, replace_column, insert_column, sort_in_place, rename_axes, write_attrs,
]  # fmt: skip


def outcome(write: Callable[[pd.DataFrame], None], frame: pd.DataFrame) -> str | None:
    """Tell how pandas fails to write, if it does: some arrays cannot be written to."""
    try:
        write(frame)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:60]}"
    return None


# --- one type at a time ---------------------------------------------------------------------------


def spelled_out(frame: pd.DataFrame) -> pd.DataFrame:
    """Give RangeIndexes the stop that their last label asks for: pandas' own slices differ in it."""
    for axis in (0, 1):
        labels = frame.axes[axis]
        if type(labels) is pd.RangeIndex:
            stop = labels.start + labels.step * len(labels)
            spelled = pd.RangeIndex(labels.start, stop, labels.step, name=labels.name)
            frame = frame.set_axis(spelled, axis=axis)
    return frame


@pytest.fixture(scope="class", params=list(ROWS))
def kept(request: pytest.FixtureRequest) -> list[Kept]:
    return [keep(odd) for odd in ROWS[request.param]]


class TestFramesOfOneType:
    """Each row of the type matrix in turn: its frames are encoded once for all tests of this class."""

    def test_the_same_frame_has_the_same_name_and_needs_no_new_blobs(self, kept: list[Kept]) -> None:
        for name, _, _, manifest, shelf in kept:
            again = FrameCodec().encode(CORPUS[name].build(), present=frozenset(shelf.blobs))
            assert again.manifest.digest == manifest.digest, name
            assert not set(again.blobs) - set(shelf.blobs), name

    def test_encoding_leaves_the_frame_as_it_was(self, kept: list[Kept]) -> None:
        for name, frame, *_ in kept:
            assert differences(CORPUS[name].build(), frame) == [], name

    def test_a_manifest_names_all_blobs_and_tells_the_shape(self, kept: list[Kept]) -> None:
        for name, frame, _, manifest, shelf in kept:
            assert manifest.digests == frozenset(shelf.blobs), name
            assert (manifest.rows, len(manifest.columns)) == frame.shape, name
            assert len(manifest.dtypes) == frame.shape[1], name
            assert differences(frame.columns, manifest.columns) == [], name

    def test_a_page_equals_the_slice_of_the_frame(self, kept: list[Kept]) -> None:
        for name, frame, codec, manifest, shelf in kept:
            if name == "arrow/dictionary_int32/other_dictionaries":
                continue  # chunks with a dictionary each: a page has one for all, a slice those it touches
            rows = len(frame)
            for offset, limit in {(0, 1), (0, rows), (rows // 2, 2), (max(rows - 2, 0), 5), (1, rows)}:
                if offset >= rows > 0:
                    continue
                page = codec.page(shelf.read, manifest, offset, limit)
                want = frame.iloc[offset : offset + limit]
                assert differences(spelled_out(want), spelled_out(page)) == [], (name, offset, limit)

    def test_a_page_behind_the_end_has_no_rows_and_the_dtypes_of_the_frame(self, kept: list[Kept]) -> None:
        for name, frame, codec, manifest, shelf in kept:
            page = codec.page(shelf.read, manifest, len(frame), 3)
            assert page.shape == (0, frame.shape[1]), name
            assert page.dtypes.to_list() == frame.dtypes.to_list(), name
            assert differences(page.columns, frame.columns) == [], name

    def test_every_chunk_verifies(self, kept: list[Kept]) -> None:
        for name, _, codec, manifest, shelf in kept:
            assert codec.verify(shelf.read, manifest) == [], name

    def test_a_frame_does_not_differ_from_itself(self, kept: list[Kept]) -> None:
        for name, _, codec, manifest, shelf in kept:
            diff = codec.diff(shelf.read, manifest, manifest)
            assert not diff.columns_changed, name
            assert not diff.index_changed, name

    @pytest.mark.filterwarnings("ignore")  # what pandas says of odd writes it says of the original too
    def test_a_write_does_as_to_the_original_and_no_other_reader_sees_it(self, kept: list[Kept]) -> None:
        for name, frame, codec, manifest, shelf in kept[:2]:
            for write in WRITES:
                given_back, original = codec.decode(shelf.read, manifest), frame.copy(deep=True)
                failure, ours = outcome(write, original), outcome(write, given_back)
                if failure is None:  # what pandas does when it fails half way depends on its blocks
                    assert ours is None, (name, write)
                    assert differences(original, given_back) == [], (name, write)
            assert differences(frame, codec.decode(shelf.read, manifest)) == [], name


@pytest.mark.parametrize("copy", [False, True])
def test_an_array_in_a_cell_can_be_written_to_exactly_when_the_original_can(copy: bool) -> None:
    for kind in ("ndarray", "ndarray_object", "ndarray_read_only", "ndarray_object_read_only"):
        name, frame, codec, manifest, shelf = keep(CORPUS[f"cell/{kind}/alone"])
        cell = codec.decode(shelf.read, manifest, copy=copy).iat[0, 0]
        assert cell.flags.writeable is frame.iat[0, 0].flags.writeable is ("read_only" not in kind), name


def test_mutable_cells_are_not_shared_between_readers() -> None:
    for kind in ("list", "dict", "set", "bytearray", "ndarray", "ndarray_object", "deque", "frame", "series"):
        name, frame, codec, manifest, shelf = keep(CORPUS[f"cell/{kind}/alone"])
        cell = codec.decode(shelf.read, manifest).iat[0, 0]
        assert cell is not codec.decode(shelf.read, manifest).iat[0, 0], name
        if isinstance(cell, pd.DataFrame | pd.Series):
            cell.iloc[0] = cell.iloc[-1]
        elif isinstance(cell, np.ndarray):
            cell[...] = 0
        else:
            cell.clear()
        assert differences(frame, codec.decode(shelf.read, manifest)) == [], name


# --- the whole, and frames nobody thought of ----------------------------------------------------------


def given_back_by_pickle(frame: object) -> bool:
    try:
        return not differences(frame, pickle.loads(pickle.dumps(frame, 5)))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError, NotImplementedError):
        return False


def given_back(frame: object) -> str:
    shelf = Shelf()
    try:
        digest = shelf.put(frame)
    except REFUSALS:
        return "refused"
    codec, manifest = shelf.open(digest)
    return "changed" if differences(frame, codec.decode(shelf.read, manifest)) else "exact"


def test_as_many_frames_come_back_as_pickle_gives_back_and_none_changed() -> None:
    ours: Counter[str] = Counter()
    pickled = 0
    for odd in CORPUS.values():
        if odd.fate == "refused" or odd.heavy:
            continue  # refused: what only running stored code could bring back
        frame = odd.build()
        ours[given_back(frame)] += 1
        pickled += given_back_by_pickle(frame)
    assert ours["changed"] == 0
    assert ours["exact"] >= pickled, (ours, pickled)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_frame_comes_back_identical(frame: pd.DataFrame) -> None:
    shelf = Shelf()
    codec, manifest = shelf.open(shelf.put(frame))
    assert differences(frame, codec.decode(shelf.read, manifest)) == []
    assert differences(frame, codec.decode(shelf.read, manifest, copy=True)) == []


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames(max_rows=40, max_columns=10))
def test_any_of_many_frames_comes_back_identical(frame: pd.DataFrame) -> None:
    shelf = Shelf()
    codec, manifest = shelf.open(shelf.put(frame))
    assert differences(frame, codec.decode(shelf.read, manifest)) == []
