"""FrameCodec: frames to chunks and back, exactly or not at all (I6)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from framekeep.errors import (
    BlobMissing,
    DamagedError,
    DataFrameTooLargeError,
    InvalidInputError,
    NotADataFrameError,
    SessionDamagedError,
    UnknownColumnError,
    UnsupportedTypeError,
)
from framekeep.frames import arrays, axes
from framekeep.frames.arrays import Encoding, Loader
from framekeep.frames.borrow import arrow_nbytes, assemble, column_arrays, lent, lent_index, same_bytes
from framekeep.frames.cache import Cache
from framekeep.frames.diff import FrameDiff, diff
from framekeep.frames.envelope import Envelope
from framekeep.frames.manifest import Manifest, manifest_bytes, parse, place
from framekeep.frames.node import Node, Ref
from framekeep.frames.reading import Reader, named, read_bare, read_jobs, verified
from framekeep.frames.signing import SignedPickler
from framekeep.frames.tables import table_of
from framekeep.frames.window import Windows
from framekeep.frames.writing import ChunkWriter, Stage, start
from framekeep.names import Digest

_PARALLEL_BYTES: Final = 4 << 20
_MANY: Final = 4
"""From so many large columns on, threads take a column each: less to hand over than with a chunk each."""


class Damage(NamedTuple):
    """One damaged or missing chunk.

    Attributes:
        where: the column (or index, labels, manifest) it belongs to.
        problem: what is wrong with it.
    """

    where: str
    problem: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A frame taken apart.

    Attributes:
        manifest: what it is made of.
        blobs: what the space does not hold yet, the manifest's own bytes included.
        staged: whether some chunks were staged already: the commit must then say what it keeps.
    """

    manifest: Manifest
    blobs: Mapping[Digest, bytes]
    staged: bool


