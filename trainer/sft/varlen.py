"""Attention over rows laid end to end, whose boundaries the GPU reads from a tensor and the host need not know.

Unsloth's own choice reads the lengths on the host, at the latest to launch one kernel for each row; a recorded step
cannot do so, since its launches are fixed. torch's variable-length kernel takes the boundaries as a tensor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch

from trainer.sft.unsloth import attention_by


def rows_apart(ends: torch.Tensor, longest: int) -> AbstractContextManager[None]:
    """Within the block, Unsloth's layers on a GPU attend causally within rows that lie end to end.

    Args:
        ends: where the rows begin and end: int32 of shape (rows + 1,), from 0 to the number of tokens, on the GPU. It
            is read when the kernel runs, so that what is written into it later counts.
        longest: no row has more tokens.
    """

    def attend(*, config: Any, context: Any, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
        kernel, takes_groups = torch_kernel()
        if config.n_groups != 1 and not takes_groups:
            K, V = (x.repeat_interleave(config.n_groups, dim=1) for x in (K, V))
        grouped = {"enable_gqa": True} if config.n_groups != 1 and takes_groups else {}
        # (1, heads, tokens, head size) as Unsloth holds it becomes (tokens, heads, head size).
        q, k, v = (x[0].transpose(0, 1).contiguous() for x in (Q, K, V))
        how = kernel_arguments(config.flash_varlen_kwargs or {}, context.sliding_window)
        return kernel(q, k, v, ends, ends, longest, longest, **how, **grouped).unsqueeze(0)

    return attention_by(attend)


def kernel_arguments(flash: Mapping[str, Any], sliding_window: int | None) -> dict[str, Any]:
    """How a layer's attention is asked of torch's kernel: causal, within its window, scaled as it says.

    Args:
        flash: what the layer would ask of FlashAttention's variable-length kernel.
        sliding_window: tokens that a token of this layer sees, itself included; None or 0 for all before it.

    Raises:
        ValueError: the layer caps its logits, which the kernel cannot.
    """
    if flash.get("softcap"):
        raise ValueError(f"the layers cap their logits at {flash['softcap']}, which torch's kernel cannot")
    before = sliding_window - 1 if sliding_window and sliding_window > 0 else -1
    scale = flash.get("softmax_scale")
    return {"window_size": (before, 0)} | ({} if scale is None else {"scale": scale})


@cache
def torch_kernel() -> tuple[Callable[..., torch.Tensor], bool]:
    """torch's variable-length attention, and whether it shares keys among groups of heads (torch 2.12 on)."""
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn, "enable_gqa" in inspect.signature(varlen_attn).parameters
