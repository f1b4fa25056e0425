"""What a training run shows and keeps: one line on the terminal, `train.jsonl`, the loss picture."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from configs.disk.files import appended, json_line, read_jsonl, write_jsonl
from configs.terminal.charts import chart
from configs.terminal.console import asked_for, ours
from trainer.sft.device import peak_gb

_PLAIN_EVERY_S = 10.0
_RATE_STEPS = 20


class RunLog(TrainerCallback):
    """Writes one JSON line for every optimizer step and evaluation, and shows the latest.

    A line of a step has step, epoch, loss, learning_rate, grad_norm, tokens_per_s (without padding), peak_gb; a line of
    an evaluation has step and eval_loss; each has the tokens and seconds until then.
    """

    def __init__(self, file: Path, console: Console) -> None:
        self.file, self.console = file, console
        self.tokens = 0
        """Tokens that went through the model, before a resume too, padding left out; the batch check adds to it."""
        self.count_tokens: Callable[[], int] | None = None
        """Of several processes: tokens that went through the models of all since it was asked last."""
        self.seconds_before = self.peak_gb_before = 0.0
        """Seconds that the steps before a resume took, and the memory that they reached."""
        self.eval_loss: float | None = None
        self._live: Live | None = None
        self._last_plain = self._last_time = self._begun = 0.0
        self._last_tokens = 0
        # The collator works a batch ahead of the model, so that a rate over one step would be another step's.
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RATE_STEPS)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._begun = self._last_time = time.monotonic()
        if kept := forget_after(self.file, state.global_step):
            self.seconds_before = float(kept[-1].get("seconds", 0.0))
            self.peak_gb_before = max(line.get("peak_gb", 0.0) for line in kept)
            self.tokens += kept[-1].get("tokens", 0)
        self._last_tokens = self.tokens
        if self.console.is_terminal and not asked_for("quiet"):
            # What libraries print is not drawn into the line but goes where stdout leads, to the log.
            self._live = Live(
                ours("training"),
                console=self.console,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        logs = logs or {}
        now = time.monotonic()
        if self.count_tokens:
            self.tokens += self.count_tokens()
        line: dict[str, Any] = {"step": state.global_step, "epoch": round(state.epoch or 0.0, 4)}
        if "eval_loss" in logs:
            self.eval_loss = float(logs["eval_loss"])
            line["eval_loss"] = self.eval_loss
            self._last_time, self._last_tokens = now, self.tokens
        elif "loss" in logs:
            self._recent.append((self.tokens - self._last_tokens, now - self._last_time))
            rate = sum(tokens for tokens, _ in self._recent) / max(1e-6, sum(seconds for _, seconds in self._recent))
            line |= {key: float(logs[key]) for key in ("loss", "learning_rate", "grad_norm") if key in logs}
            line |= {"tokens_per_s": round(rate, 1), "peak_gb": round(peak_gb(), 3)}
            self._last_time, self._last_tokens = now, self.tokens
        else:
            return
        line |= {"tokens": self.tokens, "seconds": round(self.seconds_before + now - self._begun, 3)}
        with appended(self.file) as out:
            out.write(json_line(line))
        self._show(line, state, now)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes the line off the terminal; safe to call twice."""
        if self._live:
            self._live.stop()
            self._live = None

    def _show(self, line: dict[str, Any], state: TrainerState, now: float) -> None:
        parts = [f"train  step {state.global_step}/{state.max_steps}"]
        if len(self._recent) > 1:
            # The first steps compile and record: one took half a minute on an H200, and the later ones 0.1 s.
            left_s = median(seconds for _, seconds in self._recent) * (state.max_steps - state.global_step)
            left = f"{int(left_s // 60)}:{int(left_s % 60):02d}"
            parts.append(f"{left} left")
        if "loss" in line:
            parts.append(f"loss {line['loss']:.4f}")
        if self.eval_loss is not None:
            parts.append(f"held-out {self.eval_loss:.4f}")
        if "loss" in line:
            parts += [f"{line['tokens_per_s']:.0f} tok/s", f"{line['peak_gb']:.1f} GB"]
            # A narrow terminal cuts the line: what is missed least stands last.
            parts += [f"lr {line.get('learning_rate', 0):.2e}", f"grad {line.get('grad_norm', 0):.2f}"]
        parts.append(f"epoch {line['epoch']:.2f}")
        text = Text("  ").join(map(ours, parts))
        if self._live:
            self._live.update(text)
        elif asked_for("quiet"):
            return
        elif "eval_loss" in line or now - self._last_plain >= _PLAIN_EVERY_S or state.global_step == state.max_steps:
            self._last_plain = now
            self.console.print(text, highlight=False, soft_wrap=True)


def forget_after(file: Path, step: int) -> list[dict[str, Any]]:
    """Drops the lines of steps after `step`: a resumed run writes them again, a new one starts with none.

    Returns:
        The others.
    """
    kept = [line for line in read_log(file) if line["step"] <= step] if step else []
    file.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(file, kept)
    return kept


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of `train.jsonl`; a last line that a kill cut short is left out."""
    return [line for _, line in read_jsonl(file, torn=True)] if file.exists() else []


def plot_loss(log: Path, picture: Path) -> None:
    """Draws training and held-out loss over the steps."""
    lines = read_log(log)
    steps = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    evaluations = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
    with chart(picture, 8, 4.5) as figure:
        axes = figure.subplots()
        if steps:
            axes.plot(*zip(*steps, strict=True), color="#9bb8d3", linewidth=0.8, label="training, each step")
            axes.plot(*zip(*_smoothed(steps), strict=True), color="#1f5f99", linewidth=1.8, label="training, smoothed")
        if evaluations:
            axes.plot(*zip(*evaluations, strict=True), color="#c4501b", marker="o", label="held-out")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss per trained token (nats)")
        axes.grid(alpha=0.3)
        axes.legend()


def _smoothed(points: list[tuple[int, float]], keep: float = 0.9) -> list[tuple[int, float]]:
    """Exponential mean, corrected for its start."""
    mean, weight, smooth = 0.0, 0.0, []
    for step, value in points:
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        smooth.append((step, mean / weight))
    return smooth
