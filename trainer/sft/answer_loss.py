"""The loss on the trained tokens only, without a look from the host: what can be recorded.

The rows of a step are mostly prompt; only what is trained goes through the output layer. Its logits exist for one chunk
of tokens at a time, and each chunk's gradient is taken at once, so that nothing of them is kept.
"""

from __future__ import annotations

from typing import Any

import torch

from trainer.data.template import IGNORED

CHUNK_TOKENS = 1024
"""Trained tokens whose logits exist at once."""


def gather_trained(labels: torch.Tensor, room: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the trained tokens are predicted, and which they are, without waiting for the GPU.

    Args:
        labels: (tokens,), `IGNORED` where nothing is trained; the token at i is predicted at i - 1.
        room: places of the result; further trained tokens would be lost.

    Returns:
        Places and targets of shape (room,); where there are fewer trained tokens the rest has place 0 and target
        `IGNORED`.
    """
    trained = labels != IGNORED
    # The last place is a bin for all that is not trained.
    slot = torch.where(trained, trained.cumsum(0) - 1, room).clamp_(max=room)
    at = torch.arange(labels.numel(), device=labels.device) - 1
    places = labels.new_zeros(room + 1).scatter_(0, slot, at)
    targets = labels.new_full((room + 1,), IGNORED).scatter_(0, slot, labels)
    return places[:-1].clamp_(min=0), targets[:-1]


def answer_loss(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, items: torch.Tensor, chunk: int = CHUNK_TOKENS
) -> torch.Tensor:
    """Cross entropy of the targets, summed and divided by `items`; its gradient reaches `hidden` only.

    Args:
        hidden: (tokens, hidden size).
        head: the output layer's weights, (vocabulary, hidden size); not trained.
        targets: (tokens,), `IGNORED` where nothing is trained.
        items: what the sum is divided by, a scalar.
        chunk: tokens whose logits exist at once.
    """
    return _AnswerLoss.apply(hidden, head, targets, items, chunk)


class _AnswerLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, items: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, targets.numel(), chunk):
            part = hidden[start : start + chunk].detach().requires_grad_()
            with torch.enable_grad(), torch.autocast(hidden.device.type, enabled=False):
                loss = _chunk_loss(part.to(head.dtype) @ head.T, targets[start : start + chunk]) / items
                (gradient[start : start + chunk],) = torch.autograd.grad(loss, part)
            total += loss.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0].to(gradient.dtype), None, None, None, None


def _chunk_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Summed cross entropy; by Unsloth's kernel on a GPU, which keeps 16-bit logits and computes in fp32."""
    if logits.is_cuda:
        from unsloth.kernels import fast_cross_entropy_loss

        return fast_cross_entropy_loss(logits[None], targets[None], n_items=1)
    return torch.nn.functional.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")
