"""Cross entropy to several likely tokens at once, without a look from the host: what can be recorded.

As in `trainer.sft.answer_loss`, only what is trained goes through the output layer, and each chunk's gradient is taken
at once. Both are written out here: all of it is computed in fp32, and the logits' gradient, softmax minus targets, is
rounded once.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK_TOKENS = 512
"""Trained tokens whose logits exist at once: in 16 bits, in fp32, and once more while they are normalized."""


def soft_loss(
    hidden: torch.Tensor,
    head: torch.Tensor,
    top_ids: torch.Tensor,
    probabilities: torch.Tensor,
    items: torch.Tensor,
    chunk: int = CHUNK_TOKENS,
) -> torch.Tensor:
    """Cross entropy to the targets, summed and divided by `items`; its gradient reaches `hidden` only.

    Args:
        hidden: (tokens, hidden size).
        head: the output layer's weights, (vocabulary, hidden size); not trained.
        top_ids: (tokens, likely ones), token ids.
        probabilities: (tokens, likely ones), those of a token adding up to 1, or to 0 where nothing is trained.
        items: what the sum is divided by, a scalar.
        chunk: tokens whose logits exist at once.
    """
    return _SoftLoss.apply(hidden, head, top_ids, probabilities, items, chunk)


class _SoftLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        head: torch.Tensor,
        top_ids: torch.Tensor,
        probabilities: torch.Tensor,
        items: torch.Tensor,
        chunk: int,
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(top_ids), chunk):
                part = slice(start, start + chunk)
                ids, wanted = top_ids[part], probabilities[part]
                logprobs = (hidden[part].to(head.dtype) @ head.T).float().log_softmax(-1)
                total -= (wanted * logprobs.gather(1, ids)).sum()
                of_logits = logprobs.exp_().mul_(wanted.sum(1, keepdim=True)).scatter_add_(1, ids, -wanted)
                gradient[part] = of_logits.to(head.dtype) @ head
        ctx.save_for_backward(gradient, items)
        return total / items

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gradient, items = ctx.saved_tensors
        # Scaled only now: in fp16 the trainer's own scale keeps what is divided by many items from vanishing.
        return (gradient.float() * (upstream[0] / items)).to(gradient.dtype), None, None, None, None, None
