"""Has the base answer as itself beside adapters on a CPU; `--worker-extension-cls serve.launch.no_adapter.BaseRows`.

vLLM marks the rows of a batch that ask for the base with -1. Its CPU build takes that as the last place for adapters
(vllm/lora/ops/torch_ops/lora_ops.py), which holds one as soon as so many were loaded as there are places: an adapter
that was unloaded keeps its place in the engine. Importing this module, which each worker does before it makes its
model, has those rows come out of the first of an adapter's two products as zeros.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

_shrink = PunicaWrapperCPU._apply_shrink


class BaseRows:
    """What vLLM adds to its worker: nothing; it asks for a class."""


def shrink(wrapper: Any, y: torch.Tensor, x: torch.Tensor, w_t_all: torch.Tensor, scale: float) -> None:
    """Stands for `_apply_shrink`: x (tokens, inputs) by each token's A into y (tokens, rank), zeros for the base."""
    _shrink(wrapper, y, x, w_t_all, scale)
    y.view(-1, y.shape[-1]).masked_fill_((wrapper.token_lora_indices < 0)[:, None], 0)


PunicaWrapperCPU._apply_shrink = shrink
