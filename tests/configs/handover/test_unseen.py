"""A scale and a verdict never rest on the same rows."""

from __future__ import annotations

from configs.handover.selfmade import SelfMadeRow
from configs.handover.unseen import for_choice, for_verdict

ROWS = [
    SelfMadeRow(
        id=f"self:{number}", language="zh", kind=None, messages=[], prompt_ids=[1], answer_ids=[2], base_logprob=-1.0,
        use="unseen",
    )
    for number in range(7)
]  # fmt: skip


def test_what_a_scale_is_chosen_on_no_verdict_is_built_on() -> None:
    choice, verdict = for_choice(ROWS), for_verdict(ROWS, chosen=True)
    assert not {row.id for row in choice} & {row.id for row in verdict}
    assert len(choice) + len(verdict) == len(ROWS)
    assert list(for_verdict(ROWS, chosen=False)) == ROWS
