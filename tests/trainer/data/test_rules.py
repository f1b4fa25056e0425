"""Every rule has its words, and both pages about data list it."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.terminal.language import LANG
from configs.terminal.messages import translated
from trainer.data.rules import NOT_A_FAULT, RULES, WAYS_OUT, is_drop

DOCS = Path(__file__).parents[3] / "docs"


def test_the_english_page_says_each_rule_in_the_words_of_the_report() -> None:
    page = (DOCS / "data.md").read_text(encoding="utf-8")
    for name, rule in RULES.items():
        assert f"| `{name}` | {rule} | {WAYS_OUT.get(name, '')} |" in page


def test_the_chinese_page_says_each_rule_in_the_words_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LANG, "zh")
    page = (DOCS / "data.zh-CN.md").read_text(encoding="utf-8")
    for name, rule in RULES.items():
        assert f"| `{name}` | {translated(rule, ours=True)} |" in page


@pytest.mark.parametrize("page", ["data.md", "data.zh-CN.md"])
def test_both_pages_list_every_rule(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    listed = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert listed >= RULES.keys()


def test_ways_out_and_exceptions_are_of_rules_that_exist() -> None:
    assert {"duplicate", "leak"} <= WAYS_OUT.keys() <= RULES.keys()
    assert {name for name, rule in RULES.items() if is_drop(rule)} >= NOT_A_FAULT
