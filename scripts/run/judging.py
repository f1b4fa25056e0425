"""What `tuneserve judge` does: a run whose training was someone else's, served, held to its rows and to its base."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.disk.files import write_jsonl
from configs.disk.homes import expanded
from configs.disk.yaml_text import KeyPath
from configs.errors import ConfigError
from configs.network.hub import resolve_model
from configs.recipe.load import apply_override, load_config, validate
from configs.recipe.names import file_name_from
from configs.recipe.schema import EvalConfig, RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import shell
from eval.compare.comparison import Comparison
from eval.report.words import ReportWords
from eval.tasks import builtin
from scripts.run import pipeline
from scripts.run.stages import run_stage
from scripts.run.tasks import run_tasks
from trainer.data.files import find_files
from trainer.data.hub import load_hub
from trainer.data.sources import split_count

GENERAL = "general.jsonl"
"""Questions of the built-in suite with their answers, in the place of rows that are not known."""
MADE_ROWS = 200
"""Of each part of the suite that a program makes."""
_TEXT_KINDS = ("qa", "summary", "number", "exact")
_ROOM = 1.25
"""Room for an answer, over the longest of the rows."""


def judge_recipe(
    model: str,
    base: str,
    *,
    data: Sequence[str] = (),
    heldout: str | None = None,
    adapter: str | None = None,
    template: str | None = None,
    thinking: bool | None = None,
    name: str | None = None,
    overrides: Sequence[str] = (),
) -> RunConfig:
    """The recipe of a judgement: every key of a run that means something without training can be overridden.

    Raises:
        ConfigError: a key or a value is wrong.
    """
    foreign = {"model": model, "adapter": adapter, "template": template, "thinking": thinking, "rows_known": bool(data)}
    called = name or file_name_from(f"judge-{Path(model).resolve().name if Path(model).is_dir() else model}", "judge")
    raw: dict[str, Any] = {
        "name": called,
        "model": base,
        "foreign": foreign,
        "data": {"sources": list(data), **({"heldout": heldout} if heldout else {})},
        # Beside rows the suite is asked as in a run: where the base is large enough to answer it.
        "eval": {"tasks": [] if data else [{"name": "builtin", "type": "builtin"}], "heldout": bool(data)},
    }
    lines: dict[KeyPath, int | str] = {}
    for override in overrides:
        apply_override(raw, override, lines)
    if not data:
        folder = Path(str(raw.get("output_dir", "runs"))) / str(raw["name"])
        raw["data"] |= {"sources": [str(folder.absolute() / GENERAL)], "eval_split": 0.0}
    return validate(raw, Path("judge"), lines)


def refuse_another(config: RunConfig) -> None:
    """Refuses to judge one model in the place of another that only the folder's name makes the same.

    Raises:
        ConfigError: the run of this name holds the judgement of another model.
    """
    run = RunDir(Path(config.output_dir) / config.name)
    if config.foreign is None or not run.manifest_file.is_file():
        return
    before = run.read().config.foreign
    if before is not None and before.model != config.foreign.model:
        raise ConfigError(
            f"{run.path}: is the judgement of {before.model}, another model of that name",
            f"give this one a name of its own: --name {config.name}-2",
        )


def judged_again(run: Path, overrides: Sequence[str]) -> RunConfig:
    """The recipe of an earlier judgement.

    Raises:
        ConfigError: the run trained a model itself.
    """
    opened = RunDir.open(run)
    config = load_config(opened.config_file, overrides)
    if config.foreign is None:
        raise ConfigError(f"{run}: this run trained its model itself", shell("tuneserve", "compare", run, "--gate"))
    if config.foreign.rows_known:
        return config
    return load_config(opened.config_file, [f"data.sources=[{json.dumps(str(opened.path / GENERAL))}]", *overrides])


def length_is_given(config: RunConfig, overrides: Sequence[str]) -> bool:
    """Whether the longest answer was given: now, or at an earlier judgement, as no other is below a recipe's own."""
    given = any(word.startswith("eval.max_tokens=") for word in overrides)
    return given or config.eval.max_tokens < EvalConfig().max_tokens


def judge(config: RunConfig, words: ReportWords, *, own_length: bool, force: bool = False) -> Comparison:
    """Looks at the model, merges an adapter, serves it, and compares it with its base.

    Args:
        config: of `judge_recipe` or `judged_again`.
        words: language of the report.
        own_length: whether the longest answer was given, and not to be taken from the rows.
        force: look again although nothing changed.
    """
    with RunDir.claim(config) as run:
        pipeline.note_versions(run)
        if not (config.foreign and config.foreign.rows_known):
            write_jsonl(run.path / GENERAL, general_rows())
        _fetch(config)
        run_stage("foreign", run, *(["--force"] if force else []))
        found = run.read().facts.foreign
        assert found is not None
        config = config.model_copy(update={"thinking": found.thinking})
        if not own_length:
            longest = max(config.eval.max_tokens, math.ceil(_ROOM * found.longest_answer))
            config = config.model_copy(update={"eval": config.eval.model_copy(update={"max_tokens": longest})})
        run.configure(config)
        if found.kind == "adapter":
            run_stage("merge", run)
        tasks = run_tasks(run, config)
        pipeline.evaluate(run, config, tasks, keep=False)
        return pipeline.report(run, config, words)


def _fetch(config: RunConfig) -> None:
    """Fetches what hubs have of it: the process that looks at it has the training stack, which asks no hub."""
    named = [config.model, *([config.foreign.model] if config.foreign else [])]
    for model in named:
        if not expanded(model).exists():
            resolve_model(model, config.hub, config.offline)
    for source in [*config.data.sources, *([config.data.heldout] if config.data.heldout else [])]:
        path = split_count(source.path)[0]
        if not find_files(path):
            load_hub(path, source, config.hub, config.offline, says=False)  # the look tells of it


def general_rows() -> list[dict[str, Any]]:
    """The built-in suite's questions whose answer is a text, as conversations."""
    return [
        {"messages": [*map(dict, item.messages), {"role": "assistant", "content": item.references[0]}]}
        for task in builtin.load(limit=MADE_ROWS)
        if task.kind in _TEXT_KINDS
        for item in task.items
        if item.references
    ]
