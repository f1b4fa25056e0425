"""A real vLLM on the CPU writes in the user's place, answers itself, and says how likely that was."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.tables.languages import language_of
from eval.ask.endpoint import Settings
from eval.selfmade.draws import draw_block
from eval.selfmade.judging import Judge
from eval.selfmade.overlap import Asked
from eval.selfmade.pool import Pool
from eval.selfmade.steering import system_prompt
from eval.selfmade.writer import Lengths, Writer
from scripts.run.selfmade import connect
from serve.api.prompts import prompt_ids, user_header
from serve.process.server import VllmServer
from tests.serve.conftest import QUESTIONS, prompt

END = 3560
"""<|im_end|> of the embedded model."""


@pytest.mark.slow
def test_prompts_are_those_of_the_template_and_the_header_ends_where_the_user_speaks(
    adapter_server: VllmServer, demo_model: Path
) -> None:
    client, base = adapter_server.client, adapter_server.command.names[0]
    for question in QUESTIONS:
        whole = prompt_ids(client, base, [{"role": "user", "content": question}], thinking=False)
        assert whole == prompt(demo_model, question)
        header = user_header(client, base)
        assert whole[: len(header)] == header
    steered = user_header(client, base, "你做翻译。用户使用中文。")
    text = client.post("/detokenize", {"model": base, "tokens": steered})["prompt"]
    assert text == "<|im_start|>system\n你做翻译。用户使用中文。<|im_end|>\n<|im_start|>user\n"


@pytest.mark.slow
def test_a_served_base_writes_questions_answers_and_their_likelihoods_once(
    adapter_server: VllmServer, tmp_path: Path
) -> None:
    draws = draw_block(0, 1, {"zh": 1.0}, 0.0)[:16]
    systems = {draw.number: system_prompt(draw.kind, draw.language) for draw in draws}
    # The first name is the base's; the target's own would be the adapter's.
    connected = connect(adapter_server, thinking=False, model=adapter_server.command.names[0])

    def writer(pool: Pool, base: Any = lambda: connected) -> Writer:
        return Writer(base, pool, END, False, Lengths(120, 64, 512), Settings(), 0.7)

    with writer(Pool(tmp_path)) as first:
        first.draw(draws, systems)
        first.answer(draws)
        usable = [draw for draw in draws if Judge(Asked(), False, END).answer(first.pool.answers[draw.number]) is None]
        first.measure([draw.number for draw in usable])
        first.soften([draw.number for draw in usable])
    assert len(usable) > 8
    asked = [language_of(first.pool.questions[draw.number].text) for draw in usable]
    assert asked.count("zh") > len(asked) / 2  # it asks for sums, too
    for draw in usable:
        question, answer = first.pool.questions[draw.number], first.pool.answers[draw.number]
        assert answer.prompt_ids == prompt_ids(
            adapter_server.client, connected.endpoint.model, [{"role": "user", "content": question.text}], False
        )
        assert answer.answer_ids[-1] == END
        assert -60 < first.pool.likelihoods[draw.number].logprob < 0
        (targets,) = first.pool.likely_tokens({draw.number})
        places = [dict(zip(*place, strict=True)) for place in zip(*map(np.ndarray.tolist, targets.arrays), strict=True)]
        assert len(places) == len(answer.answer_ids)
        assert all(0.3 < sum(map(exp, likely.values())) < 1.001 for likely in places)
        written = [likely.get(token) for likely, token in zip(places, answer.answer_ids, strict=True)]
        if None not in written:
            assert sum(written) == pytest.approx(first.pool.likelihoods[draw.number].logprob, abs=0.05)

    def nobody() -> Any:
        raise AssertionError("it was served again")

    with writer(Pool(tmp_path), nobody) as again:
        again.draw(draws, systems)
        again.answer(draws)
        again.measure([draw.number for draw in usable])
        again.soften([draw.number for draw in usable])
    assert again.pool.answers == first.pool.answers


@dataclass(frozen=True)
class Answering:
    """A server whose template leaves something out."""

    text: str

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"tokens": [1, 2]} if path == "/tokenize" else {"prompt": self.text}


@pytest.mark.parametrize(
    ("text", "system"), [("<|user|>", None), ("<|user|>问题标记", "You translate."), ("<|user|>问题 标记", None)]
)
def test_a_template_that_changes_what_is_said_is_refused(text: str, system: str | None) -> None:
    with pytest.raises(ConfigError, match=r"does not write a question.* as they are"):
        user_header(Answering(text), "m", system)  # type: ignore[arg-type]
