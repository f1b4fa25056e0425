"""The best checkpoint of a training that goes on: the run's own, where that lies now, and whole; else there is none."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from configs.errors import ConfigError
from configs.model.files import check_safetensors
from configs.terminal.console import warn


class BestCheckpoint(TrainerCallback):
    """transformers keeps its absolute path, drops one that is gone, and takes the last weights under its loss."""

    def __init__(self, trainer: Any, *, says: bool) -> None:
        self._says, load = says, trainer._load_best_model
        trainer._load_best_model = lambda: self._is_there(trainer.args, trainer.state) and load()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._is_there(args, state)

    def _is_there(self, args: TrainingArguments, state: TrainerState) -> bool:
        if not state.best_global_step:
            return False
        best = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
        with suppress(ConfigError):
            for file in (files := list(best.glob("*.safetensors"))):
                check_safetensors(file)
            if files:
                state.best_model_checkpoint = str(best)
                return True
        if self._says:
            warn(f"{best}: was the best so far, and is gone or damaged; the best of what follows is taken, or the last")
        state.best_metric = state.best_global_step = state.best_model_checkpoint = None
        return False
