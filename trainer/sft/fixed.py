"""The tensors that a recorded step reads, and how a batch is put into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from configs.handover.prompt_logprobs import TOP
from trainer.data.template import IGNORED
from trainer.plan.sizes import PassSize
from trainer.sft.soft_targets import PROBABILITIES, TOP_IDS


@dataclass(frozen=True)
class Fixed:
    """The tensors that a recorded step reads: always at the same place, of the same shape."""

    ids: torch.Tensor
    """(1, tokens)"""
    positions: torch.Tensor
    """(1, tokens), from 0 in each row."""
    labels: torch.Tensor
    """(1, tokens), -100 where nothing is trained."""
    trained: int
    """Trained tokens that there is room for."""
    ends: torch.Tensor
    """(rows + 2,) int32: 0, the end of each row, the end of what fills up."""
    items: torch.Tensor
    """Trained tokens of the step, which the loss is divided by."""
    soft: tuple[torch.Tensor, torch.Tensor] | None = None
    """Soft targets of the trained tokens, (trained, `TOP`) token ids and probabilities; None where there are none."""

    @classmethod
    def empty(cls, rows: int, size: PassSize, device: torch.device, *, soft: bool = False) -> Fixed:
        """Room for `rows` rows of this size together, what fills up included."""
        ids = torch.zeros(1, size.tokens, dtype=torch.long, device=device)
        ends = torch.zeros(rows + 2, dtype=torch.int32, device=device)
        items = torch.ones((), dtype=torch.long, device=device)
        tops = torch.zeros(size.trained, TOP, dtype=torch.long, device=device)
        targets = (tops, tops.float()) if soft else None
        return cls(ids, ids.clone(), ids.clone(), size.trained, ends, items, targets)

    def fill(self, inputs: Mapping[str, torch.Tensor], items: torch.Tensor | int) -> None:
        """Takes a batch of rows laid end to end, fewer tokens than there is room for; waits for nothing."""
        tokens, room = inputs["input_ids"].shape[1], self.ids.shape[1]
        self.ids[:, :tokens].copy_(inputs["input_ids"], non_blocking=True)
        self.ids[:, tokens:] = 0
        self.positions[:, :tokens].copy_(inputs["position_ids"], non_blocking=True)
        self.positions[0, tokens:] = torch.arange(room - tokens, device=self.ids.device)
        self.labels[:, :tokens].copy_(inputs["labels"], non_blocking=True)
        self.labels[:, tokens:] = IGNORED
        # A row's first token would be learned from the row before it.
        self.labels.masked_fill_(self.positions == 0, IGNORED)
        lengths = inputs["packed_seq_lengths"].to(self.ends.device, non_blocking=True)
        # Rows that a smaller batch lacks are empty: they end where the last one does.
        self.ends[1:-1] = tokens
        self.ends[1 : 1 + lengths.numel()] = lengths.cumsum(0)
        self.ends[-1] = room
        self.items.copy_(torch.as_tensor(items), non_blocking=True)
        for place, name in zip(self.soft or (), (TOP_IDS, PROBABILITIES), strict=False):
            trained = len(inputs[name])
            place[:trained].copy_(inputs[name], non_blocking=True)
            # A probability of 0 trains nothing.
            place[trained:] = 0
