"""The scripts that run inside Redis: each one atomic step on the keys of one slot."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name under which Redis remembers it.

    Attributes:
        name: of its file.
        source: its text.
        sha: SHA-1 of the text, in hexadecimal.
    """

    name: str
    source: str = field(repr=False)
    sha: str


def _script(name: str) -> Script:
    source = files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


LOAD: Final = _script("load")
LOG: Final = _script("log")
COMMIT: Final = _script("commit")
STAGE: Final = _script("stage")
TOUCH: Final = _script("touch")
FORGET: Final = _script("forget")
PURGE: Final = _script("purge")
