"""Says what is wrong with a compose file."""

from __future__ import annotations

import re
from typing import Any

from dockerfile import SECRET

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_GIVEN = re.compile(r"\$\{[A-Z_]+:\?[^}]*\}")


def size(text: str) -> int:
    """Return the bytes of a size such as ``2g``, ``512m`` or ``1gb``."""
    found = re.fullmatch(r"(\d+)([kmg])b?", text.strip().lower())
    assert found is not None, f"{text!r} is no size"
    return int(found[1]) * _UNITS[found[2]]


def seconds(text: str) -> int:
    """Return the seconds of a duration such as ``40s`` or ``1m``."""
    found = re.fullmatch(r"(\d+)([sm])", text)
    assert found is not None, f"{text!r} is no duration"
    return int(found[1]) * {"s": 1, "m": 60}[found[2]]


def faults(composed: dict[str, Any]) -> list[str]:
    """Return what services should not be: floating, unbounded, reachable, privileged, with secrets …"""
    found = []
    used: set[str] = set()
    for name, service in composed["services"].items():
        wrong = [*_image(service), *_bounds(service), *_rights(service), *_secrets(service)]
        wrong += [
            f"port {port}: not on loopback only"
            for port in service.get("ports", ())
            if not isinstance(port, str) or not port.startswith("127.0.0.1:")
        ]
        for volume in service.get("volumes", ()):
            source, _, rest = str(volume).partition(":")
            if source.startswith((".", "/", "~")):
                if not rest.endswith(":ro"):
                    wrong.append(f"volume {volume}: the host's files can be written")
            else:
                used.add(source)
        found += [f"{name}: {each}" for each in wrong]
    declared = set(composed.get("volumes", {}))
    found += [f"volume {each}: used or declared, not both" for each in sorted(used ^ declared)]
    return found


def _image(service: dict[str, Any]) -> list[str]:
    image = str(service.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    return [] if re.search(r"\d", tag) else [f"image {image!r}: the tag is not pinned"]


def _bounds(service: dict[str, Any]) -> list[str]:
    wrong = [each for each in ("mem_limit", "restart", "logging") if each not in service]
    if service.get("restart") not in ("unless-stopped", "always"):
        wrong.append("restart")
    check = service.get("healthcheck", {})
    wrong += [
        f"healthcheck {each}" for each in ("test", "interval", "timeout", "retries") if each not in check
    ]
    if check.get("disable"):
        wrong.append("healthcheck test")
    return [f"{each}: missing" for each in wrong]


def _rights(service: dict[str, Any]) -> list[str]:
    wrong = []
    user = str(service.get("user", ""))
    if "build" not in service and not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
        wrong.append(f"user {user!r}: not a fixed uid and gid other than root's")
    if "build" in service and "user" in service:
        wrong.append("user: the image's own is the owner of its volume")
    if service.get("cap_drop") != ["ALL"] or "cap_add" in service:
        wrong.append("capabilities: not all dropped")
    if "no-new-privileges:true" not in service.get("security_opt", ()):
        wrong.append("no-new-privileges: missing")
    wrong += [
        f"{each}: gives away the host"
        for each in ("privileged", "network_mode", "pid", "ipc", "devices")
        if each in service
    ]
    if "docker.sock" in str(service.get("volumes", ())):
        wrong.append("docker.sock: gives away the host")
    return wrong


def _secrets(service: dict[str, Any]) -> list[str]:
    wrong = [
        f"{name}: a secret that does not come from the environment, or may be empty"
        for name, value in service.get("environment", {}).items()
        if SECRET.search(name) and not _GIVEN.fullmatch(str(value))
    ]
    told = " ".join(
        [*map(str, service.get("command", ())), *map(str, service["healthcheck"].get("test", ()))]
    )
    # As an argument it stands in every list of processes, whatever it is.
    if re.search(r"--requirepass|--masterauth|\s-a[\s\"]|--pass\b|--user\b", told):
        wrong.append("command: a password as an argument")
    if re.search(r"requirepass\s+(?!\"\$\$\w+\"$)", told, re.M):
        wrong.append("command: a password in clear")
    if re.search(r"://[^/\s]*:[^/\s$]+@", str(service.get("environment", {}))):
        wrong.append("URL: a password in clear")
    return wrong
