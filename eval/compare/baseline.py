"""Whether a base's answers can be compared with at all: one that answers nothing has nothing to lose."""

from __future__ import annotations

from collections.abc import Mapping

from configs.errors import DataError
from eval.ask.results import TaskResult

EMPTY_SHARE = 0.9
"""Share of empty answers from which a base is no baseline."""


def require_baseline(results: Mapping[str, TaskResult], label: str) -> None:
    """Raises a DataError where nearly all of a base's answers are empty.

    Any change would count as gained and nothing as forgotten. Answers of one restricted letter are never empty and tell
    nothing here.
    """
    asked = [s for result in results.values() if result.meta.method == "generate" for s in result.samples]
    answered = [sample for sample in asked if sample.status == "ok"]
    empty = [sample for sample in answered if sample.is_empty]
    if not answered or len(empty) < EMPTY_SHARE * len(answered):
        return
    cut = sum("truncated_thinking" in sample.flags for sample in empty)
    stopped = sum(sample.finish_reason == "stop" for sample in empty)
    if cut > stopped:
        why, step = f"{cut} were cut while the model was thinking", "set a higher eval.max_tokens"
    else:
        why = f"{stopped} ended by themselves at once"
        step = "check that chat template, tokenizer and thinking mode belong to these weights, or take another base"
    raise DataError(f"{label} is no baseline: {len(empty)} of {len(answered)} answers are empty ({why})", step)
