"""Log-likelihood of answers under the model in memory: the trainer's half of the proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from configs.handover import ProofAnswer, ProofRow


@torch.no_grad()
def answer_logprobs(model: Any, rows: Sequence[ProofAnswer], scale: float = 1.0) -> list[float]:
    """Sum of the answer tokens' log-probabilities (nats) of each row, its end-of-turn token included.

    One row at a time and unpadded, which is what a server computes; the softmax in fp32. Not under `inference_mode`:
    what a model caches there could not be trained through afterwards.

    Args:
        model: with its adapter, or without one where `scale` is 1.
        rows: whose answers are scored.
        scale: the adapter counts so many times as much; 0 is the base.
    """
    was_training = model.training
    model.eval()
    scores = []
    with _counting(model, scale):
        for row in rows:
            ids = torch.tensor([row.input_ids], device=model.device)
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
            start = row.answer_start
            logprobs = torch.log_softmax(logits[start - 1 : -1].float(), dim=-1)
            scores.append(logprobs.gather(1, ids[0, start:, None]).sum().item())
    model.train(was_training)
    return scores


def _counting(model: Any, scale: float) -> AbstractContextManager[Any]:
    """A block in which the adapter counts `scale` times as much."""
    if scale == 0:
        return model.disable_adapter()
    return nullcontext() if scale == 1 else _scaled_weights(model, scale)


@contextmanager
def _scaled_weights(model: Any, scale: float) -> Iterator[None]:
    """Every B of the adapter times `scale`, and as it was afterwards.

    Not the layers' `scaling`, as PEFT's `rescale_adapter_scale` does: whose functions compute the layers may have read
    that once and for all.
    """
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    weights = [linear.weight for layer in layers for linear in layer.lora_B.values()]
    weights += [weight for layer in layers for weight in layer.lora_embedding_B.values()]
    before = [weight.detach().clone() for weight in weights]
    for weight in weights:
        weight.data.mul_(scale)
    try:
        yield
    finally:
        for weight, kept in zip(weights, before, strict=True):
            weight.data.copy_(kept)


def scored_rows(
    model: Any, rows: Sequence[ProofAnswer], scales: Sequence[float], base: Sequence[float] | None = None
) -> list[ProofRow]:
    """The proof rows of a trained model.

    Args:
        model: trained, with its adapter.
        rows: whose answers are scored.
        scales: how much the adapter may come to count, beside 1.
        base: the likelihoods under the base, where the model cannot go back to it.
    """
    whole = answer_logprobs(model, rows)
    before = answer_logprobs(model, rows, 0) if base is None else base
    scaled = {scale: answer_logprobs(model, rows, scale) for scale in scales if scale != 1}
    return [
        ProofRow(
            **row.model_dump(),
            base_logprob=before[i],
            adapter_logprob=whole[i],
            scaled_logprobs={scale: scores[i] for scale, scores in scaled.items()},
        )
        for i, row in enumerate(rows)
    ]
