"""The walk through the service in the README is what happens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    walk = text[text.index("<!-- walk:start") : text.index("<!-- walk:end")]
    return re.findall(r"^```sh\n(.*?)^```", walk, re.M | re.S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def script(port: int) -> str:
    """The blocks as one script: on a free port, waiting for the service, and printing a mark after each."""
    first, *rest = (block.replace("8000", str(port)) for block in blocks())
    assert first.startswith("framekeep serve")
    first = first.replace("framekeep serve", f"framekeep serve --port {port}")
    ready = (
        f"for i in $(seq 200); do curl -sf http://127.0.0.1:{port}/health/ready >/dev/null && break; "
        "sleep 0.1; done"
    )
    parts = [first + "SERVER=$!\ntrap 'kill $SERVER' EXIT\n" + ready, *rest]
    return "set -eu\n" + "\necho; echo '--- block'\n".join(parts)


def walked(tmp_path: Path) -> list[str]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STORAGE_DIR": str(tmp_path / "store"),
    }
    # A group of its own, so that nothing of it can stay behind.
    process = subprocess.Popen(
        ["bash", "-c", script(free_port())],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, complained = process.communicate(timeout=90)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, complained
    return said.split("--- block\n")


def documents(block: str) -> list[dict[str, object]]:
    """The JSON documents that curl printed one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(block.rstrip()):
        document, end = decoder.raw_decode(block, at)
        found.append(document)
        at = end + len(block[end:]) - len(block[end:].lstrip())
    return found


def test_the_walk_is_what_happens(tmp_path: Path) -> None:
    _, upload, read, edit, step, taken = walked(tmp_path)
    (made,) = documents(upload)
    types = {column["name"]: column["type"] for column in made["columns"]}  # type: ignore[attr-defined]
    assert types == {"id": "text", "sex": "text", "height": "integer", "weight": "number"}
    page, profile = documents(read)
    assert page["rows"] == [["00501", 164], ["00502", None]]
    assert profile["profiles"][0]["missing"] == 1  # type: ignore[index]
    dry, wet = documents(edit)
    assert (dry["dry_run"], dry["version_id"], wet["dry_run"]) == (True, None, False)
    undone, refused, redone = documents(step)
    assert undone["action_summary"] == redone["action_summary"] == "Heights filled, sex tidied, BMI"
    assert (refused["status"], refused["code"]) == (412, "precondition_failed")
    lines = taken.splitlines()
    assert lines[0].replace('"', "") == "id,sex,height,weight,bmi"
    assert lines[1].replace('"', "") == "00501,f,164,61.5,22.9"
    assert lines[2].replace('"', "") == "00502,m,167.5,80,28.5"
    assert json.loads(lines[-1]) == {"deleted": True}
    assert (tmp_path / "visits.xlsx").read_bytes().startswith(b"PK")
