"""The run's own held-out conversations as a target task: did the model learn what it was taught?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from configs.handover.rows import HeldoutRow
from eval.tasks.custom import items_from_rows
from eval.tasks.task import Kind, Task

_SHORT_CHARACTERS = 32
"""References of this median length or less are answers to extract; longer ones are texts, scored by overlap."""
_MOST_LABELS = 20


def heldout_kind(references: Sequence[str]) -> Kind:
    """The kind of task that references suggest.

    Few different ones that keep coming back are labels (exact match), short ones are extracted answers (EM and F1),
    long ones are texts (ROUGE).
    """
    distinct = {reference.strip() for reference in references}
    if len(distinct) <= _MOST_LABELS and len(references) >= 5 * len(distinct):
        return "exact"
    return "qa" if median(len(reference) for reference in references) <= _SHORT_CHARACTERS else "summary"


def heldout_task(rows: Sequence[HeldoutRow], name: str = "heldout", limit: int | None = None, seed: int = 42) -> Task:
    """A target task from what the data stage held out."""
    read = items_from_rows([row.model_dump(exclude={"tools"}) for row in rows], "qa", name)
    items = [replace(item, tools=row.tools or ()) for item, row in zip(read, rows, strict=True)]
    kind = heldout_kind([item.references[0] for item in items])
    longest = max(len(reference) for item in items for reference in item.references)
    # A character is at most about two tokens, thinking and chat aside; room for answers twice as long as the longest.
    max_tokens = min(2048, max(128, 2 * longest))
    return Task(name, kind, items, role="target", group="target", max_tokens=max_tokens).sampled(limit, seed)
