"""Settings: where values come from, which are allowed, and that secrets stay secret."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from framekeep import Settings
from framekeep.config import without_password
from framekeep.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in Settings.variables():
        monkeypatch.delenv(variable.name, raising=False)


def source_of(settings: Settings, variable: str) -> str:
    return next(row.source for row in settings.describe() if row.variable == variable)


def value_of(settings: Settings, variable: str) -> str:
    return next(row.value for row in settings.describe() if row.variable == variable)


# --- where values come from -------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_contract() -> None:
    shown = {row.variable: row.value for row in Settings().describe()}
    contract = {
        "REDIS_ENABLED": "false",
        "STORAGE_BACKEND": "inmemory",
        "STORAGE_FALLBACK_TO_MEMORY": "true",
        "STORAGE_DIR": ".framekeep",
        "REDIS_URL": "redis://localhost:6379/0",
        "REDIS_MAX_CONNECTIONS": "50",
        "REDIS_SOCKET_TIMEOUT": "5",
        "REDIS_SOCKET_CONNECT_TIMEOUT": "5",
        "REDIS_RETRY_ON_TIMEOUT": "true",
        "REDIS_HEALTH_CHECK_INTERVAL": "30",
        "REDIS_SESSION_TTL_SECONDS": "3600",
        "REDIS_LOCK_TTL_SECONDS": "10",
        "REDIS_LOCK_RETRY_ATTEMPTS": "3",
        "REDIS_LOCK_RETRY_DELAY_MS": "100",
        "SERIALIZATION_METHOD": "pyarrow",
        "COMPRESSION_ENABLED": "true",
        "COMPRESSION_CODEC": "auto",
        "MAX_DATAFRAME_SIZE_MB": "500",
        "MAX_UPLOAD_SIZE_MB": "50",
        "MAX_VERSIONS": "5",
        "TEMP_TTL_SECONDS": "1800",
        "CORS_ORIGINS": "",
    }
    assert {variable: shown[variable] for variable in contract} == contract


def test_an_argument_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("MAX_VERSIONS=1\nTEMP_TTL_SECONDS=1\nCACHE_MB=1\n")
    monkeypatch.setenv("MAX_VERSIONS", "2")
    monkeypatch.setenv("TEMP_TTL_SECONDS", "2")
    settings = Settings(max_versions=3)
    assert (settings.max_versions, settings.temp_ttl_seconds, settings.cache_mb) == (3, 2.0, 1)
    assert [source_of(settings, name) for name in ("MAX_VERSIONS", "TEMP_TTL_SECONDS", "CACHE_MB")] == [
        "argument",
        "environment",
        ".env",
    ]
    assert source_of(settings, "STORAGE_DIR") == "default"


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_VERSIONS", "")
    settings = Settings()
    assert (settings.max_versions, source_of(settings, "MAX_VERSIONS")) == (5, "default")


def test_other_variables_of_the_file_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SOMETHING_ELSE=1\n")
    assert Settings().max_versions == 5


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example")
    assert Settings().cors_origins == ("https://a.example", "https://b.example")


def test_sizes_are_bytes_in_code() -> None:
    settings = Settings(max_dataframe_size_mb=2, cache_mb=3)
    assert (settings.max_frame_bytes, settings.cache_bytes) == (2 << 20, 3 << 20)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().max_versions = 7  # type: ignore[misc]


# --- wrong values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("REDIS_ENABLED", "perhaps", "true, false"),
        ("STORAGE_BACKEND", "disk", "redis, inmemory"),
        ("STORAGE_FALLBACK_TO_MEMORY", "7", "true, false"),
        ("STORAGE_DIR", " ", "a path"),
        ("STORAGE_DIR", "~no-such-user/x", "a path"),
        ("REDIS_URL", "http://localhost", "redis://"),
        ("REDIS_URL", "localhost:6379", "redis://"),
        ("REDIS_DB", "-1", "at least 0"),
        ("REDIS_MAX_CONNECTIONS", "many", "at least 1"),
        ("REDIS_MAX_CONNECTIONS", "0", "at least 1"),
        ("REDIS_SOCKET_TIMEOUT", "0", "above 0"),
        ("REDIS_SOCKET_CONNECT_TIMEOUT", "nan", "above 0"),
        ("REDIS_HEALTH_CHECK_INTERVAL", "-1", "at least 0"),
        ("REDIS_SESSION_TTL_SECONDS", "inf", "above 0"),
        ("REDIS_LOCK_TTL_SECONDS", "-5", "above 0"),
        ("REDIS_LOCK_RETRY_ATTEMPTS", "1000", "at most 100"),
        ("REDIS_LOCK_RETRY_DELAY_MS", "x", "at least 0"),
        ("SERIALIZATION_METHOD", "json", "pyarrow, pickle"),
        ("PICKLE_SIGNING_KEY", "short", "at least 16 bytes"),
        ("COMPRESSION_ENABLED", "maybe", "true, false"),
        ("COMPRESSION_CODEC", "brotli", "snappy, zstd, gzip, lz4, auto"),
        ("CACHE_MB", "-1", "at least 0"),
        ("MAX_DATAFRAME_SIZE_MB", "0", "at least 1"),
        ("MAX_UPLOAD_SIZE_MB", "0.5", "at least 1"),
        ("MAX_VERSIONS", "-1", "at least 0"),
        ("TEMP_TTL_SECONDS", "0", "above 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    assert variable in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize("directory", ["", "a\0b"])
def test_a_directory_that_cannot_be_one_is_refused(directory: str) -> None:
    with pytest.raises(ConfigurationError, match="STORAGE_DIR"):
        Settings(storage_dir=directory)


def test_a_directory_may_begin_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STORAGE_DIR", "~/data")
    assert Settings().storage_dir == tmp_path / "data"


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"MAX_VERSIONS.*CACHE_MB|CACHE_MB.*MAX_VERSIONS"):
        Settings(max_versions=-1, cache_mb=-1)


def test_an_unknown_argument_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="storage_dirr"):
        Settings(storage_dirr="x")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"MAX_VERSIONS=\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"\.env"):
        Settings()


# --- contradictions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "enabled"), [("inmemory", True), ("redis", False)])
def test_a_contradiction_about_redis_is_refused(backend: str, enabled: bool) -> None:
    with pytest.raises(ConfigurationError, match=r"STORAGE_BACKEND.*REDIS_ENABLED"):
        Settings(storage_backend=backend, redis_enabled=enabled)


def test_enabling_redis_implies_its_backend() -> None:
    settings = Settings(redis_enabled=True)
    assert settings.storage_backend == "redis"
    assert source_of(settings, "STORAGE_BACKEND") == "implied by REDIS_ENABLED"


def test_choosing_redis_implies_enabling_it() -> None:
    settings = Settings(storage_backend="redis")
    assert settings.redis_enabled
    assert source_of(settings, "REDIS_ENABLED") == "implied by STORAGE_BACKEND"


def test_pickle_without_a_key_is_no_start() -> None:
    with pytest.raises(ConfigurationError, match="PICKLE_SIGNING_KEY"):
        Settings(serialization_method="pickle")


def test_the_key_counts_only_with_pickle() -> None:
    key = "0123456789abcdef"
    assert Settings(serialization_method="pickle", pickle_signing_key=key).pickle_key == key.encode()
    assert Settings(pickle_signing_key=key).pickle_key is None


# --- secrets ----------------------------------------------------------------------------------------

SECRET = "Tr0ub4dor-and-3-more"


@pytest.fixture
def secretive() -> Settings:
    return Settings(
        redis_url=f"redis://user:{SECRET}@db.example:6379/0",
        redis_password=SECRET,
        pickle_signing_key=SECRET,
    )


def test_no_secret_is_in_the_repr(secretive: Settings) -> None:
    assert SECRET not in repr(secretive) + str(secretive)


def test_no_secret_is_described(secretive: Settings) -> None:
    assert SECRET not in str(secretive.describe())
    assert value_of(secretive, "REDIS_PASSWORD") == "***"
    assert value_of(secretive, "REDIS_URL") == "redis://user:***@db.example:6379/0"


@pytest.mark.parametrize(
    "wrong",
    [
        {"redis_url": f"http://:{SECRET}@x"},
        {"pickle_signing_key": 123456789012345678},
        {"max_versions": -1, "redis_password": SECRET},
        {"redis_password": [SECRET]},
        {"redis_enabled": True, "storage_backend": "inmemory", "redis_url": f"redis://:{SECRET}@x"},
    ],
)
def test_no_secret_is_in_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**wrong)
    text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text
    assert caught.value.__context__ is None  # pydantic's own error holds all values
    assert "123456789012345678" not in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:pw@host", "redis://:***@host"),
        ("rediss://me:p:w@host/1", "rediss://me:***@host/1"),
        ("redis+sentinel://:p@ss@a,b/x", "redis+sentinel://:***@a,b/x"),
        ("redis://:p/w@host/1", "redis://:***@host/1"),
        ("redis://pw@host", "redis://***@host"),
        ("redis://me:pw@host?PASSWORD=pw", "redis://me:***@host?PASSWORD=***"),
        ("redis://host:1/0?password=p@w", "redis://***"),
        ("redis+sentinel://a/m?sentinel%5Fpassword=pw", "redis+sentinel://a/m?sentinel%5Fpassword=***"),
        (
            "redis+sentinel://a/m?sentinel_%70assword=pw&db=1",
            "redis+sentinel://a/m?sentinel_%70assword=***&db=1",
        ),
        ("unix:///run/r.sock?db=1&password=pw&x=y", "unix:///run/r.sock?db=1&password=***&x=y"),
    ],
)
def test_the_password_of_a_url_is_hidden(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_replicas_are_not_waited_for_longer_than_a_reply() -> None:
    with pytest.raises(ConfigurationError, match=r"REDIS_WAIT_TIMEOUT.*REDIS_SOCKET_TIMEOUT"):
        Settings(redis_min_replicas=1, redis_wait_timeout=5.0)
    assert Settings(redis_wait_timeout=5.0).redis_min_replicas == 0
