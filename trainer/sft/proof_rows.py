"""Log-likelihood of answers under the model in memory: the trainer's half of the proof."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from configs.handover import ProofAnswer
from trainer.data.template import answer_start


def proof_rows(rows: Sequence[Mapping[str, Any]], count: int, seed: int) -> list[ProofAnswer]:
    """A seeded choice of token rows (id, input_ids, labels), each with the place where its last answer starts."""
    chosen = random.Random(f"{seed} proof").sample(range(len(rows)), min(count, len(rows)))
    return [
        ProofAnswer(
            id=rows[i]["id"], input_ids=list(rows[i]["input_ids"]), answer_start=answer_start(rows[i]["labels"])
        )
        for i in sorted(chosen)
    ]


@torch.no_grad()
def answer_logprobs(model: Any, rows: Sequence[ProofAnswer], *, adapter: bool) -> list[float]:
    """Sum of the answer tokens' log-probabilities (nats) of each row, its end-of-turn token included.

    One row at a time and unpadded, which is what a server computes; the softmax in fp32. Not under `inference_mode`:
    what a model caches there could not be trained through afterwards.
    """
    was_training = model.training
    model.eval()
    scores = []
    with contextlib.nullcontext() if adapter else model.disable_adapter():
        for row in rows:
            ids = torch.tensor([row.input_ids], device=model.device)
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
            start = row.answer_start
            logprobs = torch.log_softmax(logits[start - 1 : -1].float(), dim=-1)
            scores.append(logprobs.gather(1, ids[0, start:, None]).sum().item())
    model.train(was_training)
    return scores
