"""Products with weights in FP8: what is multiplied is rounded to e4m3 by rows, and the sums are made in fp32.

A weight (outputs, inputs) is rounded once, with a scale for every output channel. What it is multiplied with is rounded
while training runs, with a scale for every row (token). A product in the other direction, for the gradient of the
input, sums over the output channels, so that their scales cannot stay outside: they are multiplied into the gradient
before it is rounded. Both directions use the same rounded weight.

On a GPU one Triton kernel finds a row's largest value and rounds, and the tensor cores multiply 8-bit numbers. On a CPU
the rounded numbers are multiplied in fp32: what it computes is the same, to the order of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

E4M3 = torch.float8_e4m3fn
LARGEST = 448.0
"""The largest number that e4m3 has."""
MOST_PARTS = 3
"""Matrices that can be rounded side by side: q, k and v."""


def round_rows(
    parts: Sequence[torch.Tensor], channel_scales: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds matrices that lie side by side, row by row.

    Args:
        parts: up to `MOST_PARTS` matrices of as many rows, (rows, channels of each).
        channel_scales: what every channel is multiplied with first, fp32 of shape (all channels,).

    Returns:
        e4m3 numbers of shape (rows, all channels), and fp32 scales of shape (rows, 1): their product is what came.
    """
    if parts[0].is_cuda:
        return _round_rows_on_gpu(parts, channel_scales)
    whole = torch.cat([part.float() for part in parts], dim=1)
    if channel_scales is not None:
        whole = whole * channel_scales
    largest = whole.abs().amax(1, keepdim=True)
    # A row of zeros stays one.
    scales = torch.where(largest > 0, largest / LARGEST, 1.0)
    return (whole * (1 / scales)).clamp(-LARGEST, LARGEST).to(E4M3), scales


def product(
    rows: torch.Tensor,
    row_scales: torch.Tensor,
    weight: torch.Tensor,
    weight_scales: torch.Tensor | None,
    dtype: torch.dtype,
) -> torch.Tensor:
    """`(rows * row_scales) @ (weight * weight_scales).T`.

    Args:
        rows: e4m3, (rows, inputs).
        row_scales: fp32, (rows, 1).
        weight: e4m3, (outputs, inputs).
        weight_scales: fp32, (outputs, 1); None where all are 1.
        dtype: of the result, (rows, outputs).
    """
    if not rows.is_cuda:
        found = (rows.float() @ weight.float().T) * row_scales
        return (found if weight_scales is None else found * weight_scales.T).to(dtype)
    if weight_scales is None:
        weight_scales = _ones(weight.shape[0], weight.device)
    return torch._scaled_mm(
        rows, weight.T, scale_a=row_scales, scale_b=weight_scales.T, out_dtype=dtype, use_fast_accum=True
    )


def turned(weight: torch.Tensor) -> torch.Tensor:
    """An 8-bit matrix with rows and columns changed, each row in one piece as the tensor cores read it."""
    if not weight.is_cuda:
        return weight.T.contiguous()
    rows, columns = weight.shape
    out = torch.empty(columns, rows, dtype=weight.dtype, device=weight.device)
    kernels = _kernels()
    grid = (-(-rows // kernels.TILE), -(-columns // kernels.TILE))
    kernels.turn[grid](weight.view(torch.uint8), out.view(torch.uint8), rows, columns, TILE=kernels.TILE)
    return out


def _round_rows_on_gpu(
    parts: Sequence[torch.Tensor], channel_scales: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    assert len(parts) <= MOST_PARTS
    parts = [part if part.stride(1) == 1 else part.contiguous() for part in parts]
    rows, widths = parts[0].shape[0], [part.shape[1] for part in parts]
    numbers = torch.empty(rows, sum(widths), dtype=E4M3, device=parts[0].device)
    scales = torch.empty(rows, 1, dtype=torch.float32, device=parts[0].device)
    # A part that is not there has no channels.
    missing = MOST_PARTS - len(parts)
    sources = [*parts, *[parts[0]] * missing]
    kernels = _kernels()
    kernels.round_rows[(rows,)](
        *sources, *(s.stride(0) for s in sources), *widths, *[0] * missing,
        scales if channel_scales is None else channel_scales, numbers, scales, sum(widths),
        SCALED=channel_scales is not None, LARGEST=LARGEST, BLOCK=kernels.BLOCK, num_warps=kernels.WARPS,
    )  # fmt: skip
    return numbers, scales


@cache
def _ones(count: int, device: torch.device) -> torch.Tensor:
    return torch.ones(count, 1, dtype=torch.float32, device=device)


@cache
def _kernels() -> Any:
    # Triton is there on a GPU only.
    from trainer.sft import fp8_kernels

    return fp8_kernels
