"""Triton kernels of `trainer.sft.fp8`. Imports Triton, which has no place on a machine without a GPU."""

# Triton reads the signatures itself: only `tl.constexpr` means something there.
# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl

BLOCK = 2048
"""Channels of a row that are looked at together."""
WARPS = 8
TILE = 64
"""Rows and columns of a tile that is turned."""


@triton.jit
def _largest(found, source, width, channel_scales, SCALED: tl.constexpr, BLOCK: tl.constexpr):
    for start in range(0, width, BLOCK):
        at = start + tl.arange(0, BLOCK)
        values = tl.load(source + at, mask=at < width, other=0.0).to(tl.float32)
        if SCALED:
            values *= tl.load(channel_scales + at, mask=at < width, other=0.0)
        found = tl.maximum(found, tl.abs(values))
    return found


@triton.jit
def _round(
    source, out, width, channel_scales, inverse, SCALED: tl.constexpr, LARGEST: tl.constexpr, BLOCK: tl.constexpr
):
    for start in range(0, width, BLOCK):
        at = start + tl.arange(0, BLOCK)
        values = tl.load(source + at, mask=at < width, other=0.0).to(tl.float32)
        if SCALED:
            values *= tl.load(channel_scales + at, mask=at < width, other=0.0)
        values = tl.minimum(tl.maximum(values * inverse, -LARGEST), LARGEST)
        tl.store(out + at, values.to(out.dtype.element_ty), mask=at < width)


@triton.jit
def round_rows(
    x0, x1, x2, stride0, stride1, stride2, width0, width1, width2, channel_scales, out, scales, total,
    SCALED: tl.constexpr, LARGEST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A program a row: the largest of all its parts, then each part rounded; see `trainer.sft.fp8.round_rows`."""
    row = tl.program_id(0).to(tl.int64)
    x0 += row * stride0
    x1 += row * stride1
    x2 += row * stride2
    found = tl.zeros((BLOCK,), dtype=tl.float32)
    found = _largest(found, x0, width0, channel_scales, SCALED, BLOCK)
    found = _largest(found, x1, width1, channel_scales + width0, SCALED, BLOCK)
    found = _largest(found, x2, width2, channel_scales + width0 + width1, SCALED, BLOCK)
    largest = tl.max(found, axis=0)
    scale = tl.where(largest > 0, largest / LARGEST, 1.0)
    tl.store(scales + row, scale)
    inverse = 1.0 / scale
    out += row * total
    _round(x0, out, width0, channel_scales, inverse, SCALED, LARGEST, BLOCK)
    _round(x1, out + width0, width1, channel_scales + width0, inverse, SCALED, LARGEST, BLOCK)
    _round(x2, out + width0 + width1, width2, channel_scales + width0 + width1, inverse, SCALED, LARGEST, BLOCK)


@triton.jit
def turn(source, out, rows, columns, TILE: tl.constexpr):
    """A program a tile: read by rows, written by columns."""
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    tile = tl.load(source + row[:, None].to(tl.int64) * columns + column[None, :], mask=inside)
    turned_inside = (column[:, None] < columns) & (row[None, :] < rows)
    tl.store(out + column[:, None].to(tl.int64) * rows + row[None, :], tl.trans(tile), mask=turned_inside)
