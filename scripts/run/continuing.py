"""A run that goes on from an earlier one is held to both: to that run, as every run to its base, and to their model."""

from __future__ import annotations

from pathlib import Path

from configs.errors import EXIT_GATE_FAILED, EXIT_OK
from configs.network.hub import resolve_model
from configs.recipe.schema import RunConfig
from configs.run.predecessor import predecessor
from configs.run.rundir import RunDir
from configs.terminal.console import console, note, skipped, starting, tables
from eval.ask.results import read_results
from eval.compare.baseline import require_baseline
from eval.compare.blocks import read_looks
from eval.compare.compare import compare
from eval.compare.comparison import Comparison
from eval.compare.flips import without_answers
from eval.compare.logprobs import read_drift
from eval.compare.trained import with_trained
from eval.report.render_terminal import print_comparison
from eval.report.words import ReportWords
from eval.report.write import write_reports
from eval.tasks import Task
from scripts.run import pipeline
from scripts.run.facts import run_facts
from scripts.run.rescoring import bring_up_to_date
from scripts.run.serving import OnDemand
from scripts.run.stages import forget_other_outputs
from serve.launch.target import origin_name, origin_target

STAGE = "origin"
"""Stage and folder of the answers of the model that the first run of all started from."""


def evaluate_origin(run: RunDir, config: RunConfig, tasks: list[Task]) -> None:
    """Asks the model that the earlier run started from, where there is one, or takes over what it answered before."""
    if predecessor(config) is None:
        return
    model = resolve_model(config.model, config.hub, config.offline)
    inputs, folder = pipeline.asked_inputs(model, config, tasks), run.eval / STAGE
    bring_up_to_date(run, STAGE, inputs, [folder], tasks)
    why = run.changed_since(STAGE, inputs)
    if why is None:
        skipped(STAGE)
        return
    why = pipeline.take_over(run, STAGE, inputs, {"base": folder}, tasks, why)
    if why is None:
        return
    forget_other_outputs(run, STAGE, inputs, [folder])
    starting(STAGE, f"{why}; serving {model}")
    target = origin_target(run, config)
    with (
        run.stage(STAGE, inputs, [folder]),
        OnDemand(lambda: target, config.serve, run.logs / "serve-origin.log") as server,
    ):
        results = pipeline.ask_at(server.up(), folder, run, config, tasks, None)
        require_baseline(results, f"the model {model}")


def report_origin(
    run: RunDir, config: RunConfig, words: ReportWords, folder: Path, *, answers: bool = True
) -> Comparison | None:
    """Compares with that model, prints and writes the report; None where this run has no earlier one.

    Args:
        folder: where the report goes.
        answers: whether it quotes answers.
    """
    if config.train.continue_from is None:
        return None
    comparison = compare_origin(run, config)
    write_reports([comparison if answers else without_answers(comparison)], folder, words)
    console.print()
    note(f"and against {config.model}, which {config.train.continue_from} was trained on:")
    print_comparison(comparison, tables, words)
    return comparison


def compare_origin(run: RunDir, config: RunConfig) -> Comparison:
    """The model that the earlier run started from against this run's, from the answers on disk."""
    compared = compare(
        read_results(run.eval / STAGE),
        read_results(run.eval / "tuned"),
        config.eval.gate,
        names=(origin_name(config), config.served_name),
        facts=run_facts(run),
        drift=read_drift(run.eval / STAGE, run.eval / "tuned") if config.eval.drift else None,
        looks=read_looks(run.eval / "tuned"),
    )
    return with_trained(compared)


def worst_exit_code(*comparisons: Comparison | None) -> int:
    """The exit code of the worst verdict: failed before not enough evidence before passed."""
    codes = [comparison.gate.exit_code for comparison in comparisons if comparison is not None]
    return EXIT_GATE_FAILED if EXIT_GATE_FAILED in codes else max(codes, default=EXIT_OK)
