"""What a third party needs to prove an engine: the contract, the state machine, faults and a clock.

``BackendContract`` does the same for a backend. It, ``EngineContract`` and ``engine_machine`` need pytest and
Hypothesis: ``pip install 'framekeep[dev]'``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from framekeep.testing.clock import ManualClock
from framekeep.testing.faults import FailAt, FlippedByte, InjectedFault, LostReply, VanishedBlob

if TYPE_CHECKING:
    from framekeep.testing.backend import BackendContract
    from framekeep.testing.contract import EngineContract, contract_failures
    from framekeep.testing.machine import engine_machine

__all__ = [
    "BackendContract",
    "EngineContract",
    "FailAt",
    "FlippedByte",
    "InjectedFault",
    "LostReply",
    "ManualClock",
    "VanishedBlob",
    "contract_failures",
    "engine_machine",
]

_NEEDS_DEV = {
    "BackendContract": "framekeep.testing.backend",
    "EngineContract": "framekeep.testing.contract",
    "contract_failures": "framekeep.testing.contract",
    "engine_machine": "framekeep.testing.machine",
}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_DEV:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(_NEEDS_DEV[name])
    except ImportError as e:
        raise ImportError(
            f"framekeep.testing.{name} needs {e.name}: pip install 'framekeep[dev]'", name=e.name
        ) from e
    return getattr(module, name)
