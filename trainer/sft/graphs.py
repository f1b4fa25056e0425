"""Optimizer steps recorded as CUDA graphs, for rows so short that the host is slower than the GPU.

A forward and backward pass through a 14B model is some ten thousand kernels. Launched one by one from Python they take
half a second, however few tokens there are; recorded once, they are launched together. What is recorded is fixed in
shape, so that the rows of a step, laid end to end, are filled up to one of a few sizes with a row that trains nothing,
and each size is recorded when it comes for the second time. The rows' boundaries stay data: the same
recording serves any lengths of the same sum.

Gradients are those of the step that is not recorded; the first recording is checked against it, every later one against
its own warm-up, and a difference ends the recording and says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from configs.console import note
from configs.errors import first_line
from trainer.data.template import IGNORED
from trainer.plan.estimate import recorded_grain
from trainer.sft.varlen import rows_apart

LOSS_BOUND = 5e-3
"""Largest relative difference between a recorded loss and the same step's unrecorded one."""
COSINE_BOUND = 0.999
"""Least cosine between a recorded gradient and the same step's unrecorded one."""

Step = Callable[..., torch.Tensor]
"""A trainer's `training_step(model, inputs, num_items_in_batch)`: leaves gradients, returns the loss."""


class Recorder(Protocol):
    """Records GPU work."""

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor, torch.Tensor]:
        """Runs `work` once to warm it up and records it.

        Returns:
            What runs it again, the tensor that each run writes its result to, and the warm-up's result.
        """


