"""Soft targets: rows that the base wrote are trained by the probabilities that it gave to its most likely tokens.

Every trained token of a batch has `TOP` token ids with a probability each, in the order of its labels: those of the
base where it wrote the row, else its own id with probability 1. They are found by what a row is, not by where it
stands, so that a training that is cut off, backs off or is dealt out to several GPUs has the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from configs.errors import TuneserveError
from configs.handover.prompt_logprobs import TOP
from trainer.data.selfmade import SoftRow
from trainer.data.template import IGNORED
from trainer.sft.answer_loss import gather_trained
from trainer.sft.first_batch import row_key
from trainer.sft.soft_loss import soft_loss
from trainer.sft.unsloth import decoder_states, loss_by

TOP_IDS, PROBABILITIES = "soft_target_ids", "soft_target_probabilities"
"""Keys of a batch for its soft targets: (trained tokens, `TOP`) int64 and float32."""


class BatchTargets:
    """Gives every batch its soft targets, and puts the loss on them in the place of the trainer's.

    Args:
        rows: those that the base wrote.
    """

    def __init__(self, rows: Iterable[SoftRow]) -> None:
        self._known = {row_key(row.input_ids): row for row in rows}

    def __len__(self) -> int:
        """Rows that have soft targets."""
        return len(self._known)

    def of_batch(self, rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, torch.Tensor]:
        """What a batch of these rows (ids, labels) gets."""
        found = [self._of_row(ids, labels) for ids, labels in rows]
        return {
            TOP_IDS: torch.from_numpy(np.concatenate([ids for ids, _ in found])),
            PROBABILITIES: torch.from_numpy(np.concatenate([probabilities for _, probabilities in found])),
        }

    def _of_row(self, ids: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # A row's first token is never predicted.
        trained = ids[1:][labels[1:] != IGNORED]
        row = self._known.get(row_key(ids))
        if row is not None and len(row.top_ids) == len(trained):
            return row.top_ids.astype(np.int64), row.probabilities
        own, certain = np.zeros((2, len(trained), TOP))
        own[:, 0], certain[:, 0] = trained, 1
        return own.astype(np.int64), certain.astype(np.float32)

    def put_in_place(self, trainer: Any) -> None:
        """Has the trainer's own steps train by them; batches without them, those of an evaluation, keep its loss."""
        loss_by(trainer, TOP_IDS, live_loss)


def live_loss(model: torch.nn.Module, inputs: Mapping[str, Any], items: torch.Tensor | int | None) -> torch.Tensor:
    """The loss of a step that is not recorded.

    Args:
        model: the PEFT model.
        inputs: a batch with its soft targets, rows padded or laid end to end.
        items: trained tokens of the optimizer step.
    """
    if items is None:
        raise TuneserveError(
            "the trainer does not count the trained tokens of a step", "set data.selfmade.soft_targets=false"
        )
    inputs = dict(inputs)
    top_ids, probabilities = inputs.pop(TOP_IDS), inputs.pop(PROBABILITIES)
    hidden = decoder_states(model, inputs)
    mask = inputs.get("attention_mask")
    first = inputs["position_ids"] == 0 if mask is None else mask.cumsum(1) == 1
    labels = inputs["labels"].masked_fill(first, IGNORED)
    places, _ = gather_trained(labels.flatten(), len(top_ids))
    head = model.get_base_model().lm_head.weight
    items = torch.as_tensor(items, device=hidden.device)
    return soft_loss(hidden.flatten(0, 1).index_select(0, places), head, top_ids, probabilities, items)
