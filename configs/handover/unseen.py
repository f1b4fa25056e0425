"""Which unseen answers of the base are for what: a scale is chosen on some, a verdict rests on the others."""

from __future__ import annotations

from collections.abc import Sequence

from configs.handover.selfmade import SelfMadeRow


def for_choice(rows: Sequence[SelfMadeRow]) -> Sequence[SelfMadeRow]:
    """The rows that `merge.scale: auto` chooses on: every second one."""
    return rows[::2]


def for_verdict(rows: Sequence[SelfMadeRow], *, chosen: bool) -> Sequence[SelfMadeRow]:
    """The rows that what was kept may be measured on: all, or those that a scale was not chosen on.

    Args:
        rows: of RUN/data/selfmade/unseen.jsonl, in its order.
        chosen: whether the run's scale was chosen (`merge.scale: auto`).
    """
    return rows[1::2] if chosen else rows
