"""What others do in the instant between a look and a step of replaying."""

from __future__ import annotations

from typing import Any

import pytest

from framekeep.engines.base import Head
from framekeep.names import Space
from framekeep.standby.replay import Outcome

from .conftest import frame, values

S = Space("session:s")


def test_one_that_is_made_anew_while_a_deletion_comes_back_stays(
    here: Any, elsewhere: Any, primary: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary.down = True
    here.backend.delete_session("s")
    primary.down = False
    elsewhere.backend.delete_session("s")
    load = here.engine.primary.load
    looks: list[Head | None] = []

    def looked(space: Space) -> Head | None:
        found: Head | None = load(space)
        looks.append(found)
        if len(looks) == 2:  # the first one asks whether the primary is back
            elsewhere.backend.create_session("s", frame(7), "f.csv", 3600.0)
        return found

    monkeypatch.setattr(here.engine.primary, "load", looked)
    assert here.replayer.replay() == {S: Outcome.LEFT}
    assert looks[:2] == [None, None]
    assert values(elsewhere.backend) == [7, 2, 3]
