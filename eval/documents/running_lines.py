"""Running heads and feet of a PDF's pages: which lines go on from page to page, and are no part of the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from eval.documents.pdf_lines import Line

_EDGE = 2
"""So many lines at the head and at the foot of a page may run on."""
_LEAST_PAGES = 3
_MOST_PAGES_HAVE_IT = 0.5
_NUMBER = re.compile(r"\d{1,9}")


def without_running_lines(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The pages without their running heads and feet.

    A line runs on where the page before or after has the same one at its head or foot, or one in which a single number
    is one less or more: rows of a table that differ in any other way are text, however alike they look.
    """
    edges = [{at: _keys(lines[at].text, page) for at in _edges(len(lines))} for page, lines in enumerate(pages)]
    shared: list[set[Any]] = [set().union(*edge.values()) for edge in edges]
    going_on = []
    for page, (lines, edge) in enumerate(zip(pages, edges, strict=True)):
        beside = set().union(*shared[max(0, page - 1) : page], *shared[page + 1 : page + 2])
        going_on.append({at: _shape(lines[at].text) for at, keys in edge.items() if keys & beside})
    times = Counter(shape for places in going_on for shape in set(places.values()))
    running = {shape for shape, n in times.items() if n >= _LEAST_PAGES and n > _MOST_PAGES_HAVE_IT * len(pages)}
    return [
        [line for at, line in enumerate(lines) if places.get(at) not in running]
        for lines, places in zip(pages, going_on, strict=True)
    ]


def _edges(count: int) -> set[int]:
    """Places of the first and last of so many lines."""
    return {*range(count)[:_EDGE], *range(count)[-_EDGE:]}


def _keys(text: str, page: int) -> set[Any]:
    """What a line shares with one that goes on from it: all of it, or all but a number that grows with the pages."""
    numbers = ((text[: m.start()], text[m.end() :], int(m.group()) - page) for m in _NUMBER.finditer(text))
    return {text, *numbers}


def _shape(text: str) -> str:
    """A line with its numbers taken for any number."""
    return re.sub(r"\d+", "#", text)
