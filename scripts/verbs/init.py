"""`tuneserve init`: a commented recipe to start from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from configs.disk.files import write_for_user
from configs.errors import ConfigError
from configs.foreign.translate import translate
from configs.recipe.keys import keys_of
from configs.recipe.recipes import ORDER, did_you_mean_recipe, in_the_users_language, recipes, standing_alone, summary
from configs.recipe.schema import RunConfig
from configs.terminal.console import console, detail, note, ours, shell, show, warn


def init(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe; without one the recipes are listed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; RECIPE.yaml here by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", help="Translate a recipe of LLaMA-Factory, ms-swift, Axolotl or Unsloth."),
    ] = None,
    keys: Annotated[
        bool,
        typer.Option("--keys", help="List every key of a recipe: type, default, meaning; RECIPE narrows it to a part."),
    ] = False,
) -> None:
    """Write a commented YAML recipe, or list the recipes.

    `tuneserve init qwen3-8b` writes qwen3-8b.yaml; edit `data.sources`, then `tuneserve run qwen3-8b.yaml`.
    `tuneserve init --keys train` lists the keys of a section; `tuneserve init --from sft.yaml` translates.
    """
    if keys:
        _list_keys(recipe or "")
        return
    known = recipes()
    if from_file is not None:
        if recipe is not None:
            raise ConfigError(f"--from {from_file} and the recipe {recipe!r} were given", "give one of them")
        _translate(from_file, out, force)
        return
    if recipe is None:
        _list_recipes()
        return
    if recipe not in known:
        raise ConfigError(f"no recipe {recipe!r}", did_you_mean_recipe(recipe) or f"one of: {', '.join(known)}")
    _write(standing_alone(known[recipe]), out or Path(f"{recipe}.yaml"), force)


def _write(text: str, target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise ConfigError(f"{target} exists", "name another file with --out, or overwrite it with --force")
    write_for_user(target, in_the_users_language(text))
    console.print(f"wrote {target}; next: {shell('tuneserve', 'check', target)}")


def _translate(file: Path, out: Path | None, force: bool) -> None:
    found = translate(file)
    _write(found.text(file), out or Path(f"{found.recipe['name']}.yaml"), force)
    console.print(f"  {found.tool}: {len(found.taken)} keys were taken over")
    for key, why in found.not_needed:
        detail(f"{key}: not needed; {why}")
    for key, why in found.assumed:
        note(f"{key}: {why}, the default of {found.tool}")
    for key, why in found.left:
        warn(f"not translated: {key}: {why}")


def _list_recipes() -> None:
    table = Table("recipe", "for", box=None)
    known = recipes()
    for group, names in ORDER.items():
        table.add_section()
        table.add_row("", ours(group), style="bold")
        for name in names:
            table.add_row(name, ours(summary(known[name])))
    show(table, [{"recipe": n, "group": g, "for": summary(known[n])} for g, names in ORDER.items() for n in names])
    console.print("\n`tuneserve init RECIPE` writes one here; `tuneserve init --keys` lists every key.")


def _list_keys(part: str) -> None:
    every = list(keys_of(RunConfig))
    wanted = [key for key in every if key.name == part or key.name.startswith(f"{part}." if part else "")]
    if not wanted:
        wanted = [key for key in every if part in key.name]
    if not wanted:
        raise ConfigError(f"no key has {part!r} in its name", "`tuneserve init --keys` lists them all")
    table = Table(box=None)
    table.add_column("key", no_wrap=True)
    table.add_column("type", overflow="fold", ratio=3)
    table.add_column("default", overflow="fold", ratio=2)
    table.add_column("meaning", overflow="fold", ratio=5)
    for key in wanted:
        table.add_row(key.name, ours(key.kind), key.default, ours(key.meaning))
    show(table, [asdict(key) for key in wanted])
