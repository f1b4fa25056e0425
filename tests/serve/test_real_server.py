"""A real vLLM on the CPU: what is served is what was trained, and each planted difference is caught.

`TUNESERVE_STREAMS=1200` asks with more streaming clients at once.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI
from rich.console import Console

from configs.errors import ConfigError, TuneserveError
from configs.handover.base import read_rows, write_rows
from configs.handover.rows import HeldoutRow, ParityRow, ProofRow
from serve.api.adapters import load_adapter, served_models, unload_adapter
from serve.api.client import in_parallel
from serve.chat import ChatModel, converse, model_at
from serve.launch.command import flag_number
from serve.launch.usage import curl_line, python_snippet
from serve.process.server import VllmServer
from serve.proof.behaviour import ask, check_behaviour
from serve.proof.likelihood import check_proof, proof_of, served_logprob
from serve.proof.parity import check_parity
from serve.proof.verify import verify
from tests.serve.conftest import QUESTIONS, TinyRun, prompt
from trainer.data.calls import tools_of
from trainer.data.template import ChatCodec, render_turn

pytestmark = pytest.mark.slow

STREAMS = int(os.environ.get("TUNESERVE_STREAMS", "64"))


@pytest.fixture
def openai_client(adapter_server: VllmServer) -> OpenAI:
    return OpenAI(base_url=adapter_server.command.base_url, api_key="none", max_retries=0)


def test_every_name_is_listed_and_an_adapter_names_its_base(adapter_server: VllmServer, openai_client: OpenAI):
    listed = {m.id: m for m in openai_client.models.list()}
    assert set(listed) == {"tiny-base", "tiny", "tiny-latest", "half", "skipped"}
    assert listed["tiny"].model_extra["parent"] == "tiny-base"


def test_the_trained_adapter_is_proved_and_found_equal(adapter_server: VllmServer, tiny_run: TinyRun):
    checks = verify(tiny_run.run, tiny_run.run.config(), adapter_server)
    assert checks.parity.passed, checks.parity.sentence()
    assert checks.proof is not None
    assert checks.proof.passed, checks.proof.sentence()
    assert checks.proof.recovered == pytest.approx(1, abs=0.05)
    checks.require()
    assert json.loads(checks.figures().model_dump_json())["proof"]["passed"]


@pytest.mark.parametrize(
    ("served", "scale", "found"),
    [("half", 1.0, "counts 0.5 times"), ("tiny", 0.5, "counts 1 times"), ("tiny-base", 0.5, "does not count at all")],
)
def test_the_proof_names_the_scale_that_is_served_instead(
    served: str, scale: float, found: str, adapter_server: VllmServer, tiny_run: TinyRun
):
    file, config = tiny_run.run.data / "proof.jsonl", tiny_run.run.config().proof
    proof = check_proof(adapter_server.client, served, file, config, scale)
    assert not proof.passed
    assert found in proof.sentence()


def test_base_and_adapters_asked_at_the_same_time_answer_each_as_alone(adapter_server: VllmServer, tiny_run: TinyRun):
    """vLLM's CPU build takes "no adapter" for the last place, and an adapter that was unloaded stays in its place."""
    for i in range(flag_number(adapter_server.command.argv, "--max-loras", 1)):
        load_adapter(adapter_server.client, f"passing-{i}", str(tiny_run.run.adapter))
        unload_adapter(adapter_server.client, f"passing-{i}")
    rows = read_rows(tiny_run.run.data / "proof.jsonl", ProofRow, "train")
    scales = ("tiny-base", "half", "tiny")
    jobs = [(name, row) for row in rows for name in scales]

    def found(job: tuple[str, ProofRow]) -> float:
        name, row = job
        return served_logprob(adapter_server.client, name, row.input_ids, row.answer_start)

    alone = [found(job) for job in jobs]
    together = in_parallel(found, jobs)
    effect = fmean(abs(row.adapter_logprob - row.base_logprob) for row in rows)
    for wanted in scales:
        pairs = [(a, t) for (name, _), a, t in zip(jobs, alone, together, strict=True) if name == wanted]
        off = fmean(abs(a - t) for a, t in pairs)
        assert off < 0.05 * effect, f"{wanted} is off by {off:.3f} of {effect:.3f} nats"


