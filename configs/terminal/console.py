"""How every part talks on the terminal: one console, one line for a stage, one shape for an error.

What a terminal is shown may have been written by anyone: a model's answer, a file's name, a server's error. A string
that reaches these consoles is therefore text and nothing else: `[bold]` and `:smile:` stay as they were written, and
control characters, with which a text could move the cursor or write the clipboard, are shown as escapes. Style comes
from `paint`, whose template is ours and whose values are not.

Here too what is said in English becomes the user's language (`configs/terminal/messages.py`): every string that is
printed or stands in a table, the template and the values of `paint`, titles, and what `ours` is given. `plain` leaves a
text as it is.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Span, Text

from configs.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, TuneserveError, without_credentials
from configs.process.child import Ended, ending_in_order
from configs.terminal.language import language
from configs.terminal.messages import markup, translated
from configs.terminal.misread import misread_variable

# C0 and C1 controls but tab and newline; marks that reorder what is read (Unicode's bidirectional controls); line and
# paragraph separators; tag characters, which carry hidden text; lone surrogates, which no terminal can be sent.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


OUTPUT = "TUNESERVE_OUTPUT"
"""Environment variable with what was asked of the output: json, quiet, verbose; children inherit it."""

INSTALL = "`tuneserve doctor` shows what is missing, and the command that installs it"
"""The next step where a package is missing."""

NOT_DONE = "not done yet"
"""Why a stage is done that was never begun."""


def visible(text: object) -> str:
    r"""A text of somebody else's with everything in it shown: `\x1b[2J` instead of a cleared screen.

    Tabs and newlines stay; a Windows line end becomes a newline.
    """
    return _UNSEEN.sub(_escape, str(text).replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def paint(template: str, *values: object) -> Text:
    """A styled line: a template of ours in rich's markup, each `{}` in it filled with a text that is shown as it is.

    Example: `paint("[green]✓[/green] {}: [dim]{}[/dim]", name, path)`.
    """
    text = Text.from_markup(markup(template), emoji=False)
    *before, last = text.plain.split("{}")
    shown = [value.plain if isinstance(value, Text) else visible(translated(str(value))) for value in values]
    if len(before) != len(shown):
        raise ValueError(f"{template!r} has room for {len(before)} values, {len(shown)} were given")
    starts, at = [], 0  # where each `{}` stood, and by how much what follows it has moved
    for part, value in zip(before, shown, strict=True):
        at += len(part)
        starts.append((at, len(value) - 2))
        at += 2
    plain = "".join(part + value for part, value in zip(before, shown, strict=True)) + last

    def moved(offset: int) -> int:
        return offset + sum(more for start, more in starts if start < offset)

    return Text(plain, style=text.style, spans=[Span(moved(s.start), moved(s.end), s.style) for s in text.spans])


def plain(value: object, style: str = "") -> Text:
    """A text of somebody else's for rich's tables, panels and live lines, in one style."""
    return Text(visible(value), style=style)


class Ours(Text):
    """A text of ours in the user's language; `english` is what `--json` says."""

    english: str


def ours(text: str, style: str = "") -> Ours:
    """A text that is ours to the last word but its values, in the user's language and in one style."""
    shown = Ours(visible(translated(text, ours=True)), style=style)
    shown.english = text
    return shown


def asked_for(how: Literal["json", "quiet", "verbose"]) -> bool:
    """Whether the command has `--json` (tables as JSON on stdout, all else on stderr), `--quiet` or `--verbose`."""
    return how in os.environ.get(OUTPUT, "").split(",")


WIDEST = 2000
"""Columns that a terminal has at most; rich pads every line of a table to what COLUMNS says."""


