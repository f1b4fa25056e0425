"""The data report and the masks for people's eyes: rich renderables, and the progress bar of tokenizing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from configs.terminal.console import asked_for, ours, plain, visible
from configs.terminal.messages import translated
from trainer.data.report import DataReport, PreviewRow
from trainer.data.rows import Progress as OnProgress
from trainer.data.rules import is_drop

PROMPT_STYLE = "bright_black"
TRAINED_STYLE = "bold bright_green"
_BAR = 32
_FAMILIES = {"none": "no think block", "switchable": "thinking can be switched", "always": "always thinks"}


def data_summary(report: DataReport) -> str:
    """One line for the log of a run."""
    dropped = sum(r.count for r in report.reasons.values() if is_drop(r.rule))
    return (
        f"{report.read} rows read, {dropped} dropped; {report.train_rows} training rows "
        f"({report.trained_tokens:,} of {report.train_tokens:,} tokens trained), {report.heldout_rows} held out, "
        f"longest {report.longest_row} tokens"
    )


def render_report(report: DataReport, rows: int = 3) -> RenderableType:
    """The whole report, with the mask preview of the first `rows` rows."""
    return Group(
        _sources(report), _columns(report), _figures(report),
        *([_reasons(report)] if report.reasons else []), _histogram(report),
        *[render_mask(row) for row in report.preview[:rows]],
    )  # fmt: skip


def render_mask(row: PreviewRow) -> Panel:
    """One row decoded: what is given dim, what is trained bright."""
    text = Text()
    for span, trained in row.spans:
        text.append(visible(span), style=TRAINED_STYLE if trained else PROMPT_STYLE)
    title = Text.assemble(visible(row.id), "  ", ours("given", PROMPT_STYLE), " / ", ours("trained", TRAINED_STYLE))
    return Panel(text, title=title, title_align="left", border_style="dim")


def _sources(report: DataReport) -> Table:
    table = Table(title="Sources", title_justify="left", box=None, pad_edge=False)
    table.add_column("source")
    table.add_column("layout")
    table.add_column("read", justify="right")
    table.add_column("usable", justify="right")
    table.add_column("used", justify="right")
    for source in report.sources:
        place = short_path(str(source["path"]))
        table.add_row(place, *(str(source[name]) for name in ("layout", "read", "usable", "used")))
    return table


def _columns(report: DataReport) -> Table:
    """What became of the columns; files with the same columns are one line."""
    table = Table(title="Columns and message keys", title_justify="left", box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("used", overflow="fold")
    table.add_column("unread", overflow="fold")
    table.add_column("ambiguous", overflow="fold")
    table.add_column("ignored", overflow="fold")
    lines: dict[tuple[str, ...], list[str]] = {}
    for file in report.columns:
        cells = tuple(", ".join(names) for names in (file.used, file.unread, file.ambiguous, file.ignored))
        lines.setdefault(cells, []).append(file.file)
    for cells, files in lines.items():
        name = plain(files[0]) if len(files) == 1 else ours(f"{files[0]} and {len(files) - 1} more")
        table.add_row(name, *map(plain, cells))
    return table


def short_path(path: str) -> str:
    """A path from the working directory on, where it lies in it; hub ids and others as they are."""
    place = Path(path)
    return str(place.relative_to(Path.cwd())) if place.is_relative_to(Path.cwd()) else path


def _figures(report: DataReport) -> Table:
    table = Table(title="Rows", title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    lengths, template = report.lengths, report.template
    for name, value in (
        ("conversations kept", f"{report.kept:,} of {report.read:,} read"),
        ("training rows", f"{report.train_rows:,} ({report.rows_per_conversation:g} a conversation)"),
        ("held-out rows", f"{report.heldout_rows:,}"),
        ("tokens in all", f"{report.train_tokens:,}, of them trained {report.trained_tokens:,}"),
        ("row length", f"median {lengths.p50}, 90 % {lengths.p90}, 99 % {lengths.p99}, longest {lengths.longest}"),
        ("template family", _FAMILIES[template.family]),
        ("end-of-turn token", f"{template.end_token} ({template.end_token_id})"),
    ):  # fmt: skip
        table.add_row(name, value)
    return table


def _reasons(report: DataReport) -> Table:
    table = Table(title="Rules that applied", title_justify="left", box=None, pad_edge=False)
    table.add_column("rule")
    table.add_column("rows", justify="right")
    table.add_column("share", justify="right")
    table.add_column("what was done", overflow="fold")
    table.add_column("where, and what was found", overflow="fold")
    for name, reason in sorted(report.reasons.items(), key=lambda item: -item[1].count):
        places = ", ".join(reason.places[:4]) + (", …" if reason.count > 4 else "")
        found = f": {', '.join(map(_found, reason.found[:2]))}" if reason.found else ""
        share = f"{reason.count / max(1, report.read):.1%}"
        table.add_row(name, str(reason.count), share, ours(reason.rule), plain(places + found))
    return table


def _found(found: str) -> str:
    """What a rule found, `the role seller (30)`, in the user's language; a row's own words stay."""
    what, bracket, count = found.rpartition(" (")
    return translated(what, ours=True) + bracket + count


def _histogram(report: DataReport) -> Table:
    table = Table(title="Row lengths (tokens)", title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_column(justify="right")
    most = max(count for _, _, count in report.lengths.histogram)
    for low, high, count in report.lengths.histogram:
        table.add_row(f"{low}–{high - 1}", "█" * round(_BAR * count / most) or ("▏" if count else ""), f"{count:,}")
    return table


@contextmanager
def tokenizing_progress(console: Console) -> Iterator[OnProgress]:
    """A progress bar on a terminal; silence elsewhere, where the summary line says it all."""
    if not console.is_terminal or asked_for("quiet"):
        yield lambda done, total: None
        return
    what = translated("data   tokenizing", ours=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
