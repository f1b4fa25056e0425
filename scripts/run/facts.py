"""What a run knows beside its answers, and its comparison of base and tuned."""

from __future__ import annotations

import base64
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from configs.disk.files import file_bytes
from configs.handover.serving import ServedFigures
from configs.machine.pins import installed
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import shell
from eval.ask.results import TaskResult, read_results
from eval.compare.blocks import read_looks
from eval.compare.compare import compare
from eval.compare.comparison import Comparison, Drift
from eval.compare.faults import with_faults
from eval.compare.judge import Judgement
from eval.compare.logprobs import read_drift
from eval.compare.own_answers import read_own_answers
from eval.compare.trained import Question, with_trained
from eval.compare.votes import tally
from eval.metrics.rouge import jieba_version
from eval.report.selfmade import selfmade_report
from scripts.run.faults import faults
from scripts.run.trained import count_trained, untold
from scripts.run.votes import current_votes
from serve.launch.target import base_name


def report_facts(known: Mapping[str, Any]) -> dict[str, Any]:
    """What is known, with the time of the report and the versions that its scores move with."""
    ours = {"tuneserve": installed("tuneserve"), "jieba": jieba_version(), "python": platform.python_version()}
    versions = {**ours, **known.get("versions", {})}
    return {**known, "created_at": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions}


def run_facts(run: RunDir) -> dict[str, Any]:
    """What the report shows beside the answers: proof, parity, behaviour, recipe, training, versions."""
    manifest = run.read()
    served, trained = manifest.served(), manifest.trained()
    scaled = manifest.scaled() if manifest.config.merge.scale == "auto" else None
    made = selfmade_report(run.selfmade) if manifest.config.measures_unseen else None
    checks = served.model_dump(mode="json") if served else dict.fromkeys(ServedFigures.model_fields)
    loss = run.report / "loss.png"
    counted = tally(current_votes(run))
    asked = {
        name: [Question(one.id, one.prompt, one.references) for one in result.samples]
        for name, result in read_results(run.eval / "base").items()
    }
    again = ("judge", run.path) if manifest.config.foreign else ("run", run.config_file)
    facts = {
        "vote": counted.as_json() if counted else None,
        "loss_png": base64.b64encode(file_bytes(loss)).decode() if loss.is_file() else None,
        **checks,
        **({"selfmade": made.model_dump(mode="json")} if made else {}),
        "foreign": manifest.facts.foreign.model_dump(mode="json") if manifest.facts.foreign else None,
        "training": trained.model_dump(mode="json") if trained else {},
        "recipe": manifest.config.model_dump(mode="json"),
        "versions": manifest.versions,
        "scale": run.scale(),
        **({"scaled": scaled.model_dump(mode="json")} if scaled else {}),
        "hashes": manifest.hashes,
        "trained_questions": count_trained(asked, run.data, manifest.config),
        "untold": untold(run, manifest.config),
        "command": shell("tuneserve", *again),
    }
    return report_facts(facts)


def compare_run(run: RunDir, config: RunConfig, judgements: Sequence[Judgement] = ()) -> Comparison:
    """Base against tuned, from what is on disk, gated as the config says; with any fault of the model it fails."""
    compared = compare(
        read_results(run.eval / "base"),
        read_results(run.eval / "tuned"),
        config.eval.gate,
        base_repeat=base_repeat(run, config),
        names=(base_name(config), config.served_name),
        facts=run_facts(run),
        drift=run_drift(run, config),
        judgements=judgements,
        looks=read_looks(run.eval / "tuned"),
        own_answers=read_own_answers(run.eval / "tuned"),
    )
    return with_faults(with_trained(compared), faults(run.read()))


def base_repeat(run: RunDir, config: RunConfig) -> dict[str, TaskResult] | None:
    """What the base answered when it was asked again; None where the config does not ask for it."""
    return read_results(run.eval / "base_repeat") if config.eval.repeat_base else None


def run_drift(run: RunDir, config: RunConfig) -> Drift | None:
    """How far the tuned model moved on general text; None where the config does not ask for it."""
    return read_drift(run.eval / "base", run.eval / "tuned") if config.eval.drift else None
