"""`tuneserve compare`: base against tuned, with report and gate; of runs, or of any two endpoints."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import EXIT_OK, ConfigError, without_credentials
from configs.recipe.load import load_config
from configs.recipe.schema import RunConfig
from configs.run.merged import has_other_answers, require_base, require_current, require_trained
from configs.run.rundir import RunDir
from configs.terminal.console import console, shell, tables
from scripts.verbs.tasks import OVERRIDES, endpoints_config

_AGAIN = ("eval.gate.", "eval.drift=", "eval.repeat_base=")
"""Keys by which answers that are there are judged."""
_MADE_BY = ("data", "lora", "train", "merge", "model", "name", "output_dir")
_TRAINED = tuple(f"{key}{sign}" for key in _MADE_BY for sign in ".=")
"""Keys that a run was made by."""


def compare(
    context: typer.Context,
    what: Annotated[
        list[str] | None, typer.Argument(help=f"One run directory, or several over one base; {OVERRIDES}")
    ] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option("--base-url", help="Without a run: endpoint of the base, then of each tuned model."),
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Model names, in the same order.")] = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--tasks", help="Endpoints: TYPE, TYPE=PATH or NAME:TYPE=PATH.")
    ] = None,
    targets: Annotated[
        list[str] | None, typer.Option("--targets", help="Endpoints: tasks meant to get better.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Endpoints: seeded sample of this many items a task.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the report.")] = None,
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
) -> None:
    """Compare base and tuned: what was gained, what was forgotten, and how sure that is.

    `tuneserve compare runs/shop --gate`; `tuneserve compare runs/a runs/b` draws learning against forgetting;

    `tuneserve compare --base-url URL1 --model A --base-url URL2 --model B --tasks builtin --out report
    eval.gate.margin_points=3`; any number of tuned models may follow the base
    """
    from eval.ask.evaluate import probe
    from eval.compare.flips import without_answers
    from eval.report.render_terminal import print_runs
    from eval.report.words import ReportWords
    from eval.report.write import refuse_other_reports, write_reports
    from scripts.run.comparing import alone_in, compare_endpoints, compare_runs, endpoints, judge_endpoint
    from scripts.run.continuing import STAGE, report_origin, worst_exit_code
    from scripts.run.stages import put_model_card

    words = ReportWords.chosen()
    configured: list[tuple[RunDir, RunConfig]] = []
    judge = judge_endpoint(judge_url, judge_model)
    if judge is not None:
        probe(judge)  # not only after everything was asked
    # A folder may be called anything: only what is none can be an override.
    overrides = [word for word in what or [] if "=" in word and not Path(word).exists()]
    runs = [RunDir.open(Path(word)) for word in what or [] if word not in overrides]
    own = len(runs) == 1 and not base_url
    folder = out or (runs[0].report if own else Path("comparison"))
    aside = out is not None or not own
    if aside:
        refuse_other_reports(folder)
    for run in () if base_url else dict.fromkeys(runs):
        if run.is_writable or not again:  # one that may only be read is compared as it is
            context.with_resource(run.exclusively())
    if aside:
        context.with_resource(alone_in(folder))
    if runs and not base_url:
        if model or tasks or targets or limit:
            raise ConfigError(
                "--model, --tasks, --targets and --limit are for endpoints; a run is asked what its recipe says",
                "leave them out, or give the keys of the recipe: eval.tasks.0.limit=300",
            )
        configured = _with_recipes(runs, overrides, again)
        comparisons = compare_runs(configured, judge)
    elif base_url and not runs:
        comparisons = compare_endpoints(
            endpoints(base_url, model or []),
            endpoints_config(overrides, tasks or [], targets or [], limit),
            folder,
            judge,
            command=f"tuneserve {shlex.join(without_credentials(word) for word in sys.argv[1:])}",
        )
    else:
        raise ConfigError(
            "give run directories, or two or more --base-url with as many --model", "see `tuneserve compare --help`"
        )
    if not answers:
        comparisons = [without_answers(comparison) for comparison in comparisons]
    files = write_reports(comparisons, folder, words)
    for run, config in configured:
        if folder == run.report and config.foreign is None and (run.merged / "config.json").is_file():
            put_model_card(run)  # which holds the scores of the report
    print_runs(comparisons, tables, words)
    console.print(f"\nreport: {files['report.html']}")
    code = worst_exit_code(
        *comparisons,
        *(
            report_origin(run, config, words, folder / (STAGE if own else f"{STAGE}-{run.path.name}"), answers=answers)
            for run, config in configured
        ),
    )
    raise typer.Exit(code if gate else EXIT_OK)


def _with_recipes(runs: list[RunDir], overrides: list[str], again: bool) -> list[tuple[RunDir, RunConfig]]:
    """The runs with the recipes that they are judged by, asked what is missing; `again` asks nothing.

    Raises:
        ConfigError: an override that changes nothing of what is compared, or answers that are not the run's as it is.
    """
    for word in overrides:
        if again and not word.strip().startswith(_AGAIN):
            raise ConfigError(
                f"override {word!r}: changes nothing of answers that are there",
                f"leave --again out, or give {', '.join(f'{key}*' for key in _AGAIN)}",
            )
        if word.strip().startswith(_TRAINED):
            raise ConfigError(
                f"override {word!r}: the run is trained already, and nothing of it is compared by this key",
                "give eval.* and how it is served; `tuneserve run` trains by other keys",
            )
    configured = [(run, load_config(run.config_file, overrides)) for run in runs]
    for run, config in configured:
        require_trained(run, contents=False)
        if again:
            _require_answers(run)
        else:
            _ask_run(run, config)
    return configured


def _require_answers(run: RunDir) -> None:
    """Raises `ConfigError` where the answers on disk are not whole, or not of the run as it is."""
    ask = f"ask it: `{shell('tuneserve', 'compare', run.path)}`"
    manifest = run.read()
    if has_other_answers(run, manifest):
        raise ConfigError(f"{run.path}: was trained or merged again since it answered, or another base was asked", ask)
    stages = manifest.stages
    for stage in ("base", "tuned", *(["origin"] if manifest.config.train.continue_from else [])):
        if stage not in stages or stages[stage].state != "done":  # what was found out of its server is not noted
            raise ConfigError(f"{run.path}: was not asked to the end: the stage {stage} did not finish", ask)
        if damage := next(run.changed_outputs(stage), None):
            raise ConfigError(f"{run.path}: {' '.join(damage)}", ask)


def _ask_run(run: RunDir, config: RunConfig) -> None:
    """Asks what was not asked yet; up-to-date answers stay.

    Raises:
        ConfigError: the base is another one by now than the run was trained on, or what is merged is not its adapter.
    """
    from scripts.run import pipeline
    from scripts.run.continuing import evaluate_origin
    from scripts.run.tasks import run_tasks
    from serve.launch.target import base_folder

    require_base(run, base_folder(run, config))
    require_current(run, contents=False)
    tasks = run_tasks(run, config)
    evaluate_origin(run, config, tasks)
    if pipeline.base_to_ask(run, config, tasks) is None:
        pipeline.evaluate_tuned(run, config, tasks, keep=False)
        return
    pipeline.evaluate(run, config, tasks, keep=False)
