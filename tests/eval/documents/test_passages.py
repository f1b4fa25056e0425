"""Passages: whole blocks under their headings, bounded, and exactly where they say that they are."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from eval.documents.blocks import Block, Document, placed
from eval.documents.passages import LEAST_TOKENS, MOST, Passage, passages_of, tokens_of
from eval.documents.reading import read_folder
from tests.scripts.conftest import ROOT
from tests.trainer.tokenizers_for_tests import qwen3_tokenizer_folder

SENTENCE = "The lamp charges on its cable for about two hours every day of the week."
ZH = "台灯每天用随附的电缆充电大约两个小时，充满之后指示灯变绿。"


def document(*blocks: Block) -> Document:
    text, found = placed(blocks)
    return Document("a.md", "md", text, found)


def checked(of: Document, longest: int) -> list[Passage]:
    found = passages_of(of, longest)
    assert [passage.number for passage in found] == sorted(passage.number for passage in found)
    for passage in found:
        assert of.text[passage.start : passage.end] == passage.text
        assert tokens_of(passage.text) <= longest + LEAST_TOKENS
    return found


def test_sections_are_passages_and_know_where_they_stand() -> None:
    found = checked(
        document(
            Block("heading", "Lumos", 1), Block("heading", "Charging", 2, 1),
            Block("text", f"{SENTENCE} {SENTENCE}", 0, 1),
            Block("heading", "Warranty", 2, 2), Block("text", f"{SENTENCE} {SENTENCE}", 0, 2),
            Block("heading", "保修", 1, 3), Block("text", ZH * 2, 0, 3),
        ),
        200,
    )  # fmt: skip
    assert [(p.headings, p.page, p.language) for p in found] == [
        (("Lumos", "Charging"), None, "en"), (("Lumos", "Warranty"), 2, "en"), (("保修",), 3, "zh"),
    ]  # fmt: skip
    assert found[0].text.startswith("Lumos\n\nCharging\n\nThe lamp")
    assert [p.section for p in found] == ["Charging", "Warranty", "保修"]


def test_short_sections_are_asked_about_together() -> None:
    blocks = [b for n in range(6) for b in (Block("heading", f"Part {n}", 2), Block("text", "It is red and small."))]
    found = checked(document(*blocks), 200)
    assert len(found) == 3
    assert all(tokens_of(passage.text) >= LEAST_TOKENS for passage in found)


def test_what_says_little_is_asked_about_with_its_neighbour() -> None:
    assert passages_of(document(Block("heading", "A", 1), Block("heading", "B", 2)), 200) == []
    tiny = Block("text", "Red.")
    assert len(passages_of(document(tiny), 200)) == 1
    long = Block("text", SENTENCE * 3)
    for blocks in ((long, Block("heading", "B", 1), tiny), (tiny, long), (long, tiny)):
        (found,) = passages_of(document(*blocks), round(tokens_of(long.text)))
        assert "Red." in found.text


@pytest.mark.parametrize("text", [f"{SENTENCE} " * 60, ZH * 60, "no end of a sentence " * 300, "无句号" * 700])
def test_a_long_paragraph_is_parted_and_nothing_is_lost(text: str) -> None:
    found = checked(document(Block("text", text.strip())), 150)
    assert len(found) > 5
    assert "".join(passage.text for passage in found).replace(" ", "") == text.replace(" ", "")
    if text.startswith(SENTENCE):
        assert all(passage.text.strip().endswith(".") for passage in found)


def test_a_long_table_is_parted_between_rows_and_keeps_its_first_row() -> None:
    rows = ["model | power | price", *(f"L{n} | {n} W | {n * 10} yuan" for n in range(100))]
    found = checked(document(Block("heading", "Prices", 1), Block("table", "\n".join(rows))), 150)
    assert len(found) > 3
    assert found[0].lead == ""
    assert {passage.lead for passage in found[1:]} == {rows[0]}
    assert [line for p in found for line in p.text.split("\n") if "|" in line] == rows
    assert found[2].context.startswith("Prices\nmodel | power | price\n")


@pytest.mark.parametrize("page", ["howto.md", "howto.zh-CN.md", "reference.md", "data.zh-CN.md"])
def test_tokens_are_estimated_well_enough(page: str) -> None:
    tokenizer = Tokenizer.from_file(str(qwen3_tokenizer_folder() / "tokenizer.json"))
    (found,) = read_folder(ROOT / "docs" / page).documents
    shares = sorted(len(tokenizer.encode(p.text).ids) / tokens_of(p.text) for p in passages_of(found, 600))
    assert 0.75 < shares[len(shares) // 2] < 1.15
    assert shares[-1] < MOST


def test_a_passage_is_known_by_what_it_says() -> None:
    first, second = (document(Block("heading", title, 1), Block("text", SENTENCE * 2)) for title in ("A", "B"))
    (a,), (b,), (again,) = (passages_of(one, 200) for one in (first, second, first))
    assert a.key == again.key != b.key
