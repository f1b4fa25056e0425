"""What a run knows beside its answers, and its comparison of base and tuned."""

from __future__ import annotations

import base64
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from configs.rundir import RunDir
from eval.ask.results import read_results
from eval.compare.compare import compare
from eval.compare.comparison import Comparison, Drift
from eval.compare.judge import Judgement
from eval.compare.logprobs import read_drift
from eval.metrics.rouge import jieba_version
from scripts.environment import installed
from serve.launch.target import base_name


def report_facts(known: Mapping[str, Any]) -> dict[str, Any]:
    """What is known, with the time of the report and the versions that its scores move with."""
    ours = {"tuneserve": installed("tuneserve"), "jieba": jieba_version(), "python": platform.python_version()}
    versions = {**ours, **known.get("versions", {})}
    return {**known, "created_at": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions}


def run_facts(run: RunDir) -> dict[str, Any]:
    """What the report shows beside the answers: proof, parity, behaviour, recipe, training, versions."""
    manifest = run.read()
    served = manifest.stages["tuned"].figures
    train = manifest.stages["train"].figures
    loss = run.report / "loss.png"
    facts = {
        "loss_png": base64.b64encode(loss.read_bytes()).decode() if loss.is_file() else None,
        "proof": served.get("proof"),
        "parity": served.get("parity"),
        "behaviour": served.get("behaviour"),
        "training": train,
        "recipe": manifest.config,
        "versions": manifest.versions,
        "hashes": manifest.hashes,
        "command": f"tuneserve run {run.config_file}",
    }
    return report_facts(facts)


def compare_run(run: RunDir, judgements: Sequence[Judgement] = ()) -> Comparison:
    """Base against tuned, from what is on disk."""
    repeat = run.eval / "base_repeat"
    config = run.config()
    return compare(
        read_results(run.eval / "base"),
        read_results(run.eval / "tuned"),
        config.eval.gate,
        base_repeat=read_results(repeat) if config.eval.repeat_base else None,
        names=(base_name(run), config.served_name),
        facts=run_facts(run),
        drift=run_drift(run),
        judgements=judgements,
    )


def run_drift(run: RunDir) -> Drift | None:
    """How far the tuned model moved on general text; None where the recipe does not ask for it."""
    return read_drift(run.eval / "base", run.eval / "tuned") if run.config().eval.drift else None
