"""The words for stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from framekeep.config import Settings
from framekeep.errors import ConfigurationError, InvalidInputError
from framekeep.migration.places import Kind, NoSourceError, journal_path, open_engine, place


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Settings(storage_dir=tmp_path / "store", redis_url="redis://u:secret@host:6379/3")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (".framekeep", Kind.DIRECTORY),
        ("/a/b c", Kind.DIRECTORY),
        ("redis", Kind.REDIS),
        ("./redis", Kind.DIRECTORY),
        ("redis://h", Kind.REDIS),
        ("rediss://u:p@h:1/2", Kind.REDIS),
        ("unix:///run/r.sock?db=1", Kind.REDIS),
        ("redis+sentinel://a:1,b:2/mymaster/0", Kind.REDIS),
        ("redis+cluster://a:1,b:2", Kind.REDIS),
        ("pickles:/a", Kind.PICKLES),
    ],
)
def test_each_word_stands_for_a_place(settings: Settings, word: str, kind: Kind) -> None:
    assert place(word, settings).kind is kind


@pytest.mark.parametrize("word", ["", "  ", "http://h", "pickles:", "s3://b", "a\0b"])
def test_a_word_that_stands_for_none_is_refused(settings: Settings, word: str) -> None:
    with pytest.raises(InvalidInputError):
        place(word, settings)


@pytest.mark.parametrize(
    "word", ["redis", "redis://u:secret@h/1", "unix://u:secret@/s?db=1", "redis://secret@h"]
)
def test_no_password_is_shown_or_part_of_a_name(settings: Settings, word: str) -> None:
    found = place(word, settings)
    assert "secret" not in found.shown
    assert "secret" not in found.identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis", "redis://host:6379/3"),
        ("redis://u:a@h:1", "redis://v:b@H:1/0"),
        ("store", "./store/"),
        ("unix:///s?db=0&password=x", "unix:///s"),
        ("redis+sentinel://a/one/0", "redis+sentinel://a/one"),
        ("redis://h?db=2", "redis://h/2"),
    ],
)
def test_two_words_for_one_place_are_one(settings: Settings, one: str, other: str) -> None:
    assert place(one, settings).identity == place(other, settings).identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://h/0", "redis://h/1"),
        ("redis://h", "redis://h:1"),
        ("unix:///s?db=1", "unix:///s"),
        ("redis+sentinel://a/one", "redis+sentinel://a/two"),
        ("store", "other"),
        ("pickles:store", "store"),
    ],
)
def test_two_places_are_two(settings: Settings, one: str, other: str) -> None:
    assert place(one, settings).identity != place(other, settings).identity


def test_the_journal_is_the_same_in_both_directions(settings: Settings, tmp_path: Path) -> None:
    words = ("store", "redis", "other", "redis://elsewhere")
    for one in words:
        for other in words:
            if one != other:
                pair = place(one, settings), place(other, settings)
                assert journal_path(pair, settings) == journal_path(pair[::-1], settings)
    beside = journal_path((place("redis", settings), place("other", settings)), settings)
    assert beside.parent == tmp_path / "other"
    assert journal_path((place("redis", settings), place("redis://x", settings)), settings).parent == (
        tmp_path / "store"
    )


def test_a_source_without_a_store_is_not_made(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NoSourceError):
        open_engine(place("nothing", settings), settings, create=False)
    assert not (tmp_path / "nothing").exists()


def test_pickles_are_no_target(settings: Settings) -> None:
    with pytest.raises(InvalidInputError):
        open_engine(place("pickles:x", settings), settings, create=True)


@pytest.mark.parametrize("word", ["redis://[::1", "redis://u:secr]et@h/0", "redis+cluster://u:secret@[bad/0"])
def test_a_url_that_cannot_be_read_is_refused_and_not_repeated(settings: Settings, word: str) -> None:
    with pytest.raises(InvalidInputError, match="no URL of a Redis") as caught:
        place(word, settings)
    assert "secr" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(InvalidInputError, match="no URL of a Redis"):
        place("redis", settings.model_copy(update={"redis_url": word}))


def test_files_for_tls_are_for_a_redis_with_tls(settings: Settings, tmp_path: Path) -> None:
    files = {f"redis_ssl_{name}": tmp_path / name for name in ("ca_certs", "certfile", "keyfile")}
    secured = settings.model_copy(update={"redis_url": "rediss://h:1", **files})
    open_engine(place("redis://h:2", secured), secured, create=True).close()
    plain = settings.model_copy(update=files)
    with pytest.raises(ConfigurationError, match="does not ask for TLS"):
        open_engine(place("redis", plain), plain, create=True)
