"""The stage `selfmade`: rows that the base writes itself, before training; kept for every run that needs the same.

What was written lies in the cache folder under the base's weights, the seed and the settings. A run with other held-out
rows or tasks chooses from it anew, and has only what is missing written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from configs.cache.entries import alone, forget_old
from configs.cache.folder import private_cache
from configs.disk.files import write_atomically
from configs.handover.base import read_rows, write_rows
from configs.handover.rows import HeldoutRow
from configs.handover.selfmade import SelfMadeReport
from configs.handover.wanted_rows import WantedRows
from configs.model.fingerprint import files_fingerprint, weights_fingerprint
from configs.model.template_family import QUESTION
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import skipped, starting
from eval.selfmade.judging import Judge
from eval.selfmade.make import Made, make
from eval.selfmade.overlap import Asked
from eval.selfmade.pool import Pool
from eval.selfmade.steering import KINDS
from eval.selfmade.writer import Base, Lengths, Writer
from eval.tasks import Task
from scripts.run.asking import run_settings
from scripts.run.inputs import serving_inputs
from scripts.run.serving import OnDemand, endpoint_of
from scripts.run.stages import stage_done
from scripts.run.tasks import recipe_tasks, tasks_fingerprint
from scripts.run.writing import writing_progress
from serve.api.adapters import served_models
from serve.api.prompts import prompt_ids, user_header
from serve.launch.target import base_folder
from serve.process.server import VllmServer
from trainer.data.selfmade import SOFT_TARGETS, planned
from trainer.export.side_files import side_files_fingerprint

_THOUGHT_TOKENS = 4096
"""Added to the longest answer where the model thinks first."""
_LAYOUT = 1
"""Of the pool; another number leaves older ones alone."""
_SOFT_LAYOUT = 2
"""Of a run's soft targets; another number has them put into it again."""


def make_selfmade(run: RunDir, config: RunConfig, server: OnDemand) -> None:
    """Makes what the base writes itself, where the recipe wants any; skipped while nothing that it depends on changed.

    Raises:
        DataError: the base does not write enough that can be used.
    """
    if not config.measures_unseen:
        return
    tasks = recipe_tasks(config, base_folder(run, config))
    wanted = planned(config, run.data, base_folder(run, config))
    inputs = _inputs(run, config, wanted, tasks)
    why = run.changed_since("selfmade", inputs)
    if why is None:
        skipped("selfmade")
        return
    starting("selfmade", f"{why}; {wanted.train} rows to train and {wanted.unseen} to measure on")
    files = [run.selfmade / name for name in ("train.jsonl", "unseen.jsonl", "report.json")]
    files += [run.selfmade / SOFT_TARGETS] if wanted.soft_targets else []
    with run.stage("selfmade", inputs, files) as record:
        run.selfmade.mkdir(parents=True, exist_ok=True)
        made, written = _make(run, config, wanted, tasks, str(inputs["pool"]), server)
        write_rows(files[0], made.train)
        write_rows(files[1], made.unseen)
        write_atomically(files[2], made.report.model_dump_json(indent=1) + "\n")
        if not wanted.soft_targets:
            (run.selfmade / SOFT_TARGETS).unlink(missing_ok=True)
        record.figures |= made.report.model_dump(mode="json", exclude={"examples"}) | {"from_cache": not written}
    stage_done(run, "selfmade", selfmade_summary(made.report) + ("" if written else " (from the cache)"))


def selfmade_summary(report: SelfMadeReport) -> str:
    """One line for the log of a run."""
    languages = ", ".join(f"{name} {count}" for name, count in report.languages.items())
    unwritten = f"; not written by this base: {', '.join(report.unwritten)}" if report.unwritten else ""
    soft = "; to be trained by its probabilities" if report.soft_targets else ""
    return (
        f"{report.train} rows to train and {report.unseen} to measure on, of {report.asked} questions asked "
        f"({report.usable:.0%} usable) and {report.drawn} drawn; {languages}; answers of {report.answer_tokens.p50} "
        f"tokens in the median{unwritten}{soft}"
    )