def test_half_of_the_adapter_is_proved_where_half_is_meant(adapter_server: VllmServer, tiny_run: TinyRun):
    file, config = tiny_run.run.data / "proof.jsonl", tiny_run.run.config().proof
    proof = check_proof(adapter_server.client, "half", file, config, 0.5)
    assert proof.passed, proof.sentence()
    assert "are the trained ones, the adapter counting 0.5 times as much: off by" in proof.sentence()


@pytest.mark.parametrize("mistake", ["half", "skipped", "tiny-base"])
def test_the_proof_fails_for_other_weights(mistake: str, adapter_server: VllmServer, tiny_run: TinyRun):
    file = tiny_run.run.data / "proof.jsonl"
    proof = check_proof(adapter_server.client, mistake, file, tiny_run.run.config().proof)
    assert not proof.passed
    assert "NOT the trained ones" in proof.sentence()


def test_the_proof_fails_in_the_wrong_thinking_mode(adapter_server: VllmServer, tiny_run: TinyRun, demo_model: Path):
    rows = read_rows(tiny_run.run.data / "proof.jsonl", ProofRow, "train")
    served = []
    for row, question in zip(rows, QUESTIONS, strict=True):
        start = prompt(demo_model, question, thinking=True)
        ids = start + row.input_ids[row.answer_start :]
        served.append(served_logprob(adapter_server.client, "tiny", ids, len(start)))
    assert not proof_of(rows, served, tiny_run.run.config().proof).passed


def test_parity_fails_on_one_changed_token_and_shows_both_texts(
    adapter_server: VllmServer, tiny_run: TinyRun, tmp_path: Path
):
    rows = read_rows(tiny_run.run.data / "parity.jsonl", ParityRow, "data")
    rows[3].prompt_ids[5] += 1
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
    rows = read_rows(tiny_run.run.data / "parity.jsonl", ParityRow, "data")
    thinking = [prompt(demo_model, question, thinking=True) for question in QUESTIONS]
    wrong = [row.model_copy(update={"prompt_ids": ids}) for row, ids in zip(rows, thinking, strict=True)]
    write_rows(tmp_path / "parity.jsonl", wrong)
    parity = check_parity(adapter_server.client, "tiny", tmp_path / "parity.jsonl")
    assert parity.equal == 0
    assert "<think>" in parity.sentence()


def test_a_plain_client_gets_content_without_thoughts(openai_client: OpenAI):
    question = [{"role": "user", "content": QUESTIONS[1]}]
    answer = openai_client.chat.completions.create(model="tiny-base", messages=question, temperature=0, max_tokens=64)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content
    assert "<think>" not in answer.choices[0].message.content


def test_every_interface_gives_the_model_the_trained_prompt(
    adapter_server: VllmServer, openai_client: OpenAI, demo_model: Path
):
    ask = {"model": "tiny-base", "max_output_tokens": 2}
    system = {"role": "system", "content": "你是客服。"}
    for question in QUESTIONS:
        asked = [{"role": "user", "content": question}]
        responses = openai_client.responses.create(**ask, input=asked)
        assert responses.usage.input_tokens == len(prompt(demo_model, question))
        thought = openai_client.responses.create(**ask, input=asked, reasoning={"effort": "low"})
        assert thought.usage.input_tokens == len(prompt(demo_model, question, thinking=True))
        told = openai_client.responses.create(**ask, input=asked, instructions=system["content"])
        body = {"model": "tiny-base", "max_tokens": 2, "system": system["content"], "messages": asked}
        messages = adapter_server.client.post("/v1/messages", body)
        tokens = adapter_server.client.post("/tokenize", {"model": "tiny-base", "messages": [system, *asked]})["tokens"]
        assert told.usage.input_tokens == messages["usage"]["input_tokens"] == len(tokens)


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


