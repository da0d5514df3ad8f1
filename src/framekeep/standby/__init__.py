"""Going on while Redis does not answer: a mirror on this machine, local changes, and how they come back."""

from framekeep.standby.engine import StandbyEngine
from framekeep.standby.replay import Replayer

__all__ = ["Replayer", "StandbyEngine"]