class CudaRecorder:
    """Records into CUDA graphs that share one pool of memory: no two of them run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._aside = torch.cuda.Stream()

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor, torch.Tensor]:
        """See `Recorder`."""
        self._aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._aside):
            warm = work().clone()
        torch.cuda.current_stream().wait_stream(self._aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on using the GPU meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = work()
        return graph.replay, result, warm


@dataclass(frozen=True)
class Fixed:
    """The tensors that a recorded step reads: always at the same place, of the same shape."""

    ids: torch.Tensor
    """(1, tokens)"""
    positions: torch.Tensor
    """(1, tokens), from 0 in each row."""
    labels: torch.Tensor
    """(1, tokens), -100 where nothing is trained."""
    ends: torch.Tensor
    """(rows + 2,) int32: 0, the end of each row, the end of what fills up."""
    items: torch.Tensor
    """Trained tokens of the step, which the loss is divided by."""

    @classmethod
    def empty(cls, rows: int, tokens: int, device: torch.device) -> Fixed:
        """Room for `rows` rows of `tokens` tokens together, what fills up included."""
        ids = torch.zeros(1, tokens, dtype=torch.long, device=device)
        ends = torch.zeros(rows + 2, dtype=torch.int32, device=device)
        return cls(ids, ids.clone(), ids.clone(), ends, torch.ones((), dtype=torch.long, device=device))

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
        self.ends[1:-1] = lengths.cumsum(0)
        self.ends[-1] = room
        self.items.copy_(torch.as_tensor(items), non_blocking=True)


@dataclass(frozen=True)
class Recorded:
    """One recorded size."""

    fixed: Fixed
    replay: Callable[[], None]
    loss: torch.Tensor


class GraphedSteps:
    """Stands in for a trainer's `training_step`: runs recorded steps, and the trainer's own where there are none.

    Args:
        eager: the trainer's own `training_step`.
        model: the model, with its adapter.
        rows: rows of a step; batches of another number are left to `eager`.
        longest: tokens of the longest row.
        recorder: what records.
        apart: has the model attend within rows, by their ends and the longest; see `trainer.sft.varlen`.
    """

    def __init__(
        self,
        eager: Step,
        model: torch.nn.Module,
        rows: int,
        longest: int,
        recorder: Recorder,
        apart: Callable[[torch.nn.Module, torch.Tensor, int], AbstractContextManager[None]] = rows_apart,
    ) -> None:
        self._eager, self._rows, self._longest = eager, rows, longest
        self._recorder, self._apart = recorder, apart
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._gradients: list[torch.Tensor] = []
        self._seen: Counter[int] = Counter()
        self._recorded: dict[int, Recorded] = {}
        self._sizes: set[int] = set()
        self.replayed = self.not_replayed = 0
        self.alike: float | None = None
        """Cosine between the first recorded gradient and the unrecorded one of the same step."""
        self.off = ""
        """Why nothing is recorded any more."""

    def facts(self) -> dict[str, Any]:
        """What was recorded, for the manifest."""
        return {
            "sizes": sorted(self._sizes),
            "replayed_steps": self.replayed,
            "other_steps": self.not_replayed,
            "gradient_cosine": self.alike,
            "off": self.off,
        }

    def release(self) -> None:
        """Gives the recordings' memory back, and the gradients with it."""
        self._recorded.clear()
        self._gradients = []
        for parameter in self._trained:
            parameter.grad = None

    def training_step(
        self, model: torch.nn.Module, inputs: Mapping[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Leaves the step's gradients in the parameters and returns its loss."""
        if not model.training:
            # An evaluation came between.
            model.train()
        lengths = inputs.get("packed_seq_lengths")
        if self.off or num_items_in_batch is None or lengths is None or lengths.numel() != self._rows:
            return self._unrecorded(model, inputs, num_items_in_batch)
        room = filled_up(inputs["input_ids"].shape[1])
        recorded = self._recorded.get(room)
        if recorded is None:
            self._seen[room] += 1
            # A size that comes once only is not worth recording.
            if self._seen[room] == 1:
                return self._unrecorded(model, inputs, num_items_in_batch)
            return self._record(model, inputs, num_items_in_batch, room)
        recorded.fixed.fill(inputs, num_items_in_batch)
        return self._replay(recorded)

    def _unrecorded(self, model: torch.nn.Module, inputs: Mapping[str, Any], items: Any) -> torch.Tensor:
        self.not_replayed += 1
        return self._eager(model, inputs, items)

    def _replay(self, recorded: Recorded) -> torch.Tensor:
        recorded.replay()
        self.replayed += 1
        for parameter, gradient in zip(self._trained, self._gradients, strict=True):
            parameter.grad = gradient
        return recorded.loss.clone()

    def _record(self, model: torch.nn.Module, inputs: Mapping[str, Any], items: Any, room: int) -> torch.Tensor:
        """Records this size with this batch; falls back to the trainer's own step, for good, when it cannot be."""
        truth: list[torch.Tensor] = []
        if not self._recorded:
            loss = self._eager(model, dict(inputs), items)
            truth = [p.grad.clone() for p in self._trained if p.grad is not None]
            self._gradients = [torch.zeros_like(p) for p in self._trained]
        fixed = Fixed.empty(self._rows, room, inputs["input_ids"].device)
        fixed.fill(inputs, items)

        def work() -> torch.Tensor:
            return self._pass(model, fixed)

        try:
            with self._apart(model, fixed.ends, min(room, max(self._longest, recorded_grain(room)))):
                recorded = Recorded(fixed, *(found := self._recorder.record(work))[:2])
        except Exception as error:  # noqa: BLE001 - whatever cannot be recorded can still be trained step by step
            return self._give_up(model, inputs, items, f"{type(error).__name__}: {first_line(error)}")
        replayed = self._replay(recorded)
        expected = loss if truth else found[2]
        if not close(replayed, expected):
            return self._give_up(model, inputs, items, f"loss {replayed.item():.5f} instead of {expected.item():.5f}")
        if truth:
            self.alike = cosine(self._gradients, truth)
            if self.alike < COSINE_BOUND:
                return self._give_up(model, inputs, items, f"the gradient's cosine is {self.alike:.5f}")
        self._recorded[room] = recorded
        self._sizes.add(room)
        return replayed

    def _pass(self, model: torch.nn.Module, fixed: Fixed) -> torch.Tensor:
        """One forward and backward pass into the gradients' fixed places."""
        torch._foreach_zero_(self._gradients)
        for parameter, gradient in zip(self._trained, self._gradients, strict=True):
            parameter.grad = gradient
        loss = model(
            input_ids=fixed.ids,
            position_ids=fixed.positions,
            labels=fixed.labels,
            num_items_in_batch=fixed.items,
            use_cache=False,
        ).loss
        loss.backward()
        return loss.detach()

    def _give_up(self, model: torch.nn.Module, inputs: Mapping[str, Any], items: Any, why: str) -> torch.Tensor:
        self.off = why
        note(f"warning: steps are not recorded as CUDA graphs any more ({why}); training goes on, at a lower speed")
        self.release()
        return self._unrecorded(model, inputs, items)


def filled_up(tokens: int) -> int:
    """Tokens of the recorded step that a batch fits in, with one at least to fill up."""
    grain = recorded_grain(tokens)
    return (tokens // grain + 1) * grain


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two losses agree to `LOSS_BOUND`; two that are no numbers do not."""
    return bool((found - expected).abs() <= LOSS_BOUND * expected.abs())


def cosine(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Cosine between two gradients, each given tensor by tensor."""
    products = torch.stack(
        [
            torch.stack([(a.float() * b.float()).sum(), a.float().square().sum(), b.float().square().sum()])
            for a, b in zip(found, expected, strict=True)
        ]
    ).sum(0)
    return float(products[0] / (products[1] * products[2]).sqrt())
