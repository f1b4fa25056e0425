"""Writes docs/reference.md and its Chinese sister: `python -m scripts.bench.reference [--write]`.

Keys come from the schema, commands from the command line, cards and recipes from their tables; nothing is typed twice
but the titles (docs/reference.yaml); the Chinese of the rest is the terminal's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from typer.main import get_command

from configs.machine.gpus import GPUS
from configs.recipe.keys import keys_of
from configs.recipe.recipes import recipes, summary
from configs.recipe.schema import RunConfig
from configs.terminal.messages import catalogue
from scripts import help_texts
from scripts.cli import app

DOCS = Path(__file__).parents[2] / "docs"
PAGES: dict[Literal["en", "zh"], Path] = {"en": DOCS / "reference.md", "zh": DOCS / "reference.zh-CN.md"}


def words() -> dict[str, dict[str, Any]]:
    """Titles by language."""
    return yaml.safe_load((DOCS / "reference.yaml").read_text(encoding="utf-8"))


def page(language: Literal["en", "zh"]) -> str:
    """The text of the page."""
    text = words()[language]
    lines = [text["title"], "", text["other"], "", text["made"], "", text["keys"], "", text["keys.lead"], ""]
    lines += _table((text["key"], text["type"], text["default"], text["meaning"]), _keys(language))
    lines += [text["verbs"], "", text["global"], ""]
    for name, help_text, options in _commands(language):
        lines += [f"### `tuneserve {name}`", "", help_text, ""]
        lines += _table((text["option"], text["does"]), options) if options else []
    lines += [text["recipes"], "", *_table((text["recipe"], text["for"]), _recipes(language))]
    columns = ("card", "memory", "tflops", "bandwidth", "capability", "source")
    lines += [text["cards"], "", text["cards.lead"], "", *_table(tuple(text[c] for c in columns), _cards())]
    lines += [text["codes"], "", text["codes.text"]]
    return "\n".join(lines) + "\n"


def _keys(language: Literal["en", "zh"]) -> Iterator[tuple[str, ...]]:
    for key in keys_of(RunConfig):
        required = key.default == "required"
        default = f"`{key.default}`" if key.default and not required else said(key.default, language)
        yield f"`{key.name}`", said(key.kind, language), default, said(key.meaning, language)


def said(text: str, language: Literal["en", "zh"]) -> str:
    """A text of ours as the terminal says it in a language."""
    return text if language == "en" else catalogue().translate(text, ours=True)


def _commands(language: Literal["en", "zh"]) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        yield from _command(name, command, language)
        for under, each in getattr(command, "commands", {}).items():
            yield from _command(f"{name} {under}", each, language)


def _command(
    name: str, command: Any, language: Literal["en", "zh"]
) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    options = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        shown = " ".join(parameter.opts) if parameter.param_type_name == "option" else str(parameter.name).upper()
        options.append((f"`{shown}`", said(getattr(parameter, "help", None) or "", language)))
    parts = [said(part, language) for part in help_texts.paragraphs(command.help or "")]
    yield name, " ".join(parts), options


def _recipes(language: Literal["en", "zh"]) -> Iterator[tuple[str, str]]:
    for name, file in recipes().items():
        yield f"`{name}`", said(summary(file), language)


def _cards() -> Iterator[tuple[str, ...]]:
    for name, gpu in GPUS.items():
        capability = ".".join(map(str, gpu.capability or ()))
        yield f"`{name}`", f"{gpu.memory_gb:g}", f"{gpu.tflops:g}", f"{gpu.bandwidth_gb_s:g}", capability, gpu.source


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    body = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return ["<!-- nothing measured -->", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *body, ""]


def main(arguments: list[str] | None = None) -> int:
    """Says which page is out of date and returns 1; with --write writes them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.reference", description=__doc__)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    stale = 0
    for language, file in PAGES.items():
        text = page(language)
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        print(file)
        if options.write:
            file.write_text(text, encoding="utf-8")
    return 0 if options.write or not stale else 1


if __name__ == "__main__":
    sys.exit(main())
