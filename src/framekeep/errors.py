"""Every error Framekeep raises, grouped by what a handler would do about it.

Each class has a stable ``code`` (for HTTP problems, exit codes and logs) and says whether the same
call may succeed when tried again. Messages name what failed, which id, and the next step; they never
hold cell values or secrets.

    FramekeepError
    ├── InvalidInputError        the call is wrong: change it
    │   ├── InvalidIdError, InvalidMetadataError, InvalidMarksError, UnknownColumnError
    │   ├── NotADataFrameError, UnsupportedTypeError
    │   ├── NothingToUndoError, NothingToRedoError
    │   ├── DataFrameTooLargeError
    │   ├── UnreadableFileError: UnknownFormatError, EmptyFileError, PasswordProtectedError,
    │   │   DamagedFileError, UnknownEncodingError, WrongTypeError, FileTooLargeError, ImportLimitError
    │   └── InvalidEditError: InvalidExpressionError
    ├── AuthenticationError      who is asking is not known: send a key
    ├── NotFoundError            it is not there (any more)
    │   └── SessionNotFoundError, VersionNotFoundError, TempStorageNotFoundError
    ├── ConflictError            somebody else was faster: reload and decide
    │   └── SessionExistsError, LockTimeoutError, LeaseLostError
    ├── StorageError             the store needs its operator
    │   ├── StorageUnavailableError: BackendStartError, BreakerOpenError, StorageOverloadedError,
    │   │   TooFewReplicasError
    │   ├── StorageFullError, StorageReadOnlyError, StorageBusyError
    │   ├── ForeignStoreError, NewerFormatError, NetworkFilesystemError
    │   └── DamagedError: SessionDamagedError, StoreDamagedError
    ├── ConfigurationError       a setting is wrong: fix it and start again
    ├── ServiceError             a service answered what no Framekeep answers
    └── EngineSignal             between engines and the session layer; never reaches a user
        └── Conflict, BlobMissing
"""

from __future__ import annotations

from collections.abc import Sequence


class FramekeepError(Exception):
    """Base of every error raised on purpose by Framekeep."""

    code: str = "framekeep"
    retryable: bool = False


# --- the call is wrong: change it ---------------------------------------------------------------


class InvalidInputError(FramekeepError, ValueError):
    """An argument has a wrong value."""

    code = "invalid_input"


class InvalidIdError(InvalidInputError):
    """An id is malformed (length, characters)."""

    code = "invalid_id"


class InvalidMetadataError(InvalidInputError):
    """Metadata is not JSON, or tries to set a reserved key."""

    code = "invalid_metadata"


class InvalidMarksError(InvalidInputError):
    """Marks name a column or a row position that the frame does not have."""

    code = "invalid_marks"


class UnknownColumnError(InvalidInputError):
    """A column was asked for that the frame does not have."""

    code = "unknown_column"


class NotADataFrameError(InvalidInputError, TypeError):
    """The argument is not a DataFrame and cannot be taken as one."""

    code = "not_a_dataframe"


class UnsupportedTypeError(InvalidInputError, TypeError):
    """A value cannot be kept exactly, so it is not kept at all.

    Attributes:
        where: the column (or index level, or label) that holds it.
        type_name: the type that has no exact encoding.
    """

    code = "unsupported_type"

    def __init__(self, message: str, *, where: str = "", type_name: str = "") -> None:
        super().__init__(message)
        self.where = where
        self.type_name = type_name


class NothingToUndoError(InvalidInputError):
    """There is no version to step back to."""

    code = "nothing_to_undo"


class NothingToRedoError(InvalidInputError):
    """There is no undone version to step forward to."""

    code = "nothing_to_redo"


class DataFrameTooLargeError(InvalidInputError):
    """The frame is larger than MAX_DATAFRAME_SIZE_MB; nothing was stored."""

    code = "dataframe_too_large"


class UnreadableFileError(InvalidInputError):
    """A file is not a table that can be read; nothing was stored.

    Attributes:
        where: the place in the file: "line 17", "sheet 'Data', row 3"; empty for the file as a whole.
    """

    code = "unreadable_file"

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.where = where


class UnknownFormatError(UnreadableFileError):
    """The file is in a format that is not read."""

    code = "unknown_format"


class EmptyFileError(UnreadableFileError):
    """The file holds no table."""

    code = "empty_file"


class PasswordProtectedError(UnreadableFileError):
    """The file is encrypted."""

    code = "password_protected"


class DamagedFileError(UnreadableFileError):
    """The file is cut short, or not what its format asks for."""

    code = "damaged_file"


class UnknownEncodingError(UnreadableFileError):
    """The text's encoding is not the one named, or could not be found out."""

    code = "unknown_encoding"


class WrongTypeError(UnreadableFileError):
    """A column cannot have the type that was asked for."""

    code = "wrong_type"


class FileTooLargeError(UnreadableFileError):
    """The file has more bytes, cells, rows, columns or sheets than are read."""

    code = "file_too_large"


class ImportLimitError(UnreadableFileError):
    """Reading the file took more memory or time than it may."""

    code = "import_limit"


class InvalidEditError(InvalidInputError):
    """An operation of an edit cannot be carried out; nothing was changed.

    Attributes:
        operation: its position among the operations, counted from 0; None if there is only one.
    """

    code = "invalid_edit"

    def __init__(self, message: str, *, operation: int | None = None) -> None:
        super().__init__(message)
        self.operation = operation


