"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


def test_the_first_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(compile(blocks()[0], "README.md, first example", "exec"), scope)  # noqa: S102 - our own page
    manager, session = scope["manager"], scope["session"]
    with manager:  # type: ignore[attr-defined]
        ages = manager.get_dataframe(session)["age"]  # type: ignore[attr-defined]
    assert ages.isna().tolist() == [False, True, False]


def test_the_five_minutes_run_from_first_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for position, block in enumerate(blocks()[1:], start=1):
        exec(compile(block, f"README.md, block {position}", "exec"), scope)  # noqa: S102 - our own page


def test_the_walk_prints_what_its_comments_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in blocks()[1:]:
        exec(compile(block, "README.md", "exec"), scope)  # noqa: S102 - our own page
    said = capsys.readouterr().out
    assert "1 Nobody is 210\n2 Sort by id\n3 Who is grown up\n" in said


@pytest.mark.parametrize("page", PAGES)
def test_every_link_inside_the_tree_leads_somewhere(page: str) -> None:
    source = ROOT / page
    targets = re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", source.read_text(encoding="utf-8"))
    there = [(source.parent / target if target else source, heading) for target, heading in targets]
    assert [target for target, _ in there if not target.exists()] == []
    assert [heading for target, heading in there if heading and heading not in headings(target)] == []


def headings(page: Path) -> list[str]:
    """Return how links call the headings of a page."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found]
