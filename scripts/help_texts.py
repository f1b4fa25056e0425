"""The help of the command line and its usage errors in the user's language: all that reaches into typer stands here.

Texts of commands and options are ours and are translated in the tree of commands before it runs. What typer says
itself (titles of panels, `Missing argument`, ...) is in the catalogue with what else libraries say that a user meets.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from typer import core, rich_utils

from configs.terminal.console import fold
from configs.terminal.messages import Template, catalogue, translated

TITLES = (
    "DEFAULT_STRING",
    "ENVVAR_STRING",
    "REQUIRED_LONG_STRING",
    "ARGUMENTS_PANEL_TITLE",
    "OPTIONS_PANEL_TITLE",
    "COMMANDS_PANEL_TITLE",
    "ERRORS_PANEL_TITLE",
    "ABORTED_TEXT",
    "RICH_HELP",
)
"""Constants of `typer.rich_utils` that are shown."""

CODE = re.compile(r"(`[^`]*`[,;]?\s*)+")


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a help text, each on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", inspect.cleandoc(text))]


def help_texts(command: Any) -> Iterator[str]:
    """Every text of the tree of commands: help and epilogs of commands by paragraph, help of their options."""
    for text in (command.help, command.epilog, command.short_help):
        yield from (part for part in paragraphs(text or "") if part and not CODE.fullmatch(part))
    yield from (option.help for option in command.params if getattr(option, "help", None))
    for under in getattr(command, "commands", {}).values():
        yield from help_texts(under)


class _FoldingTable(Table):
    """A table of typer's whose cells are folded and not cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        fold(self)
        yield from super().__rich_console__(console, options)


class _FoldingColumns(Columns):
    """What typer sets beside each other in a cell, likewise."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for each in super().__rich_console__(console, options):
            if isinstance(each, Table):
                fold(each)
            yield each


@contextmanager
def translated_help(command: Any) -> Iterator[None]:
    """Puts the tree of commands, and what typer says around it, into the user's language."""
    _translate_commands(command, None)
    helped: Any = rich_utils
    formatter: Any = core._click.formatting.HelpFormatter
    show, usage = helped.rich_format_error, formatter.write_usage

    def show_translated(error: Any) -> None:
        message = translated(error.format_message(), ours=True)
        error.format_message = lambda: message
        show(error)

    def write_usage(self: Any, prog: str, args: str = "", prefix: str | None = None) -> None:
        usage(self, prog, args, translated("Usage: ", ours=True) if prefix is None else prefix)

    titles = {name: _template(getattr(helped, name)) for name in TITLES}
    with ExitStack() as stack:
        for owner, changes in (
            (
                helped,
                {**titles, "rich_format_error": show_translated, "Columns": _FoldingColumns, "Table": _FoldingTable},
            ),
            (formatter, {"write_usage": write_usage}),
        ):
            for name, changed in changes.items():
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, changed)
        yield


def _template(text: str) -> str:
    """One of typer's own templates; its values keep the names that typer fills."""
    template = Template.of(text, "")
    found = catalogue().by_skeleton.get(template.skeleton)
    if found is None:
        return text
    named = dict(zip(found.names, template.names, strict=True))
    return found.chinese.format(**{name: f"{{{named[name]}}}" for name in found.names})


def _translate_commands(command: Any, parent: Any) -> None:
    for attribute in ("help", "epilog", "short_help"):
        if text := getattr(command, attribute):
            parts = [part if CODE.fullmatch(part) else translated(part, ours=True) for part in paragraphs(text)]
            setattr(command, attribute, "\n\n".join(parts))
    context = command.context_class(command, parent=parent, **command.context_settings)
    # `--help` is made when it is first asked for, by the names that the parents give it.
    for option in (*command.params, command.get_help_option(context)):
        if getattr(option, "help", None):
            option.help = translated(option.help, ours=True)
    for under in getattr(command, "commands", {}).values():
        _translate_commands(under, context)
