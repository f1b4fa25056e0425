"""The one reader of vLLM's `prompt_logprobs`."""

from __future__ import annotations

from typing import Any

import pytest

from configs.errors import TuneserveError
from configs.prompt_logprobs import read_prompt_logprobs

POSITIONS = [None, {"15": {"logprob": -0.5, "rank": 1}, "3": {"logprob": -1.5, "rank": 2}}]


def test_every_token_but_the_first_has_its_log_probabilities() -> None:
    assert read_prompt_logprobs([11, 15], {"prompt_logprobs": POSITIONS}) == [{15: -0.5, 3: -1.5}]


@pytest.mark.parametrize(
    ("ids", "choice", "message"),
    [
        ([11, 15], {}, "returned no prompt_logprobs"),
        ([11, 15], {"prompt_logprobs": None}, "returned no prompt_logprobs"),
        ([11, 15, 16], {"prompt_logprobs": POSITIONS}, "for 2 of 3 prompt tokens"),
        (
            [11, 99],
            {"prompt_logprobs": POSITIONS},
            "position 1 of the prompt has no .* own token 99",
        ),
        ([11, 15], {"prompt_logprobs": [None, None]}, "own token 15"),
        ([11, 15], {"prompt_logprobs": {"15": 1}}, "returned no prompt_logprobs"),
        *(
            ([11, 15], {"prompt_logprobs": [None, position]}, "which is no log-probability")
            for position in (5, [5], {"15": 5}, {"15": {}}, {"x": {"logprob": -1}}, {"015": {"logprob": -1}})
        ),
        *(
            ([11, 15], {"prompt_logprobs": [None, {"15": {"logprob": value}}]}, "which is no log-probability")
            for value in (None, "nan", float("nan"), float("-inf"), 0.5, True, [1], -(10**400))
        ),
    ],
)
def test_an_answer_that_lacks_some_is_an_error(ids: list[int], choice: dict[str, Any], message: str) -> None:
    with pytest.raises(TuneserveError, match=message):
        read_prompt_logprobs(ids, choice)
