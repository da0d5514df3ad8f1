"""One table of settings: the code's, the documentation's and the example's are the same.

With FRAMEKEEP_WRITE_DOCS=1 in the environment, running this file writes both anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from framekeep.config import Settings, Variable

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "settings.md"
EXAMPLE = ROOT / ".env.redis.example"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
WRITE = os.environ.get("FRAMEKEEP_WRITE_DOCS") == "1"

# What somebody who goes over to Redis sets first; everything else in the example is commented out.
CHOSEN = {
    "REDIS_ENABLED": "true",
    "STORAGE_FALLBACK_TO_MEMORY": "true",
    "REDIS_URL": "redis://localhost:6379/0",
}


def table() -> str:
    rows = ["| variable | default | allowed | what |", "|---|---|---|---|"]
    for variable in Settings.variables():
        default = f"`{variable.default}`" if variable.default else "none"
        rows.append(f"| `{variable.name}` | {default} | {variable.allowed} | {variable.description} |")
    return "\n".join(rows)


def example() -> str:
    lines = [
        "# Framekeep on Redis: copy to .env and change what differs. Commented lines show the defaults.",
        "# Going back is REDIS_ENABLED=false and a restart.",
    ]
    for variable in Settings.variables():
        lines += [
            "",
            f"# {variable.description.replace('`', '')}",
            f"# Allowed: {variable.allowed}. Default: {variable.default or 'none'}.",
            line(variable),
        ]
    return "\n".join(lines) + "\n"


def line(variable: Variable) -> str:
    if variable.name in CHOSEN:
        return f"{variable.name}={CHOSEN[variable.name]}"
    # Not its default: that would contradict REDIS_ENABLED above.
    return f"#{variable.name}={'redis' if variable.name == 'STORAGE_BACKEND' else variable.default}"


def test_the_documentation_is_the_codes_table() -> None:
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    written, _, after = rest.partition(END)
    if WRITE:
        DOCS.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
        return
    assert written.strip() == table()


def test_the_example_is_the_codes_table() -> None:
    if WRITE:
        EXAMPLE.write_text(example(), encoding="utf-8")
        return
    assert EXAMPLE.read_text(encoding="utf-8") == example()


def test_the_example_can_be_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in Settings.variables():
        monkeypatch.delenv(variable.name, raising=False)
    settings = Settings(_env_file=EXAMPLE)
    assert settings.storage_backend == "redis"
    assert {row.variable for row in settings.describe() if row.source == ".env"} == set(CHOSEN)


def test_the_example_with_every_line_used_gives_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in Settings.variables():
        monkeypatch.delenv(variable.name, raising=False)
    everything = re.sub(r"(?m)^#(?=[A-Z_]+=)", "", EXAMPLE.read_text(encoding="utf-8"))
    used = tmp_path / "used.env"
    used.write_text(everything, encoding="utf-8")
    found = {row.variable: row.value for row in Settings(_env_file=used).describe()}
    wanted = {variable.name: variable.default for variable in Settings.variables()}
    assert found == {**wanted, "REDIS_ENABLED": "true", "STORAGE_BACKEND": "redis"}


def test_every_setting_says_what_it_does() -> None:
    assert [
        variable.name for variable in Settings.variables() if not variable.description.endswith(".")
    ] == []
