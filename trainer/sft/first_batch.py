"""Before step 1: does the batch that reaches the model train the answers, and nothing else?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from configs.errors import TuneserveError
from trainer.data.template import CALL_MARK, IGNORED

Batch = Mapping[str, Any]
_LOOK = "look at `tuneserve check` (mask preview); this is a defect of the data stage or of a library, please report it"


def expected_answers(rows: Iterable[Mapping[str, Any]]) -> dict[bytes, Sequence[str]]:
    """What each prepared row must train, found by its token ids."""
    return {row_key(row["input_ids"]): row["said"] for row in rows}


def check_first_batch(
    batch: Batch, expected: Mapping[bytes, Sequence[str]], decode: Callable[[list[int]], str], end_token_id: int
) -> list[tuple[str, str]]:
    """Compares a collated batch with the data.

    Args:
        batch: what the collator gave: `input_ids` and `labels` of shape (rows, tokens), and either `attention_mask`
            (padded rows) or `position_ids` that start again at 0 (rows laid end to end).
        expected: answers by the token ids of their row.
        decode: token ids to text, special tokens left out.
        end_token_id: the token that must be the last label of every answer.

    Returns:
        (trained text, expected text) of every answer, all of them equal but for spacing.

    Raises:
        TuneserveError: a row was cut or changed on its way, its trained text is not the answer, or an answer does not
            end with the end-of-turn token.
    """
    seen = []
    for ids, labels in rows_of(batch):
        said = expected.get(row_key(ids))
        if said is None:
            raise TuneserveError(
                f"first batch: a row of {len(ids)} tokens is none of the prepared rows; it was cut or changed on its "
                f"way to the model: {decode(ids.tolist())[:80]!r}",
                _LOOK,
            )
        spans = _trained_spans(ids, labels)
        if len(spans) != len(said):
            raise TuneserveError(
                f"first batch: {len(spans)} trained spans where the data have {len(said)} answers", _LOOK
            )
        for span, answer in zip(spans, said, strict=True):
            text = decode(span.tolist())
            if span[-1] != end_token_id:
                raise TuneserveError(
                    f"first batch: an answer does not end with the end-of-turn token but with {span[-1]}: {text!r}",
                    _LOOK,
                )
            if not _matches(text, answer):
                raise TuneserveError(f"first batch: the trained text is {text!r}, the answer is {answer!r}", _LOOK)
            seen.append((text, answer))
    return seen


def rows_of(batch: Batch) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ids, labels) of every row in a batch, padding removed, rows laid end to end taken apart."""
    ids, labels = np.asarray(batch["input_ids"]), np.asarray(batch["labels"])
    if batch.get("attention_mask") is not None:
        masks = np.asarray(batch["attention_mask"]).astype(bool)
        return [(i[m], row[m]) for i, row, m in zip(ids, labels, masks, strict=True)]
    rows = []
    for i, row, positions in zip(ids, labels, np.asarray(batch["position_ids"]), strict=True):
        starts = np.flatnonzero(positions == 0)
        rows += list(zip(np.split(i, starts[1:]), np.split(row, starts[1:]), strict=True))
    return rows


def _trained_spans(ids: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    trained = labels != IGNORED
    if not (labels[trained] == ids[trained]).all():
        raise TuneserveError("first batch: labels differ from the tokens they stand at", _LOOK)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], trained, [False]])))
    return [ids[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _matches(trained: str, answer: str) -> bool:
    """Equal but for spacing, which templates trim; how a family writes tool calls is its own matter."""
    text, wanted = "".join(trained.split()), "".join(answer.split())
    # A template that always thinks has opened the block in the prompt.
    if wanted in (text, f"<think>{text}"):
        return True
    plain, *calls = wanted.split(CALL_MARK)
    written = text.removeprefix(plain)
    return (
        bool(calls)
        and text.startswith(plain)
        and written.startswith(("<", "{", "["))
        and not written.startswith(("<think>", "</think>"))
        and all(name in written for name in calls)
    )


def row_key(ids: Any) -> bytes:
    """What a row is found by: its token ids."""
    return np.asarray(ids, dtype=np.int32).tobytes()
