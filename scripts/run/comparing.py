"""What `tuneserve compare` does: base against tuned, of runs or at any two endpoints, with a judge if any."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from configs.disk.files import write_jsonl
from configs.disk.locks import locked
from configs.errors import ConfigError, TuneserveError
from configs.recipe.names import file_name_from
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import console, shell
from eval.ask.answered_by import names_of
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.evaluate import probe
from eval.ask.results import TaskResult, read_results
from eval.compare.baseline import require_baseline
from eval.compare.blocks import read_looks
from eval.compare.compare import Results, compare_several
from eval.compare.comparison import Comparison
from eval.compare.faults import with_faults
from eval.compare.judge import Judgement, ask_judge, can_be_judged
from eval.compare.logprobs import read_drift, record_logprobs
from eval.compare.own_answers import read_own_answers
from eval.compare.trained import with_trained
from scripts.run.asking import ask, ask_in_blocks, endpoints_settings
from scripts.run.facts import base_repeat, compare_run, report_facts, run_drift, run_facts
from scripts.run.faults import faults
from scripts.run.tasks import recipe_tasks

JUDGE_KEY = "TUNESERVE_JUDGE_API_KEY"
"""Environment variable that holds the judge's API key."""
_TAKEN = ("base", "base_repeat", "judge")
"""Folders beside those of the tuned models."""


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


def endpoints(urls: Sequence[str], models: Sequence[str]) -> list[Endpoint]:
    """The base, then the tuned models. Of several, each is labelled by its served name, numbered where two share one.

    Raises:
        ConfigError: not as many addresses as names, or fewer than two, or an address that is none.
    """
    if len(urls) != len(models) or len(urls) < 2:
        raise ConfigError(
            f"{len(urls)} --base-url and {len(models)} --model were given",
            "give two or more, as many of each: the base first, then the tuned models",
        )
    labels = ["base"]
    for model in models[1:]:
        # The label names a folder and a file of the report.
        stem = "tuned" if len(models) == 2 else file_name_from(model, "tuned")
        label, number = stem, 1
        while label in (*_TAKEN, *labels):
            number += 1
            label = f"{stem}-{number}"
        labels.append(label)
    return [Endpoint(url, model, label) for url, model, label in zip(urls, models, labels, strict=True)]


