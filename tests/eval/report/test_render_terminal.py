"""The terminal, wide and narrow."""

import pytest
from rich.console import Console

from eval.report.render_terminal import print_comparison
from eval.report.words import ReportWords
from tests.eval.report.pages import build


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [60, 140])
def test_terminal(language, width) -> None:
    console = Console(record=True, width=width)
    print_comparison(build(noise=True, names=("base", "[red]x[/] tuned")), console, ReportWords(language))
    text = console.export_text()
    assert "[red]x[/] tuned" in text
    assert ("未通过" if language == "zh" else "Failed") in text
