"""Rows that the base writes itself: how many there will be, and what they are as token rows.

Their token ids are those that the base was given and wrote, so nothing is rendered here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from configs.errors import TuneserveError
from configs.handover.base import each_row, read_rows
from configs.handover.prompt_logprobs import TOP
from configs.handover.rows import HeldoutRow, ParityRow
from configs.handover.selfmade import SelfMadeRow, SoftTargets
from configs.handover.wanted_rows import WantedRows
from configs.model.files import read_model_config, text_config
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.tables.languages import language_shares
from configs.terminal.console import shell
from trainer.data import prepare
from trainer.data.report import DataReport
from trainer.data.template import IGNORED, said
from trainer.requirements import trains_soft_targets

ASSUMED_TOKENS = 400
"""Length of a self-made row before it is written, for plans."""
SOFT_TARGETS = "soft_targets.jsonl"
"""Name of the file of the base's most likely tokens, beside the rows."""


@dataclass(frozen=True)
class SoftRow:
    """A self-made row, and what the base thought likely at each place of its answer."""

    input_ids: np.ndarray
    """(tokens,) int32"""
    top_ids: np.ndarray
    """(answer tokens, `TOP`) int32"""
    probabilities: np.ndarray
    """(answer tokens, `TOP`) float32, those of a place adding up to 1"""


def planned(config: RunConfig, folder: Path, model: Path) -> WantedRows:
    """What the base `model` is to write for a recipe whose prepared data is in `folder`; no rows where nothing."""
    made_by, train = config.data.selfmade, 0
    if not config.measures_unseen:
        return WantedRows(0, 0, {}, made_by.other_languages, made_by.min_usable, config.seed)
    report = DataReport.load(folder / "data_report.json")
    conversations = sum(int(str(source["used"])) for source in report.sources)
    if config.data.replay is not None and config.replays_itself:
        train = max(made_by.min_rows, round(config.data.replay.ratio * conversations))
    parity = read_rows(folder / "parity.jsonl", ParityRow, "data")
    heldout = read_rows(folder / "heldout.jsonl", HeldoutRow, "data")
    texts = [str(row.messages[-1]["content"]) for row in parity or heldout]
    return WantedRows(
        train=train,
        unseen=made_by.unseen,
        languages=language_shares(texts),
        other_languages=made_by.other_languages,
        min_usable=made_by.min_usable,
        seed=config.seed,
        soft_targets=trains_soft_targets(config, model),
        conversations=conversations,
    )


def plan_in_words(plan: WantedRows, config: RunConfig) -> str:
    """What will be written, for `check`."""
    made_by, replay = config.data.selfmade, config.data.replay
    rows = f"{plan.unseen:,} rows to measure on"
    if replay is not None and plan.train:
        rows = (
            f"{plan.train:,} rows to train ({replay.ratio:g} for each of {plan.conversations:,} conversations, "
            f"{made_by.min_rows} at least; planned with {min(ASSUMED_TOKENS, config.data.max_length)} tokens each) and "
            f"{plan.unseen:,} to measure on"
        )
    yours = ", ".join(plan.languages)
    soft = (
        f"; at each place of the rows to train its {TOP} most likely tokens are read, which are trained with their "
        "probabilities in place of the written token alone (data.selfmade.soft_targets)"
        if plan.soft_targets
        else ""
    )
    return (
        f"before training the base writes {rows}: questions of at most "
        f"{made_by.question_tokens} tokens, {made_by.other_languages:.0%} of them in other languages than yours "
        f"({yours}), and its answers of at most {made_by.answer_tokens}; it is served once for that and for its "
        f"answers to the tasks{soft}"
    )


def training_rows(run: RunDir, config: RunConfig, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows that are trained: the user's, and behind them those of the base where it replays itself.

    `columns` are those that are wanted, as of `prepare.read_rows`.

    Raises:
        TuneserveError: they were not made yet.
    """
    rows = prepare.read_rows(run.data / "train", columns)
    if not config.replays_itself:
        return rows
    own = token_rows(read_rows(run.selfmade / "train.jsonl", SelfMadeRow, "selfmade"))
    return pa.concat_tables([rows, own.select(rows.column_names)])


def training_files(run: RunDir, config: RunConfig) -> list[Path]:
    """The files that `training_rows` reads."""
    files = [run.data / "train" / "rows.parquet"]
    files += [run.selfmade / "train.jsonl"] if config.replays_itself else []
    return [*files, run.selfmade / SOFT_TARGETS] if has_soft_targets(run, config) else files


def has_soft_targets(run: RunDir, config: RunConfig) -> bool:
    """Whether rows that the base wrote are trained by its probabilities: those that were read when they were made."""
    made = run.read().stages.get("selfmade")
    return config.wants_soft_targets and made is not None and bool(made.figures.get("soft_targets"))


def soft_rows(run: RunDir) -> Iterator[SoftRow]:
    """The rows that the base wrote to be trained, one after the other, with what it thought likely.

    Raises:
        TuneserveError: a file is missing or damaged, or the two are not of the same rows.
    """
    vocabulary = int(text_config(read_model_config(run.prepared().base_model))["vocab_size"])
    file = run.selfmade / SOFT_TARGETS
    rows = {row.id: row for row in read_rows(run.selfmade / "train.jsonl", SelfMadeRow, "selfmade")}

    def strange(row: str, places: int, tokens: int) -> TuneserveError:
        return TuneserveError(
            f"{file}: not the likely tokens of {row}: {places} places for an answer of {tokens} tokens, or a token id "
            f"of {vocabulary} or more",
            f"delete {file} and repeat the command: `{shell('tuneserve', 'train', run.config_file)}`",
        )

    for targets in each_row(file, SoftTargets, "selfmade"):
        ids, logprobs = targets.arrays
        row = rows.pop(name := f"self:{targets.number}", None)
        if row is None or len(ids) != len(row.answer_ids) or ids.max() >= vocabulary:
            raise strange(name, len(ids), len(row.answer_ids) if row else 0)
        weights = np.exp(logprobs - logprobs.max(1, keepdims=True))
        yield SoftRow(
            input_ids=np.array([*row.prompt_ids, *row.answer_ids], dtype=np.int32),
            top_ids=ids,
            probabilities=weights / weights.sum(1, keepdims=True),
        )
    for name, row in rows.items():
        raise strange(name, 0, len(row.answer_ids))


def token_rows(rows: Sequence[SelfMadeRow]) -> pa.Table:
    """The rows in the layout of `prepare.read_rows`."""
    ids = [np.array([*row.prompt_ids, *row.answer_ids], dtype=np.int32) for row in rows]
    labels = [array.copy() for array in ids]
    for array, row in zip(labels, rows, strict=True):
        array[: len(row.prompt_ids)] = IGNORED
    answers = [row.messages[-1] for row in rows]
    return pa.table(
        {
            "id": [f"{row.id}/0" for row in rows],
            "conversation": [row.id for row in rows],
            "input_ids": pa.array(ids, pa.large_list(pa.int32())),
            "labels": pa.array(labels, pa.large_list(pa.int32())),
            "length": pa.array([len(array) for array in ids], pa.int32()),
            "said": pa.array(
                [[said(answer, thinking="reasoning_content" in answer)] for answer in answers], pa.list_(pa.string())
            ),
        }
    )
