"""How the demo speaks: headings, calls, sentences, and the figures it measures on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console


class Voice:
    """Tells and measures.

    Args:
        console: where it is told.

    Attributes:
        figures: what was measured: milliseconds under ``*_ms``, bytes under ``*_bytes``.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.figures: dict[str, Any] = {}

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.print(Text(title, style="bold cyan"))

    def code(self, *lines: str) -> None:
        """Show the call that is made."""
        for line in lines:
            self.console.print(Text(f"  {line}", style="green"), soft_wrap=True)

    def says(self, *parts: str) -> None:
        """Say a sentence."""
        self.console.print(" ".join(parts))

    def quotes(self, line: str) -> None:
        """Quote a line that Framekeep gave, as it is."""
        self.console.print(Text(f"  {line}", style="dim"), soft_wrap=True)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure the block."""
        started = time.perf_counter()
        yield
        self.figures[name] = (time.perf_counter() - started) * 1000

    def ms(self, name: str) -> str:
        """Return a measured time for reading."""
        value = self.figures[name]
        return f"[bold]{value:,.2f} ms[/bold]" if value < 10 else f"[bold]{value:,.0f} ms[/bold]"