def test_streaming_clients_each_get_their_own_answer_whoever_goes_or_reads_slowly(adapter_server: VllmServer):
    """Each client is made to answer with a word of its own, so that a lost or mixed answer shows."""
    leaving, slow = range(5, STREAMS, 12), range(7, STREAMS, 48)

    async def stream(client: AsyncOpenAI, number: int) -> str:
        pieces = await client.chat.completions.create(
            model="tiny" if number % 2 else "tiny-base",
            messages=[{"role": "user", "content": f"第{number}个问题：{QUESTIONS[number % 6]}"}],
            temperature=0,
            max_tokens=32,
            stream=True,
            extra_body={"structured_outputs": {"choice": [f"编号{number:04d}完"]}},
        )
        text = ""
        async for piece in pieces:
            text += piece.choices[0].delta.content or "" if piece.choices else ""
            if number in leaving:
                await pieces.close()
                return "left"
            if number in slow:
                await asyncio.sleep(0.2)
        return text

    async def all_at_once() -> list[str]:
        async with AsyncOpenAI(
            base_url=adapter_server.command.base_url, api_key="none", max_retries=0, timeout=300
        ) as client:
            return await asyncio.gather(*(stream(client, number) for number in range(STREAMS)))

    answers = asyncio.run(all_at_once())
    assert answers == ["left" if number in leaving else f"编号{number:04d}完" for number in range(STREAMS)]


def test_adapters_come_and_go_while_the_server_runs(adapter_server: VllmServer, tiny_run: TinyRun):
    client = adapter_server.client
    load_adapter(client, "second", str(tiny_run.half))
    assert {"second"} <= {m.name for m in served_models(client) if m.parent == "tiny-base"}
    assert ask(client, "second", [{"role": "user", "content": QUESTIONS[0]}], 4)["message"]["content"]
    unload_adapter(client, "second")
    assert "second" not in {m.name for m in served_models(client)}
    with pytest.raises(ConfigError, match="was not unloaded"):
        unload_adapter(client, "second")


def test_chat_streams_keeps_history_and_switches_thinking(adapter_server: VllmServer):
    url = adapter_server.command.base_url
    lines = iter([QUESTIONS[1], "/thinking on", QUESTIONS[0], "/clear", "/exit"])
    shown = Console(record=True, width=100, file=io.StringIO())
    converse([ChatModel("base", url, "tiny-base")], shown, max_tokens=32, read=lambda: next(lines))
    text = shown.export_text()
    assert "tokens/s" in text
    assert "thinking: on" in text


def test_chat_shows_two_models_side_by_side(adapter_server: VllmServer):
    url = adapter_server.command.base_url
    lines = iter([QUESTIONS[1], "/exit"])
    shown = Console(record=True, width=100, file=io.StringIO())
    models = [ChatModel(name, url, name) for name in ("tiny-base", "tiny")]
    converse(models, shown, max_tokens=16, read=lambda: next(lines))
    text = shown.export_text()
    assert " tiny-base " in text
    assert " tiny " in text


def test_a_chat_with_a_model_that_is_not_there_says_so_and_goes_on(adapter_server: VllmServer):
    url = adapter_server.command.base_url
    lines = iter([QUESTIONS[1], "/exit"])
    shown = Console(record=True, width=100, file=io.StringIO())
    converse([ChatModel("?", url, "not-there")], shown, read=lambda: next(lines))
    assert "not-there" in shown.export_text()


def test_the_printed_snippet_and_curl_line_work(adapter_server: VllmServer):
    command = adapter_server.command
    ran = subprocess.run([sys.executable, "-c", python_snippet(command)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip()
    curl = subprocess.run(["bash", "-c", curl_line(command)], capture_output=True, text=True, check=True)
    assert json.loads(curl.stdout)["choices"][0]["message"]["content"]


def test_a_json_schema_is_obeyed(openai_client: OpenAI):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "maximum": 99}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    answer = openai_client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "李明今年二十岁。用 JSON 回答他的名字和年龄。"}],
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
        max_tokens=64,
        temperature=0,
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"name", "age"}


