"""Wrapped files are unpacked as a stream under a cap, or refused with the reason."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    PasswordProtectedError,
    UnknownFormatError,
    UnreadableFileError,
)
from framekeep.importing import packed
from framekeep.importing.model import Limits

CONTENT = b"a,b\n" + b"1,2\n" * 1000
LIMITS = Limits()
Write = Callable[..., Path]


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("t.csv")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    return file.getvalue()


WRAPPED = {
    "gzip": gzip.compress(CONTENT, mtime=0),
    "bzip2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "zstd": pa.compress(CONTENT, "zstd", asbytes=True),
    "zip": zipped({"table": CONTENT}),
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(content)
        return path

    return written


def unpacked(path: Path, limits: Limits = LIMITS) -> bytes:
    directory = path.parent / "work"
    directory.mkdir()
    return packed.unpack(path, limits, directory).read_bytes()


@pytest.mark.parametrize("compression", WRAPPED)
def test_unpacks_what_is_inside(write: Write, compression: str) -> None:
    assert unpacked(write(WRAPPED[compression])) == CONTENT


@pytest.mark.parametrize("compression", WRAPPED)
def test_looks_inside_without_unpacking(write: Write, compression: str) -> None:
    inside = packed.look(write(WRAPPED[compression]), LIMITS)
    assert (inside.compression, inside.start) == (compression, CONTENT)


@pytest.mark.parametrize("compression", WRAPPED)
def test_refuses_a_file_that_is_cut_short(write: Write, compression: str) -> None:
    with pytest.raises(DamagedFileError, match="cut short or damaged"):
        unpacked(write(WRAPPED[compression][:-12]))


@pytest.mark.parametrize("compression", WRAPPED)
def test_refuses_more_than_the_cap(write: Write, compression: str) -> None:
    with pytest.raises(FileTooLargeError, match="1,000 bytes"):
        unpacked(write(WRAPPED[compression]), Limits(inflated_bytes=1000))


@pytest.mark.parametrize("compression", WRAPPED)
def test_unpacks_as_much_as_the_cap(write: Write, compression: str) -> None:
    assert unpacked(write(WRAPPED[compression]), Limits(inflated_bytes=len(CONTENT))) == CONTENT


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_refuses_a_wrapping_with_nothing_inside(write: Write, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(EmptyFileError, match="nothing in it"):
        unpacked(write(pack(b"")))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_unpacks_streams_one_after_the_other(write: Write, pack: Callable[[bytes], bytes]) -> None:
    assert unpacked(write(pack(CONTENT) + pack(b"3,4\n"))) == CONTENT + b"3,4\n"


def test_unpacks_xz_with_padding_behind(write: Write) -> None:
    assert unpacked(write(lzma.compress(CONTENT) + bytes(8))) == CONTENT


def test_refuses_xz_that_asks_for_gigabytes_of_memory(write: Write) -> None:
    content = bytearray(lzma.compress(CONTENT))
    block = content[12 : 12 + (content[12] + 1) * 4]  # a block's header: its size first, its CRC last
    block[block.index(b"\x21\x01") + 2] = 40  # the window of the filter LZMA2: 4 GiB
    block[-4:] = zlib.crc32(block[:-4]).to_bytes(4, "little")
    content[12 : 12 + len(block)] = block
    with pytest.raises(FileTooLargeError, match="more than 256 MiB of memory"):
        unpacked(write(bytes(content)))


def test_a_file_without_wrapping_is_itself(write: Write, tmp_path: Path) -> None:
    path = write(CONTENT)
    assert packed.unpack(path, LIMITS, tmp_path) == path


def test_litter_that_systems_add_to_a_zip_is_no_file(write: Write) -> None:
    assert (
        unpacked(write(zipped({"data/t": CONTENT, "__MACOSX/data/._t": b"x", "data/.DS_Store": b"x"})))
        == CONTENT
    )


def test_a_zip_of_several_files_is_refused_and_they_are_named(write: Write) -> None:
    with pytest.raises(UnreadableFileError, match=r"2 files in it: 'one', 'two'\. Unpack"):
        unpacked(write(zipped({"one": CONTENT, "two": CONTENT})))


def test_of_many_files_in_a_zip_a_few_are_named(write: Write) -> None:
    with pytest.raises(UnreadableFileError, match=r"'f4' and 3 more\."):
        unpacked(write(zipped({f"f{position}": b"" for position in range(8)})))


def test_a_zip_without_files_is_empty(write: Write) -> None:
    with pytest.raises(EmptyFileError, match="no file in it"):
        unpacked(write(zipped({})))


def test_an_encrypted_zip_is_refused(write: Write) -> None:
    content = bytearray(zipped({"t": CONTENT}))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    with pytest.raises(PasswordProtectedError, match="encrypted"):
        unpacked(write(bytes(content)))


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_archive_is_refused_in_any_wrapping(write: Write, wrap: Callable[[bytes], bytes]) -> None:
    with pytest.raises(UnknownFormatError, match="tar archive"):
        unpacked(write(wrap(tarred())))


def test_tells_how_far_it_is(write: Write, tmp_path: Path) -> None:
    fractions: list[float] = []
    packed.unpack(write(WRAPPED["gzip"]), LIMITS, tmp_path, fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
