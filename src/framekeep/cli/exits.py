"""The exit codes: one table from error class to code, the same as in docs/cli.md (a test compares them).

An error takes the code of the nearest class above it, so a script may rely on the groups: the call is
wrong (3), it is not there (4), somebody was faster (5), the store (6 to 9), the settings (10), a service
(11, 12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from framekeep import errors

OK: Final = 0
UNEXPECTED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

EXIT_CODES: Final[Mapping[type[errors.FramekeepError], int]] = {
    errors.FramekeepError: UNEXPECTED,
    errors.EngineSignal: UNEXPECTED,
    errors.InvalidInputError: 3,
    errors.NotFoundError: 4,
    errors.ConflictError: 5,
    errors.StorageError: 6,
    errors.StorageUnavailableError: 6,
    errors.StorageBusyError: 6,
    errors.StorageFullError: 7,
    errors.StorageReadOnlyError: 7,
    errors.ForeignStoreError: 8,
    errors.NewerFormatError: 8,
    errors.NetworkFilesystemError: 8,
    errors.DamagedError: 9,
    errors.ConfigurationError: 10,
    errors.AuthenticationError: 11,
    errors.ServiceError: 12,
}

MEANINGS: Final[Mapping[int, str]] = {
    OK: "done",
    UNEXPECTED: "something unexpected: please report it, with --debug",
    USAGE: "the command line is wrong",
    3: "the request is wrong: an id, a column, a file, nothing to undo",
    4: "it is not there (any more): session, version or store",
    5: "somebody else was faster: look again and decide",
    6: "the store does not answer, or is busy: try again later",
    7: "the store cannot be written: no room left, or read-only",
    8: "not a store this Framekeep can open: foreign, newer, or on a network file system",
    9: "damage was found",
    10: "a setting is wrong",
    11: "the service does not know who is asking: give an API key",
    12: "the service answered something unexpected",
    INTERRUPTED: "interrupted",
}


def exit_code(error: BaseException | type[BaseException]) -> int:
    """Return the exit code of an error: that of the nearest class in the table."""
    kind = error if isinstance(error, type) else type(error)
    return next((EXIT_CODES[base] for base in kind.__mro__ if base in EXIT_CODES), UNEXPECTED)