class FrameCodec:
    """Takes frames apart into named chunks and puts them together again; thread-safe.

    Args:
        codec: "auto", "lz4", "snappy", "zstd" or "gzip"; only how new chunks are stored.
        compress: False stores new chunks as they are.
        max_frame_bytes: larger frames are refused; None accepts any.
        pickle_key: lets cells without an exact encoding be kept as pickles signed with this key, and opens
            only those; None refuses both.
        cache_bytes: bound of the cache of decoded columns and manifests.
    """

    def __init__(
        self,
        *,
        codec: str = "auto",
        compress: bool = True,
        max_frame_bytes: int | None = None,
        pickle_key: bytes | None = None,
        cache_bytes: int = 512 << 20,
    ) -> None:
        self._envelope = Envelope(codec, compress)
        self._limit = max_frame_bytes
        self._pickler = SignedPickler(pickle_key) if pickle_key is not None else None
        self._cache = Cache(cache_bytes)
        self._windows = Windows(self._cache, self._pickler, self._run)
        self._spoiled: set[Digest] = set()
        """Chunks found missing or damaged: written again when a frame has them, whatever is there."""

    # --- writing --------------------------------------------------------------------------------

    def encode(
        self,
        frame: object,
        *,
        present: frozenset[Digest] = frozenset(),
        previous: Manifest | None = None,
        stage: Stage | None = None,
    ) -> Encoded:
        """Take a frame apart.

        Args:
            frame: a pandas DataFrame, or anything with ``__arrow_c_stream__`` (its columns become
                ArrowDtype columns of the same types).
            present: names of chunks the space holds already; they are not produced again.
            previous: the state the frame probably came from, all of it ``present``: a column that equals its
                cached one byte for byte is not hashed.
            stage: stores blobs ahead of the commit once 16 MiB of them wait.

        Raises:
            NotADataFrameError: for anything else.
            UnsupportedTypeError: for a value that cannot be kept exactly; names the column and the type.
            DataFrameTooLargeError: if the frame exceeds ``max_frame_bytes``; nothing was staged then.
        """
        data = as_frame(frame)
        if self._spoiled:
            present -= self._spoiled
        writer = ChunkWriter(self._envelope, present)
        try:
            manifest = self._written(data, Encoding(writer, self._pickler), previous, stage)
        finally:
            writer.settle()
        self._spoiled -= writer.names()
        if axes.shareable(manifest.columns):  # else the caller can change what they say
            self._cache.put(manifest.digest, manifest, _manifest_cost(manifest))
        return Encoded(manifest, writer.blobs, writer.staged)

    def _written(
        self, data: pd.DataFrame, to: Encoding, previous: Manifest | None, stage: Stage | None
    ) -> Manifest:
        columns = list(column_arrays(data))
        known = self._known(data.columns, columns, to.writer.present, previous)
        sizes = [node.nbytes if node else _size(array) for array, node in zip(columns, known, strict=True)]
        total = sum(sizes)
        self._check_bytes(total)
        if self._limit is None:
            to.writer.stage = stage
        index = axes.encode(data.index, to.at("index"))
        axis = axes.encode(data.columns, to.at("column labels"))
        total += index.nbytes + axis.nbytes
        self._check_bytes(total)
        if self._limit is not None:
            # What only encoding can measure comes first: of a frame that is refused nothing may be staged.
            for i, array in enumerate(columns):
                if known[i] is None and _holds_objects(array):
                    node = arrays.encode(array, to.at(place(data.columns[i])))
                    known[i], total = node, total + node.nbytes - sizes[i]
                    self._check_bytes(total)
            to.writer.stage = stage
        nodes = self._nodes(data.columns, columns, known, to)
        attrs = to.at("attrs").dump(data.attrs) if data.attrs else None
        unique = not data.flags.allows_duplicate_labels
        digest = to.writer.put(manifest_bytes(index, axis, nodes, attrs, unique))
        # A deep copy: the memory of an Index may be an array that the caller goes on to change.
        labels = lent_index(data.columns.copy(deep=True))
        return Manifest(digest, len(data), labels, index, axis, nodes, attrs, unique)

    def _nodes(
        self, labels: pd.Index, columns: Sequence[Any], known: Sequence[Node | None], to: Encoding
    ) -> tuple[Node, ...]:
        """Return the node of each column, those that are not known written."""
        todo = [(i, to.at(place(labels[i]))) for i, node in enumerate(known) if node is None]
        made = list(known)
        if len(todo) < _MANY or 8 * len(todo) * len(columns[0]) < 2 * _PARALLEL_BYTES:
            for i, at in todo:
                made[i] = arrays.encode(columns[i], at)
        else:
            to.writer.by_column = True
            futures = [(i, start(arrays.encode, columns[i], at)) for i, at in todo]
            try:
                for i, future in futures:
                    made[i] = future.result()
            finally:
                wait([future for _, future in futures if not future.cancel()])
                to.writer.by_column = False
        return tuple(node for node in made if node is not None)

    def _known(
        self,
        labels: pd.Index,
        columns: Sequence[Any],
        present: frozenset[Digest],
        previous: Manifest | None,
    ) -> list[Node | None]:
        """Return the stored node of each column that is known to be in the space already.

        It is, if its memory says so, or if it equals the previous state's cached one byte for byte.
        """
        found = [arrays.stored(array, present) for array in columns]
        if previous is None or not previous.columns.identical(labels):
            return found
        pairs = [
            (i, node, cached)
            for i, node in enumerate(previous.arrays)
            if found[i] is None and (cached := self._cache.peek(node.key)) is not None
        ]
        if sum(node.nbytes for _, node, _ in pairs) >= _PARALLEL_BYTES:
            started = [start(same_bytes, columns[i], cached) for i, _, cached in pairs]
            same: Iterable[bool] = (future.result() for future in started)
        else:
            same = (same_bytes(columns[i], cached) for i, _, cached in pairs)
        for (i, node, _), equal in zip(pairs, same, strict=True):
            if equal and node.names <= present:
                found[i] = node
        return found

    def _check_bytes(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise DataFrameTooLargeError(
                f"The frame has {size / 1e6:,.1f} MB of data; at most {self._limit / 1e6:,.1f} MB are "
                "accepted (MAX_DATAFRAME_SIZE_MB). Nothing was stored: raise the limit, or drop columns "
                "or rows."
            )

    # --- reading --------------------------------------------------------------------------------

    def manifest(self, read: Reader, digest: Digest) -> Manifest:
        """Return the manifest of that name.

        Raises:
            BlobMissing: it, or the chunks of its labels, are not in the space.
            SessionDamagedError: it is not what was written.
        """
        cached: Manifest | None = self._cache.get(digest)
        if cached is not None:
            return cached
        parsed = parse(read_bare(read, digest, "manifest"))
        manifest = parsed.named(digest, self._labels(read, parsed.axis))
        self._cache.put(digest, manifest, _manifest_cost(manifest))
        return manifest

    def decode(self, read: Reader, manifest: Manifest, *, copy: bool = False) -> pd.DataFrame:
        """Return the frame.

        Args:
            copy: False: memory is shared with the cache, and pandas copies a column the first time it is
                written to; the frame may be changed at will. True: all memory is the caller's own now.

        Raises:
            BlobMissing: a chunk is not in the space.
            SessionDamagedError: a chunk is not what was written; names the column.
        """
        places = range(len(manifest.arrays))
        return self._frame(read, manifest, manifest.columns, places, 0, manifest.rows, copy=copy)

    def page(
        self,
        read: Reader,
        manifest: Manifest,
        offset: int,
        limit: int,
        columns: Sequence[Hashable] | None = None,
    ) -> pd.DataFrame:
        """Return rows ``[offset, offset + limit)``, reading only the chunks that hold them.

        Args:
            columns: labels, in the order wanted; a label that repeats gives each of its columns. None: all.

        Raises:
            UnknownColumnError: for a label the frame does not have.
            InvalidInputError: if ``offset`` or ``limit`` is negative.
        """
        if offset < 0 or limit < 0:
            raise InvalidInputError("offset and limit must not be negative.")
        places = _places(manifest.columns, columns)
        start = min(offset, manifest.rows)
        stop = min(offset + limit, manifest.rows)
        labels = manifest.columns if columns is None else manifest.columns[list(places)]
        return self._frame(read, manifest, labels, places, start, stop)

    def window(
        self, read: Reader, manifest: Manifest, places: Sequence[int], start: int, stop: int
    ) -> tuple[list[Any], pd.Index]:
        """Return the arrays at ``places`` and the index for rows ``[start, stop)``, to be looked at only.

        Unlike those of ``columns`` they are shared as they are: who gets them must change nothing of them.
        """
        return self._windows.window(read, manifest, places, start, stop)

    def table(self, read: Reader, manifest: Manifest) -> pa.Table:
        """Return the frame as a pyarrow Table (see ``tables.py`` for the index and for what Arrow lacks)."""
        return table_of(self.decode(read, manifest))

    def verify(self, read: Reader, manifest: Manifest) -> list[Damage]:
        """Check every chunk of a frame against its name, and that each node can be built."""
        found: list[Damage] = []
        for where, node in manifest.places():
            before = len(found)
            for track in node.walk():
                for ref in track.refs():
                    bad = len(found)
                    _verify_chunk(read, ref, where, found)
                    if len(found) > bad:
                        self._spoiled.add(ref.digest)
            if len(found) == before:
                loader = Loader(self._pickler, where=where)
                try:
                    build = axes.build if where in ("index", "column labels") else arrays.build
                    self._made(read, loader, build(node, loader), where)
                except (DamagedError, UnsupportedTypeError) as error:
                    found.append(Damage(where, str(error)))
        return found

    def diff(self, read: Reader, a: Manifest, b: Manifest, *, samples: int = 10) -> FrameDiff:
        """Compare two states of one space; chunks of one name are not looked at."""
        return diff(
            a,
            b,
            lambda manifest, places, start, stop: self.columns(read, manifest, places, start, stop),
            lambda manifest: self._index(read, manifest, 0, manifest.rows),
            samples=samples,
        )

    @property
    def cache(self) -> Cache:
        """What is kept decoded. Others may keep there what they make of frames, by the names of its parts."""
        return self._cache

    def clear(self) -> None:
        """Forget every cached column and manifest."""
        self._cache.clear()

    def cache_info(self) -> dict[str, int]:
        """Return bytes held, bound, hits and misses of the cache."""
        cache = self._cache
        return {"bytes": cache.bytes, "limit": cache.limit, "hits": cache.hits, "misses": cache.misses}

    def columns(
        self, read: Reader, manifest: Manifest, places: Sequence[int], start: int = 0, stop: int | None = None
    ) -> list[Any]:
        """Return the arrays at ``places`` for rows ``[start, stop)``, each lent (``borrow.lent``)."""
        end = manifest.rows if stop is None else stop
        whole = start == 0 and end == manifest.rows
        loader = Loader(self._pickler)
        found: dict[int, Any] = {}
        builds: dict[int, Callable[[], Any]] = {}
        held = self._cache.get_all([manifest.arrays[i].key for i in places])
        for i, cached in zip(places, held, strict=True):
            if cached is not None:
                found[i] = cached if whole else cached[start:end]
            elif i not in builds:
                loader.where = place(manifest.columns[i])
                builds[i] = self._guarded(loader, arrays.build, manifest.arrays[i], start, end)
        self._run(read, loader)
        for i, build in builds.items():
            node = manifest.arrays[i]
            found[i] = self._built(build, place(manifest.columns[i]))
            if whole and arrays.shareable(node, found[i]):
                self._cache.put(node.key, found[i], node.nbytes)
        return [lent(found[i]) for i in places]

    def _own_columns(self, read: Reader, manifest: Manifest) -> list[Any]:
        """Return all arrays, in memory of their own."""
        loader = Loader(self._pickler, own=True)
        builds: list[tuple[str, Callable[[], Any]]] = []
        for label, node in zip(manifest.columns, manifest.arrays, strict=True):
            loader.where = place(label)
            builds.append((loader.where, self._guarded(loader, arrays.build, node, 0, manifest.rows)))
        self._run(read, loader)
        return [self._built(build, where) for where, build in builds]

    def _frame(
        self,
        read: Reader,
        manifest: Manifest,
        labels: pd.Index,
        places: Sequence[int],
        start: int,
        stop: int,
        *,
        copy: bool = False,
    ) -> pd.DataFrame:
        # What is not cached is read for this caller alone: caching it too would take the memory twice.
        own = copy and all(self._cache.peek(manifest.arrays[i].key) is None for i in places)
        if own:
            columns = self._own_columns(read, manifest)
        else:
            columns = self.columns(read, manifest, places, start, stop)
        index = self._index(read, manifest, start, stop)
        if not axes.shareable(labels):
            fresh = self._labels(read, manifest.axis)
            labels = fresh if labels is manifest.columns else fresh[list(places)]
        frame = assemble(columns, index, lent_index(labels), copy=copy and not own, own=own)
        if manifest.attrs is not None:
            frame.attrs = arrays.undump(manifest.attrs, self._pickler)
        if manifest.unique_labels and len(set(places)) == len(places):
            frame = frame.set_flags(allows_duplicate_labels=False)
        return frame

    def _index(self, read: Reader, manifest: Manifest, start: int, stop: int) -> pd.Index:
        node = manifest.index
        whole = start == 0 and stop == manifest.rows
        cached: pd.Index | None = self._cache.get(node.key)
        if cached is not None:
            return lent_index(cached if whole else cached[start:stop])
        loader = Loader(self._pickler, where="index")
        index: pd.Index = self._made(
            read, loader, self._guarded(loader, axes.build, node, start, stop), "index"
        )
        if whole and axes.shareable(index):
            self._cache.put(node.key, index, node.nbytes)
            return lent_index(index)
        return index

    def _labels(self, read: Reader, axis: Node) -> pd.Index:
        loader = Loader(self._pickler, where="column labels")
        made = self._guarded(loader, axes.build, axis)
        labels: pd.Index = self._made(read, loader, made, "column labels")
        return labels

    def _guarded(self, loader: Loader, build: Any, node: Node, *window: int) -> Callable[[], Any]:
        try:
            made: Callable[[], Any] = build(node, loader, *window)
        except DamagedError as error:
            raise named(error, loader.where) from error
        return made

    def _made(self, read: Reader, loader: Loader, build: Callable[[], Any], where: str) -> Any:
        self._run(read, loader)
        return self._built(build, where)

    @staticmethod
    def _built(build: Callable[[], Any], where: str) -> Any:
        try:
            return build()
        except DamagedError as error:
            raise named(error, where) from error

    def _run(self, read: Reader, loader: Loader) -> None:
        try:
            read_jobs(read, loader.jobs)
        except BlobMissing as error:
            self._spoiled.update(Digest(digest) for digest in error.digests)
            raise
        except SessionDamagedError as error:
            if error.digest is not None:
                self._spoiled.add(Digest(error.digest))
            raise


def as_frame(frame: object) -> pd.DataFrame:
    """Return a DataFrame for what Framekeep accepts as one.

    Raises:
        NotADataFrameError: for anything else.
    """
    if type(frame) is pd.DataFrame:
        return frame
    name = f"{type(frame).__module__}.{type(frame).__qualname__}"
    if isinstance(frame, pd.DataFrame):
        raise NotADataFrameError(
            f"{name} is a subclass of DataFrame and would come back as a plain one: "
            "pass pandas.DataFrame(frame)."
        )
    if isinstance(frame, pd.Series):
        raise NotADataFrameError("A Series is not a DataFrame: pass series.to_frame().")
    if not hasattr(frame, "__arrow_c_stream__"):
        raise NotADataFrameError(
            f"{name} is not a DataFrame: pass a pandas DataFrame or an object with __arrow_c_stream__ "
            "(polars, pyarrow, duckdb)."
        )
    try:
        table = pa.table(frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise NotADataFrameError(
            f"{name} does not give a table through __arrow_c_stream__: {error}"
        ) from error
    columns = [pd.arrays.ArrowExtensionArray(column) for column in table.columns]
    labels = pd.Index(table.column_names, dtype="str") if columns else pd.RangeIndex(0)
    return assemble(columns, pd.RangeIndex(table.num_rows), labels)


def _places(labels: pd.Index, wanted: Sequence[Hashable] | None) -> Sequence[int]:
    if wanted is None:
        return range(len(labels))
    if isinstance(wanted, str):
        raise UnknownColumnError("columns must be a list of labels, not one string.")
    places: list[int] = []
    for label in wanted:
        try:
            found = (
                labels.get_indexer_for(pd.Index([label]))
                if not isinstance(label, tuple)
                else _tuple(labels, label)
            )
        except (TypeError, ValueError) as error:
            raise UnknownColumnError(f"The frame has no {place(label)}.") from error
        hits = [int(i) for i in found if i >= 0]
        if not hits:
            raise UnknownColumnError(f"The frame has no {place(label)}; ask get_metadata for its columns.")
        places.extend(hits)
    return places


def _tuple(labels: pd.Index, label: tuple[Hashable, ...]) -> Sequence[int]:
    return [i for i, have in enumerate(labels) if have == label]


def _manifest_cost(manifest: Manifest) -> int:
    return sum(len(node.tables) + len(node.json) for node in manifest.nodes()) * 2 + 1024


def _size(array: Any) -> int:
    """Return the bytes of an array, without the Python objects and the categories it refers to."""
    data = getattr(array, "_pa_array", None)
    if data is not None:
        return arrow_nbytes(data)
    # Categorical.nbytes makes an object of each category that is a period or an instant with a zone.
    return int(array.codes.nbytes if isinstance(array, pd.Categorical) else array.nbytes)


def _holds_objects(array: Any) -> bool:
    """Whether ``_size`` may leave something out."""
    kinds = pd.Categorical | pd.arrays.SparseArray | pd.arrays.StringArray
    return array.dtype == np.dtype(object) or isinstance(array, kinds)


def _verify_chunk(read: Reader, ref: Ref, where: str, found: list[Damage]) -> None:
    def visit(_: int, blob: memoryview) -> None:
        problem = verified(ref, blob)
        if problem is not None:
            found.append(Damage(where, problem))

    try:
        read([ref.digest], visit)
    except BlobMissing:
        found.append(Damage(where, f"chunk {ref.digest.hex()} is missing"))
