"""Log-probabilities of fixed texts come back in order, with the tokens they belong to."""

import pytest

from configs.errors import EndpointError
from eval.endpoint import Endpoint, Settings
from eval.loglikelihood import text_logprobs


def test_texts_in_order(endpoint: Endpoint) -> None:
    found = text_logprobs(endpoint, ["春天来了", "秋天"], Settings(timeout_s=5.0))
    assert [list(text.token_ids) for text in found] == [[ord(c) for c in "天来了"], [ord("天")]]
    assert found[0].positions[1][ord("来")] == pytest.approx(-1 / 3)


def test_a_server_without_prompt_logprobs_is_named(endpoint: Endpoint) -> None:
    with pytest.raises(EndpointError, match="returned no prompt_logprobs"):
        text_logprobs(endpoint, [""], Settings(timeout_s=5.0))
