"""A text's encoding is told, found or guessed aloud; what no encoding fits is refused."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from framekeep.errors import DamagedFileError, EmptyFileError, UnknownEncodingError, UnreadableFileError
from framekeep.importing import encodings
from framekeep.importing.encodings import CHUNK, Text, as_utf8

RUSSIAN = "имя,город\nИван,Москва\nПётр,Санкт-Петербург\n"  # noqa: RUF001
GREEK = "όνομα,πόλη\nΓιώργος,Αθήνα\n"  # noqa: RUF001
WORDS = "名,città,Größe\n1,Zoë,ß\n"
EUROPE = "name;straße;größe\nJörg;Küferstraße;groß\nZoë;Allée des Œillets;élevé\n" * 3
Read = Callable[..., Text]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def from_bytes(content: bytes, encoding: str | None = None) -> Text:
        path = tmp_path / "file.csv"
        path.write_bytes(content)
        return as_utf8(path, encoding, tmp_path)

    return from_bytes


def content(text: Text) -> str:
    return text.path.read_bytes()[text.start :].decode("utf-8")


@pytest.mark.parametrize(
    ("mark", "codec", "name"),
    [
        (b"", "utf-8", "utf-8"),
        (codecs.BOM_UTF8, "utf-8", "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
        (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32"),
        (b"\x84\x31\x95\x33", "gb18030", "gb18030"),
    ],
)
def test_a_mark_tells_the_encoding_and_is_no_part_of_the_text(
    read: Read, mark: bytes, codec: str, name: str
) -> None:
    text = read(mark + WORDS.encode(codec))
    assert (content(text), text.encoding, text.notes) == (WORDS, name, ())


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_characters_without_a_mark_are_found_and_told(read: Read, codec: str) -> None:
    text = read(WORDS.encode(codec))
    assert (content(text), text.encoding) == (WORDS, codec)
    assert codec in text.notes[0]


def test_utf_16_without_a_mark_is_found_in_other_scripts(read: Read) -> None:
    assert content(read(RUSSIAN.encode("utf-16-le"))) == RUSSIAN


def test_utf_16_of_little_but_ideographs_is_found(read: Read) -> None:
    words = "張偉王芳李娜,臺北臺中高雄\n" * 50
    assert content(read(words.encode("utf-16-be"))) == words


@pytest.mark.parametrize(
    ("codec", "words"),
    [
        ("cp1252", EUROPE),
        ("cp1251", RUSSIAN),
        ("koi8_r", RUSSIAN),
        ("cp932", "名前,都市\n田中,東京\n鈴木,大阪\nカタカナ,ひらがな\n"),
        ("euc_jp", "名前,都市\n田中,東京\n鈴木,大阪\n"),
        ("euc_jp", "これはひらがなの文章です\nカタカナもあります\n"),
        ("big5", "姓名,城市\n陳大文,臺北\n林小明,高雄\n"),
        ("gb18030", "姓名,城市\n张伟,北京\n王芳,上海\n"),
        ("cp949", "이름,도시\n김철수,서울\n이영희,부산\n"),
        ("cp1253", GREEK),
        ("iso2022_jp", "名前,都市\n田中,東京\n"),
    ],
)
def test_other_encodings_are_guessed_and_the_guess_is_told(read: Read, codec: str, words: str) -> None:
    text = read(words.encode(codec))
    assert (content(text), text.encoding) == (words, codec)
    assert len(text.notes) == 1
    assert f"was read as {codec}" in text.notes[0]


def test_a_few_latin_letters_are_not_taken_for_ideographs(read: Read) -> None:
    assert content(read("Å,1\r\n2,3\r\n".encode("latin-1"))) == "Å,1\r\n2,3\r\n"


def test_the_letters_that_decide_may_come_late(read: Read) -> None:
    words = "a,b\n" * (CHUNK // 4 + 7) + EUROPE
    assert content(read(words.encode("cp1252"))) == words


def test_a_character_may_lie_across_two_chunks(read: Read) -> None:
    words = "a" * (CHUNK - 1) + "ß,ß\n"
    assert content(read(words.encode())) == words


def test_a_wide_character_may_lie_across_two_chunks(read: Read) -> None:
    words = "a" * (CHUNK // 2 - 1) + "😀,ß\n"
    assert content(read(words.encode("utf-16-le"), "utf-16-le")) == words


def test_the_encoding_can_be_named(read: Read) -> None:
    text = read("Ŝ\n".encode("iso8859-3"), "latin3")
    assert (content(text), text.encoding, text.notes) == ("Ŝ\n", "iso8859-3", ())


@pytest.mark.parametrize("name", ["utf8", "UTF-8", "utf-8-sig"])
def test_a_mark_is_dropped_when_utf_8_is_named(read: Read, name: str) -> None:
    assert content(read(codecs.BOM_UTF8 + b"a\n", name)) == "a\n"


@pytest.mark.parametrize("name", ["klingon", "rot13", "hex", "zlib", "punycode", "a\0b", ""])
def test_what_is_no_encoding_of_texts_is_refused(read: Read, name: str) -> None:
    with pytest.raises(UnknownEncodingError, match="There is no encoding"):
        read(b"a\n", name)


@pytest.mark.parametrize("name", ["utf-8", "ascii", "euc_jp", "utf-16", "shift_jis"])
def test_a_text_that_is_not_in_the_named_encoding_is_refused(read: Read, name: str) -> None:
    with pytest.raises(UnknownEncodingError, match=f"is not {name}|is not UTF-8") as refusal:
        read(b"a,b\nc\xff\xff\n", name)
    assert refusal.value.where == "line 2" or name == "utf-16"


def test_utf_8_with_a_few_bad_bytes_is_refused_and_not_read_as_anything_else(read: Read) -> None:
    with pytest.raises(UnknownEncodingError, match="mend the line") as refusal:
        read(("Zoë,città\n" * 9).encode() + b"Zo\xeb\n" + ("Größe\n" * 9).encode())
    assert refusal.value.where == "line 10"


def test_utf_8_cut_short_within_a_character_is_refused(read: Read) -> None:
    with pytest.raises(UnknownEncodingError):
        read("a\nZoë".encode()[:-1], "utf-8")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_are_counted_by_any_line_end(read: Read, end: str) -> None:
    with pytest.raises(UnknownEncodingError) as refusal:
        read(f"é{end}è{end}ê".encode() + b"\xff", "utf-8")
    assert refusal.value.where == "line 3"


@pytest.mark.parametrize(
    "rubbish",
    [
        b"a,b\n1,\0\n",
        bytes(1000),
        bytes(range(1, 256)) * 20,
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00>\x00" * 50,
        b"\x01\x02\x03\x04\x05\x06" * 50,
    ],
    ids=["zero byte", "zeros", "every byte", "program", "controls"],
)
def test_what_is_not_text_is_refused(read: Read, rubbish: bytes) -> None:
    with pytest.raises((DamagedFileError, UnknownEncodingError)):
        read(rubbish)


def test_a_late_zero_byte_is_refused_and_its_line_named(read: Read) -> None:
    with pytest.raises(DamagedFileError, match="zero bytes") as refusal:
        read(b"a,b\n" * CHUNK + b"1,\0\n")
    assert refusal.value.where == f"line {CHUNK + 1:,}"


def test_a_control_character_that_separates_is_text(read: Read) -> None:
    assert content(read(b"a\x01b\n1\x012\n")) == "a\x01b\n1\x012\n"


@pytest.mark.parametrize("nothing", [b"", codecs.BOM_UTF16_LE])
def test_a_file_without_text_is_empty(read: Read, nothing: bytes) -> None:
    with pytest.raises(EmptyFileError):
        read(nothing)


def test_half_a_pair_of_surrogates_is_refused(read: Read) -> None:
    with pytest.raises(UnreadableFileError):
        read(codecs.BOM_UTF16_LE + b"a\0\x00\xd8b\0")


def test_the_file_itself_is_used_when_it_is_utf_8(read: Read, tmp_path: Path) -> None:
    assert read(b"a\n").path == tmp_path / "file.csv"


def test_tells_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"a\n" * CHUNK)
    fractions: list[float] = []
    as_utf8(tmp_path / "t", None, tmp_path, fractions.append)
    assert fractions == [0.5, 1.0]


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-le", "cp1252"])
def test_the_first_bytes_tell_it_too(codec: str) -> None:
    assert encodings.sniff(EUROPE.encode(codec)) == codec
