"""What the data stage found: counts, reasons, lengths and a preview of the masks, as `data_report.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from configs.disk.files import file_bytes, parse_json, whole
from configs.errors import DataError
from configs.handover.base import as_dataclass
from configs.recipe.schema import DataConfig, RunConfig
from trainer.data.corpus import Corpus
from trainer.data.rules import NOT_A_FAULT, RULES, is_drop
from trainer.data.tally import Tally, in_words
from trainer.data.template import IGNORED, ChatCodec, TemplateFacts, TokenRow
from trainer.data.use import FileColumns


@dataclass(frozen=True)
class Reason:
    """One rule that applied."""

    rule: str
    count: int
    places: list[str]
    """The first rows it applied to, as `file:row`."""
    found: list[str] = field(default_factory=list)
    """What it found most often there, such as `role seller (30)`."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of the training rows in tokens."""

    p50: int
    p90: int
    p99: int
    longest: int
    histogram: list[tuple[int, int, int]]
    """(from, to, rows); `to` is not included."""


@dataclass(frozen=True)
class PreviewRow:
    """One training row, decoded."""

    id: str
    spans: list[tuple[str, bool]]
    """(text, whether it is trained), in order."""


@dataclass(frozen=True)
class DataReport:
    """The whole report; what `tuneserve check` shows."""

    read: int
    """Rows read from all sources."""
    kept: int
    """Conversations used, training and held-out together, repetitions not counted."""
    train_conversations: int
    heldout_conversations: int
    train_rows: int
    """Token rows, repetitions counted."""
    heldout_rows: int
    rows_per_conversation: float
    """Expansion by turns."""
    train_tokens: int
    trained_tokens: int
    """Of them, those that are learned."""
    longest_row: int
    """Longest row in tokens, held-out rows included."""
    dropped_share: float
    """Share of the rows read that were dropped for a fault of theirs."""
    lengths: Lengths
    reasons: dict[str, Reason]
    sources: list[dict[str, object]]
    template: TemplateFacts
    preview: list[PreviewRow]
    columns: list[FileColumns] = field(default_factory=list)
    """What became of the columns of each file."""
    answers: int = 0
    """Answers in training, repetitions not counted."""
    answers_with_reasoning: int = 0
    """Of them, those whose reasoning is trained."""

    def save(self, file: Path) -> None:
        # Names of columns may hold half a character, as texts of rows may.
        file.write_text(whole(json.dumps(asdict(self), ensure_ascii=False, indent=1)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> DataReport:
        """What `save` wrote.

        Raises:
            DataError: the file holds something else.
        """
        try:
            return as_dataclass(cls, parse_json(file_bytes(file)))
        except ValueError as error:
            raise DataError(
                f"{file}: damaged: {error}", f"remove {file.parent}: the data are prepared again"
            ) from error


def make_report(
    corpus: Corpus,
    tally: Tally,
    facts: TemplateFacts,
    train: Sequence[TokenRow],
    heldout: Sequence[TokenRow],
    preview: list[PreviewRow],
    kept: tuple[int, int],
) -> DataReport:
    """Puts the report together; `kept` counts the conversations that gave rows, (training, held-out)."""
    lengths = np.array([len(row.input_ids) for row in train] or [0])
    longest = int(max(lengths.max(), max((len(row.input_ids) for row in heldout), default=0)))
    return DataReport(
        read=corpus.read,
        kept=sum(kept),
        train_conversations=kept[0],
        heldout_conversations=kept[1],
        train_rows=len(train),
        heldout_rows=len(heldout),
        rows_per_conversation=round(len(train) / max(1, sum(corpus.copies)), 3),
        train_tokens=int(lengths.sum()),
        trained_tokens=sum(row.trained for row in train),
        longest_row=longest,
        dropped_share=round(len(tally.faulty) / max(1, corpus.read), 5),
        lengths=_lengths(lengths),
        reasons={
            name: Reason(RULES[name], count, tally.places[name], tally.found_in(name))
            for name, count in sorted(tally.counts.items())
        },
        sources=[asdict(source) for source in corpus.sources],
        template=facts,
        preview=preview,
        columns=corpus.columns,
        answers=corpus.answers,
        answers_with_reasoning=corpus.answers_with_reasoning,
    )


def check_usable(report: DataReport, data: DataConfig) -> None:
    """Raises a DataError for data that a run would fail with later, naming rules, rows and the line that mends them.

    Too much was dropped for a fault, no row is left to train on, or none to hold out although some were asked for.
    """
    drops = [(n, r.count, r.places, r.found) for n, r in report.reasons.items() if is_drop(r.rule)]
    if not report.train_rows:
        listed, mend = in_words(drops)
        raise DataError(f"no training row is left: {listed or 'all are held out'}", mend)
    if report.dropped_share > data.max_dropped:
        listed, mend = in_words(drop for drop in drops if drop[0] not in NOT_A_FAULT)
        raise DataError(
            f"{report.dropped_share:.1%} of the {report.read} rows had to be dropped, more than "
            f"data.max_dropped={data.max_dropped:g}: {listed}",
            f"{mend}, or set data.max_dropped={min(1.0, report.dropped_share + 0.01):.2f}",
        )
    if not report.heldout_rows and (data.heldout or data.eval_split):
        listed, _ = in_words(drops)
        asked = "data.heldout" if data.heldout else f"data.eval_split={data.eval_split:g}"
        raise DataError(
            f"no row is held out, although {asked} asks for some: the proof and the evaluation would have nothing to "
            f"ask. Of {report.read} rows {report.train_rows} are trained" + (f"; {listed}" if listed else ""),
            "give rows that ask different things, or more of them; data.eval_split=0 with eval.tasks does without",
        )


def thinking_warning(report: DataReport, thinking: bool) -> str:
    """What to know before reasoning is trained on answers that have none; "" where all is well."""
    without = report.answers - report.answers_with_reasoning
    if not thinking or not without:
        return ""
    return (
        f"thinking: true, but {without:,} of {report.answers:,} answers ({without / report.answers:.0%}) have no "
        "reasoning: they are trained with thinking switched off and teach nothing about how to think; give reasoning "
        "(a <think> block or a reasoning_content column), or set thinking=false"
    )


def data_warnings(report: DataReport, config: RunConfig) -> list[str]:
    """What to know before training on data that are usable: less than was asked for, or without reasoning."""
    found = [thinking_warning(report, config.thinking)]
    own, replayed = (
        report.sources[: len(config.data.sources)],
        report.sources[len(config.data.sources) :],
    )
    for source, told in zip(config.data.sources, own, strict=False):
        if told["usable"] and not told["used"]:
            found.append(f"{source.path}: none of its {told['usable']} usable conversations is trained")
    if config.data.replay and replayed:
        ratio, used = config.data.replay.ratio, int(str(replayed[0]["used"]))
        wanted = round(ratio * sum(int(str(told["used"])) for told in own))
        if used < wanted:
            found.append(
                f"data.replay: {wanted:,} general rows are asked for ({ratio:g} to 1), and {replayed[0]['path']} has "
                f"{used:,}: bring more, or lower data.replay.ratio"
            )
    return [warning for warning in found if warning]


def preview_row(codec: ChatCodec, row_id: str, input_ids: np.ndarray, labels: np.ndarray) -> PreviewRow:
    """Decodes a row in stretches of equal masking, special tokens shown."""
    trained = labels != IGNORED
    edges = [0, *(np.flatnonzero(np.diff(trained)) + 1).tolist(), len(trained)]
    spans = [
        (codec.tokenizer.decode(input_ids[a:b].tolist(), skip_special_tokens=False), bool(trained[a]))
        for a, b in pairwise(edges)
    ]
    return PreviewRow(row_id, spans)


def _lengths(lengths: np.ndarray) -> Lengths:
    p50, p90, p99 = (int(np.percentile(lengths, p)) for p in (50, 90, 99))
    longest = int(lengths.max())
    # Edges at round numbers, about a dozen bars.
    width = max(1, next(w for w in (8, 16, 32, 64, 128, 256, 512, 1024, 4096, 10**9) if w * 14 >= longest))
    counts = np.bincount(lengths // width)
    histogram = [(i * width, (i + 1) * width, int(n)) for i, n in enumerate(counts)]
    return Lengths(p50, p90, p99, longest, histogram)
