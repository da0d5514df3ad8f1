"""What Redis says of itself: facts for the operator, and what in its configuration endangers sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from framekeep.engines.redis_topology import Topology

_MIB = 1 << 20
_PRIMARY = "master"
_PERSISTENCE = ("none", "rdb", "aof")  # weakest first


def facts(topology: Topology) -> dict[str, Any]:
    """Return what is known of the servers that take writes: sums over them where that makes sense.

    One server of a Cluster that is full, evicts, saves nothing or takes no writes counts as if all did.

    Keys: ``version``, ``used_memory_mb``, ``connected_clients``, ``total_commands_processed``, ``role``,
    ``topology``, ``address``, ``maxmemory_mb`` (0: no limit), ``maxmemory_policy``, ``persistence`` ("aof",
    "rdb", "none"), ``replicas``, ``warnings``. A user who may not call INFO gets the address and a warning.
    """
    place = topology.place
    known: dict[str, Any] = {"topology": place.kind, "address": str(place)}
    topology.of_primaries(lambda primaries: [primary.ping() for primary in primaries])
    try:
        infos = topology.of_primaries(_infos)
        if _role(infos) != _PRIMARY:
            topology.renew()  # others may know by now who takes its writes
            infos = topology.of_primaries(_infos)
    except (NoPermissionError, ResponseError):
        return {**known, "warnings": ["The user's ACL does not allow INFO: nothing is known of memory."]}
    first = infos[0]
    version = first.get("valkey_version")
    known |= {
        "version": str(version or first.get("redis_version", "")),
        "server": "valkey" if version else "redis",
        "used_memory_mb": round(sum(info.get("used_memory", 0) for info in infos) / _MIB, 1),
        "connected_clients": sum(info.get("connected_clients", 0) for info in infos),
        "total_commands_processed": sum(info.get("total_commands_processed", 0) for info in infos),
        "role": _role(infos),
        "maxmemory_mb": round(sum(info.get("maxmemory", 0) for info in infos) / _MIB, 1),
        "maxmemory_policy": ", ".join(sorted({str(info.get("maxmemory_policy", "")) for info in infos})),
        "persistence": min(map(_persistence, infos), key=_PERSISTENCE.index),
        "replicas": sum(info.get("connected_slaves", 0) for info in infos),
    }
    return {**known, "warnings": _warnings(known, infos)}


def _infos(primaries: Sequence[Redis]) -> list[dict[str, Any]]:
    found: list[Any] = [primary.info() for primary in primaries]
    return found


def _role(infos: Sequence[dict[str, Any]]) -> str:
    """Return what all of them are: that of one that does not take writes, if there is one."""
    roles = [str(info.get("role", "")) for info in infos]
    return next((role for role in roles if role != _PRIMARY), _PRIMARY)


def _persistence(info: dict[str, Any]) -> str:
    if info.get("aof_enabled"):
        return "aof"
    return "rdb" if info.get("rdb_last_save_time") and info.get("rdb_saves") else "none"


def _warnings(known: dict[str, Any], infos: Sequence[dict[str, Any]]) -> list[str]:
    warnings = []
    limited = [info for info in infos if info.get("maxmemory")]
    evicting = {str(info.get("maxmemory_policy", "")) for info in limited} - {"noeviction"}
    if evicting:
        warnings.append(
            f"maxmemory-policy is {', '.join(sorted(evicting))}: when memory is full, Redis deletes live "
            "sessions. Set it to noeviction."
        )
    if known["role"] not in (_PRIMARY, ""):
        warnings.append(f"This server's role is {known['role']}: it takes no writes.")
    saves = ("rdb_last_bgsave_status", "aof_last_write_status")
    if any(info.get(save) == "err" for info in infos for save in saves):
        warnings.append("The last attempt of Redis to save to its disk failed: see its log.")
    if any(info.get("used_memory", 0) > 0.9 * info["maxmemory"] for info in limited):
        warnings.append("More than 90 % of maxmemory is in use: soon nothing more can be stored.")
    return warnings
