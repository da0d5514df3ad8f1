"""Settings: every variable, its unit, what it may be, and where its value came from.

The only module that reads the environment. A wrong value or a contradiction raises ConfigurationError, which
names the variable and what is allowed; no message and no ``repr`` holds a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from framekeep.errors import ConfigurationError

REDIS_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
"""The beginnings a REDIS_URL may have."""

API_KEY_LENGTH = 16
"""Each of the API_KEYS has at least so many characters."""

SIGNING_KEY_BYTES = 16
"""A PICKLE_SIGNING_KEY is at least this long."""

# Or what may be called so: a name may be written as %XX too.
_PASSWORD_IN_QUERY = re.compile(r"(?<=[?&])([^=&]*(?:password|%)[^=&]*=)[^&]*", re.IGNORECASE)
_MIB = 1 << 20

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=100 * 366 * 86_400, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as it is: for ``framekeep config show``.

    Attributes:
        variable: its name in the environment.
        value: as text; a secret is ``***`` when set and empty when not.
        source: ``default``, ``environment``, ``.env``, ``argument``, or ``implied by <variable>``.
    """

    variable: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One setting as it may be: for the documentation.

    Attributes:
        name: its name in the environment.
        default: as it would be written there; empty for none.
        allowed: what it may be.
        description: what it does, with its unit.
    """

    name: str
    default: str
    allowed: str
    description: str


class Settings(BaseSettings):
    """What Framekeep is told from outside: arguments win over the environment, that over ``.env``.

    Raises:
        ConfigurationError: a value is wrong, an argument is unknown, or two settings contradict each other.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    redis_enabled: bool = Field(
        False, description="Keep sessions in Redis. `false` and a restart is the rollback."
    )
    storage_backend: Literal["redis", "inmemory"] = Field(
        "inmemory",
        description="Explicit choice of the backend; must agree with `REDIS_ENABLED` when both are given.",
    )
    storage_fallback_to_memory: bool = Field(
        True,
        description="`true`: what this machine holds goes on while Redis does not answer, and if it does not "
        "at the start, the embedded engine serves, loudly. `false`: requests are refused until it does.",
    )
    storage_dir: Path = Field(
        Path(".framekeep"), description="Directory where the embedded engine keeps its file."
    )

    redis_url: str = Field(
        "redis://localhost:6379/0", repr=False, description="Where Redis is; a password in it is never shown."
    )
    redis_db: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Database number; overrides the URL's."
    )
    redis_username: str | None = Field(None, description="User name; overrides the URL's.")
    redis_password: SecretStr | None = Field(None, description="Password; overrides the URL's.")
    redis_max_connections: Positive = Field(50, description="Connections kept at most, per process.")
    redis_socket_timeout: Seconds = Field(5.0, description="Seconds to wait for a reply.")
    redis_socket_connect_timeout: Seconds = Field(5.0, description="Seconds to wait for a connection.")
    redis_retry_on_timeout: bool = Field(True, description="Ask once more when a reply did not come in time.")
    redis_health_check_interval: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        30.0, description="Seconds a connection may idle before it is probed; 0 never probes."
    )
    redis_ssl_ca_certs: Path | None = Field(
        None, description="PEM file of who may have signed the server's certificate; by default the system's."
    )
    redis_ssl_certfile: Path | None = Field(
        None, description="PEM file of the client's certificate, where Redis asks for one."
    )
    redis_ssl_keyfile: Path | None = Field(None, description="PEM file of that certificate's key.")
    redis_key_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")] = Field(
        "framekeep", description="What the names of all keys begin with: several stores may share a Redis."
    )
    redis_min_replicas: Annotated[int, Field(ge=0, le=16)] = Field(
        0,
        description="Replicas that must have a change before it is acknowledged; 0: a failover may lose the "
        "last moments.",
    )
    redis_wait_timeout: Seconds = Field(
        1.0, description="Seconds to wait for `REDIS_MIN_REPLICAS` before a change is answered with an error."
    )
    redis_session_ttl_seconds: Seconds = Field(
        3600.0, description="Seconds from the last access of a session to its expiry (every engine)."
    )
    redis_lock_ttl_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        10.0, description="Seconds that a lock's lease lasts (every engine)."
    )
    redis_lock_retry_attempts: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description="How often a lock that is held is tried again (every engine)."
    )
    redis_lock_retry_delay_ms: Annotated[float, Field(ge=0, le=60_000)] = Field(
        100.0,
        description="Milliseconds before the first retry; doubles each time, with jitter (every engine).",
    )

    serialization_method: Literal["pyarrow", "pickle"] = Field(
        "pyarrow",
        description="`pickle` also keeps cells without an exact encoding, signed with `PICKLE_SIGNING_KEY`.",
    )
    pickle_signing_key: SecretStr | None = Field(
        None, description="Key that signs pickled cells; what it did not sign is never unpickled."
    )
    compression_enabled: bool = Field(True, description="Compress chunks where it pays.")
    compression_codec: Literal["snappy", "zstd", "gzip", "lz4", "auto"] = Field(
        "auto",
        description="Codec of new chunks; `auto` takes the cheapest that pays, per chunk. Any can be read.",
    )
    cache_mb: Annotated[int, Field(ge=0)] = Field(
        512, description="MiB of decoded columns, pages and profiles kept in this process; 0 keeps none."
    )

    breaker_failures: Annotated[int, Field(ge=1, le=1000)] = Field(
        5,
        description="With Redis: so many calls without an answer within `BREAKER_WINDOW_SECONDS`, and it is "
        "left alone for a while.",
    )
    breaker_window_seconds: Seconds = Field(10.0, description="Seconds within which failures are counted.")
    breaker_cooldown_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        5.0, description="Seconds that Redis is left alone then; up to twice as long, at random."
    )
    standby_mb: Annotated[int, Field(ge=16)] = Field(
        1024,
        description="With Redis and `STORAGE_FALLBACK_TO_MEMORY`: MiB of sessions used lately that are kept "
        "in `STORAGE_DIR` too, to go on with while Redis does not answer.",
    )
    local_cache_mb: Annotated[int, Field(ge=0)] = Field(
        0,
        description="With Redis: MiB of chunks kept in a file in `STORAGE_DIR` for all processes of this "
        "machine; 0 keeps none.",
    )

    max_dataframe_size_mb: Positive = Field(
        500, description="MiB of data a frame may have; a larger one is refused."
    )
    max_upload_size_mb: Positive = Field(50, description="MiB an uploaded file may have.")
    max_versions: Annotated[int, Field(ge=0)] = Field(
        5, description="Versions kept per session, the oldest dropped first; 0 keeps none."
    )
    temp_ttl_seconds: Seconds = Field(1800.0, description="Seconds that the sheets of an upload are kept.")
    import_memory_mb: Annotated[int, Field(ge=256)] = Field(
        2048, description="MiB of memory that reading one uploaded file may take."
    )
    import_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        120.0, description="Seconds that reading one uploaded file may take."
    )
    serve_host: str = Field(
        "127.0.0.1", description="Address the service listens on; a public one needs `API_KEYS`."
    )
    serve_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        8000, description="Port the service listens on; 0 takes a free one."
    )
    serve_workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Processes that serve; they share the sessions."
    )
    serve_shutdown_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="Seconds that requests in flight may take to finish when the service stops."
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys that may use the service, separated by commas; a session belongs to the key that "
        "made it. None: anybody who reaches the service may use it.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Web origins that may call the service, separated by commas."
    )

    _secret: ClassVar[frozenset[str]] = frozenset(
        {"redis_url", "redis_password", "pickle_signing_key", "api_keys"}
    )

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    _allowed: ClassVar[dict[str, str]] = {
        "storage_dir": "a path, from ~ on too",
        "redis_url": ", ".join(f"{scheme}://…" for scheme in REDIS_SCHEMES),
        "redis_username": "text",
        "redis_password": "text",
        "redis_key_prefix": "1 to 64 ASCII letters, digits, _, - and .",
        "redis_ssl_ca_certs": "a path",
        "redis_ssl_certfile": "a path",
        "redis_ssl_keyfile": "a path",
        "pickle_signing_key": f"text of at least {SIGNING_KEY_BYTES} bytes",
        "serve_host": "an IP address or a host name",
        "api_keys": f"texts of at least {API_KEY_LENGTH} printable ASCII characters, without commas",
        "cors_origins": "origins such as https://app.example.com, or *",
    }

    def __init__(self, **values: Any) -> None:
        options = {name for name in values if name.startswith("_")}
        unknown = sorted(values.keys() - options - type(self).model_fields.keys())
        if unknown:
            raise ConfigurationError(f"There is no setting {', '.join(unknown)}. See docs/settings.md.")
        wrong = ""
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = _explained(type(self), error)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The .env file cannot be read: {type(error).__name__}.") from error
        if (
            wrong
        ):  # not in the handler: pydantic's error, as the context of ours, would carry the values along
            raise ConfigurationError(wrong)
        self._sources = self._where_from(values)

    # --- rules -----------------------------------------------------------------------------------

    @field_validator("cors_origins", "api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(origin.strip() for origin in value.split(",") if origin.strip())
        return value

    @field_validator("storage_dir", mode="before")
    @classmethod
    def _one_directory(cls, value: object) -> object:
        if not isinstance(value, (str, Path)):
            return value
        if not str(value).strip() or "\0" in str(value):
            raise ValueError
        try:
            return Path(value).expanduser()  # no shell did it in a file .env
        except RuntimeError:
            raise ValueError from None

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if value.partition("://")[0] not in REDIS_SCHEMES or "://" not in value:
            raise ValueError
        return value

    @field_validator("api_keys")
    @classmethod
    def _strong_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            text = key.get_secret_value()
            if len(text) < API_KEY_LENGTH or not (text.isascii() and text.isprintable()) or " " in text:
                raise ValueError
        return value

    @field_validator("pickle_signing_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < SIGNING_KEY_BYTES:
            raise ValueError
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        given = self.model_fields_set
        if "storage_backend" in given and "redis_enabled" in given:
            if (self.storage_backend == "redis") != self.redis_enabled:
                raise ConfigurationError(
                    f"STORAGE_BACKEND={self.storage_backend} contradicts REDIS_ENABLED="
                    f"{str(self.redis_enabled).lower()}. Give one of them, or make them agree."
                )
        elif self.redis_enabled:
            self.__dict__["storage_backend"] = "redis"
        elif self.storage_backend == "redis":
            self.__dict__["redis_enabled"] = True
        if self.redis_min_replicas and self.redis_wait_timeout >= self.redis_socket_timeout:
            raise ConfigurationError(
                f"REDIS_WAIT_TIMEOUT={self.redis_wait_timeout:g} must be below REDIS_SOCKET_TIMEOUT="
                f"{self.redis_socket_timeout:g}: a connection gives up before the replicas have answered."
            )
        if self.serialization_method == "pickle" and self.pickle_signing_key is None:
            raise ConfigurationError(
                "SERIALIZATION_METHOD=pickle needs PICKLE_SIGNING_KEY, the key that pickled cells are signed "
                f"with ({self._allowed['pickle_signing_key']}). Set it, or use SERIALIZATION_METHOD=pyarrow."
            )
        return self

    # --- values in the units that code uses ------------------------------------------------------

    @property
    def max_frame_bytes(self) -> int:
        """Bytes of data a frame may have."""
        return self.max_dataframe_size_mb * _MIB

    @property
    def cache_bytes(self) -> int:
        """Bytes of decoded columns kept in this process."""
        return self.cache_mb * _MIB

    @property
    def pickle_key(self) -> bytes | None:
        """The signing key when pickled cells are wanted; else None, and they are refused by name."""
        if self.serialization_method != "pickle" or self.pickle_signing_key is None:
            return None
        return self.pickle_signing_key.get_secret_value().encode()

    def export(self) -> None:
        """Put what was given as arguments into the environment, for the processes that this one starts."""
        for name, source in self._sources.items():
            if source == "argument":
                os.environ[name.upper()] = _written(getattr(self, name))

    # --- telling what is set ---------------------------------------------------------------------

    def describe(self) -> list[SettingRow]:
        """Return each setting with its value and where that came from; secrets are hidden."""
        return [
            SettingRow(name.upper(), _shown(getattr(self, name)), self._sources[name])
            for name in type(self).model_fields
        ]

    @classmethod
    def variables(cls) -> Iterator[Variable]:
        """Yield every setting as it may be, in the order of the documentation."""
        for name, field in cls.model_fields.items():
            yield Variable(name.upper(), _shown(field.default), _may_be(cls, name), field.description or "")

    def _where_from(self, values: dict[str, Any]) -> dict[str, str]:
        env_file = values.get("_env_file", self.model_config.get("env_file"))
        read = {
            "argument": values,
            "environment": EnvSettingsSource(type(self))(),
            ".env": DotEnvSettingsSource(type(self), env_file=env_file)(),
        }
        sources = {
            name: next((source for source, found in read.items() if name in found), "default")
            for name in type(self).model_fields
        }
        if sources["storage_backend"] == "default" and self.storage_backend == "redis":
            sources["storage_backend"] = "implied by REDIS_ENABLED"
        if sources["redis_enabled"] == "default" and self.redis_enabled:
            sources["redis_enabled"] = "implied by STORAGE_BACKEND"
        return sources


def without_password(url: str) -> str:
    """Return a URL with its password replaced by ``***``, also where it may only be one."""
    scheme, sep, rest = url.partition("://")
    before, at, after = rest.rpartition("@")
    if _PASSWORD_IN_QUERY.search(before):  # with an "@" behind: no telling where it ends
        return f"{scheme}://***"
    if at:
        user, colon, _ = before.partition(":")
        before = f"{user}:***" if colon else "***"  # redis://password@host is a common slip
    return scheme + sep + before + at + _PASSWORD_IN_QUERY.sub(r"\1***", after)


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return "***"
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(_shown(each) for each in value)
        case float():
            return f"{value:g}"
        case _:
            return without_password(os.fspath(value) if isinstance(value, Path) else str(value))


def _written(value: object) -> str:
    """Return a value as it stands in the environment, secrets included."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case tuple():
            return ",".join(_written(each) for each in value)
        case bool():
            return str(value).lower()
        case None:
            return ""
        case _:
            return str(value)


def _may_be(settings: type[Settings], name: str) -> str:
    """Return what a setting may be, in words."""
    if name in settings._allowed:
        return settings._allowed[name]
    field = settings.model_fields[name]
    annotation = field.annotation
    choices = get_args(annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(choices)
    if annotation is bool:
        return "true, false"
    number = "a number" if annotation is float else "an integer"
    return number + _bounds(field, choices)


def _bounds(field: FieldInfo, parts: tuple[Any, ...]) -> str:
    rules = [*field.metadata, *(rule for part in parts for rule in getattr(part, "__metadata__", ()))]
    words = []
    for rule in rules:
        for nested in (rule, *getattr(rule, "metadata", ())):
            for bound, word in (("ge", "at least"), ("gt", "above"), ("le", "at most")):
                limit = getattr(nested, bound, None)
                if limit is not None:
                    words.append(f"{word} {limit:g}" if limit < 1e6 else f"{word} {limit}")
    return "".join(f" {word}" for word in dict.fromkeys(words[:1])) + "".join(
        f", {word}" for word in dict.fromkeys(words[1:])
    )


def _explained(settings: type[Settings], error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        if not problem["loc"]:  # a contradiction says itself what it is
            lines.append(problem["msg"].removeprefix("Value error, "))
            continue
        name = str(problem["loc"][0])
        given = (
            "a wrong value" if name in settings._secret else f"the wrong value {str(problem['input'])[:40]!r}"
        )
        lines.append(f"{name.upper()} has {given}. Allowed: {_may_be(settings, name)}.")
    return " ".join(dict.fromkeys(lines))
