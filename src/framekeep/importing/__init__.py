"""Files become tables: text, workbooks, Parquet, Arrow, JSON, and the files of statistics programs.

A file is read in a child process with caps on memory and time, because a small one can bring its reader down,
or grow beyond any bound; see ``sandbox.py``. What is read where is in ``readers.py``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from framekeep.errors import EmptyFileError, InvalidInputError
from framekeep.importing.imported import ImportedFile, ImportedTable, Inspection, imported, inspected
from framekeep.importing.model import (
    ColumnReport,
    ImportOptions,
    Limits,
    Preview,
    Progress,
)
from framekeep.importing.sandbox import Answer, Sandbox

__all__ = [
    "TYPES_FOUND",
    "ColumnReport",
    "ImportOptions",
    "ImportedFile",
    "ImportedTable",
    "Importer",
    "Inspection",
    "Limits",
    "Preview",
    "Progress",
]

TYPES_FOUND = "Found the types of the columns"
"""What the version before the typing says came next."""

_DEFAULT = ImportOptions()


def _no_progress(done: float, what: str) -> None:
    """Tell nobody."""


class Importer:
    """Reads files in child processes. Thread-safe; close it, or use it in a ``with`` statement.

    Args:
        limits: of each import.
        scratch: a directory on a disk with room for what is read; None: where temporary files go.
        jobs: how many files are read at once; more wait.
        readers: the module with the functions that read.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        scratch: Path | None = None,
        jobs: int | None = None,
        readers: str = "framekeep.importing.readers",
    ) -> None:
        self.limits = limits or Limits()
        at_once = jobs or max(2, os.cpu_count() or 1)
        self._sandbox = Sandbox(limits=self.limits, scratch=scratch, jobs=at_once, readers=readers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warm(self) -> None:
        """Start in the background what the first import would wait for, a quarter of a second."""
        self._sandbox.warm()

    @property
    def process_id(self) -> int | None:
        """Of the process whose children read; None if there is none now."""
        return self._sandbox.pid

    def close(self) -> None:
        """End imports that still run, and every process; may be called again."""
        self._sandbox.close()

    def inspect(
        self,
        path: Path,
        filename: str,
        options: ImportOptions = _DEFAULT,
        progress: Progress | None = None,
    ) -> Inspection:
        """Return what the file is, and the first rows of each of its tables.

        Args:
            path: of the file.
            filename: what the user calls it; its suffix counts where the content does not say what it is.
            options: how it is read.
            progress: called when the work gets on, and at least a few times a second, in the calling thread;
                what it raises ends the work.

        Raises:
            UnreadableFileError: of the kind that says what is wrong, with ``where`` in the file.
            ServiceError: no child can be started, or this importer is closed.
        """
        answer = self._run("inspect", path, filename, options, progress)
        answer.spool.close()
        return inspected(answer.document)

    def read(
        self,
        path: Path,
        filename: str,
        options: ImportOptions = _DEFAULT,
        progress: Progress | None = None,
    ) -> ImportedFile:
        """Return the file's tables: of a workbook the sheets that ``options`` name, or the suggested one.

        Arguments and errors as of ``inspect``.
        """
        return self._imported(self._run("read", path, filename, options, progress))

    def open(
        self,
        path: Path,
        filename: str,
        options: ImportOptions = _DEFAULT,
        progress: Progress | None = None,
    ) -> ImportedFile | Inspection:
        """Return the file's tables, or, if it is a workbook with several filled sheets, what to choose from.

        Where ``options.sheets`` names some, or all are merged, nothing is left to choose: that is ``read``.
        """
        answer = self._run("open", path, filename, options, progress)
        if "previews" in answer.document:
            answer.spool.close()
            return inspected(answer.document)
        return self._imported(answer)

    def _run(
        self, task: str, path: Path, filename: str, options: ImportOptions, progress: Progress | None
    ) -> Answer:
        _check_file(path, filename)
        return self._sandbox.run(task, path, filename, options.to_json(), progress or _no_progress)

    def _imported(self, answer: Answer) -> ImportedFile:
        try:
            return imported(answer.document, answer.spool, self.limits, self._sandbox.scratch)
        except BaseException:
            answer.spool.close()
            raise


def _check_file(path: Path, filename: str) -> None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise InvalidInputError(f"There is no file {filename}.") from None
    except OSError as error:
        raise InvalidInputError(f"{filename} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(facts.st_mode):
        raise InvalidInputError(f"{filename} is no regular file. Save what it yields to one first.")
    if not os.access(path, os.R_OK):
        raise InvalidInputError(f"{filename} may not be read by this user.")
    if facts.st_size == 0:
        raise EmptyFileError(f"{filename} is empty.")
