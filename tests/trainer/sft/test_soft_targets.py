"""Which targets a batch gets: by what its rows are, in the order in which their trained tokens stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from configs.handover.prompt_logprobs import TOP
from trainer.data.selfmade import SoftRow
from trainer.data.template import IGNORED
from trainer.sft.answer_loss import gather_trained
from trainer.sft.first_batch import rows_of
from trainer.sft.soft_targets import PROBABILITIES, TOP_IDS, BatchTargets
from trainer.sft.unsloth import loss_by

USERS = {"input_ids": [5, 6, 7, 8, 9], "labels": [IGNORED, 6, IGNORED, 8, 9]}
OWN = {"input_ids": [1, 2, 3, 4], "labels": [IGNORED, IGNORED, 3, 4]}
TOPS = np.arange(2 * TOP, dtype=np.int32).reshape(2, TOP) + 100
SPREAD = np.linspace(1, 2, 2 * TOP, dtype=np.float32).reshape(2, TOP)
SOFT = BatchTargets([SoftRow(np.array(OWN["input_ids"], np.int32), TOPS, SPREAD / SPREAD.sum(1, keepdims=True))])


@pytest.mark.parametrize("padding_free", [False, True])
def test_every_trained_token_has_its_targets_whatever_the_order_of_the_rows(padding_free: bool) -> None:
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free)
    for rows in ([USERS, OWN, USERS], [OWN, USERS], [OWN]):
        batch = collate([dict(row) for row in rows])
        soft = SOFT.of_batch(rows_of(batch))
        assert (soft[TOP_IDS].dtype, soft[PROBABILITIES].dtype) == (torch.int64, torch.float32)
        assert torch.allclose(soft[PROBABILITIES].sum(1), torch.ones(1))
        wanted: list[Any] = []
        for row in rows:
            wanted += TOPS.tolist() if row is OWN else [[label] + [0] * (TOP - 1) for label in (6, 8, 9)]
        assert soft[TOP_IDS].tolist() == wanted
        # The order is that of the places which the loss is computed at.
        _, targets = gather_trained(batch["labels"].flatten(), len(wanted))
        written = [token for row in rows for token in row["labels"] if token != IGNORED]
        assert targets.tolist() == written
        certain = soft[PROBABILITIES][:, 0] == 1
        assert soft[TOP_IDS][certain, 0].tolist() == [6, 8, 9] * rows.count(USERS)


def test_a_users_row_of_the_same_tokens_that_trains_others_of_them_keeps_its_own() -> None:
    ids = np.array(OWN["input_ids"])
    soft = SOFT.of_batch([(ids, ids)])  # all of it is trained, but for the token that nothing stands before
    assert soft[TOP_IDS][:, 0].tolist() == [2, 3, 4]
    assert (soft[PROBABILITIES][:, 0] == 1).all()


class Trainer:
    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        return "own", return_outputs, num_items_in_batch


def test_only_batches_with_soft_targets_have_another_loss() -> None:
    trainer = Trainer()
    loss_by(trainer, TOP_IDS, lambda model, inputs, items: ("soft", items))
    assert trainer.compute_loss(None, {TOP_IDS: 1}, num_items_in_batch=7) == ("soft", 7)
    assert trainer.compute_loss(None, {"labels": 1}, True, num_items_in_batch=None) == ("own", True, None)
