"""A figure that was measured on a GPU names the versions that it was measured with, and they are the pinned ones.

A table under a heading whose section names a GPU has a line above it such as

    <!-- measured: torch 2.13.0, unsloth 2026.10.9, vllm 0.32.0 -->

with the packages that its figures depend on. A pin that moves fails here until the table is measured again. Where a
table only names a GPU, or gives what its maker publishes, `<!-- nothing measured -->` says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from configs.machine.pins import normal, pins
from tests.scripts.conftest import ROOT

PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
CARD = re.compile(r"\b(?:[HAB][12]00|H20|L20|L40S?|T4|V100|RTX ?\d{4})s?\b")
MARKER = re.compile(r"<!-- (?:measured: ([^>]+?)|nothing measured) -->")
NOTHING = "nothing"

OLDER = {
    ("README.md", "Your own data"),
    ("README.zh-CN.md", "用你自己的数据"),
}
"""(page, heading) of sections whose tables were measured with other versions than the pinned ones."""


PUBLISHED = {
    ("docs/reference.md", "Cards that a plan can be made for"),
    ("docs/reference.md", "Recipes"),
    ("docs/reference.zh-CN.md", "可以规划的显卡"),
    ("docs/reference.zh-CN.md", "配方"),
}
"""(page, heading) of sections written from the code: makers' figures and first lines of recipes, nothing measured."""


@dataclass(frozen=True)
class Table:
    """One table of a page."""

    page: str
    heading: str
    """The heading that it stands under."""
    marker: str | None
    """What the marker above it says; None where there is none."""
    on_gpu: bool
    """Its section names a GPU."""


def tables(page: Path, text: str | None = None) -> list[Table]:
    """The tables of a page, each with the marker that stands above it: nothing but its own lead-in in between."""
    name = page.relative_to(ROOT).as_posix()
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    found: list[tuple[str, str | None]] = []
    sections: dict[str, str] = {}
    heading, marker, fenced, inside = "", None, False, False
    for line in lines:
        fenced ^= line.lstrip().startswith("```")
        if not fenced and re.match(r"#+ ", line):
            heading, marker = line.lstrip("# ").strip(), None
        sections[heading] = sections.get(heading, "") + line + "\n"
        if match := MARKER.search(line):
            marker = match[1] or NOTHING
        starts, inside = not fenced and line.startswith("|") and not inside, not fenced and line.startswith("|")
        if starts:
            found.append((heading, marker))
            marker = None
    return [Table(name, head, said, bool(CARD.search(sections[head]))) for head, said in found]


def wrong(table: Table) -> list[str]:
    """What a marker says that the pinned list does not; None of it where they agree."""
    if table.marker == NOTHING:
        return []
    pinned = pins("cuda")
    said = [entry.split() for entry in (table.marker or "").split(",")]
    return [" ".join(entry) for entry in said if len(entry) != 2 or pinned.get(normal(entry[0])) != entry[1]]


ALL = [table for page in PAGES for table in tables(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_was_measured_was_measured_on_the_pins(page: Path) -> None:
    differing = {
        f"{table.page}, {table.heading}": wrong(table) for table in tables(page) if table.marker and wrong(table)
    }
    assert not differing, (
        "measure these tables again on what scripts/requirements/cuda.txt pins, then move their markers"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_table_of_a_gpu_says_what_it_was_measured_with(page: Path) -> None:
    silent = {(t.page, t.heading) for t in tables(page) if t.on_gpu and not t.marker} - OLDER - PUBLISHED
    assert not silent, "put `<!-- measured: torch ..., unsloth ..., vllm ... -->` above these tables"


def test_a_section_that_was_measured_again_is_older_no_more() -> None:
    assert {(t.page, t.heading) for t in ALL if t.on_gpu and not t.marker} >= OLDER


def test_a_pin_that_moves_is_noticed() -> None:
    pinned = pins("cuda")
    page = ROOT / "docs" / "planning.md"
    head = "## Speed\n\nOne H100.\n\n"
    good = f"<!-- measured: torch {pinned['torch']}, unsloth {pinned['unsloth']} -->\n"
    body = "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    first, second = tables(page, head + good + body + "And more:\n\n" + body)
    assert first.on_gpu
    assert wrong(first) == []
    assert second.marker is None
    (older,) = tables(page, head + good.replace(pinned["torch"], "2.11.0") + body)
    assert wrong(older) == ["torch 2.11.0"]
    (unknown,) = tables(page, head + "<!-- measured: torch -->\n" + body)
    assert wrong(unknown) == ["torch"]
    assert [table.on_gpu for table in tables(page, "## Keys\n\n" + body + "## Speed\n\nOne H100.\n")] == [False]
