"""The encoding of a text: named, marked, valid UTF-8, or guessed; and the text as UTF-8.

A guess is a guess: it is always told. What no guess fits is refused, and so is UTF-8 with a few bad bytes:
reading that as anything else would spoil every other letter. Knows nothing of rows and columns.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from framekeep.errors import DamagedFileError, EmptyFileError, UnknownEncodingError
from framekeep.importing.guesses import likeliest
from framekeep.importing.model import MIB

CHUNK = MIB
START = 65_536  # bytes; enough to see what a text is made of

_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_WIDE = (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2))
_NOT_TEXT = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})
_ESCAPES = re.compile(rb"\x1b(\$[@B]|\([IJ])")  # of ISO 2022: 7 bits, so valid UTF-8, but not meant
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x7f]")  # of no use in a text; 1c to 1f separate, 1b is above
_NOT_ASCII = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_TRIES = 4

Done = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Text:
    """A text as UTF-8.

    Attributes:
        path: of the UTF-8: the file itself, or a translation of it.
        start: where the text begins in it, behind a byte-order mark.
        encoding: of the file, by its Python name.
        notes: one sentence if the encoding was guessed.
    """

    path: Path
    start: int
    encoding: str
    notes: tuple[str, ...] = ()


def as_utf8(path: Path, encoding: str | None, directory: Path, done: Done | None = None) -> Text:
    """Return the text in ``path`` as UTF-8, every byte of it checked; a translation goes to ``directory``.

    Args:
        encoding: what the user says it is; None finds out.
        done: is told the fraction that is checked.

    Raises:
        EmptyFileError: there is nothing in it.
        UnknownEncodingError: the text is not in ``encoding``, or in none that is known; there is no such one.
        DamagedFileError: it is not a text.
    """
    with path.open("rb") as file:
        start = file.read(START)
    if not start:
        raise EmptyFileError("The file is empty.")
    if encoding is not None:
        asked = named(encoding)
        return _utf8(path, done) if asked == "utf-8" else _translated(path, asked, directory, done)
    name, told = _told(start)
    if name is not None and name != "utf-8":
        notes = () if told else (_note(name, "It has no byte-order mark."),)
        return _translated(path, name, directory, done, notes)
    try:
        return _utf8(path, done)
    except UnknownEncodingError as error:
        if name == "utf-8":
            raise
        return _guessed(path, directory, done, error)


def sniff(start: bytes) -> str:
    """Say the encoding of a text that begins with ``start``, as far as that shows.

    Raises:
        UnknownEncodingError, DamagedFileError: as `as_utf8` does.
    """
    name, _ = _told(start)
    if name is not None:
        return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError as error:
        whole = start[: start.rfind(b"\n") + 1] or start  # no character cut in two
        found = [] if _mostly_utf8(start) else likeliest(b"\n".join(_NOT_ASCII.findall(whole)))
        if not found:
            raise _hopeless() from error
        return found[0]
    return "utf-8"


def named(encoding: str) -> str:
    """Return Python's name of the text encoding that the user calls ``encoding``.

    Raises:
        UnknownEncodingError: there is none.
    """
    try:
        info = codecs.lookup(encoding)
    except (LookupError, ValueError):
        info = None
    if info is None or not info._is_text_encoding or info.name in _NOT_TEXT or not info.incrementaldecoder:
        raise UnknownEncodingError(
            f"There is no encoding {encoding[:40]!r}. Known are utf-8, utf-16, cp1252, latin-1, shift_jis …"
        )
    return "utf-8" if info.name == "utf-8-sig" else info.name


def line_at(path: Path, offset: int) -> int:
    """Return the number of the line, counted from 1, in which the byte at ``offset`` is."""
    ends = returns = 0
    with path.open("rb") as file:
        while offset > 0 and (chunk := file.read(min(offset, CHUNK))):
            ends += chunk.count(b"\n")
            returns += chunk.count(b"\r")
            offset -= len(chunk)
    return 1 + (ends or returns)


def _told(start: bytes) -> tuple[str | None, bool]:
    """Return the encoding that the first bytes tell, and whether by a mark."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name, True
    if b"\0" in start:
        return _wide(start), False
    if _ESCAPES.search(start):
        return "iso2022_jp", False
    if not _is_text(start.decode("latin-1")):
        raise _no_text("it is full of control characters")
    return None, False


