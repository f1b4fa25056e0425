"""Held-out answers whose likelihood is compared: by the proof, and by the choice of how much an adapter counts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from configs.handover.rows import ProofAnswer
from trainer.data.template import answer_start


def chosen_answers(rows: Sequence[Mapping[str, Any]], count: int, seed: int) -> list[ProofAnswer]:
    """A seeded choice of token rows (id, input_ids, labels), each with the place where its last answer starts."""
    chosen = random.Random(f"{seed} proof").sample(range(len(rows)), min(count, len(rows)))
    return [
        ProofAnswer(
            id=rows[i]["id"], input_ids=list(rows[i]["input_ids"]), answer_start=answer_start(rows[i]["labels"])
        )
        for i in sorted(chosen)
    ]