def _make(
    run: RunDir, config: RunConfig, wanted: WantedRows, tasks: Sequence[Task], pool: str, server: OnDemand
) -> tuple[Made, bool]:
    """The rows, and whether the base had to be served for them; their soft targets are put into the run."""
    facts, made_by = run.prepared(), config.data.selfmade
    root = private_cache("selfmade")
    settings = run_settings(config, facts.family)
    thinks = config.thinking and facts.family != "none"
    judge = Judge(_asked(run, tasks), thinks, facts.end_token_id)
    with alone(root / pool), writing_progress("selfmade") as show:
        writer = Writer(
            connect=lambda: connect(server.up(), settings.thinking),
            pool=Pool(root / pool),
            end_token_id=facts.end_token_id,
            thinking=settings.thinking,
            lengths=Lengths(
                question=made_by.question_tokens,
                answer=made_by.answer_tokens + (_THOUGHT_TOKENS if thinks else 0),
                row=config.data.max_length,
            ),
            settings=settings,
            temperature=made_by.temperature,
            on_progress=show,
        )
        with writer:
            made = make(wanted, judge, writer)
        if wanted.soft_targets:
            write_rows(run.selfmade / SOFT_TARGETS, writer.pool.likely_tokens({*made.softened}))
        os.utime(root / pool)
    forget_old(root, keep=root / pool)
    return made, writer.base is not None


def _inputs(run: RunDir, config: RunConfig, wanted: WantedRows, tasks: Sequence[Task]) -> dict[str, Any]:
    """What the rows depend on: what the base writes, how many are taken, and what they may not ask."""
    base, facts = base_folder(run, config), run.prepared()
    writes = {
        "layout": _LAYOUT,
        "weights": weights_fingerprint(base),
        "files": side_files_fingerprint(base),
        "seed": config.seed,
        "thinking": config.thinking,
        "end": facts.end_token_id,
        "max_length": config.data.max_length,
        "languages": dict(wanted.languages),
        "steering": KINDS,
        **config.data.selfmade.model_dump(exclude={"min_rows", "unseen", "min_usable", "soft_targets"}),
        **serving_inputs(config.serve),
    }
    return {
        "pool": hashlib.sha256(json.dumps(writes, sort_keys=True).encode()).hexdigest()[:32],
        "data.replay": wanted.train,
        "data.selfmade.unseen": wanted.unseen,
        "data.selfmade.min_usable": wanted.min_usable,
        **({"data.selfmade.soft_targets": True, "soft_layout": _SOFT_LAYOUT} if wanted.soft_targets else {}),
        "heldout": files_fingerprint([run.data / "heldout.jsonl"]),
        "tasks": tasks_fingerprint(tasks),
    }


def _asked(run: RunDir, tasks: Sequence[Task]) -> Asked:
    """What held-out rows and tasks ask, and what is right there."""
    asked = Asked()
    heldout = read_rows(run.data / "heldout.jsonl", HeldoutRow, "data")
    asked.add((row.cluster, [*_texts(row.messages), *row.answers]) for row in heldout)
    for task in tasks:
        asked.add(
            (item.cluster or item.id, [*_texts(item.messages), *item.references, *item.choices.values(), item.source])
            for item in task.items
        )
    return asked


def _texts(messages: Sequence[Any]) -> list[str]:
    return [message["content"] for message in messages if isinstance(message.get("content"), str)]


def connect(server: VllmServer, thinking: bool | None, model: str | None = None) -> Base:
    """A served base, as the writer asks it.

    Args:
        thinking: sent as `enable_thinking`; None leaves the template's own default.
        model: its name; by default the one that clients use.
    """
    model, client = model or server.command.target.name, server.client
    question = [{"role": "user", "content": QUESTION}]
    served = {listed.name: listed.context for listed in served_models(client)}
    return Base(
        endpoint=endpoint_of(server, model, "base"),
        header=lambda system: user_header(client, model, system),
        overhead=len(prompt_ids(client, model, question, thinking)),
        context=served.get(model),
    )
