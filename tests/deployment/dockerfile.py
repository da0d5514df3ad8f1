"""Reads a Dockerfile, and says what is wrong with it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatch

SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_KEYS?|SIGNING_KEY", re.I)
COMPILERS = re.compile(r"\b(?:gcc|g\+\+|clang|build-essential|cmake|rustc|cargo|python3?-dev)\b")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return self.text.split()

    @property
    def listed(self) -> list[str] | None:
        """The words of the exec form; None in the shell form."""
        start = self.text.find("[")
        try:
            found = json.loads(self.text[start:]) if start >= 0 else None
        except ValueError:
            return None
        return found if isinstance(found, list) else None


@dataclass
class Stage:
    """One FROM and what follows it."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def environment(self) -> dict[str, str]:
        return dict(re.findall(r"(\w+)=(\S+)", " ".join(each.text for each in self.all("ENV"))))


def stages(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile, in order."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, rest = line.strip().partition(" ")
        if name.upper() == "FROM":
            image, *alias = rest.split()
            found.append(Stage(image, alias[-1] if alias else ""))
        else:
            found[-1].instructions.append(Instruction(name.upper(), " ".join(rest.split())))
    return found


def faults(text: str) -> list[str]:
    """Return what an image should not be: floating, root, with a compiler, without a health check …"""
    found = []
    built = stages(text)
    for stage in built:
        tag = stage.image.partition(":")[2]
        if not re.search(r"\d", tag):
            found.append(f"FROM {stage.image}: the tag is not pinned")
        for each in stage.instructions:
            if each.name == "ADD":
                found.append("ADD: COPY has no surprises")
            if each.name in ("CMD", "ENTRYPOINT", "HEALTHCHECK") and each.listed is None:
                found.append(f"{each.name}: not in the exec form, so a shell gets the signals")
            if each.name in ("ENV", "ARG") and SECRET.search(each.text):
                found.append(f"{each.name}: a secret in a layer")
            if each.name == "RUN" and "apt-get install" in each.text:
                if "--no-install-recommends" not in each.text:
                    found.append("RUN: apt-get installs what it recommends")
                if "rm -rf /var/lib/apt/lists" not in each.text:
                    found.append("RUN: apt-get leaves its lists behind")
            if each.name == "RUN" and re.search(r"\bpip\b.*\binstall\b", each.text):
                if "-c constraints.txt" not in each.text:
                    found.append("RUN: pip installs what is not pinned")
                if "PIP_NO_CACHE_DIR" not in stage.environment() and "--no-cache-dir" not in each.text:
                    found.append("RUN: pip leaves its cache behind")
    last = built[-1]
    users = [each.text for each in last.all("USER")]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        found.append("USER: not a fixed uid and gid other than root's")
    if len(built) < 2 or not last.all("COPY") or any("--from=" not in each.text for each in last.all("COPY")):
        found.append("COPY: the last stage takes more than what was built")
    if any("pip" in each.words or COMPILERS.search(each.text) for each in last.all("RUN")):
        found.append("RUN: the last stage installs or compiles")
    found += [f"{name}: missing" for name in ("ENTRYPOINT", "HEALTHCHECK", "VOLUME") if not last.all(name)]
    if last.environment().get("STORAGE_DIR") not in [
        place for each in last.all("VOLUME") for place in each.listed or ()
    ]:
        found.append("STORAGE_DIR: not on a volume")
    return found


def sent(path: str, ignore: str) -> bool:
    """Say whether a path of the tree goes to the builder, by the rules of ``.dockerignore``."""
    kept = True
    for line in ignore.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        parts = path.split("/")
        parents = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        if pattern.lstrip("!").startswith("**/"):
            parents = parts
        if any(fnmatch(parent, pattern.lstrip("!").removeprefix("**/")) for parent in parents):
            kept = pattern.startswith("!")
    return kept
