"""Rounding to FP8 and products of what was rounded, on a CPU and by the kernels as Triton's interpreter runs them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from trainer.sft.fp8 import E4M3, LARGEST, product, round_rows, turned

STEP = 2**-4
"""Largest relative error of a number rounded to three bits behind the point."""


def test_rows_are_rounded_to_three_bits_each_with_its_scale() -> None:
    torch.manual_seed(0)
    rows = torch.randn(50, 40) * 10.0 ** torch.arange(-4, 6).repeat(5)[:, None]
    rounded, scales = round_rows([rows])
    assert (rounded.dtype, rounded.shape, scales.shape) == (E4M3, (50, 40), (50, 1))
    back = rounded.float() * scales
    # The largest of a row stays what it was; what is far smaller than it loses its last bits.
    largest = rows.abs().amax(1)
    torch.testing.assert_close(back.abs().amax(1), largest)
    assert ((back - rows).abs() <= STEP * rows.abs() + largest[:, None] / LARGEST * 2**-10).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_of_zeros_stays_one_and_the_smallest_numbers_do_not_overflow(dtype: torch.dtype) -> None:
    rows = torch.zeros(3, 16, dtype=dtype)
    rows[1] = torch.finfo(dtype).tiny
    rows[2, 3] = -torch.finfo(dtype).max / 2
    rounded, scales = round_rows([rows])
    assert not rounded[0].float().any()
    assert torch.isfinite(rounded.float()).all()
    assert torch.isfinite(scales).all()
    assert (scales > 0).all()


def test_matrices_side_by_side_share_a_scale_and_take_their_channels_scales() -> None:
    torch.manual_seed(0)
    parts = [torch.randn(6, 8), 100 * torch.randn(6, 4)[:, 1:3], torch.randn(6, 5)]
    channels = torch.rand(15) + 0.5
    whole = torch.cat(parts, dim=1) * channels
    rounded, scales = round_rows(parts, channels)
    alone, same_scales = round_rows([whole])
    assert torch.equal(scales, same_scales)
    assert torch.equal(rounded.float(), alone.float())


def test_a_product_is_that_of_the_rounded_numbers_both_ways() -> None:
    torch.manual_seed(0)
    x, weight, gradient = torch.randn(9, 32), torch.randn(48, 32), torch.randn(9, 48)
    rows, row_scales = round_rows([x])
    held, scales = round_rows([weight])
    unrounded = held.float() * scales
    forward = product(rows, row_scales, held, scales, torch.float32)
    torch.testing.assert_close(forward, (rows.float() * row_scales) @ unrounded.T)
    assert (forward - x @ weight.T).norm() / (x @ weight.T).norm() < 0.05
    back = product(*round_rows([gradient], scales.flatten()), turned(held), None, torch.float32)
    assert (back - gradient @ unrounded).norm() / (gradient @ unrounded).norm() < 0.04


def test_the_kernels_do_what_is_done_without_them() -> None:
    """In a process of its own: Triton asks for its interpreter when it is imported."""
    code = """
import torch
from trainer.sft import fp8, fp8_kernels as kernels
torch.manual_seed(0)
parts = [torch.randn(7, 200).bfloat16(), torch.randn(7, 48).bfloat16(), torch.randn(7, 300).bfloat16()[:, 10:70]]
for part in parts:
    part[3] = 0
for count in (1, 2, 3):
    given = parts[:count]
    widths = [part.shape[1] for part in given]
    for channels in (None, torch.rand(sum(widths))):
        found, scales = torch.empty(7, sum(widths), dtype=fp8.E4M3), torch.empty(7, 1)
        sources = [*given, *[given[0]] * (3 - count)]
        kernels.round_rows[(7,)](
            *sources, *(s.stride(0) for s in sources), *widths, *[0] * (3 - count),
            scales if channels is None else channels, found, scales, sum(widths),
            SCALED=channels is not None, LARGEST=fp8.LARGEST, BLOCK=128,
        )
        wanted, wanted_scales = fp8.round_rows(given, channels)
        assert torch.equal(scales, wanted_scales)
        # The interpreter forgets to carry: what is rounded up to a power of two comes out as half of it. The smallest
        # numbers it cuts.
        found, wanted = found.float(), wanted.float()
        off = (found != wanted) & ((found - wanted).abs() > 2**-9)
        assert off.float().mean() < 0.05
        assert torch.equal(2 * found[off], wanted[off])
weight, out = torch.randint(0, 255, (100, 130), dtype=torch.uint8), torch.empty(130, 100, dtype=torch.uint8)
kernels.turn[(2, 3)](weight, out, 100, 130, TILE=64)
assert torch.equal(out, weight.T)
"""
    environment = {"TRITON_INTERPRET": "1", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=sys.path[0] or ".",
    )
    assert done.returncode == 0, done.stderr[-2000:]