class Terminal(Console):
    """A console to which strings are text: no markup, no emoji codes, no highlighting, control characters shown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if self.width > WIDEST:
            self.width = WIDEST

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints; with `--json` a table becomes a line of JSON on stdout, and everything else goes to stderr.

        A string that is printed by itself is ours, as a cell of a table need not be.
        """
        objects = tuple(ours(each) if isinstance(each, str) else each for each in objects)
        if not asked_for("json") or self._file is not None:
            for table in (table for each in objects for table in _tables_in(each)):
                _translate_titles(table)
            super().print(*objects, **options)
            return
        for table in (table for each in objects for table in _tables_in(each)):
            print_json(_title(table), _records(table))
        rest = [each for each in objects if not any(True for _ in _tables_in(each))]
        if rest or not objects:
            self.stderr, before = True, self.stderr
            super().print(*rest, **options)
            self.stderr = before

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The pieces of whatever is printed, also of texts that went through nothing of ours."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else piece._replace(text=visible(piece.text))

    def render_str(self, text: str, **options: Any) -> Text:
        """Turns a string that is printed, or stands in a table, into text; rich calls this for every one."""
        return super().render_str(visible(translated(text)), **{**options, "markup": False, "emoji": False})


def _escape_what_streams_cannot_take() -> None:
    """Letters that the terminal's encoding lacks (Latin-1, GBK, ASCII) become escapes; no command ends at one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="backslashreplace")


_escape_what_streams_cannot_take()

console = Terminal(soft_wrap=True)
"""Lines: never broken, so that a command can be copied."""
tables = Terminal()
"""Tables and panels: fitted to the width of the terminal."""
errors = Terminal(stderr=True, soft_wrap=True)

_MARKS = {None: " ", True: "[green]✓[/green]", False: "[red]✗[/red]"}


def mark(good: bool | None) -> Text:
    """✓, ✗ or a blank, in its colour."""
    return paint(_MARKS[good])


def shell(*words: object) -> str:
    """A command for pasting, each word quoted for the shell where it must be."""
    return shlex.join(map(str, words))


def show(table: Table, records: Sequence[Mapping[str, Any]]) -> None:
    """Prints a table; with `--json` its records, whose figures are not rounded for the eye."""
    if asked_for("json"):
        print_json(_title(table), records)
    else:
        tables.print(table)


def print_json(title: str, records: Sequence[Mapping[str, Any]]) -> None:
    """One table as one line of JSON on standard output, which may be a terminal: what is not seen is escaped."""
    line = json.dumps({"table": title, "rows": list(records)}, ensure_ascii=False, default=str)
    sys.stdout.write(_UNSEEN.sub(_json_escape, line) + "\n")
    sys.stdout.flush()


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _tables_in(shown: Any) -> Iterator[Table]:
    if isinstance(shown, Table):
        yield shown
    elif isinstance(shown, Group):
        for each in shown.renderables:
            yield from _tables_in(each)


def _translate_titles(table: Table) -> None:
    """Title and headers are ours, so that one word is enough to tell what they are."""
    fold(table)
    if isinstance(table.title, str):
        table.title = translated(table.title, ours=True)
    for column in table.columns:
        if isinstance(column.header, str):
            column.header = translated(column.header, ours=True)


def fold(table: Table) -> None:
    """Lets long words go on in the next line: Chinese has no spaces to break at, and what is cut off is lost."""
    for column in table.columns:
        if language() != "en" and not column.no_wrap and column.overflow == "ellipsis":
            column.overflow = "fold"


def _title(table: Table) -> str:
    return str(table.title or "").strip()


def _records(table: Table) -> list[dict[str, Any]]:
    """The rows of a table by its column titles; figures as numbers, marks as true and false."""
    names: list[str] = []
    for number, column in enumerate(table.columns):
        name = str(column.header) or f"column_{number + 1}"
        names.append(name if name not in names else f"{name}_{number + 1}")
    cells = [[_figure(_english(cell)) for cell in column._cells] for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def _english(cell: Any) -> str:
    return cell.english if isinstance(cell, Ours) else str(cell)


def _figure(cell: str) -> Any:
    text = cell.strip()
    if text in ("✓", "✗"):
        return text == "✓"
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?|[+-]?\d+(\.\d+)?(e[+-]?\d+)?", text):
        value = float(text.replace(",", ""))
        return int(value) if value.is_integer() and "." not in text else value
    return text


def detail(text: str) -> None:
    """A line for `--verbose`: what is run, and how."""
    if asked_for("verbose"):
        console.print(paint("  [dim]{}[/dim]", text))


def done(stage: str, seconds: float, text: str = "") -> None:
    """The line of a stage that is finished."""
    if asked_for("quiet"):
        return
    figures = f"{seconds:7.1f} s"
    console.print(paint("[green]✓[/green] [bold]{}[/bold][cyan]{}[/cyan]  {}", f"{stage:<7}", figures, ours(text)))


def skipped(stage: str, text: str = "nothing that it depends on changed") -> None:
    """The line of a stage whose result is still good."""
    if not asked_for("quiet"):
        console.print(paint("[dim]✓ {}  skipped  {}[/dim]", f"{stage:<7}", ours(text)))


def starting(stage: str, text: str) -> None:
    """The line of a stage that begins, with why or what."""
    if not asked_for("quiet"):
        console.print(paint("[blue]→[/blue] [bold]{}[/bold]           [dim]{}[/dim]", f"{stage:<7}", ours(text)))


def again(stage: str, why: str | None) -> None:
    """The line of a stage that was begun before and is done again: what changed, failed or is gone."""
    if why is not None and why != NOT_DONE:
        starting(stage, why)


def note(text: str, good: bool | None = None) -> None:
    """A line that belongs to the stage above it."""
    if good is False or not asked_for("quiet"):
        console.print(paint(f"  {_MARKS[good]} {{}}", ours(text)))


def warn(text: str) -> None:
    """A line about something that may end badly, and does not stop anything."""
    console.print(paint("  [yellow]![/yellow] [yellow]warning:[/yellow] {}", ours(text)))


def print_error(error: TuneserveError) -> None:
    """An error and its next step, on standard error."""
    errors.print(paint("[bold red]error:[/bold red] {}", ours(error.message)))
    if error.next_step:
        errors.print(paint("  [bold]next:[/bold] {}", ours(error.next_step)))


def _print_unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback, whose last words may be a file's or a server's of somebody else."""
    sys.stderr.write(visible(without_credentials("".join(traceback.format_exception(kind, error, trace)))))


