"""`tuneserve compare`: base against tuned, with report and gate; of runs, or of any two endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.errors import EXIT_OK, ConfigError
from configs.load import load_config
from configs.rundir import RunDir
from configs.schema import GateConfig, RunConfig
from eval.comparison import Comparison
from scripts.console import console, tables
from scripts.verbs.tasks import parse_tasks


def compare(
    runs: Annotated[list[Path] | None, typer.Argument(help="One run directory, or several over one base.")] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option("--base-url", help="Without a run: endpoint of the base, then of the tuned model."),
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Model names, in the same order.")] = None,
    tasks: Annotated[list[str] | None, typer.Option("--tasks", help="TYPE, TYPE=PATH or NAME:TYPE=PATH.")] = None,
    targets: Annotated[list[str] | None, typer.Option("--targets", help="Tasks meant to get better.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the report.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Seeded sample of this many items a task.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Only compare the answers that are on disk.")] = False,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 3 (failed) or 4 (not enough evidence).")] = False,
    lang: Annotated[str | None, typer.Option("--lang", help="Language of the report: en or zh.")] = None,
) -> None:
    """Compare base and tuned: what was gained, what was forgotten, and how sure that is.

    `tuneserve compare runs/shop --gate`; `tuneserve compare runs/a runs/b` draws learning against forgetting;

    `tuneserve compare --base-url URL1 --model A --base-url URL2 --model B --tasks builtin --out report`
    """
    from eval.report.render_terminal import print_runs
    from eval.report.write import write_reports
    from scripts.language import report_language

    language = report_language(lang)
    if runs and not base_url:
        opened = [RunDir.open(path) for path in runs]
        if not again:
            for run in opened:
                _ask_run(run)
        comparisons = _compare_runs(opened)
        folder = out or (opened[0].report if len(opened) == 1 else Path("comparison"))
    elif base_url and not runs:
        comparisons = [_compare_endpoints(base_url, model or [], tasks or [], targets or [], out, limit)]
        folder = out or Path("comparison")
    else:
        raise ConfigError("give run directories, or two --base-url with two --model", "see `tuneserve compare --help`")
    files = write_reports(comparisons, folder, language)
    print_runs(comparisons, tables, language)
    console.print(f"\nreport: {files['report.html']}")
    code = max((c.gate.exit_code for c in comparisons), default=EXIT_OK)
    raise typer.Exit(code if gate else EXIT_OK)


def _ask_run(run: RunDir) -> None:
    """Asks what was not asked yet; up-to-date answers stay."""
    from scripts import pipeline
    from scripts.evaluation import run_tasks

    config = load_config(run.config_file)
    with run.exclusively():
        tasks = run_tasks(run, config)
        pipeline.evaluate_base(run, config, tasks)
        pipeline.evaluate_tuned(run, config, tasks, keep=False)


def _compare_runs(runs: list[RunDir]) -> list[Comparison]:
    from eval.compare import compare_several
    from eval.results import read_results
    from scripts.reporting import compare_run, run_facts

    if len(runs) == 1:
        return [compare_run(runs[0])]
    configs: list[RunConfig] = [run.config() for run in runs]
    return list(
        compare_several(
            read_results(runs[0].eval / "base"),
            {config.served_name: read_results(run.eval / "tuned") for run, config in zip(runs, configs, strict=True)},
            configs[0].eval.gate,
            facts={config.served_name: run_facts(run) for run, config in zip(runs, configs, strict=True)},
        )
    )


def _compare_endpoints(
    urls: list[str], models: list[str], tasks: list[str], targets: list[str], out: Path | None, limit: int | None
) -> Comparison:
    from eval.compare import compare as compare_results
    from eval.endpoint import Endpoint, Settings
    from eval.tasks import load_tasks
    from scripts.evaluation import ask

    if len(urls) != 2 or len(models) != 2:
        raise ConfigError(
            f"{len(urls)} --base-url and {len(models)} --model were given",
            "give two of each: the base first, then the tuned",
        )
    if not tasks and not targets:
        raise ConfigError("no --tasks", "name some, such as --tasks builtin --tasks gsm8k=gsm8k/test.jsonl")
    loaded = load_tasks([*parse_tasks(tasks, limit), *parse_tasks(targets, limit, "target")])
    folder = out or Path("comparison")
    results = [
        ask(Endpoint(url, name, label), loaded, folder / "eval" / label, Settings())
        for url, name, label in zip(urls, models, ("base", "tuned"), strict=True)
    ]
    return compare_results(results[0], results[1], GateConfig(), names=(models[0], models[1]))
