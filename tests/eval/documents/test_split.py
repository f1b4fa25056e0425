"""Held out are whole documents, with their copies; the order of the names decides nothing."""

from __future__ import annotations

import pytest

from eval.documents.blocks import Block, Document, placed
from eval.documents.passages import Passage, passages_of
from eval.documents.split import split


def document(name: str, seed: int, sections: int = 4, *more: str) -> list[Passage]:
    """A document whose words nobody else has."""
    blocks = []
    for section in range(sections):
        words = " ".join(f"w{seed}x{section}x{n}" for n in range(40))
        blocks += [Block("heading", f"{name} {section}", 1), Block("text", f"{words}. {' '.join(more)}")]
    text, found = placed(blocks)
    return passages_of(Document(name, "md", text, found), 400)


def folder(count: int, **options: int) -> list[Passage]:
    return [passage for n in range(count) for passage in document(f"d{n:02d}.md", n, **options)]


def test_about_the_share_that_is_asked_for_and_whole_documents() -> None:
    passages = folder(20)
    found = split(passages, 0.2, 42)
    assert found.by == "document"
    assert len(found.held_out) == 4
    held_out = {passage.document for passage in passages if found.holds(passage)}
    assert held_out == set(found.held_out)
    assert split(list(reversed(passages)), 0.2, 42).held_out == found.held_out
    assert split(passages, 0.2, 43).held_out != found.held_out


def test_a_document_that_is_added_leaves_the_others_where_they_are() -> None:
    before = split(folder(20), 0.2, 42).held_out
    after = split(folder(21), 0.2, 42).held_out
    assert len(before & after) >= 3


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_with_two_documents_one_is_held_out_and_never_both(share: float) -> None:
    assert len(split(folder(2), share, 42).held_out) == 1
    assert split(folder(2), 0.0, 42).held_out == frozenset()


def test_one_giant_does_not_become_the_held_out_set() -> None:
    passages = [*document("giant.md", 99, 40), *folder(8)]
    for seed in range(12):
        assert "giant.md" not in split(passages, 0.1, seed).held_out


def test_copies_stay_on_one_side() -> None:
    first = document("manual-v1.md", 1, 6)
    second = document("manual-v2.md", 1, 6, "Revised.")
    passages = [*first, *second, *(p for n in range(2, 8) for p in document(f"x{n}.md", n))]
    for seed in range(12):
        found = split(passages, 0.3, seed)
        assert found.copies == (("manual-v1.md", "manual-v2.md"),)
        assert len({"manual-v1.md", "manual-v2.md"} & found.held_out) in (0, 2)


def test_a_notice_that_all_share_makes_no_copies() -> None:
    notice = "This notice stands at the end of every document of the firm and says nothing about any lamp."
    passages = [passage for n in range(40) for passage in document(f"d{n}.md", n, 4, notice)]
    assert split(passages, 0.1, 42).copies == ()


def test_a_single_document_is_split_by_its_sections() -> None:
    found = split(document("only.md", 1, 10), 0.2, 42)
    assert found.by == "section"
    assert len(found.held_out) == 2
    assert split(document("only.md", 1, 1), 0.2, 42).held_out == frozenset()