class InvalidExpressionError(InvalidEditError):
    """An expression is malformed, or uses what the frame does not have.

    Attributes:
        position: the character it is about, counted from 0; None for the whole.
    """

    code = "invalid_expression"

    def __init__(self, message: str, *, operation: int | None = None, position: int | None = None) -> None:
        super().__init__(message, operation=operation)
        self.position = position


# --- who is asking is not known -----------------------------------------------------------------


class AuthenticationError(FramekeepError):
    """The request has no API key, or one that is not known."""

    code = "unauthenticated"


# --- it is not there ----------------------------------------------------------------------------


class NotFoundError(FramekeepError, LookupError):
    """What was asked for is unknown, deleted or expired."""

    code = "not_found"


class SessionNotFoundError(NotFoundError):
    """The session is unknown, deleted or expired."""

    code = "session_not_found"


class VersionNotFoundError(NotFoundError):
    """The version is unknown or was dropped to make room for newer ones."""

    code = "version_not_found"


class TempStorageNotFoundError(NotFoundError):
    """The temporary storage is unknown, deleted or expired."""

    code = "temp_storage_not_found"


# --- somebody else was faster -------------------------------------------------------------------


class ConflictError(FramekeepError):
    """The session changed since it was read; nothing was stored and nothing lost: reload and decide."""

    code = "conflict"
    retryable = True


class SessionExistsError(ConflictError):
    """A session with this id exists already."""

    code = "session_exists"
    retryable = False


class LockTimeoutError(ConflictError):
    """The lock is held by somebody else and was not free within the configured attempts."""

    code = "lock_timeout"


class LeaseLostError(ConflictError):
    """The lock's lease ran out and somebody else took it before it was renewed or released."""

    code = "lease_lost"


# --- the store needs its operator ---------------------------------------------------------------


class StorageError(FramekeepError):
    """The storage engine cannot do its work."""

    code = "storage"


class StorageUnavailableError(StorageError):
    """The storage engine does not answer.

    Attributes:
        retry_after: seconds after which it may be asked again; None if that is not known.
        waited: seconds that the one question took that was not answered; None if that is not known.
        partial: whether the server has said that it does not serve a part, and may serve the others.
    """

    code = "storage_unavailable"
    retryable = True
    waited: float | None = None
    partial: bool = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BreakerOpenError(StorageUnavailableError):
    """The storage has not answered lately, and was not asked this time: nothing was sent to it."""

    code = "breaker_open"


class StorageOverloadedError(StorageUnavailableError):
    """More is asked of the storage at once than this process has connections for."""

    code = "storage_overloaded"


class TooFewReplicasError(StorageUnavailableError):
    """A change is stored, and not yet on as many replicas as asked for: a failover may lose it."""

    code = "too_few_replicas"


class BackendStartError(StorageUnavailableError, RuntimeError):
    """The configured backend could not be started, and falling back is not allowed."""

    code = "backend_start"
    retryable = False


class StorageFullError(StorageError):
    """There is no room left (disk, quota or memory limit); nothing was stored."""

    code = "storage_full"


class StorageReadOnlyError(StorageError):
    """The storage directory or file cannot be written by this user."""

    code = "storage_read_only"


class StorageBusyError(StorageError):
    """Another process uses the store in a way that excludes this operation."""

    code = "storage_busy"
    retryable = True


class ForeignStoreError(StorageError):
    """The file is not a Framekeep store."""

    code = "foreign_store"


class NewerFormatError(StorageError):
    """The store was written by a newer version of Framekeep."""

    code = "newer_format"


class NetworkFilesystemError(StorageError):
    """The embedded engine was pointed at a network file system, where its locks are not safe."""

    code = "network_filesystem"


class DamagedError(StorageError):
    """Stored bytes are not what was written."""

    code = "damaged"


class SessionDamagedError(DamagedError):
    """A part of one session is missing or damaged; other sessions are not concerned.

    Attributes:
        session_id: the session.
        where: the column, index or record that is damaged.
        digest: the name of the damaged chunk, if it is one.
    """

    code = "session_damaged"

    def __init__(
        self, message: str, *, session_id: str = "", where: str = "", digest: bytes | None = None
    ) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.where = where
        self.digest = digest


class StoreDamagedError(DamagedError):
    """The store's file itself is damaged (truncated, or its structure does not hold)."""

    code = "store_damaged"


# --- configuration ------------------------------------------------------------------------------


class ConfigurationError(FramekeepError, ValueError):
    """A setting has a wrong value or two settings contradict each other."""

    code = "configuration"


# --- a service --------------------------------------------------------------------------------


class ServiceError(FramekeepError):
    """A service answered what no Framekeep answers, or failed inside.

    Attributes:
        status: the HTTP status; None if there was none.
    """

    code = "service"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


# --- between engines and the session layer ------------------------------------------------------


class EngineSignal(FramekeepError):
    """An expected outcome at the engine seam, translated by the session layer."""

    code = "engine_signal"


class Conflict(EngineSignal):
    """The space's revision is not the expected one; nothing was changed."""

    code = "engine_conflict"
    retryable = True


class BlobMissing(EngineSignal):
    """One or more blobs are not in the space.

    Attributes:
        digests: the missing names.
    """

    code = "blob_missing"

    def __init__(self, digests: Sequence[bytes]) -> None:
        super().__init__(f"{len(digests)} blob(s) missing, the first is {bytes(digests[0]).hex()}")
        self.digests = tuple(digests)
