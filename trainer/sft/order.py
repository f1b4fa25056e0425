"""The order of an epoch whose rows of like length come together, for a training that goes on within it.

transformers draws this order from torch's own generator when the epoch begins, and what the generator is then depends
on everything that was drawn before. Every checkpoint therefore says what it was: drawn from the generator as it is
found by a training that goes on, another order would train some rows twice and others never.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler

from configs.disk.files import file_bytes, parse_json, write_atomically
from configs.errors import TuneserveError
from trainer.sft.unsloth import sample_by, save_by

FILE = "order_of_epoch.json"
"""In a checkpoint."""


class OrderOfEpoch:
    """Notes what each epoch's order was drawn from, saves it with checkpoints, and draws the same order again."""

    def __init__(self, trainer: Any, checkpoint: Path | None) -> None:
        """`checkpoint` is what the training goes on from; one without the file gives an order of its own."""
        self._trainer = trainer
        self._epoch, self._generator = _read(checkpoint / FILE) if checkpoint else (-1, b"")
        sample_by(trainer, lambda sampler: _Drawn(sampler, self._draw))
        save_by(trainer, self._save)

    def _draw(self, sampler: Sampler[int]) -> Iterator[int]:
        epoch = int(self._trainer.state.epoch or 0)
        if epoch != self._epoch:
            self._epoch, self._generator = epoch, torch.get_rng_state().numpy().tobytes()
            return iter(sampler)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.frombuffer(bytearray(self._generator), dtype=torch.uint8))
            return iter(list(sampler))

    def _save(self, own: Any) -> None:
        # Before the trainer's own files: the last of them is what makes a checkpoint complete.
        folder = Path(self._trainer.args.output_dir) / f"checkpoint-{self._trainer.state.global_step}"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FILE, json.dumps({"epoch": self._epoch, "generator": self._generator.hex()}))
        own()


class _Drawn(Sampler[int]):
    """The rows of a sampler, as `draw` gives them for every epoch."""

    def __init__(self, sampler: Sampler[int], draw: Any) -> None:
        self._sampler, self._draw = sampler, draw

    def __iter__(self) -> Iterator[int]:
        rows: Iterator[int] = self._draw(self._sampler)
        return rows

    def __len__(self) -> int:
        return len(self._sampler)


def _read(file: Path) -> tuple[int, bytes]:
    try:
        found = parse_json(file_bytes(file))
        epoch, generator = int(found["epoch"]), bytes.fromhex(found["generator"])
        if len(generator) != len(torch.get_rng_state()):
            raise ValueError
    except FileNotFoundError:
        return -1, b""
    except (ValueError, TypeError, KeyError) as error:
        raise TuneserveError(
            f"{file}: damaged", f"remove {file.parent}; the training goes on from an earlier checkpoint, or anew"
        ) from error
    return epoch, generator
