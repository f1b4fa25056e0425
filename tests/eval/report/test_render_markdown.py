"""The Markdown: tables that hold together."""

import re

import pytest

from eval.report.render_markdown import render_markdown
from eval.report.words import ReportWords
from tests.eval.report.pages import build


@pytest.mark.parametrize("language", ["en", "zh"])
def test_markdown_tables_hold_together(language) -> None:
    text = render_markdown(build(noise=True, names=("ba|se", "<b>tuned</b>")), ReportWords(language))
    assert "<b>" not in text
    block: list[int] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(block)) <= 1
            block = []
    assert ("❌ 未通过" if language == "zh" else "❌ Failed") in text
