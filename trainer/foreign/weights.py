"""What training did to merged weights, read from the weights alone: what changed, how much, and what a merge spoiled.

Merged weights are the base's plus a change of low rank, rounded once to 16 bits. A merge into a 4-bit copy leaves
another mark: either the values lie on a grid of 16 levels a block, or the change holds the rounding error of the copy,
which is of full rank and a tenth of the weights in size.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from configs.errors import TuneserveError
from configs.handover.foreign import Finding, fault, told
from configs.model.files import weight_files
from trainer.export.changes import TensorInfo, index_weights
from trainer.export.tensors import TensorReader
from trainer.loading import loading

SAMPLE = 12
"""Matrices that are looked at closely, evenly from the first layer to the last."""
ROWS = 512
"""Rows of a matrix that are looked at for marks of four bits."""
LARGEST_RANK = 256
"""Singular values that are looked at."""
BLOCK, LEVELS = 32, 16
"""Values of a row, and how many of them differ at most in any 4-bit format whose groups are no smaller."""
ON_GRID, LIKE_ERROR = 0.9, 0.5
"""Share of the blocks on a grid, and cosine of the change with NF4's rounding error, above which four bits are sure.
Weights that were never rounded give less than 0.01 of either."""
_SAYS_NOTHING = re.compile(
    r"_.*|architectures|dtype|torch_dtype|use_cache|return_dict|output_.*|(bos|eos|pad|sep)_token_id|vocab_size|unsloth_.*"
    r"|tie_word_embeddings|initializer_range|max_position_embeddings|transformers_version|.*dropout|.*label.*|chunk_size_.*"
    r"|problem_type|is_(encoder_)?decoder|max_window_layers|partial_rotary_factor"
)
"""Keys of a config.json that change nothing of what a model makes of its tokens, or stand in `rope_parameters` too."""
_BITS_AFTER_POINT = {"BF16": 7, "F16": 10, "F32": 23}


@dataclass(frozen=True)
class MatrixChange:
    """How one matrix differs from the base's."""

    relative: float
    """Norm of the change over the norm of the base's matrix."""
    rank: int
    """Singular values of the change that stand out of what rounding leaves; LARGEST_RANK means at least so many."""
    on_grid: float
    """Share of the blocks of BLOCK values with at most LEVELS different ones."""
    like_error: float
    """Cosine of the change with the error of rounding the base's matrix to NF4."""


def weight_findings(merged: Path, base: Path) -> list[Finding]:
    """What the difference of two sets of weights tells.

    Raises:
        TuneserveError: tensors of one are missing in the other, or have another shape: it is another base.
    """
    theirs, ours = (index_weights(weight_files(folder)) for folder in (merged, base))
    _require_same_model(merged, base, theirs, ours)
    common = [name for name in ours if name in theirs and theirs[name].shape == ours[name].shape]
    tuned, original = TensorReader(theirs), TensorReader(ours)
    changed, broken = [], []
    for name in common:
        after = tuned.tensor(name).float()
        if not torch.equal(after, original.tensor(name).float()):
            changed.append(name)
            if not torch.isfinite(after.sum()):
                broken.append(name)
    if broken:
        return [fault("finding.not_finite", count=len(broken), name=broken[0])]
    if not changed:
        return [fault("finding.untouched", count=len(common))]
    matrices = [name for name in changed if len(ours[name].shape) == 2 and not name.endswith("embed_tokens.weight")]
    looks = {
        name: look(tuned.tensor(name), original.tensor(name), theirs[name].dtype) for name in evenly(matrices, SAMPLE)
    }
    findings = []
    if looks:
        seen = list(looks.values())
        rank = max(one.rank for one in seen)
        findings.append(
            told(
                "finding.change",
                changed=len(changed),
                tensors=len(common),
                percent=round(100 * max(one.relative for one in seen), 3),
                rank=f"{rank}" if rank < LARGEST_RANK else f"≥ {LARGEST_RANK}",
                sample=len(seen),
            )
        )
        findings += _four_bits(looks)
    findings += _other_dtype(theirs, ours)
    return findings


def config_findings(merged: Path, base: Path) -> list[Finding]:
    """What a config.json computes otherwise than the base's: the tensors are the trained ones, the model is not."""
    theirs, ours = (_computing(folder) for folder in (merged, base))
    keys = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    shown = "; ".join(f"{key} {_short(theirs.get(key))}, {_short(ours.get(key))}" for key in keys)
    return [told("finding.computes_otherwise", keys=shown)] if keys else []


def _computing(folder: Path) -> dict[str, Any]:
    """What config.json says of the computation, with the values that the library takes where it says nothing."""
    with loading(folder):
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    every = config.get_text_config().to_dict()
    if not every.get("use_sliding_window", True):
        every.pop("sliding_window", None)
    return {key: value for key, value in every.items() if not _SAYS_NOTHING.fullmatch(key)}


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"