def _wide(start: bytes) -> str:
    """Return which UTF-16 or UTF-32 without a mark this is: the one in which most is ASCII."""
    narrow = start.replace(b"\0", b"")
    if narrow.isascii() and len(narrow) * 3 > len(start) * 2 and not _CONTROL.search(narrow.decode()):
        raise _zero_byte(1 + start[: start.index(b"\0")].count(b"\n"))  # ASCII, but for some zero bytes
    best, most = "", 0.0
    for name, width in _WIDE:
        try:
            text = codecs.getincrementaldecoder(name)().decode(start[: len(start) // width * width])
        except UnicodeDecodeError:
            continue
        share = sum(map(str.isascii, text)) / max(len(text), 1)
        if share > most and "\0" not in text and _is_text(text):
            best, most = name, share
    if not best:
        raise _no_text("it has zero bytes in it")
    return best


def _is_text(text: str) -> bool:
    """Tell text from rubbish: few control characters, or always the same few, which may separate cells."""
    controls = _CONTROL.findall(text)
    return len(controls) * 50 < len(text) or len(set(controls)) <= 2


def _utf8(path: Path, done: Done | None) -> Text:
    """Check that the file is UTF-8 text, whole."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = max(path.stat().st_size, 1)
    start = position = 0
    for chunk in _chunks(path):
        if position == 0 and chunk.startswith(codecs.BOM_UTF8):
            start = len(codecs.BOM_UTF8)
        if b"\0" in chunk:
            raise _zero_byte(line_at(path, position + chunk.index(b"\0")))
        try:
            if not chunk.isascii() or decoder.getstate()[0]:  # isascii is ten times as fast
                decoder.decode(chunk)
        except UnicodeDecodeError as error:
            pending = len(error.object) - len(chunk)
            raise _not_utf8(path, position - pending + error.start) from error
        position += len(chunk)
        if done is not None:
            done(position / size)
    if decoder.getstate()[0]:
        raise _not_utf8(path, position - 1)
    return Text(path, start, "utf-8")


def _translated(
    path: Path, name: str, directory: Path, done: Done | None, notes: tuple[str, ...] = ()
) -> Text:
    """Write the text as UTF-8."""
    decoder = codecs.getincrementaldecoder(name)()
    size = max(path.stat().st_size, 1)
    target = directory / f"text-{name}"
    lines = position = 0
    with target.open("wb") as file:
        for chunk in chain(_chunks(path), (b"",)):
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                raise UnknownEncodingError(
                    f"The text is not {name}: it has bytes that mean nothing there. Name its encoding.",
                    where=f"line {lines + 1 + _ends_before(error):,}",
                ) from error
            if file.tell() == 0:
                text = text.removeprefix("\ufeff")
            if "\0" in text:
                raise _zero_byte(lines + 1 + text[: text.index("\0")].count("\n"))
            lines += text.count("\n")
            try:
                file.write(text.encode())
            except UnicodeEncodeError as error:  # half a pair of surrogates, that some decoders let pass
                raise UnknownEncodingError(f"The text is not {name}. Name its encoding.") from error
            position += len(chunk)
            if done is not None:
                done(position / size)
        if file.tell() == 0:
            raise EmptyFileError("There is nothing but a byte-order mark in the file.")
    return Text(target, 0, name, notes)


def _ends_before(error: UnicodeError) -> int:
    if not isinstance(error, UnicodeDecodeError):
        return 0
    return error.object[: error.start].decode(error.encoding, "ignore").count("\n")


def _guessed(path: Path, directory: Path, done: Done | None, not_utf8: UnknownEncodingError) -> Text:
    """Find the encoding by the lines that are not ASCII, and translate."""
    sample = bytearray()
    for chunk in _chunks(path):
        for line in _NOT_ASCII.finditer(chunk):
            sample += line[0] + b"\n"
            if len(sample) >= START:
                break
        if len(sample) >= START:
            break
    if _mostly_utf8(bytes(sample)):
        raise not_utf8
    for name in likeliest(bytes(sample))[:_TRIES]:
        try:
            return _translated(path, name, directory, done, (_note(name, "It is not UTF-8."),))
        except UnknownEncodingError:
            continue
    raise _hopeless() from not_utf8


def _mostly_utf8(sample: bytes) -> bool:
    """Say whether most of what is not ASCII is UTF-8: then it is a damaged UTF-8 text and nothing else."""
    text = sample.decode("utf-8", "surrogateescape")
    bad = sum("\udc80" <= letter <= "\udcff" for letter in text)
    good = sum(letter > "\x7f" for letter in text) - bad
    return good > 3 * bad


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _note(name: str, why: str) -> str:
    return (
        f"The text does not say its encoding, and was read as {name}. {why} "
        f"If letters are wrong, name the encoding."
    )


def _not_utf8(path: Path, offset: int) -> UnknownEncodingError:
    return UnknownEncodingError(
        "The text is not UTF-8: it has bytes that mean nothing there. Name its encoding, or mend the line.",
        where=f"line {line_at(path, offset):,}",
    )


def _hopeless() -> UnknownEncodingError:
    return UnknownEncodingError(
        "The encoding of the text could not be found out. Name it: cp1252, latin-1, shift_jis, utf-16 …"
    )


def _zero_byte(line: int) -> DamagedFileError:
    return DamagedFileError(
        "The file is not a text, or is damaged: it has zero bytes in it.", where=f"line {line:,}"
    )


def _no_text(why: str) -> DamagedFileError:
    return DamagedFileError(f"The file is not a text: {why}.")
