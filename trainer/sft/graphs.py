"""Forward and backward passes recorded as CUDA graphs, for rows so short that the host is slower than the GPU.

A forward and backward pass through a 14B model is some ten thousand kernels. Launched one by one from Python they take
a third of a second, however few tokens there are; recorded once, they are launched together. What is recorded is fixed
in shape, so that the rows of a pass, laid end to end, are filled up to one of a few sizes (`trainer.plan.sizes`) with a
row that trains nothing. The rows' boundaries stay data: the same recording serves any lengths of the same sum.

The largest size is recorded first: recordings share one pool of memory, and the smaller ones fit into what it took.
Gradients are those of the pass that is not recorded, and add up over the passes of an optimizer step; the first
recording is checked against it, every later one against its warm-up, and a difference ends the recording and says
so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from configs.errors import first_line
from configs.handover.training import RecordedFigures
from configs.terminal.console import warn
from trainer.data.template import IGNORED
from trainer.plan.sizes import PassSize, size_for
from trainer.sft.answer_loss import answer_loss, gather_trained
from trainer.sft.fixed import Fixed
from trainer.sft.fp8_linear import is_fp8
from trainer.sft.soft_loss import soft_loss
from trainer.sft.soft_targets import TOP_IDS
from trainer.sft.unsloth import hidden_states, stack_versions
from trainer.sft.varlen import rows_apart

LOSS_BOUND = 5e-3
"""Largest relative difference between a recorded loss and the same step's unrecorded one, rounding aside."""
ROUNDING_NATS = 0.03
"""What 16-bit rounding may change in the log-likelihood of one trained token, in nats; of n sqrt(n) times as much.

Seen on a card: a loss of 0.1196, of 35 trained tokens in a step of some 300, that differed by 0.0009.
"""
COSINE_BOUND = 0.99
"""Least cosine between a recorded gradient and the same pass's unrecorded one, which attends by another kernel.

Measured on an H100: 0.9995 and more on real weights; 0.9974 for one row of 2,048 tokens through 40 layers of random
weights, whose rounding grows; 0.91 where the rows' boundaries are forgotten.
"""
FP8_COSINE_BOUND = 0.95
"""The same where the base is held in FP8: what differs between the two attention kernels is rounded once more, to three
bits, in every layer. Measured on an H100 with eight short rows through 40 layers of random weights: 0.9916 and 0.9864.
"""

WARM_UPS = 2
"""Passes before one is recorded, during which nothing can be compiled. Rows that come to more tokens than the model
has positions make Unsloth grow its table of them in the first; for the grown one its layers are compiled in the second.
"""

TRAINED = "trained_tokens"
"""Key of a batch for the number of its trained tokens, counted on the host."""

Step = Callable[..., torch.Tensor]
"""A trainer's `training_step(model, inputs, num_items_in_batch)`: leaves gradients, returns the loss."""


