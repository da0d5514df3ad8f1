"""``.env.redis.example`` has every variable that somebody on Redis needs, and says what each may be.

It is written from the settings: FRAMEKEEP_WRITE_DOCS=1 pytest tests/config/test_settings_docs.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from framekeep.config import Settings, Variable

EXAMPLE = Path(__file__).parents[2] / ".env.redis.example"
AGAIN = "write it anew: FRAMEKEEP_WRITE_DOCS=1 pytest tests/config/test_settings_docs.py"

PROMISED = {
    *(
        "REDIS_ENABLED",
        "STORAGE_BACKEND",
        "STORAGE_FALLBACK_TO_MEMORY",
        "STORAGE_DIR",
        "REDIS_URL",
        "REDIS_DB",
    ),
    *("REDIS_PASSWORD", "REDIS_USERNAME", "REDIS_MAX_CONNECTIONS", "REDIS_SOCKET_TIMEOUT"),
    *("REDIS_SOCKET_CONNECT_TIMEOUT", "REDIS_RETRY_ON_TIMEOUT", "REDIS_HEALTH_CHECK_INTERVAL"),
    *("REDIS_SESSION_TTL_SECONDS", "REDIS_LOCK_TTL_SECONDS", "REDIS_LOCK_RETRY_ATTEMPTS"),
    *("REDIS_LOCK_RETRY_DELAY_MS", "SERIALIZATION_METHOD", "COMPRESSION_ENABLED", "COMPRESSION_CODEC"),
    *("MAX_DATAFRAME_SIZE_MB", "MAX_UPLOAD_SIZE_MB", "MAX_VERSIONS", "TEMP_TTL_SECONDS", "CORS_ORIGINS"),
}
"""What was promised to the first users: these names never go."""

CHOSEN = {"REDIS_ENABLED", "STORAGE_BACKEND"}
"""Their values in the example are not the defaults: it is for somebody who goes over to Redis."""

UNITS = {"SECONDS": "Seconds", "TIMEOUT": "Seconds", "INTERVAL": "Seconds", "MS": "Milliseconds", "MB": "MiB"}


def needed() -> list[Variable]:
    return [
        variable
        for variable in Settings.variables()
        if variable.name in PROMISED
        or variable.name.startswith(("REDIS_", "STORAGE_"))
        or variable.name == "LOCAL_CACHE_MB"
    ]


def entries() -> dict[str, tuple[str, str]]:
    """Return comment and value of each variable of the example."""
    found = re.findall(r"(?m)^((?:# .*\n)+)#?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(encoding="utf-8"))
    return {name: (comment.replace("# ", ""), value) for comment, name, value in found}


def test_every_promised_name_is_a_setting() -> None:
    assert PROMISED - {variable.name for variable in Settings.variables()} == set()


@pytest.mark.parametrize("variable", needed(), ids=lambda variable: variable.name)
def test_the_variable_is_explained(variable: Variable) -> None:
    assert variable.name in entries(), AGAIN
    comment, value = entries()[variable.name]
    assert variable.description.replace("`", "") in comment, AGAIN
    assert f"Allowed: {variable.allowed}." in comment, AGAIN
    assert value == variable.default or variable.name in CHOSEN, AGAIN


@pytest.mark.parametrize("variable", needed(), ids=lambda variable: variable.name)
def test_a_quantity_has_its_unit(variable: Variable) -> None:
    unit = next((unit for end, unit in UNITS.items() if variable.name.endswith(f"_{end}")), None)
    boolean = variable.allowed == "true, false"  # REDIS_RETRY_ON_TIMEOUT
    assert unit is None or boolean or unit.lower() in variable.description.lower()


def test_each_variable_stands_there_once() -> None:
    names = re.findall(r"(?m)^#?([A-Z][A-Z0-9_]*)=", EXAMPLE.read_text(encoding="utf-8"))
    assert [name for name in names if names.count(name) > 1] == []
    assert set(names) - {variable.name for variable in Settings.variables()} == set()


def test_no_secret_is_filled_in() -> None:
    filled = {name: value for name, (_, value) in entries().items() if re.search(r"PASSWORD|KEYS?$", name)}
    assert {"REDIS_PASSWORD", "API_KEYS", "PICKLE_SIGNING_KEY"} <= set(filled)
    assert set(filled.values()) == {""}