def test_likelihoods_do_not_depend_on_order_or_on_what_is_cached(adapter_server: VllmServer, tiny_run: TinyRun):
    """Rows with long common beginnings, scored forwards, and backwards when all of them are cached."""
    rows = [row.input_ids for row in read_rows(tiny_run.run.data / "proof.jsonl", ProofRow, "train")]
    common = [token for ids in rows for token in ids] * 2
    asked = [*rows, *([*common[:length], *ids] for length in (64, 128, len(common)) for ids in rows)]
    for model in ("tiny-base", "tiny"):

        def score(ids: list[int], model: str = model) -> float:
            return served_logprob(adapter_server.client, model, ids, 1)

        forwards = [score(ids) for ids in asked]
        backwards = [score(ids) for ids in reversed(asked)][::-1]
        assert max(abs(a - b) for a, b in zip(forwards, backwards, strict=True)) < 1e-4


@pytest.mark.parametrize("stream", [False, True])
def test_a_json_schema_is_obeyed_after_thinking_too(stream: bool, openai_client: OpenAI):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "maximum": 99}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    settings = {
        "model": "tiny-base",
        "messages": [{"role": "user", "content": "李明今年二十岁。用 JSON 回答他的名字和年龄。"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
        "max_tokens": 400,
        "temperature": 0,
        "extra_body": {"chat_template_kwargs": {"enable_thinking": True}},
    }
    if stream:
        chunks = list(openai_client.chat.completions.create(**settings, stream=True))
        said = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        thought = "".join((piece.model_extra or {}).get("reasoning") or "" for piece in said)
        content = "".join(piece.content or "" for piece in said)
    else:
        message = openai_client.chat.completions.create(**settings).choices[0].message
        thought, content = (message.model_extra or {})["reasoning"], message.content or ""
    assert thought
    assert set(json.loads(content)) == {"name", "age"}


def test_a_forced_tool_call_comes_back_parsed(openai_client: OpenAI):
    tool = {
        "type": "function",
        "function": {
            "name": "look_up",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "enum": ["北京", "上海"]}},
                "required": ["city"],
            },
        },
    }
    answer = openai_client.chat.completions.create(
        model="tiny-base",
        messages=[{"role": "user", "content": "北京天气怎么样？"}],
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "look_up"}},
        max_tokens=64,
        temperature=0,
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert json.loads(calls[0].function.arguments)["city"] in ("北京", "上海")


def test_a_conversation_with_calls_is_asked_as_it_was_trained(
    adapter_server: VllmServer, demo_model: Path, tmp_path: Path
):
    written = {"parameters": {"type": "object", "properties": {}}, "name": "hours", "returns": {"type": "string"}}
    (tool,) = tools_of([written], lambda *_: None) or ()
    call = {"type": "function", "function": {"name": "hours", "arguments": {"gate": 3, "名": "北"}}}
    talk = [
        {"role": "user", "content": "几点开门？"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "9点"},
    ]
    codec = ChatCodec.load(demo_model)
    target = adapter_server.command.target
    whole = [*talk, {"role": "assistant", "content": "九点。"}]
    turn = render_turn(codec, whole, 3, thinking=bool(target.thinking), tools=[tool])
    row = ParityRow(id="1", messages=talk, tools=[tool], prompt_ids=turn.prompt_ids)
    write_rows(tmp_path / "parity.jsonl", [row])
    parity = check_parity(adapter_server.client, "tiny-base", tmp_path / "parity.jsonl")
    assert parity.passed, parity.difference
    asked = HeldoutRow(id="1", cluster="1", messages=talk, tools=[tool], answers=["九点。"])
    write_rows(tmp_path / "heldout.jsonl", [asked])
    assert check_behaviour(adapter_server.client, target, "tiny-base", tmp_path / "heldout.jsonl").answers == 1


def test_any_endpoint_can_be_talked_to(adapter_server: VllmServer):
    found = model_at(adapter_server.command.base_url)
    assert found.model == "tiny-base"
    with pytest.raises(TuneserveError, match=r"127\.0\.0\.1:9"):
        model_at("http://127.0.0.1:9/v1")
