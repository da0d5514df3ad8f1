"""Let pytest explain the assertions of the shipped contract."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("framekeep.testing")