class Recorder(Protocol):
    """Records GPU work."""

    def warm_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Runs `work` aside, as it must have run once before it is recorded; returns a copy of its result."""

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        """Records `work`; returns what runs it again, and the tensor that each run writes its result to."""


class CudaRecorder:
    """Records into CUDA graphs that share one pool of memory: no two of them run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._aside = torch.cuda.Stream()

    def warm_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        """See `Recorder`."""
        self._aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._aside):
            result = work().clone()
        torch.cuda.current_stream().wait_stream(self._aside)
        return result

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        """See `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        # A recording takes its memory from a pool of its own: what live steps have freed must not lie idle beside it.
        torch.cuda.empty_cache()
        # Other threads may go on using the GPU meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = work()
        return graph.replay, result


@dataclass(frozen=True)
class Recorded:
    """One recorded size."""

    fixed: Fixed
    replay: Callable[[], None]
    loss: torch.Tensor


class Decoder(Protocol):
    """How the model runs over rows laid end to end, up to its output layer."""

    def __call__(self, model: torch.nn.Module, fixed: Fixed) -> torch.Tensor:
        """Hidden states of shape (1, tokens, hidden size)."""

    def apart(self, ends: torch.Tensor, longest: int) -> AbstractContextManager[None]:
        """Keeps the rows apart while the model runs; see `trainer.sft.varlen.rows_apart`."""


class UnslothDecoder:
    """Unsloth's layers on a GPU, in 16-bit autocast as the trainer's own step runs them."""

    def __call__(self, model: torch.nn.Module, fixed: Fixed) -> torch.Tensor:
        """See `Decoder`."""
        with torch.autocast("cuda", torch.bfloat16):
            return hidden_states(model, fixed.ids, fixed.positions)

    def apart(self, ends: torch.Tensor, longest: int) -> AbstractContextManager[None]:
        """See `Decoder`."""
        return rows_apart(ends, longest)


class GraphedSteps:
    """Stands in for a trainer's `training_step`: runs recorded steps, and the trainer's own where there are none.

    Args:
        eager: the trainer's own `training_step`.
        model: the PEFT model.
        rows: rows of a pass at most.
        longest: tokens of the longest row.
        sizes: the recordings to make, the smallest first; batches that fit none are left to `eager`.
        recorder: what records.
        decoder: how the model runs.
        is_last: whether the pass at hand is the last of its optimizer step.
    """

    def __init__(
        self,
        eager: Step,
        model: torch.nn.Module,
        rows: int,
        longest: int,
        sizes: Sequence[PassSize],
        recorder: Recorder,
        decoder: Decoder,
        is_last: Callable[[], bool] = lambda: True,
    ) -> None:
        self.eager, self._rows, self._longest, self._sizes = eager, rows, longest, sizes
        self._recorder, self._decoder, self._is_last = recorder, decoder, is_last
        self._begins = True
        self._head = model.get_base_model().lm_head.weight
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.gradient = torch.empty(0)
        """The gradients of all trained parameters in one, once a step is recorded; each run of a recording fills it."""
        self._recorded: dict[PassSize, Recorded] = {}
        self.replayed = self.not_replayed = self._tokens = 0
        self.last_was_replayed = False
        """Whether the last pass came from a recording, so that `gradient` holds the gradient."""
        self.alike: float | None = None
        """Cosine between the first recorded gradient and the unrecorded one of the same step."""
        self.handed_over = True
        """Whether an optimizer looks for the gradient in the parameters; one whose update is recorded does not."""
        self.off = ""
        """Why nothing is recorded any more."""
        self._made: list[PassSize] = []
        self._cosine_bound = FP8_COSINE_BOUND if any(map(is_fp8, model.modules())) else COSINE_BOUND

    def figures(self, updates_off: str) -> RecordedFigures:
        """What was recorded, and why updates were not."""
        return RecordedFigures(
            sizes=sorted(size.tokens for size in self._made),
            mean_tokens=round(self._tokens / max(1, self.replayed), 1),
            passes=self.replayed,
            other_passes=self.not_replayed,
            gradient_cosine=self.alike,
            off=self.off,
            updates_off=updates_off,
        )

    def release(self) -> None:
        """Gives the recordings' memory back, and the gradients with it."""
        self._recorded.clear()
        self.gradient = torch.empty(0)
        for parameter in self.trained:
            parameter.grad = None

    def training_step(
        self, model: torch.nn.Module, inputs: Mapping[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Adds the pass's gradients to those of the optimizer step and returns its loss."""
        if not model.training:
            # An evaluation came between.
            model.train()
        self.last_was_replayed = False
        begins, self._begins = self._begins, self._is_last()
        if begins:
            self.gradient.zero_()
        inputs = dict(inputs)
        lengths, trained = inputs.get("packed_seq_lengths"), inputs.pop(TRAINED, None)
        if self.off or num_items_in_batch is None or lengths is None or lengths.numel() > self._rows:
            return self._unrecorded(model, inputs, num_items_in_batch)
        tokens = inputs["input_ids"].shape[1]
        size = self._size_for(PassSize(tokens, tokens if trained is None else trained))
        if size is None:
            return self._unrecorded(model, inputs, num_items_in_batch)
        if not self._recorded:
            if not begins:
                return self._unrecorded(model, inputs, num_items_in_batch)
            # The largest first, whatever this batch needs; it is what the gradient is checked with.
            return self._record_first(model, inputs, num_items_in_batch)
        if size not in self._recorded:
            return self._record(model, inputs, num_items_in_batch, size)
        recorded = self._recorded[size]
        recorded.fixed.fill(inputs, num_items_in_batch)
        return self._replay(recorded)

    def no_rows(self) -> None:
        """Counts a pass without rows: another process has those of this pass."""
        begins, self._begins = self._begins, self._is_last()
        if begins:
            self.gradient.zero_()
        self.last_was_replayed = bool(self._recorded) and not self.off
        if self.handed_over and self.gradient.numel():
            self.hand_over()

    def gradients(self) -> list[torch.Tensor]:
        """The parts of `gradient`, shaped as the trained parameters."""
        parts = self.gradient.split([p.numel() for p in self.trained])
        return [part.view_as(p) for part, p in zip(parts, self.trained, strict=True)]

    def _unrecorded(self, model: torch.nn.Module, inputs: Mapping[str, Any], items: Any) -> torch.Tensor:
        self.not_replayed += 1
        if self.gradient.numel():
            # To what recorded passes of the same optimizer step have left.
            self.hand_over()
        return self.eager(model, inputs, items)

    def _replay(self, recorded: Recorded) -> torch.Tensor:
        recorded.replay()
        self.replayed += 1
        self._tokens += recorded.fixed.ids.numel()
        self.last_was_replayed = True
        if self.handed_over:
            self.hand_over()
        return recorded.loss.clone()

    def hand_over(self) -> None:
        """Puts the recorded gradient into the parameters, where an optimizer looks for it."""
        for parameter, gradient in zip(self.trained, self.gradients(), strict=True):
            parameter.grad = gradient

    def _record_first(self, model: torch.nn.Module, inputs: Mapping[str, Any], items: Any) -> torch.Tensor:
        loss = self.eager(model, dict(inputs), items)
        truth = torch.cat([p.grad.flatten() for p in self.trained])
        self.gradient = torch.zeros_like(truth)
        before = torch.zeros_like(truth)
        replayed = self._record(model, inputs, items, self._sizes[-1], expected=loss)
        if not self.off:
            self.alike = cosine([self.gradient], [truth])
            if not self.alike >= self._cosine_bound:
                return self._give_up(model, inputs, items, f"the gradient's cosine is {self.alike:.5f}", before)
        return replayed

    def _record(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, Any],
        items: Any,
        size: PassSize,
        expected: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Records this size with this batch; falls back to the trainer's own step, for good, when it cannot be."""
        fixed = Fixed.empty(self._rows, size, inputs["input_ids"].device, soft=TOP_IDS in inputs)
        fixed.fill(inputs, items)
        before = self.gradient.clone()

        def work() -> torch.Tensor:
            return self._pass(model, fixed)

        try:
            with self._decoder.apart(fixed.ends, self._longest_row(size)):
                for _ in range(WARM_UPS):
                    warm = self._recorder.warm_up(work)
                recorded = Recorded(fixed, *self._recorder.record(work))
        except torch.OutOfMemoryError:
            # The run backs off, to fewer rows a pass.
            raise
        except Exception as error:  # noqa: BLE001 - whatever cannot be recorded can still be trained step by step
            return self._give_up(model, inputs, items, cause(error), before)
        # What the warm-ups have added.
        self.gradient.copy_(before)
        replayed = self._replay(recorded)
        expected = warm if expected is None else expected
        trained = int((fixed.labels != IGNORED).sum())
        if not close(replayed, expected, trained, int(fixed.items)):
            why = f"loss {replayed.item():.5f} instead of {expected.item():.5f}"
            return self._give_up(model, inputs, items, why, before)
        self._recorded[size] = recorded
        self._made.append(size)
        return replayed

    def _size_for(self, each: PassSize) -> PassSize | None:
        """The recording that takes this pass; None where none does, or the largest does not, which is made first.

        What fills a recording up is a row too. One that is longer than the attention kernel was told leaves places that
        nothing was written to: zero times what lies there is no zero in the gradient, if it is no number.
        """
        size = size_for(each, self._sizes)
        if size is None or size.tokens - each.tokens > self._longest_row(size):
            return None
        return size if self._recorded or self._sizes[-1].holds(each) else None

    def _longest_row(self, size: PassSize) -> int:
        """Tokens of the longest row in a recording, the one that fills up included."""
        if size == self._sizes[-1]:
            # The first batch may leave most of it to be filled up.
            return size.tokens
        smaller = [s.tokens for s in self._sizes if s < size]
        return min(size.tokens, max(self._longest, size.tokens - max(smaller, default=0)))

    def _pass(self, model: torch.nn.Module, fixed: Fixed) -> torch.Tensor:
        """One forward and backward pass, added to the gradients in their fixed places."""
        self.hand_over()
        hidden = self._decoder(model, fixed)[0]
        places, targets = gather_trained(fixed.labels[0], fixed.trained)
        trained = hidden.index_select(0, places)
        if fixed.soft:
            loss = soft_loss(trained, self._head, *fixed.soft, fixed.items)
        else:
            loss = answer_loss(trained, self._head, targets, fixed.items)
        loss.backward()
        return loss.detach()

    def _give_up(
        self, model: torch.nn.Module, inputs: Mapping[str, Any], items: Any, why: str, before: torch.Tensor
    ) -> torch.Tensor:
        """Goes on without recordings, from the gradient that the optimizer step had before this pass."""
        self.off = why
        warn(
            f"steps are not recorded as CUDA graphs any more ({why}; {stack_versions()}); training goes on, "
            "several times slower where rows are short"
        )
        if self.last_was_replayed:
            self.replayed -= 1
            self.last_was_replayed = False
        self.release()
        self.gradient = before
        return self._unrecorded(model, inputs, items)


def close(found: torch.Tensor, expected: torch.Tensor, trained: int, items: int) -> bool:
    """Whether two losses of a pass agree; two that are no numbers do not.

    Args:
        found: the loss of the recording, summed over the pass's trained tokens and divided by `items`.
        expected: the same of the step beside it.
        trained: trained tokens of the pass.
        items: of its optimizer step.
    """
    rounding = ROUNDING_NATS * math.sqrt(trained) / items
    return bool((found - expected).abs() <= LOSS_BOUND * expected.abs() + rounding)


def cosine(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Cosine between two gradients, each given tensor by tensor."""
    products = torch.stack(
        [
            torch.stack([(a.float() * b.float()).sum(), a.float().square().sum(), b.float().square().sum()])
            for a, b in zip(found, expected, strict=True)
        ]
    ).sum(0)
    return float(products[0] / (products[1] * products[2]).sqrt())


def cause(error: BaseException) -> str:
    """The first failure behind an error, and the place in the code that it came from.

    A capture that fails in the middle is reported once more when it ends, without its cause.
    """
    first = error
    while (earlier := first.__context__ or first.__cause__) is not None:
        first = earlier
    place = first.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" in {place.tb_frame.f_globals.get('__name__')}, line {place.tb_lineno}" if place else ""
    return f"{type(first).__name__}: {first_line(first)}{where}"