def guarded(action: Callable[[], object], debug: bool) -> int:
    """Runs what a process is there for and returns its exit code; an error that a user can mend becomes one message.

    SIGTERM and SIGHUP end it in order, as Ctrl-C does.

    Args:
        action: what is run.
        debug: let every error through with its traceback.
    """
    came: list[int] = []
    sys.excepthook = _print_unforeseen
    try:
        with ending_in_order(signal.SIGTERM, signal.SIGHUP) as came:
            action()
    except SystemExit:
        if came:  # typer turns what unwinds into an exit code of its own
            return 128 + came[0]
        raise
    except TuneserveError as error:
        if debug:
            raise
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # the terminal may be gone
            errors.print("stopped; the same command goes on from here")
        return 128 + stop.number if isinstance(stop, Ended) else EXIT_INTERRUPTED
    except ModuleNotFoundError as error:
        # The command line alone, or a broken environment; a module of our own that is missing is a fault of ours.
        package = (error.name or "").partition(".")[0]
        if debug or package in ("configs", "trainer", "serve", "eval", "scripts", ""):
            raise
        print_error(TuneserveError(f"{package} is not installed here, and this command needs it", INSTALL))
        return EXIT_FAILED
    except (ValueError, OverflowError) as error:
        if debug or (misread := misread_variable(error)) is None:
            raise
        print_error(misread)
        return misread.exit_code
    except OSError as error:
        # A full disk, a file that may not be read: the operating system's own words are the message.
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        said = TuneserveError(f"{where}{error.strerror or error}", "mend that and run the command again; it goes on")
        if isinstance(error, FileNotFoundError) and not where:  # of getcwd
            said = TuneserveError("the folder in which this command was called is gone", "call it from another one")
        print_error(said)
        return EXIT_FAILED
    return EXIT_OK
