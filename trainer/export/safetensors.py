"""Safetensors written one tensor at a time, so that a merge never holds more than a layer.

The library's own writer takes a whole file's tensors at once. The format is small: eight bytes with the header's
length, a JSON header with dtype, shape and offsets of every tensor, then the bytes (https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import torch

from configs.errors import TuneserveError
from configs.model.keys import INDEX
from trainer.export.changes import ITEM_BYTES, TensorInfo, index_weights


@dataclass(frozen=True)
class TensorSpec:
    """A tensor to be written."""

    name: str
    dtype: str
    """safetensors' name of the dtype."""
    shape: tuple[int, ...]
    group: str = ""
    """Tensors of different groups (files of the base) never share a shard."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


class ShardWriter:
    """One safetensors file, written in the order of its specs; `with` it, and the file is on disk when it ends."""

    def __init__(self, file: Path, specs: Iterable[TensorSpec]) -> None:
        # Wide types first keeps every tensor aligned to its own size; within a width the base's order is kept.
        self.specs = sorted(specs, key=lambda s: -ITEM_BYTES[s.dtype])
        self.file = file
        self._waiting = list(reversed(self.specs))
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        offset = 0
        for spec in self.specs:
            header[spec.name] = {
                "dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [offset, offset + spec.nbytes]
            }  # fmt: skip
            offset += spec.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._out = file.open("wb")
        self._out.write(len(text).to_bytes(8, "little") + text)

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Appends the next tensor; it must be the next one of `specs`, with its shape and its number of bytes."""
        spec = self._waiting.pop()
        data = tensor.detach().cpu().contiguous()
        if spec.name != name or tuple(data.shape) != spec.shape or data.nbytes != spec.nbytes:
            raise AssertionError(f"{self.file.name}: expected {spec}, got {name} {tuple(data.shape)} {data.dtype}")
        self._out.write(memoryview(data.reshape(-1).view(torch.uint8).numpy()))

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._waiting:
                    raise AssertionError(f"{self.file.name}: {self._waiting[-1].name} was not written")
                self._out.flush()
                os.fsync(self._out.fileno())
        finally:
            self._out.close()


class TensorSource(Protocol):
    """Where tensors come from: a model folder, or what computes them on the way."""

    def specs(self) -> list[TensorSpec]:
        """What there is, in the order of the files."""
        ...

    def tensor(self, name: str) -> torch.Tensor:
        """One of them."""
        ...


def write_weights(
    tensors: TensorSource, folder: Path, shard_gb: float, on_progress: Callable[[int, int], None] | None = None
) -> None:
    """Writes all tensors of a source as files of at most `shard_gb` (1e9 bytes), and reads their headers back.

    Raises:
        TuneserveError: a file does not hold what was written.
    """
    shards = plan_shards(tensors.specs(), shard_gb * 1e9)
    size, done = sum(spec.nbytes for shard in shards.values() for spec in shard), 0
    for file, shard in shards.items():
        with ShardWriter(folder / file, shard) as writer:
            for spec in writer.specs:
                writer.write(spec.name, tensors.tensor(spec.name))
                done += spec.nbytes
                if on_progress:
                    on_progress(done, size)
    _write_index(folder, shards)
    _check_written(folder, shards)


def plan_shards(specs: Iterable[TensorSpec], limit_bytes: float) -> dict[str, list[TensorSpec]]:
    """Shard file names and what goes into each: the base's own division, divided further where a part is too large.

    >>> list(plan_shards([TensorSpec("a", "BF16", (8,), "x"), TensorSpec("b", "BF16", (8,), "y")], 1e9))
    ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    """
    shards: list[list[TensorSpec]] = []
    size = 0
    for spec in specs:
        if not shards or shards[-1][0].group != spec.group or size + spec.nbytes > limit_bytes:
            shards.append([])
            size = 0
        shards[-1].append(spec)
        size += spec.nbytes
    if len(shards) == 1:
        return {"model.safetensors": shards[0]}
    return {f"model-{i:05d}-of-{len(shards):05d}.safetensors": shard for i, shard in enumerate(shards, 1)}


def _write_index(folder: Path, shards: Mapping[str, list[TensorSpec]]) -> None:
    """Writes `model.safetensors.index.json` where there is more than one shard."""
    if len(shards) == 1:
        return
    total = sum(spec.nbytes for shard in shards.values() for spec in shard)
    weight_map = {spec.name: file for file, shard in shards.items() for spec in shard}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _check_written(folder: Path, shards: Mapping[str, list[TensorSpec]]) -> None:
    """Reads the headers back and raises when a file does not hold what it should."""
    found = index_weights(folder / file for file in shards)
    for file, shard in shards.items():
        for spec in shard:
            if found.get(spec.name) != TensorInfo(folder / file, spec.dtype, spec.shape):
                raise TuneserveError(
                    f"{folder / file}: tensor {spec.name} did not reach the disk as written",
                    "check the disk, then repeat",
                )