def compare_runs(runs: Sequence[tuple[RunDir, RunConfig]], judge: Endpoint | None = None) -> list[Comparison]:
    """One run against its base, or several over one base, from the answers on disk; the first config's gate is theirs.

    Args:
        judge: the judge of both models' texts, if any.

    Raises:
        ConfigError: two are served under one name, or their bases or the ways of serving differ.
    """
    _require_alike([run for run, _ in runs])
    judgements = [
        _judged(judge, read_results(run.eval / "base"), read_results(run.eval / "tuned"), run.eval / "judge")
        for run, _ in runs
    ]
    first, config = runs[0]
    if len(runs) == 1:
        return [compare_run(first, config, judgements[0])]
    names = [one.served_name for _, one in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two runs are served as {twice[0]!r}", "give each run a `name` of its own")
    named = {name: (run, one) for name, (run, one) in zip(names, runs, strict=True)}
    compared = compare_several(
        read_results(first.eval / "base"),
        {name: read_results(run.eval / "tuned") for name, (run, _) in named.items()},
        config.eval.gate,
        base_repeat=base_repeat(first, config),
        drift={name: moved for name, (run, one) in named.items() if (moved := run_drift(run, one))},
        facts={name: run_facts(run) for name, (run, _) in named.items()},
        judgements=dict(zip(names, judgements, strict=True)),
        looks={name: read_looks(run.eval / "tuned") for name, (run, _) in named.items()},
        own_answers={name: read_own_answers(run.eval / "tuned") for name, (run, _) in named.items()},
    )
    return [
        with_faults(with_trained(one), faults(run.read()))
        for one, (run, _) in zip(compared, named.values(), strict=True)
    ]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds the folder of a comparison; those that were made for it do not stay where nothing came into them.

    Raises:
        TuneserveError: another comparison writes into it.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    busy = TuneserveError(f"{folder}: another comparison is writing there", "wait for it, or give another --out")
    with locked(folder, busy):
        try:
            yield
        finally:
            with suppress(OSError):  # the comparison is in it
                for place in made:
                    place.rmdir()


def _require_alike(runs: Sequence[RunDir]) -> None:
    """Refuses runs whose bases differ, or whose answers were served otherwise than those that they are held to.

    All are compared with the answers of the first one's base.
    """
    first = runs[0]
    base = _inputs(first, "base")
    for run in runs:
        own, tuned = _inputs(run, "base"), _inputs(run, "tuned")
        its_own = f"compare each with its own: {shell('tuneserve', 'compare', run.path)}"
        if any(own.get(key) != base.get(key) for key in ("base_weights", "base_files")):
            raise ConfigError(f"{run.path}: its base is another one than that of {first.path}", its_own)
        goes_on = run.read().config.train.continue_from is not None
        for stage, of in (("base", first), *([("origin", run)] if goes_on else [])):
            answers = _inputs(of, stage)
            for key in sorted(answers.keys() & tuned.keys()):
                if key.startswith("serve.") and tuned[key] != answers[key]:
                    raise ConfigError(
                        f"{run.path}: its answers are of {key}={json.dumps(tuned[key])}, those of {stage} in {of.path} "
                        f"of {key}={json.dumps(answers[key])}",
                        its_own,
                    )


def _inputs(run: RunDir, stage: str) -> Mapping[str, Any]:
    record = run.read().stages.get(stage)
    return record.inputs if record else {}


def _require_one_kind(endpoints: Sequence[Endpoint], settings: Settings) -> None:
    """Refuses a vLLM beside another server: it is told of sampling, and asked for letters, as no other is."""
    kinds = {probe(endpoint, settings).is_vllm: endpoint.base_url for endpoint in endpoints}
    if len(kinds) > 1:
        one, other = kinds[True], kinds[False]
        raise ConfigError(
            f"{one} is vLLM, and {other} is not: they are asked in two ways, whose scores do not compare",
            "serve both in vLLM, or give addresses of one gateway that both are behind",
        )


def _require_two_models(base: Endpoint, tuned: Endpoint, results: Mapping[str, Results]) -> None:
    """Refuses two names of one address under which one model answered: a gateway fell back, or heeds no name."""
    names = names_of(results[tuned.label])
    alike = names == names_of(results[base.label]) and base.base_url == tuned.base_url
    if names and alike and base.model != tuned.model:
        raise ConfigError(
            f"{tuned.base_url}: {', '.join(names)} answered for {base.model} and for {tuned.model}, so that one model "
            "would be compared with itself",
            f"ask for what is served there: `curl {tuned.base_url}/models` lists it",
        )


def compare_endpoints(
    endpoints: Sequence[Endpoint], config: RunConfig, folder: Path, judge: Endpoint | None = None, command: str = ""
) -> list[Comparison]:
    """Asks the endpoints everything and compares; answers that are in `folder` already are not asked again.

    Args:
        endpoints: the base, then one tuned model or several; their labels name their folders.
        config: tasks, settings and gate, of `endpoints_config`; for `eval.drift` all must be vLLM servers.
        judge: the judge of the models' texts, if any.
        command: what repeats this, for the report.
    """
    base, *tuned = endpoints
    answers, asked = folder / "eval", config.eval
    tasks, settings = recipe_tasks(config), endpoints_settings(config)
    repeat = [replace(base, label="base_repeat")] if asked.repeat_base else []
    _require_one_kind(endpoints, settings)  # not only after the base was asked everything
    results: dict[str, dict[str, TaskResult]] = {}
    for endpoint in (base, *repeat):
        results[endpoint.label] = ask(endpoint, tasks, answers / endpoint.label, settings, by_name=True)
        if endpoint is base:
            require_baseline(results["base"], f"the base {base.model}")
            if asked.drift:
                record_logprobs(endpoint, answers / endpoint.label, settings=settings)
    again = results.get("base_repeat")
    for endpoint in tuned:
        place = answers / endpoint.label
        results[endpoint.label] = ask_in_blocks(
            endpoint, tasks, place, settings, lambda: results["base"], asked.gate, lambda: again, by_name=True
        )
        _require_two_models(base, endpoint, results)
        if asked.drift:
            record_logprobs(endpoint, place, settings=settings)
    # One tuned model goes by its served name, where that is not the base's too.
    alone = len(tuned) == 1 and base.model != tuned[0].model
    names = {endpoint.label: endpoint.model if alone else endpoint.label for endpoint in tuned}
    judging = {label: answers / "judge" / (label if len(tuned) > 1 else "") for label in names}
    return list(
        compare_several(
            results["base"],
            {name: results[label] for label, name in names.items()},
            asked.gate,
            base_repeat=again,
            base_name="base" if base.model in {*names.values(), *(one.model for one in tuned)} else base.model,
            facts=dict.fromkeys(names.values(), report_facts({"command": command})),
            drift={
                name: moved
                for label, name in names.items()
                if asked.drift and (moved := read_drift(answers / "base", answers / label))
            },
            looks={name: read_looks(answers / label) for label, name in names.items()},
            judgements={
                name: _judged(judge, results["base"], results[label], judging[label]) for label, name in names.items()
            },
        )
    )


def _judged(judge: Endpoint | None, before: Results, after: Results, folder: Path) -> list[Judgement]:
    """What the judge says to every task whose answers are texts; the pairs go to `TASK.jsonl` in `folder`."""
    if judge is None:
        return []
    tasks = [name for name, result in before.items() if name in after and can_be_judged(result)]
    if not tasks:
        console.print(f"  judge {judge.model}: no task has texts to compare (qa or summary)", style="dim")
    found = []
    for name in tasks:
        said = ask_judge(judge, before[name], after[name])
        found.append(said)
        folder.mkdir(parents=True, exist_ok=True)
        write_jsonl(folder / f"{name}.jsonl", map(asdict, said.pairs))
        counts = f"tuned better {said.wins}, base better {said.losses}, ties {said.ties}, no verdict {said.failures}"
        console.print(f"  judge {judge.model}, {name}: {counts}", style="dim")
    return found
