"""Log-likelihood of answers under the model in memory: the trainer's half of the proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from configs.errors import TuneserveError
from configs.handover.rows import ProofAnswer, ProofRow


@torch.no_grad()
def answer_logprobs(model: Any, rows: Sequence[ProofAnswer], scale: float = 1.0) -> list[float]:
    """Sum of the answer tokens' log-probabilities (nats) of each row, its end-of-turn token included.

    Args:
        model: with its adapter, or without one where `scale` is 1.
        rows: whose answers are scored.
        scale: the adapter counts so many times as much; 0 is the base.
    """
    was_training = model.training
    model.eval()
    with _counting(model, scale):
        scores = [of_answer(row, log_softmax_of_answer(model, row)).sum().item() for row in rows]
    model.train(was_training)
    return scores


@torch.no_grad()
def log_softmax_of_answer(model: Any, row: ProofAnswer) -> torch.Tensor:
    """Log-probabilities of every token at each place of the answer: (tokens of the answer, vocabulary), in fp32.

    One row at a time and unpadded, which is what a server computes. Not under `inference_mode`: what a model caches
    there could not be trained through afterwards.

    Raises:
        TuneserveError: the model computes no numbers.
    """
    ids = torch.tensor([row.input_ids], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
    if torch.isnan(logits).any():
        raise TuneserveError(
            f"the model computes NaN for {row.id}: its weights, its adapter or the scale hold some",
            "train it again: with a lower learning rate, or in bfloat16 instead of float16",
        )
    return torch.log_softmax(logits[row.answer_start - 1 : -1].float(), dim=-1)


def of_answer(row: ProofAnswer, log_softmax: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the answer's own tokens, (tokens of the answer,)."""
    answer = torch.tensor(row.input_ids[row.answer_start :], device=log_softmax.device)
    return log_softmax.gather(1, answer[:, None])[:, 0]


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
