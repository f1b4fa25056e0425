"""A document as it was read: blocks in their order, and the one text that every span counts in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["heading", "text", "list", "table", "code"]


class Unreadable(Exception):
    """A file that is not read, for a reason that its owner can do something about.

    Args:
        message: what is wrong with it.
        next_step: what helps; "" where the message says it.
    """

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph, a list, a table or a piece of code."""

    kind: Kind
    text: str
    """Without markup. A row of a table is a line, its cells parted by ` | `."""
    level: int = 0
    """Of a heading, from 1."""
    page: int | None = None
    """From 1, where the document has pages."""


@dataclass(frozen=True)
class Placed:
    """A block and where it stands in the document's text."""

    block: Block
    start: int
    """Index of its first character."""
    end: int
    """Index behind its last."""


@dataclass(frozen=True)
class Document:
    """A file that was read."""

    name: str
    """Path below the folder, with `/`."""
    kind: str
    """Suffix without the point."""
    text: str
    """All blocks, a blank line between two."""
    blocks: tuple[Placed, ...]
    notes: tuple[str, ...] = ()
    """What a reader should know, such as pages without text."""


@dataclass
class Read:
    """What a reader found in a file."""

    blocks: list[Block]
    notes: list[str] = field(default_factory=list)


def placed(blocks: Iterable[Block]) -> tuple[str, tuple[Placed, ...]]:
    """The text of blocks, and where each of them stands in it."""
    found: list[Placed] = []
    parts: list[str] = []
    at = 0
    for block in blocks:
        if parts:
            at += 2
        found.append(Placed(block, at, at + len(block.text)))
        parts.append(block.text)
        at += len(block.text)
    return "\n\n".join(parts), tuple(found)
