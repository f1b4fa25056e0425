"""A training that was cut off behind its last step: nothing is left of it to train."""

from __future__ import annotations

from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Ended(TrainerCallback):
    """Ends a training that goes on from where it had ended; transformers looks for the end behind a further step."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._ended = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # A checkpoint brings callbacks of its own.
        early = [c for c in self._trainer.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]
        stopped = any(c.early_stopping_patience_counter >= c.early_stopping_patience for c in early)
        self._ended = state.global_step >= state.max_steps or stopped
        if self._ended:
            self._trainer.get_batch_samples = lambda *_: ([], None)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._ended:  # what the checkpoint was written with is not done again
            control.should_log = control.should_evaluate = control.should_save = False
            control.should_training_stop = True
