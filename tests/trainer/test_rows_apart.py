"""Why a model with linear attention trains on padded rows: what transformers makes of both layouts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trainer.families import FAMILIES

FIRST, SECOND = [5, 17, 42, 99, 3, 61], [88, 250, 12, 7]


@pytest.fixture(scope="module")
def hybrid() -> Any:
    import transformers

    torch.manual_seed(0)
    return FAMILIES["Qwen3_5ForCausalLM"](transformers).float().eval()


def logits(model: Any, **inputs: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return model(**{name: torch.tensor(rows) for name, rows in inputs.items()}, use_cache=False).logits


def test_a_padded_row_is_what_it_is_alone(hybrid: Any) -> None:
    width = len(FIRST)
    padded = SECOND + [0] * (width - len(SECOND))
    mask = [[1] * width, [1] * len(SECOND) + [0] * (width - len(SECOND))]
    both = logits(hybrid, input_ids=[FIRST, padded], attention_mask=mask)
    torch.testing.assert_close(both[0], logits(hybrid, input_ids=[FIRST])[0], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(both[1, : len(SECOND)], logits(hybrid, input_ids=[SECOND])[0], atol=1e-4, rtol=1e-3)


def test_the_state_of_one_row_reaches_into_the_next_where_they_lie_end_to_end(hybrid: Any) -> None:
    """Positions that begin again keep attention apart, not the state."""
    positions = [[*range(len(FIRST)), *range(len(SECOND))]]
    together = logits(hybrid, input_ids=[FIRST + SECOND], position_ids=positions)[0, len(FIRST) :]
    alone = logits(hybrid, input_ids=[SECOND])[0]
    assert (together - alone).abs().max() > 0.05 * alone.abs().max()
