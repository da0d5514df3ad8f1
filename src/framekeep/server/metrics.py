"""What Prometheus is told: of the worker that answers, and of the storage it uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from framekeep.manager import DataManager

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

STATES: Final = ("normal", "outage", "returning")


class Storage(Collector):
    """Asks the storage how it is, once for each time it is read."""

    def __init__(self, manager: DataManager) -> None:
        self._manager = manager

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        health = self._manager.get_backend_health()
        labels = [health["backend_type"], health["mode"]]
        up = GaugeMetricFamily(
            "framekeep_storage_reachable", "Whether the storage answers (1) or not (0)", labels=_WHERE
        )
        up.add_metric(labels, float(health["reachable"]))
        yield up
        state = GaugeMetricFamily(
            "framekeep_storage_state",
            "1 for the state that the storage is in: normal, outage, or returning from one",
            labels=[*_WHERE, "state"],
        )
        for each in STATES:
            state.add_metric([*labels, each], float(health["state"] == each))
        yield state
        yield GaugeMetricFamily(
            "framekeep_storage_latency_seconds",
            "How long a round trip to it took",
            health["latency_ms"] / 1000,
        )
        if health["active_sessions"] is not None:
            yield GaugeMetricFamily("framekeep_sessions", "Live sessions", health["active_sessions"])
        yield from _standby(health["details"].get("standby"))
        yield from _caches(health["caches"])
        redis = health["redis_info"] or {}
        if "used_memory_mb" in redis:
            yield GaugeMetricFamily(
                "framekeep_redis_memory_bytes", "Memory that Redis uses", redis["used_memory_mb"] * (1 << 20)
            )


_WHERE: Final = ("backend", "mode")


def _standby(told: dict[str, Any] | None) -> Iterator[Metric]:
    if told is not None:
        yield GaugeMetricFamily(
            "framekeep_standby_pending",
            "Sessions and kept replies served from this machine until Redis has them",
            told["pending"],
        )
        yield GaugeMetricFamily(
            "framekeep_standby_bytes", "Bytes that sessions held for an outage take", told["used_bytes"]
        )


def _caches(caches: dict[str, dict[str, Any] | None]) -> Iterator[Metric]:
    uses = CounterMetricFamily(
        "framekeep_cache_uses", "Looks into a cache, by whether they found it", labels=("cache", "result")
    )
    held = GaugeMetricFamily("framekeep_cache_bytes", "Bytes held in a cache", labels=("cache",))
    for name, told in caches.items():
        if told is not None:
            uses.add_metric([name, "hit"], told["hits"])
            uses.add_metric([name, "miss"], told["misses"])
            held.add_metric([name], told["bytes"])
    yield uses
    yield held


def rendered(manager: DataManager) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Storage(manager))
    return generate_latest(registry)
