"""A real vLLM on the CPU: what is served is what was trained, and each planted difference is caught."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI

from serve.behaviour import check_behaviour
from serve.parity import check_parity, read_rows
from serve.proof import answer_logprob, check_proof, judge
from serve.server import VllmServer
from serve.verify import verify
from tests.serve.conftest import QUESTIONS, TinyRun, prompt, write_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def openai_client(adapter_server: VllmServer) -> OpenAI:
    return OpenAI(base_url=adapter_server.command.base_url, api_key="none", max_retries=0)


def test_every_name_is_listed_and_an_adapter_names_its_base(adapter_server: VllmServer, openai_client: OpenAI):
    listed = {m.id: m for m in openai_client.models.list()}
    assert set(listed) == {"tiny-base", "tiny", "tiny-latest", "half", "skipped"}
    assert listed["tiny"].model_extra["parent"] == "tiny-base"


def test_the_trained_adapter_is_proved_and_found_equal(adapter_server: VllmServer, tiny_run: TinyRun):
    checks = verify(tiny_run.run, adapter_server)
    assert checks.parity.passed, checks.parity.sentence()
    assert checks.proof is not None
    assert checks.proof.passed, checks.proof.sentence()
    assert checks.proof.recovered == pytest.approx(1, abs=0.05)
    checks.require()
    assert json.loads(json.dumps(checks.figures()))["proof"]["passed"]


@pytest.mark.parametrize("mistake", ["half", "skipped", "tiny-base"])
def test_the_proof_fails_for_other_weights(mistake: str, adapter_server: VllmServer, tiny_run: TinyRun):
    file = tiny_run.run.data / "proof.jsonl"
    proof = check_proof(adapter_server.client, mistake, file, tiny_run.run.config().proof)
    assert not proof.passed
    assert "NOT the trained ones" in proof.sentence()


def test_the_proof_fails_in_the_wrong_thinking_mode(adapter_server: VllmServer, tiny_run: TinyRun, demo_model: Path):
    rows = read_rows(tiny_run.run.data / "proof.jsonl", "train")
    served = []
    for row, question in zip(rows, QUESTIONS, strict=True):
        start = prompt(demo_model, question, thinking=True)
        ids = start + row["input_ids"][row["answer_start"] :]
        served.append(answer_logprob(adapter_server.client, "tiny", ids, len(start)))
    assert not judge(rows, served, tiny_run.run.config().proof).passed


def test_parity_fails_on_one_changed_token_and_shows_both_texts(
    adapter_server: VllmServer, tiny_run: TinyRun, tmp_path: Path
):
    rows = read_rows(tiny_run.run.data / "parity.jsonl", "data")
    rows[3]["prompt_ids"][5] += 1
    write_rows(tmp_path / "parity.jsonl", rows)
    parity = check_parity(adapter_server.client, "tiny", tmp_path / "parity.jsonl")
    assert (parity.rows, parity.equal) == (6, 5)
    assert parity.difference is not None
    assert (parity.difference.row, parity.difference.position) == ("p3", 5)
    assert "下列哪一个是水果" in parity.difference.served_text
    assert parity.difference.trained_text != parity.difference.served_text


def test_parity_fails_in_the_wrong_thinking_mode(
    adapter_server: VllmServer, tiny_run: TinyRun, demo_model: Path, tmp_path: Path
):
    rows = read_rows(tiny_run.run.data / "parity.jsonl", "data")
    for row, question in zip(rows, QUESTIONS, strict=True):
        row["prompt_ids"] = prompt(demo_model, question, thinking=True)
    write_rows(tmp_path / "parity.jsonl", rows)
    parity = check_parity(adapter_server.client, "tiny", tmp_path / "parity.jsonl")
    assert parity.equal == 0
    assert "<think>" in parity.sentence()


def test_a_plain_client_gets_content_without_thoughts(openai_client: OpenAI):
    question = [{"role": "user", "content": QUESTIONS[1]}]
    answer = openai_client.chat.completions.create(model="tiny-base", messages=question, temperature=0, max_tokens=64)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content
    assert "<think>" not in answer.choices[0].message.content


def test_streaming_gives_the_same_answer(openai_client: OpenAI):
    question = [{"role": "user", "content": QUESTIONS[5]}]
    settings = {"model": "tiny-base", "messages": question, "temperature": 0, "max_tokens": 64}
    whole = openai_client.chat.completions.create(**settings).choices[0].message.content
    pieces = [c.choices[0].delta.content or "" for c in openai_client.chat.completions.create(**settings, stream=True)]
    assert "".join(pieces) == whole


def test_a_name_that_is_not_served_is_404(openai_client: OpenAI):
    with pytest.raises(NotFoundError):
        openai_client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "你好"}])


def test_behaviour_of_the_base_is_measured(adapter_server: VllmServer, tiny_run: TinyRun):
    file = tiny_run.run.data / "heldout.jsonl"
    behaviour = check_behaviour(adapter_server.client, adapter_server.command.target, "tiny-base", file)
    assert behaviour.answers == 6
    assert behaviour.think_leak_rate == 0
    assert behaviour.null_rate == 0
    assert behaviour.switched is not None
    assert behaviour.switched.thinking


def test_200_streaming_clients_each_get_their_own_answer(adapter_server: VllmServer):
    """Each client is made to answer with a word of its own, so a lost or mixed answer shows."""

    async def stream(client: AsyncOpenAI, number: int) -> str:
        word = f"编号{number:03d}完"
        pieces = await client.chat.completions.create(
            model="tiny" if number % 2 else "tiny-base",
            messages=[{"role": "user", "content": f"第{number}个问题：{QUESTIONS[number % 6]}"}],
            temperature=0,
            max_tokens=32,
            stream=True,
            extra_body={"structured_outputs": {"choice": [word]}},
        )
        return "".join([c.choices[0].delta.content or "" async for c in pieces if c.choices])

    async def all_at_once() -> list[str]:
        async with AsyncOpenAI(
            base_url=adapter_server.command.base_url, api_key="none", max_retries=0, timeout=300
        ) as client:
            return await asyncio.gather(*(stream(client, number) for number in range(200)))

    answers = asyncio.run(all_at_once())
    assert answers == [f"编号{number:03d}完" for number in range(200)]
