"""The files that a deployment is made of, as tests read them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root() -> Path:
    """The directory with Dockerfile and docker-compose.yml."""
    return ROOT


@pytest.fixture
def composed() -> dict[str, Any]:
    """docker-compose.yml, each time anew: a test may change it."""
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found
