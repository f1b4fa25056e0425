"""Every link of the READMEs and the docs to a file or a heading of this repository leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CHINESE = [page for page in PAGES if page.name.endswith(".zh-CN.md")]


def anchors(page: Path) -> set[str]:
    """The headings of a page as links to them are written."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.add("".join(c for c in plain.replace(" ", "-") if c.isalnum() or c in "-_"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{page.name}: {target}"


def test_pages_in_two_languages_name_each_other() -> None:
    for chinese in CHINESE:
        english = chinese.with_name(chinese.name.replace(".zh-CN", ""))
        assert english.exists(), chinese.name
        assert f"({english.name})" in chinese.read_text(encoding="utf-8"), chinese.name
        assert f"({chinese.name})" in english.read_text(encoding="utf-8"), english.name


@pytest.mark.parametrize("chinese", CHINESE, ids=lambda page: page.name)
def test_pages_in_two_languages_have_the_same_outline(chinese: Path) -> None:
    """As many headings of each depth and as many blocks of each language: what one page gained, the other did, too."""

    def outline(page: Path) -> tuple[list[str], list[str]]:
        text = page.read_text(encoding="utf-8")
        languages = re.findall(r"^```(\w+)$", text, flags=re.MULTILINE)
        return re.findall(r"^(#+) ", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE), languages

    assert outline(chinese) == outline(chinese.with_name(chinese.name.replace(".zh-CN", "")))
