"""`tuneserve data`: rows from what is no rows yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from configs.recipe.load import config_without_recipe
from configs.terminal.console import console, shell, tables
from scripts.group import group

app = group(no_args_is_help=True)


@app.callback()
def options() -> None:
    """Makes rows: questions and answers from documents."""
    # Typer makes a group of one verb the verb itself, unless it has a callback.


@app.command("from-docs")
def from_docs(
    folder: Annotated[Path, typer.Argument(help="Folder of Markdown, text, DOCX, PDF and HTML; or one such file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for rows, report and recipe; goes on where it is.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="serve.key=value, eval.key=value, thinking, hub and offline, as in a recipe."),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Folder or hub id: served here to write, and trained by the recipe.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Any OpenAI endpoint instead; its key is in TUNESERVE_API_KEY.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model name at that endpoint.")] = None,
    per_passage: Annotated[int, typer.Option("--per-passage", min=1, max=20, help="Pairs about each passage.")] = 3,
    style: Annotated[
        Literal["full", "short"], typer.Option("--style", help="Answers in sentences, or the bare fact word for word.")
    ] = "full",
    with_passage: Annotated[
        bool, typer.Option("--with-passage", help="Rows hold their passage: reading is learned, not the facts.")
    ] = False,
    language: Annotated[
        Literal["auto", "zh", "en"],
        typer.Option("--language", help="Language of the pairs; each passage's own by default."),
    ] = "auto",
    held_out: Annotated[
        float, typer.Option("--held-out", min=0.0, max=0.9, help="Share of the passages held out, by whole documents.")
    ] = 0.1,
    passage_tokens: Annotated[
        int, typer.Option("--passage-tokens", min=64, max=8000, help="Longest passage, in estimated tokens.")
    ] = 600,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Ask about at most so many passages, to try it.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of what is held out and drawn.")] = 42,
) -> None:
    """Make question-answer rows from documents, with a held-out set of other documents, a report and a recipe.

    `tuneserve data from-docs manuals/ --out rows/ --base Qwen/Qwen3-8B`, then `tuneserve run rows/recipe.yaml`

    The same command goes on after a stop, and asks only about what changed.
    """
    config = config_without_recipe(
        overrides or [], ("serve", "eval", "hub", "offline", "thinking"), "a folder of documents"
    )
    from eval.documents.make import Settings
    from eval.report.documents import print_documents
    from eval.report.words import ReportWords
    from scripts.run import documents

    words = ReportWords.chosen()
    writer = documents.writer_of(endpoint, model, base)
    settings = Settings(
        per_passage=per_passage,
        style=style,
        with_passage=with_passage,
        passage_tokens=passage_tokens,
        language=language,
        held_out=held_out,
        limit=limit,
        seed=seed,
    )
    made = documents.from_docs(folder, out, writer, settings, config, words)
    print_documents(made.report, tables, words)
    console.print(f"\nreport: {out / 'report.html'}")
    if made.train:
        console.print(f"next: look at it, then {shell('tuneserve', 'check', out / 'recipe.yaml')}")
