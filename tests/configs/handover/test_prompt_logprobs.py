"""The one reader of vLLM's `prompt_logprobs`."""

from __future__ import annotations

from typing import Any

import pytest

from configs.errors import TuneserveError
from configs.handover.prompt_logprobs import TOP, answer_request, read_prompt_logprobs, top_tokens

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


def likely(own: int, *, extra: float | None = None) -> dict[str, Any]:
    """`TOP` tokens from `own` upwards, less and less likely; the own one last where it is an `extra`."""
    first = own + 1 if extra is not None else own
    known = {str(first + i): {"logprob": -1.0 - i} for i in range(TOP)}
    return {str(own): {"logprob": extra}, **known} if extra is not None else known


def test_the_most_likely_tokens_come_in_order_and_an_unlikely_one_that_was_written_is_none_of_them() -> None:
    choice = {"prompt_logprobs": [None, {"15": {"logprob": -0.5}}, likely(7), likely(40, extra=-90.0)]}
    found = top_tokens([11, 15, 7, 40], 2, choice)
    assert found == [[(first + i, -1.0 - i) for i in range(TOP)] for first in (7, 41)]
    assert answer_request("m", [11, 15], TOP)["prompt_logprobs"] == TOP
    assert answer_request("m", [11, 15])["prompt_logprobs"] == 0


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ({"15": {"logprob": -0.5}}, f"gave 1 of the {TOP} most likely tokens at position 1"),
        ({**likely(15), str(2**31): {"logprob": -0.1}}, "which is no log-probability of tokens"),
        ({**likely(15), "3": {"logprob": 0.5}}, "which is no log-probability of tokens"),
    ],
)
def test_places_without_so_many_likely_tokens_are_an_error(position: dict[str, Any], message: str) -> None:
    with pytest.raises(TuneserveError, match=message):
        top_tokens([11, 15], 1, {"prompt_logprobs": [None, position]})
