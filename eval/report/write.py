"""Writes the report files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.disk.files import file_bytes, parse_json, write_atomically
from configs.errors import ConfigError
from configs.recipe.names import file_name_from
from eval.compare.comparison import Comparison
from eval.report.render_html import render_html
from eval.report.render_json import render_json
from eval.report.render_junit import render_junit
from eval.report.render_markdown import render_markdown
from eval.report.words import ENGLISH, ReportWords


def refuse_other_reports(folder: Path) -> None:
    """Raises a ConfigError where a folder that the user named holds a report of somebody else's: report.md, say."""
    there = sorted(file.name for pattern in _NAMES for file in folder.glob(pattern))
    if there and not any(_is_ours(file) for file in folder.glob("report*.json")):
        raise ConfigError(f"{folder}: {there[0]} is in it, which is no report of ours", "give another --out")


_NAMES = ("report.html", "report*.md", "report*.json", "report*.junit.xml")


def _is_ours(file: Path) -> bool:
    try:
        found = parse_json(file_bytes(file))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"schema_version", "tasks", "gate"} <= found.keys()


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
        stem = own = "report" if len(comparisons) == 1 else f"report.{file_name_from(comparison.tuned, 'tuned')}"
        number = 1
        while f"{stem}.json" in texts:  # `shop:v2` and `shop_v2` are two models, and one name of a file
            number += 1
            stem = f"{own}-{number}"
        texts[f"{stem}.md"] = render_markdown(comparison, words)
        texts[f"{stem}.json"] = render_json(comparison, words)
        texts[f"{stem}.junit.xml"] = render_junit(comparison, words)
    # By what is in JSON the others are known as ours, also after a kill.
    for name in sorted(texts, key=lambda name: not name.endswith(".json")):
        write_atomically(folder / name, texts[name])
    return {name: folder / name for name in texts}
