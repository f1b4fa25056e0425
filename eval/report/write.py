"""Writes the report files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.files import write_atomically
from configs.names import file_name_from
from eval.compare.comparison import Comparison
from eval.report.render_html import render_html
from eval.report.render_json import render_json
from eval.report.render_junit import render_junit
from eval.report.render_markdown import render_markdown
from eval.report.words import ENGLISH, ReportWords


def write_reports(comparisons: Sequence[Comparison], folder: Path, words: ReportWords = ENGLISH) -> dict[str, Path]:
    """Write report.html, report.md, report.json and report.junit.xml into `folder`, each atomically.

    Of several runs against one base the page shows all; the other files carry the run's name, as in
    `report.NAME.json`.

    Returns:
        The paths by file name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"report.html": render_html(comparisons, words)}
    for comparison in comparisons:
        stem = "report" if len(comparisons) == 1 else f"report.{file_name_from(comparison.tuned, 'tuned')}"
        texts[f"{stem}.md"] = render_markdown(comparison, words)
        texts[f"{stem}.json"] = render_json(comparison, words)
        texts[f"{stem}.junit.xml"] = render_junit(comparison, words)
    for name, content in texts.items():
        write_atomically(folder / name, content)
    return {name: folder / name for name in texts}