def look(tuned: torch.Tensor, original: torch.Tensor, dtype: str) -> MatrixChange:
    """Measures the change of one matrix (rows, columns); `dtype` is safetensors' name of what `tuned` is stored in."""
    after, before = tuned.float(), original.float()
    change = after - before
    size = float(change.norm() / before.norm().clamp_min(1e-30))
    return MatrixChange(
        relative=size,
        rank=_rank(change, after, _BITS_AFTER_POINT.get(dtype, 7)),
        on_grid=blocks_on_grid(tuned[:ROWS]),
        like_error=_cosine(change[:ROWS], nf4_error(before[:ROWS])),
    )


def blocks_on_grid(weight: torch.Tensor) -> float:
    """Share of the blocks of BLOCK values of a matrix that hold at most LEVELS different ones."""
    columns = weight.shape[1] // BLOCK * BLOCK
    if not columns:
        return 0.0
    blocks = weight[:, :columns].float().reshape(-1, BLOCK).sort(dim=1).values
    different = 1 + (blocks.diff(dim=1) != 0).sum(dim=1)
    return float((different <= LEVELS).float().mean())


def nf4_error(weight: torch.Tensor) -> torch.Tensor:
    """What rounding a matrix (rows, columns) to NF4 in blocks of 64 adds to it, by the library that trains in it."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weight.contiguous(), blocksize=64, quant_type="nf4")
    return dequantize_4bit(packed, state).reshape(weight.shape) - weight


def evenly(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of the names, evenly spread, the first and the last among them."""
    if len(names) <= count:
        return list(names)
    return [names[round(i * (len(names) - 1) / (count - 1))] for i in range(count)]


def _rank(change: torch.Tensor, after: torch.Tensor, bits: int) -> int:
    """Singular values of the change above the edge of those of rounding noise, (sqrt(rows) + sqrt(columns)) sigma.

    Rounding to a format with `bits` bits behind the point is off by a uniform error of one step, which is 2 ** -bits of
    the power of two under the value.
    """
    step = torch.exp2(after.abs().clamp_min(2.0**-126).log2().floor() - bits)
    noise = math.sqrt(float(step.square().mean()) / 12)
    edge = 1.1 * noise * (math.sqrt(change.shape[0]) + math.sqrt(change.shape[1]))
    count = min(LARGEST_RANK, *change.shape)
    torch.manual_seed(0)
    values = (
        torch.linalg.svdvals(change) if min(change.shape) <= LARGEST_RANK else torch.svd_lowrank(change, q=count)[1]
    )
    return int((values > edge).sum())


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    norms = one.norm() * other.norm()
    return float((one * other).sum() / norms) if norms > 0 else 0.0


def _four_bits(looks: dict[str, MatrixChange]) -> list[Finding]:
    on_grid = [name for name, one in looks.items() if one.on_grid > ON_GRID]
    if on_grid:
        return [fault("finding.four_bit_grid", count=len(on_grid), sample=len(looks), name=on_grid[0])]
    like = {name: one.like_error for name, one in looks.items() if one.like_error > LIKE_ERROR}
    if like:
        name = max(like, key=like.__getitem__)
        cosine = round(like[name], 3)
        return [fault("finding.four_bit_base", count=len(like), sample=len(looks), name=name, cosine=cosine)]
    return []


def _other_dtype(theirs: dict[str, TensorInfo], ours: dict[str, TensorInfo]) -> list[Finding]:
    """Says that weights are stored in another number format than the base's."""
    for name, tensor in theirs.items():
        if name in ours and ours[name].dtype != tensor.dtype:
            return [told("finding.other_dtype", theirs=tensor.dtype, ours=ours[name].dtype)]
    return []


def _require_same_model(merged: Path, base: Path, theirs: dict[str, TensorInfo], ours: dict[str, TensorInfo]) -> None:
    spare = {name for name in ours | theirs if name.endswith("lm_head.weight")}  # a tied head may be written or not
    for name in sorted((ours.keys() ^ theirs.keys()) - spare):
        where = merged if name in ours else base
        raise TuneserveError(f"{where}: tensor {name} is missing there: not the same architecture", "give its own base")
    for name in sorted(ours.keys() & theirs.keys()):
        # The vocabulary may have grown for new tokens; nothing else may have another size.
        if theirs[name].shape[1:] != ours[name].shape[1:] or (
            theirs[name].shape != ours[name].shape and not name.endswith(("embed_tokens.weight", "lm_head.weight"))
        ):
            raise TuneserveError(
                f"{merged}: tensor {name} has shape {list(theirs[name].shape)}, the base's {list(ours[name].shape)}",
                "give the base that it was trained on",
            )
