"""A group of verbs whose errors have our own shape: what was wrong, and the verb that was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from configs.errors import ConfigError
from configs.terminal.console import shell
from configs.terminal.nearest import did_you_mean


class Verbs(TyperGroup):
    """A group that names the nearest verb for a word that is none."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the verb that the arguments begin with.

        Raises:
            ConfigError: there is none of that name; the nearest is named.
        """
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            path, word = ctx.command_path, args[0]
            if "run" in self.commands and Path(word).suffix in (".yaml", ".yml"):
                raise ConfigError(f"{path} {word}: a recipe follows a command", shell(path, "run", word))
            near = did_you_mean(word, self.list_commands(ctx))
            raise ConfigError(f"{path} {word}: no such command", near or f"`{path} --help` lists the commands")
        return super().resolve_command(ctx, args)


def group(**options: Any) -> typer.Typer:
    """A group of verbs with its help in Markdown; `options` are those of `typer.Typer`."""
    names = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(cls=Verbs, rich_markup_mode="markdown", context_settings=names, **options)
