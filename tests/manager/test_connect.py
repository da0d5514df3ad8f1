"""Which backend the settings get, and what is said about it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from framekeep import DataManager, Settings
from framekeep.connect import InMemoryBackend, codec_for, connect
from framekeep.errors import BackendStartError, ForeignStoreError, StorageError

SECRET = "correct-horse-battery"
NOBODY = "redis://127.0.0.1:1/0"
"""Where no Redis is, whatever else runs on the machine."""


def settings(directory: Path, **values: object) -> Settings:
    return Settings(_env_file=None, storage_dir=directory, **values)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in Settings.variables():
        monkeypatch.delenv(variable.name, raising=False)


def test_the_embedded_engine_is_the_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "framekeep"), DataManager(settings(tmp_path)) as manager:
        assert isinstance(manager.backend, InMemoryBackend)
        assert (manager.get_backend_type(), manager.is_redis_enabled()) == ("inmemory", False)
        health = manager.get_backend_health()
    assert "Storage backend: InMemoryBackend" in caplog.text
    assert (health["status"], health["backend_class"], health["engine"]) == (
        "healthy",
        "InMemoryBackend",
        "lmdb",
    )
    assert (health["redis_enabled"], health["redis_available"], health["redis_info"]) == (False, False, None)


def test_redis_that_does_not_answer_is_replaced_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = settings(tmp_path, redis_enabled=True, redis_url=f"redis://:{SECRET}@nowhere.invalid:1/0")
    with caplog.at_level(logging.INFO, "framekeep"), DataManager(asked) as manager:
        assert (manager.get_backend_type(), manager.is_redis_enabled()) == ("inmemory", False)
        health = manager.get_backend_health()
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert ["Falling back to InMemoryBackend" in record.getMessage() for record in warned] == [True]
    assert (health["status"], health["redis_enabled"], health["redis_available"]) == ("degraded", True, False)
    assert "Falling back" in health["error"]
    assert SECRET not in caplog.text + str(health)


def test_redis_that_does_not_answer_stops_the_start_when_there_is_no_falling_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = settings(tmp_path, redis_enabled=True, redis_url=NOBODY, storage_fallback_to_memory=False)
    with (
        caplog.at_level(logging.INFO, "framekeep"),
        pytest.raises(RuntimeError, match="Failed to initialize"),
    ):
        DataManager(asked)
    assert "Failed to initialize RedisBackend" in caplog.text
    assert not (tmp_path / "framekeep.mdb").exists()


def test_a_failed_start_is_one_of_our_errors_too(tmp_path: Path) -> None:
    with pytest.raises(BackendStartError) as caught:
        connect(settings(tmp_path, redis_enabled=True, redis_url=NOBODY, storage_fallback_to_memory=False))
    assert isinstance(caught.value, StorageError)


def test_a_directory_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError):
        DataManager(settings(tmp_path / "file"))


def test_a_foreign_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "framekeep.mdb").write_bytes(b"something else" * 1000)
    with pytest.raises(ForeignStoreError):
        DataManager(settings(tmp_path))


@pytest.mark.parametrize("codec", ["snappy", "zstd", "gzip", "lz4", "auto"])
def test_a_store_written_with_one_codec_is_read_with_any_other(tmp_path: Path, codec: str) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": ["same words again"] * 5_000, "b": [1.5] * 5_000})
    with DataManager(settings(tmp_path, compression_codec=codec)) as writer:
        session = writer.create_session(frame)
    for reading in ("gzip", "lz4"):
        with DataManager(settings(tmp_path, compression_codec=reading)) as reader:
            pd.testing.assert_frame_equal(reader.get_dataframe(session), frame)
    with DataManager(settings(tmp_path, compression_enabled=False)) as reader:
        pd.testing.assert_frame_equal(reader.get_dataframe(session), frame)


def test_the_codec_is_made_from_the_settings(tmp_path: Path) -> None:
    codec_for(settings(tmp_path, serialization_method="pickle", pickle_signing_key="k" * 16))
