"""`tuneserve compare`: base against tuned, with report and gate; of runs, or of any two endpoints."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from configs.console import console, tables
from configs.errors import EXIT_OK, ConfigError
from configs.load import load_config
from configs.rundir import RunDir
from configs.schema import GateConfig
from scripts.verbs.tasks import parse_tasks

_FOR_ENDPOINTS = (
    "model", "tasks", "targets", "limit", "hub", "seed", "concurrency", "max_tokens", "thinking", "margin",
    "mean_margin", "repeat_base", "drift",
)  # fmt: skip


def compare(
    context: typer.Context,
    runs: Annotated[list[Path] | None, typer.Argument(help="One run directory, or several over one base.")] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option("--base-url", help="Without a run: endpoint of the base, then of each tuned model."),
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Model names, in the same order.")] = None,
    tasks: Annotated[list[str] | None, typer.Option("--tasks", help="TYPE, TYPE=PATH or NAME:TYPE=PATH.")] = None,
    targets: Annotated[list[str] | None, typer.Option("--targets", help="Tasks meant to get better.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the report.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Seeded sample of this many items a task.")] = None,
    hub: Annotated[
        Literal["huggingface", "modelscope"],
        typer.Option("--hub", help="Endpoints: where data sets are fetched by id."),
    ] = "huggingface",
    seed: Annotated[int, typer.Option("--seed", help="Endpoints: of samples and requests.")] = 42,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=0, help="Endpoints: requests in flight; 0 finds the level.")
    ] = 0,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Endpoints: longest answer where the task does not say.")
    ] = 256,
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="Endpoints: thinking mode, on vLLM.")
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0.01, max=100, help="Endpoints: points that a group may lose.")
    ] = 2.0,
    mean_margin: Annotated[
        float, typer.Option("--mean-margin", min=0.01, max=100, help="Endpoints: points that the mean may lose.")
    ] = 1.0,
    repeat_base: Annotated[
        bool, typer.Option("--repeat-base", help="Endpoints: ask the base twice, for the noise floor.")
    ] = False,
    drift: Annotated[bool, typer.Option("--drift", help="Endpoints: likelihood of general text, on vLLM.")] = False,
    judge_url: Annotated[
        str | None, typer.Option("--judge-url", help="Endpoint of a third model that compares both models' texts.")
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option("--judge-model", help="Its name there; the key comes from TUNESERVE_JUDGE_API_KEY.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Only compare the answers that are on disk.")] = False,
    answers: Annotated[
        bool, typer.Option("--answers/--no-answers", help="Quote answers that changed, with their questions.")
    ] = True,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 3 (failed) or 4 (not enough evidence).")] = False,
    lang: Annotated[str | None, typer.Option("--lang", help="Language of the report: en or zh.")] = None,
) -> None:
    """Compare base and tuned: what was gained, what was forgotten, and how sure that is.

    `tuneserve compare runs/shop --gate`; `tuneserve compare runs/a runs/b` draws learning against forgetting;

    `tuneserve compare --base-url URL1 --model A --base-url URL2 --model B --tasks builtin --out report`; any number
    of tuned models may follow the base
    """
    from eval.ask.endpoint import Settings
    from eval.compare.flips import without_answers
    from eval.report.render_terminal import print_runs
    from eval.report.words import ReportWords
    from eval.report.write import write_reports
    from eval.tasks import load_tasks
    from scripts.run.comparing import compare_endpoints, compare_runs, endpoints, judge_endpoint

    words = ReportWords.chosen(lang)
    third = judge_endpoint(judge_url, judge_model)
    if runs and not base_url:
        _only_for_endpoints(context)
        opened = [RunDir.open(path) for path in runs]
        if not again:
            for run in opened:
                _ask_run(run)
        comparisons = compare_runs(opened, third)
        folder = out or (opened[0].report if len(opened) == 1 else Path("comparison"))
    elif base_url and not runs:
        if not tasks and not targets:
            raise ConfigError("no --tasks", "name some, such as --tasks builtin --tasks gsm8k=gsm8k/test.jsonl")
        folder = out or Path("comparison")
        settings = Settings(seed=seed, max_tokens=max_tokens, concurrency=concurrency, thinking=thinking)
        configs = [*parse_tasks(tasks or [], limit), *parse_tasks(targets or [], limit, "target")]
        comparisons = compare_endpoints(
            endpoints(base_url, model or []),
            load_tasks(configs, seed, hub),
            folder,
            settings,
            GateConfig(margin_points=margin, mean_margin_points=mean_margin),
            repeat_base=repeat_base,
            drift=drift,
            third=third,
            command=f"tuneserve {shlex.join(sys.argv[1:])}",
        )
    else:
        raise ConfigError(
            "give run directories, or two or more --base-url with as many --model", "see `tuneserve compare --help`"
        )
    if not answers:
        comparisons = [without_answers(comparison) for comparison in comparisons]
    files = write_reports(comparisons, folder, words)
    print_runs(comparisons, tables, words)
    console.print(f"\nreport: {files['report.html']}")
    code = max((c.gate.exit_code for c in comparisons), default=EXIT_OK)
    raise typer.Exit(code if gate else EXIT_OK)


def _ask_run(run: RunDir) -> None:
    """Asks what was not asked yet; up-to-date answers stay."""
    from scripts.run import pipeline
    from scripts.run.asking import run_tasks

    config = load_config(run.config_file)
    with run.exclusively():
        tasks = run_tasks(run, config)
        pipeline.evaluate_base(run, config, tasks)
        pipeline.evaluate_tuned(run, config, tasks, keep=False)


def _only_for_endpoints(context: typer.Context) -> None:
    """A run is asked and gated as its recipe says: what would be ignored is refused."""
    sources = {name: context.get_parameter_source(name) for name in _FOR_ENDPOINTS}
    given = [f"--{name.replace('_', '-')}" for name, source in sources.items() if source and source.name != "DEFAULT"]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: only for endpoints; a run is asked and gated as its recipe says",
            "set it under `eval` in the recipe, or leave it out",
        )
