"""Clipping and AdamW recorded as a CUDA graph beside the recorded steps: one launch instead of some thousand.

The adapter of a 14B model has 560 tensors. Clearing, clipping and updating them from Python takes 8 to 12 ms a step,
while the GPU waits; their gradients lie in one flat tensor here, and the update is launched as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from configs.terminal.console import warn
from trainer.sft.graphs import GraphedSteps, Recorder, cause
from trainer.sft.unsloth import clip_by


class RecordableAdamW(torch.optim.AdamW):
    """torch's fused AdamW, whose `step` does nothing where the recorded update has done it already."""

    taken = False

    def step(self, closure: Any = None) -> Any:
        """One update; see `torch.optim.AdamW`."""
        if self.taken:
            self.taken = False
            return None
        return super().step(closure)


def optimizer_arguments(learning_rate: float, device: torch.device) -> dict[str, Any]:
    """Arguments of `RecordableAdamW`, besides those that the trainer gives: a rate that a recording reads anew."""
    return {"lr": torch.tensor(learning_rate, device=device), "fused": True, "capturable": True}


def clip(gradient: torch.Tensor, max_norm: float) -> torch.Tensor:
    """Scales a flat gradient down to `max_norm` in place (0 leaves it as it is), and returns the norm that it had."""
    norm = torch.linalg.vector_norm(gradient)
    if max_norm > 0:
        gradient.mul_((max_norm / (norm + 1e-6)).clamp_(max=1.0))
    return norm


class RecordedUpdate:
    """Takes the place of a trainer's clipping and update after recorded steps.

    Args:
        trainer: with `RecordableAdamW` as its optimizer.
        steps: its recorded steps.
        max_norm: the gradient is scaled down to this norm; 0 leaves it as it is.
        recorder: what records.
    """

    def __init__(self, trainer: Any, steps: GraphedSteps, max_norm: float, recorder: Recorder) -> None:
        self._trainer, self._steps, self._max_norm, self._recorder = trainer, steps, max_norm, recorder
        self._recorded: tuple[Callable[[], None], torch.Tensor] | None = None
        self._updated = False
        self.off = ""
        """Why updates are not recorded."""
        clip_by(trainer, self._clip)

    def _clip(self, own: Callable[[], Any]) -> Any:
        """Clips and updates where the step was recorded; else leaves both to the trainer."""
        if not self._steps.last_was_replayed or self.off or not self._updated:
            # The first update makes the optimizer's state, which a recording must find.
            self._updated = True
            return own()
        if self._recorded is None and not self._record():
            return own()
        assert self._recorded is not None
        replay, norm = self._recorded
        replay()
        self._optimizer.taken = True
        return norm

    @property
    def _optimizer(self) -> RecordableAdamW:
        # accelerate wraps it.
        return self._trainer.optimizer.optimizer

    def _record(self) -> bool:
        optimizer, gradient = self._optimizer, self._steps.gradient
        for group in optimizer.param_groups:
            # A checkpoint brings its rate as it was saved; a recording reads it on the GPU.
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=gradient.device)

        def work() -> torch.Tensor:
            norm = clip(gradient, self._max_norm)
            optimizer.step()
            return norm

        try:
            self._recorded = self._recorder.record(work)
            self._steps.handed_over = False
        except Exception as error:  # noqa: BLE001 - what cannot be recorded can still be done step by step
            self.off = cause(error)
            warn(f"updates are not recorded as a CUDA graph ({self.off}); training goes on, a little slower")
        return self._recorded is not None
