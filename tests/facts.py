"""What the data stage would have found out, for tests that begin behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.handover.training import PreparedFacts


def prepared(base: str | Path = "nowhere", **others: Any) -> PreparedFacts:
    """Facts of a base model; `others` replace single ones."""
    facts = {
        "base_model": base, "family": "switchable", "thinking": False, "end_token": "<|im_end|>", "end_token_id": 0,
        "template_sha256": "0", "system": None, "longest_row": 64,
    }  # fmt: skip
    return PreparedFacts.model_validate(facts | others)
