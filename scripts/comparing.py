"""What `tuneserve compare` does: base against tuned, of runs or at any two endpoints, with a judge if any."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from configs.console import console
from configs.errors import ConfigError
from configs.rundir import RunDir
from configs.schema import GateConfig
from eval.compare import compare, compare_several
from eval.comparison import Comparison
from eval.endpoint import Endpoint, Settings
from eval.judge import Judgement, can_be_judged, judge
from eval.loglikelihood import read_drift, record_logprobs
from eval.results import TaskResult, read_results
from eval.tasks import Task
from scripts.evaluation import ask
from scripts.reporting import compare_run, run_drift, run_facts

JUDGE_KEY = "TUNESERVE_JUDGE_API_KEY"
"""Environment variable that holds the judge's API key."""


def judge_endpoint(url: str | None, model: str | None) -> Endpoint | None:
    """The judge that `--judge-url` and `--judge-model` name; None where neither was given.

    Raises:
        ConfigError: one without the other, or an address that is none.
    """
    if url is None and model is None:
        return None
    if url is None or model is None:
        given, missing = ("--judge-url", "--judge-model") if model is None else ("--judge-model", "--judge-url")
        raise ConfigError(f"{given} was given without {missing}", "a judge needs an address and a model name")
    return Endpoint(url, model, "judge", JUDGE_KEY)


def compare_runs(runs: Sequence[RunDir], third: Endpoint | None = None) -> list[Comparison]:
    """One run against its base, or several over one base, from the answers on disk.

    Args:
        third: the judge of both models' texts, if any.
    """
    judgements = [_judged(third, run.eval) for run in runs]
    if len(runs) == 1:
        return [compare_run(runs[0], judgements[0])]
    names = [run.config().served_name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two runs are served as {twice[0]!r}", "give each run a `name` of its own")
    tunings = {name: read_results(run.eval / "tuned") for name, run in zip(names, runs, strict=True)}
    asked = runs[0].config().eval
    drifts = {name: moved for name, run in zip(names, runs, strict=True) if (moved := run_drift(run))}
    return list(
        compare_several(
            read_results(runs[0].eval / "base"),
            tunings,
            asked.gate,
            base_repeat=read_results(runs[0].eval / "base_repeat") if asked.repeat_base else None,
            drift=drifts,
            facts={name: run_facts(run) for name, run in zip(names, runs, strict=True)},
            judgements=dict(zip(names, judgements, strict=True)),
        )
    )


def compare_endpoints(
    endpoints: Sequence[Endpoint],
    tasks: Sequence[Task],
    folder: Path,
    settings: Settings,
    *,
    repeat_base: bool = False,
    drift: bool = False,
    third: Endpoint | None = None,
    command: str = "",
) -> Comparison:
    """Asks two endpoints everything and compares them; answers that are in `folder` already are not asked again.

    Args:
        endpoints: labelled `base` and `tuned`; the labels name their folders.
        repeat_base: ask the base twice, to measure the noise floor.
        drift: compare the likelihoods of general text too; both must be vLLM servers.
        third: the judge of both models' texts, if any.
        command: what repeats this, for the report.
    """
    base, tuned = endpoints
    answers = folder / "eval"
    results: dict[str, Mapping[str, TaskResult]] = {}
    for label, endpoint in (("base", base), *((("base_repeat", base),) if repeat_base else ()), ("tuned", tuned)):
        asked = Endpoint(endpoint.base_url, endpoint.model, label, endpoint.api_key_env)
        results[label] = ask(asked, tasks, answers / label, settings)
        if drift and label != "base_repeat":
            record_logprobs(asked, answers / label, settings=settings)
    same_name = base.model == tuned.model
    return compare(
        results["base"],
        results["tuned"],
        GateConfig(),
        base_repeat=results.get("base_repeat"),
        names=("base", "tuned") if same_name else (base.model, tuned.model),
        facts={"command": command} if command else None,
        drift=read_drift(answers / "base", answers / "tuned") if drift else None,
        judgements=_judged(third, answers),
    )


def _judged(third: Endpoint | None, answers: Path) -> list[Judgement]:
    """What the judge says to every task whose answers are texts; the pairs go to `judge/TASK.jsonl`."""
    if third is None:
        return []
    before, after = read_results(answers / "base"), read_results(answers / "tuned")
    tasks = [name for name, result in before.items() if name in after and can_be_judged(result)]
    if not tasks:
        console.print(f"  judge {third.model}: no task has texts to compare (qa or summary)", style="dim")
    found = []
    for name in tasks:
        said = judge(third, before[name], after[name])
        found.append(said)
        file = answers / "judge" / f"{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = (json.dumps(asdict(pair), ensure_ascii=False) for pair in said.pairs)
        file.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        counts = f"tuned better {said.wins}, base better {said.losses}, ties {said.ties}, no verdict {said.failures}"
        console.print(f"  judge {third.model}, {name}: {counts}", style="dim")
    return found
