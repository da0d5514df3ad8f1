"""From chunks to arrays: read in few large requests, checked, and filled in from several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from framekeep.errors import DamagedError, SessionDamagedError
from framekeep.frames.arrays import Job
from framekeep.frames.envelope import expand
from framekeep.frames.node import Ref
from framekeep.frames.writing import start
from framekeep.names import Buffer, Digest, checksum_of, digest_of

Visit: TypeAlias = Callable[[int, memoryview], None]
Reader: TypeAlias = Callable[[Sequence[Digest], Visit], None]
"""Calls ``visit(i, buffer)`` for each digest; the buffer is lent for the call. Raises BlobMissing."""

_PARALLEL_BYTES: Final = 2 << 20
_THREADS: Final = 2
"""More readers than two saturate the memory bus of a small machine and help nobody else on it."""


def read_jobs(read: Reader, jobs: Sequence[Job]) -> None:
    """Read the chunks of ``jobs`` and fill their targets.

    Raises:
        BlobMissing: a chunk is not in the space.
        SessionDamagedError: a chunk is not what was written; ``where`` names its column.
    """
    parts = [jobs]
    if sum(job.ref.nbytes for job in jobs) >= _PARALLEL_BYTES and len(jobs) > 1:
        parts = list(_shares(jobs, _THREADS))
    others = [start(read_serially, read, part) for part in parts[1:]]
    try:
        read_serially(read, parts[0])
    finally:
        errors = [future.exception() for future in others]
    for error in errors:
        if error is not None:
            raise error


def _shares(jobs: Sequence[Job], count: int) -> Iterable[Sequence[Job]]:
    """Cut the jobs into runs of about equal bytes."""
    goal = sum(job.ref.nbytes for job in jobs) / count
    begin, size = 0, 0
    for i, job in enumerate(jobs):
        size += job.ref.nbytes
        if size >= goal and i + 1 < len(jobs):
            yield jobs[begin : i + 1]
            begin, size = i + 1, 0
    yield jobs[begin:]


def read_serially(read: Reader, jobs: Sequence[Job]) -> None:
    """Do what ``read_jobs`` does, in this thread alone: for tasks of the pool, which must not wait for it."""
    if not jobs:
        return

    def visit(i: int, blob: memoryview) -> None:
        job = jobs[i]
        try:
            job.target.fill(job.first, job.ref, checked(job.ref, blob))
        except DamagedError as error:
            raise named(error, job.where) from error

    read([job.ref.digest for job in jobs], visit)


def read_bare(read: Reader, digest: Digest, where: str) -> bytes:
    """Return a blob that is stored as it is, by its name.

    It is checked during the visit, so that a cache in between learns that its copy is damaged.

    Raises:
        BlobMissing: it is not in the space.
        SessionDamagedError: it is not what was written; ``where`` says what it is.
    """
    found: list[bytes] = []

    def visit(_: int, blob: memoryview) -> None:
        data = bytes(blob)
        if digest_of(data) != digest:
            raise SessionDamagedError(f"{where} {digest.hex()} is damaged", where=where, digest=digest)
        found.append(data)

    read([digest], visit)
    return found[0]


def checked(ref: Ref, blob: Buffer) -> Buffer:
    """Return the chunk that a stored blob holds.

    Raises:
        SessionDamagedError: if it is not the one that was written.
    """
    try:
        chunk = expand(blob, ref.nbytes)
    except SessionDamagedError as error:
        raise SessionDamagedError(str(error), digest=ref.digest) from error
    if checksum_of(chunk) != ref.checksum:
        raise SessionDamagedError(
            f"chunk {ref.digest.hex()} is damaged: its checksum does not match", digest=ref.digest
        )
    return chunk


def verified(ref: Ref, blob: Buffer) -> str | None:
    """Return what is wrong with a stored blob by its full name, or None."""
    try:
        chunk = checked(ref, blob)
    except SessionDamagedError as error:
        return str(error)
    return None if digest_of(chunk) == ref.digest else f"chunk {ref.digest.hex()} does not match its name"


def named(error: DamagedError, where: str) -> SessionDamagedError:
    """Return the error with the place it concerns."""
    digest = error.digest if isinstance(error, SessionDamagedError) else None
    return SessionDamagedError(f"{where}: {error}", where=where, digest=digest)
