"""The errors that come of what a child said last, or of how it died: one place for their texts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from framekeep.errors import (
    DamagedFileError,
    FramekeepError,
    ImportLimitError,
    InvalidInputError,
    StorageFullError,
    UnknownColumnError,
    UnreadableFileError,
)
from framekeep.importing.model import MIB, Checked, Limits

_OUT_OF_MEMORY = (  # what libraries say before they abort: Rust, C++, Python, pthreads
    "memory allocation of",
    "bad_alloc",
    "MemoryError",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "out of memory",
)
_NEARLY = 0.9
_MOST_TEXT = 4_000


def said(document: object, limits: Limits) -> FramekeepError:
    """Return the error that a child reports; only classes of input errors are taken at their word."""
    try:
        checked = Checked(document, "an error")
        code = checked.text("code")
        message = checked.text_or_none("message") or ""
        where = checked.text_or_none("where") or ""
    except InvalidInputError:
        return nonsense()
    if code == "memory":
        return too_much_memory(limits)
    if code == "spool":
        return ImportLimitError(
            f"The columns of this file take more than the {_size(limits.spool_bytes)} of disk that an import "
            "may use. Import a smaller part of it, or raise the limit."
        )
    if code == "disk":
        return StorageFullError("There is no room left on the disk for what is imported; nothing was stored.")
    kind = _CLASSES.get(code)
    if kind is None or len(message) > _MOST_TEXT:
        return DamagedFileError(
            f"The file could not be read: its reader failed ({message[:100]}). If the program that made it "
            "opens it, save it again there, or in another format."
        )
    if issubclass(kind, UnreadableFileError):
        return kind(message, where=where[:200])
    return kind(message)


def died(verdict: Mapping[str, Any], limits: Limits) -> FramekeepError:
    """Return the error for a child that ended without an answer.

    Args:
        verdict: of the zygote: ``status`` as of wait(2), ``late``, ``peak_bytes``, ``said`` on stderr.
        limits: under which it was.
    """
    if "unforked" in verdict:
        return ImportLimitError("The machine has no room for another reading process. Try again later.")
    status = verdict["status"]
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if verdict["late"] or number == signal.SIGXCPU:
        return too_much_time(limits)
    words = verdict["said"]
    # Nobody but the system sends SIGKILL to a child that is not late, and it does when memory runs out.
    # Libraries in C often do not ask whether they got memory, and crash.
    full = verdict["peak_bytes"] > _NEARLY * limits.memory_bytes
    if full or number == signal.SIGKILL or any(word in words for word in _OUT_OF_MEMORY):
        return too_much_memory(limits)
    name = signal.Signals(number).name if number else f"exit status {os.waitstatus_to_exitcode(status)}"
    return DamagedFileError(
        f"The file brings down the library that reads it ({name}); it is damaged, or made to do so. If the "
        "program that made it opens it, save it again there, or in another format."
    )


def too_much_memory(limits: Limits) -> ImportLimitError:
    """Return the error for a child at its cap on memory."""
    return ImportLimitError(
        f"Reading this file takes more than the {_size(limits.memory_bytes)} of memory that an import may "
        "use. Import a smaller part of it, save it in another format (CSV and Parquet take the least), or "
        "raise IMPORT_MEMORY_MB."
    )


def too_much_time(limits: Limits) -> ImportLimitError:
    """Return the error for a child that was still at work at its deadline."""
    return ImportLimitError(
        f"Reading this file took longer than the {limits.seconds:g} s that an import may take, and was "
        "stopped. Import a smaller part of it, or raise IMPORT_TIMEOUT_SECONDS."
    )


def nonsense() -> DamagedFileError:
    """Return the error for a child that said what no child of ours says."""
    return DamagedFileError(
        "The file could not be read: its reader came back with something that is no table. If the program "
        "that made it opens it, save it again there, or in another format."
    )


def _size(count: int) -> str:
    return f"{count / MIB:,.0f} MiB"


def _family(kind: type[InvalidInputError]) -> Iterator[type[InvalidInputError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _family(each)


_KINDS: tuple[type[InvalidInputError], ...] = (
    *_family(UnreadableFileError),
    InvalidInputError,
    UnknownColumnError,
)
_CLASSES = {kind.code: kind for kind in _KINDS}
