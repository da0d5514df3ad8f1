"""What Prometheus reads."""

from __future__ import annotations

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from serving import Endpoint


def test_metrics_tell_of_the_storage(http: httpx2.Client, own: Endpoint) -> None:
    own.rows()
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    states = {s.labels["state"]: s.value for s in families["framekeep_storage_state"].samples}
    assert states == {"normal": 1.0, "outage": 0.0, "returning": 0.0}
    [reachable] = families["framekeep_storage_reachable"].samples
    health = http.get("/health/storage").json()
    assert reachable.labels == {"backend": health["backend_type"], "mode": health["mode"]}
    assert reachable.value == 1.0
    assert families["framekeep_sessions"].samples[0].value >= 1
    assert {s.labels["cache"] for s in families["framekeep_cache_uses"].samples} >= {"process"}
    if health["mode"] == "standby":
        assert families["framekeep_standby_pending"].samples[0].value == 0
