"""`tuneserve init`: a commented recipe to start from."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import configs
from configs.console import console, tables
from configs.errors import ConfigError
from configs.load import known_keys
from configs.schema import RunConfig


def recipes() -> dict[str, Path]:
    """The recipes that come with the project, by name."""
    return {file.stem: file for file in sorted(Path(configs.__file__).parent.glob("*.yaml"))}


def summary(recipe: Path) -> str:
    """The first comment line of a recipe: what it is for."""
    return recipe.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def init(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe; without one the recipes are listed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; RECIPE.yaml here by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    keys: Annotated[
        bool, typer.Option("--keys", help="List every key that a recipe may have, and what it means.")
    ] = False,
) -> None:
    """Write a commented YAML recipe, or list the recipes.

    `tuneserve init qwen3-8b` writes qwen3-8b.yaml; edit `data.sources`, then `tuneserve run qwen3-8b.yaml`.
    """
    if keys:
        table = Table("key", "meaning", box=None)
        for key, meaning in known_keys(RunConfig).items():
            table.add_row(key, meaning)
        tables.print(table)
        return
    known = recipes()
    if recipe is None:
        table = Table("recipe", "for", box=None)
        for name, file in known.items():
            table.add_row(name, summary(file))
        tables.print(table)
        console.print("\n`tuneserve init RECIPE` writes one here; `tuneserve init --keys` lists every key.")
        return
    if recipe not in known:
        near = difflib.get_close_matches(recipe, known, n=1)
        raise ConfigError(
            f"no recipe {recipe!r}", f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"
        )
    target = out or Path(f"{recipe}.yaml")
    if target.exists() and not force:
        raise ConfigError(f"{target} exists", "name another file with --out, or overwrite it with --force")
    target.write_text(_with_absolute_demo_paths(known[recipe]), encoding="utf-8")
    console.print(f"wrote {target}; next: tuneserve check {target}")


def _with_absolute_demo_paths(recipe: Path) -> str:
    """The recipe's text; the embedded model and data keep being found from the new place."""
    return recipe.read_text(encoding="utf-8").replace(": demo/", f": {recipe.parent / 'demo'}/")
