"""An evaluation from the first request to the files: faults, resume, thinking, multiple choice."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from aiohttp import web

from configs.errors import ConfigError, DataError, EndpointError, TuneserveError
from configs.handover.rows import HeldoutRow
from configs.recipe.schema import GateConfig
from eval.ask.client import Client
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.evaluate import Progress, choice_margin, evaluate
from eval.ask.mock_server import MODEL, MockServer, answer_to, reply_of
from eval.ask.replies import check_chat
from eval.ask.results import TaskResult, read_results
from eval.compare.compare import compare
from eval.report.write import write_reports
from eval.tasks.heldout import heldout_task
from eval.tasks.task import Item, Task, conversation
from tests.eval.conftest import free_port, serving

QUICK = Settings(timeout_s=5.0, first_pause_s=0.01, outage_s=10.0, max_error_rate=1.0)
SLOW = replace(QUICK, concurrency=2)


def qa_task(count: int, name: str = "qa", marks: dict[int, str] | None = None) -> Task:
    """Questions whose answer the mock knows for two thirds."""
    items = [
        Item(
            f"{n:04d}", conversation(f"第{n}题{(marks or {}).get(n, '')}：城市{n}"), [f"城市{n}"], cluster=f"c{n // 4}"
        )
        for n in range(count)
    ]
    return Task(name, "qa", items, group="reading")


def comparable(results: dict[str, TaskResult]) -> str:
    """Everything but times and addresses, as text."""
    rows = {}
    for name, result in results.items():
        samples = [asdict(replace(sample, latency_s=0.0)) for sample in result.samples]
        rows[name] = {"meta": asdict(replace(result.meta, base_url="")), "samples": samples}
    return json.dumps(rows, ensure_ascii=False)


def rendered(base: dict[str, TaskResult], tuned: dict[str, TaskResult], folder: Path) -> dict[str, bytes]:
    written = write_reports([compare(base, tuned, GateConfig())], folder)
    return {name: path.read_bytes() for name, path in written.items()}


def test_answers_are_scored_and_written(endpoint: Endpoint, server: MockServer, tmp_path: Path) -> None:
    seen: list[Progress] = []
    results = evaluate(endpoint, [qa_task(30)], tmp_path, settings=QUICK, on_progress=seen.append)
    result = results["qa"]
    assert [sample.id for sample in result.samples] == [f"{n:04d}" for n in range(30)]
    right = [answer_to(f"第{n}题：城市{n}") == f"城市{n}" for n in range(30)]
    assert [sample.scores["zh_f1"] for sample in result.samples] == [1.0] * 30
    assert [sample.raw == f"城市{n}" for n, sample in enumerate(result.samples)] == right
    assert (seen[-1].done, seen[-1].total, seen[-1].errors) == (30, 30, 0)
    assert read_results(tmp_path) == results
    assert result.complete


def test_every_sampling_parameter_is_sent_and_what_is_not_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for owner, extra in (("mock", set()), ("vllm", {"top_k", "min_p", "repetition_penalty", "chat_template_kwargs"})):
        server = MockServer(owned_by=owner)
        with serving(server) as endpoint:
            evaluate(endpoint, [qa_task(1)], tmp_path / owner, settings=replace(QUICK, thinking=False))
        sent = set(server.bodies[0]) - {"model", "messages"}
        assert sent == {"temperature", "top_p", "max_tokens", "seed", "n", "presence_penalty", "frequency_penalty",
                        "stream"} | extra  # fmt: skip
        assert ("is told nothing of thinking=false" in " ".join(capsys.readouterr().out.split())) == (owner == "mock")


def test_tools_of_a_question_go_with_it_and_make_it_another(
    endpoint: Endpoint, server: MockServer, tmp_path: Path
) -> None:
    tools = [{"type": "function", "function": {"name": "hours", "parameters": {}}}]
    row = {"id": "1", "cluster": "c", "messages": [{"role": "user", "content": "几点开门？"}], "answers": ["九点"]}
    digests = set()
    for offered in (None, tools):
        task = heldout_task([HeldoutRow.model_validate({**row, "tools": offered})])
        samples = evaluate(endpoint, [task], tmp_path / str(offered is None), settings=QUICK)["heldout"].samples
        digests.add(samples[0].prompt_sha256)
    assert len(digests) == 2
    assert [(body.get("tools"), body.get("tool_choice")) for body in server.bodies] == [(None, None), (tools, "none")]


def test_what_is_added_goes_with_every_request_and_into_the_record(
    endpoint: Endpoint, server: MockServer, tmp_path: Path
) -> None:
    result = evaluate(endpoint, [qa_task(2)], tmp_path, settings=replace(QUICK, extra={"cache_salt": "a"}))["qa"]
    assert [body["cache_salt"] for body in server.bodies] == ["a", "a"]
    assert result.meta.settings["cache_salt"] == "a"


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    endpoint: Endpoint, server: MockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESERVE_API_KEY", "geheim-123")
    evaluate(endpoint, [qa_task(2)], tmp_path, settings=QUICK)
    assert server.headers[0]["Authorization"] == "Bearer geheim-123"
    assert all("geheim-123" not in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mark", "kind"),
    [("429", "http_429"), ("500", "http_500"), ("503", "http_503"), ("cut", "cut_stream"), ("drop", "connection"),
     ("badjson", "bad_json"), ("badshape", "bad_shape"), ("null", "null_content")],
)  # fmt: skip
def test_a_passing_fault_is_repeated_and_counted(endpoint: Endpoint, tmp_path: Path, mark: str, kind: str) -> None:
    task = qa_task(12, marks={5: f"[{mark}x1]"})
    samples = evaluate(endpoint, [task], tmp_path, settings=QUICK)["qa"].samples
    assert [sample.status for sample in samples] == ["ok"] * 12
    assert samples[5].retries == {kind: 1}


@pytest.mark.parametrize(
    ("mark", "kind", "attempts"),
    [
        ("500", "http_500", 6),
        ("400", "http_400", 1),
        ("badjson", "bad_json", 3),
        ("null", "null_content", 2),
        ("hang", "timeout", 3),
        ("cut", "cut_stream", 6),
    ],
)
def test_a_lasting_fault_becomes_an_error_of_its_class(
    endpoint: Endpoint, tmp_path: Path, mark: str, kind: str, attempts: int
) -> None:
    settings = replace(QUICK, timeout_s=0.5 if mark == "hang" else 30.0)
    result = evaluate(endpoint, [qa_task(4, marks={2: f"[{mark}]"})], tmp_path, settings=settings)["qa"]
    failed = result.samples[2]
    assert failed.error is not None
    assert (failed.status, failed.error.kind, failed.scores) == ("error", kind, {})
    assert failed.retries == {kind: attempts}
    assert [sample.status for sample in result.samples].count("ok") == 3
    assert result.scores("zh_f1") == [1.0, 1.0, 0.0, 1.0]


def test_a_refused_key_stops_at_once(
    endpoint: Endpoint, server: MockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(request: web.Request, body: dict[str, object]) -> web.StreamResponse:
        return web.json_response(reply_of("北京"), status=401 if len(server.bodies) > 20 else 200)

    monkeypatch.setattr(server, "_answer", refuses)
    with pytest.raises(EndpointError, match="TUNESERVE_API_KEY"):
        evaluate(endpoint, [qa_task(500)], tmp_path, settings=QUICK)
    assert len(server.bodies) < 500


def test_an_unknown_model_name_is_told_before_the_first_question(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="it serves: mock"):
        evaluate(replace(endpoint, model="qwen"), [qa_task(1)], tmp_path, settings=QUICK)


def test_no_answer_ends_an_evaluation(endpoint: Endpoint, tmp_path: Path) -> None:
    """Answers of every shape are right or wrong, and a repeated command reads them as the first did."""
    answers = ["4.5/3", "#### 2.5/5", "9" * 5000, "1/0", "1e999999999", "[" * 20000, "④", "七", "½" * 500, "1.5"]
    items = [Item(f"{n}", conversation(f"第{n}题：{answer}"), ["1.5"]) for n, answer in enumerate(answers)]
    half = [Item("half", conversation("问：[halfchar]"), ["城市7"])]
    tasks = [Task("sums", "number", items), Task("halves", "qa", half)]
    for _ in range(2):
        results = evaluate(endpoint, tasks, tmp_path, settings=QUICK)
        assert [sample.status for result in results.values() for sample in result.samples] == ["ok"] * 11
    right = {sample.id for sample in results["sums"].samples if sample.scores["accuracy"]}
    assert right == {"0", "9"}
    assert results["halves"].samples[0].answer == "城市7\ufffd"


def test_cut_thinking_is_an_empty_answer_with_a_flag(endpoint: Endpoint, tmp_path: Path) -> None:
    sample = evaluate(endpoint, [qa_task(1, marks={0: "[cutthinking]"})], tmp_path, settings=QUICK)["qa"].samples[0]
    assert (sample.status, sample.answer, sample.flags) == ("ok", "", ["truncated_thinking"])
    assert sample.scores["cmrc_f1"] == 0.0


def test_thoughts_in_a_field_of_their_own_are_kept_under_either_name(endpoint: Endpoint, tmp_path: Path) -> None:
    task = qa_task(2, marks={0: "[reasoning]", 1: "[reasoning_content]"})
    result = evaluate(endpoint, [task], tmp_path, settings=replace(QUICK, thinking=True))["qa"]
    assert [(sample.reasoning, sample.answer, sample.flags) for sample in result.samples] == [("想", "北京", [])] * 2


def test_a_busy_server_is_asked_less(tmp_path: Path) -> None:
    server = MockServer(latency_ms=20, capacity=6)
    with serving(server) as endpoint:
        result = evaluate(endpoint, [qa_task(150)], tmp_path, settings=replace(QUICK, timeout_s=30))["qa"]
    assert [sample.status for sample in result.samples].count("ok") == 150
    refused = sum(sample.retries.get("http_429", 0) for sample in result.samples)
    assert 0 < refused < 150


@pytest.mark.parametrize("fault", ["429", "500", "503"])
def test_a_server_that_answers_nobody_any_more_ends_the_evaluation(fault: str, tmp_path: Path) -> None:
    task = qa_task(300, marks=dict.fromkeys(range(20, 300), f"[{fault}]"))
    settings = replace(QUICK, outage_s=1, timeout_s=1, max_error_rate=0.1)
    began = time.monotonic()
    with serving(MockServer()) as endpoint, pytest.raises(EndpointError, match=f"answered nobody .*planted {fault}"):
        evaluate(endpoint, [task], tmp_path, settings=settings)
    assert time.monotonic() - began < 10
    assert sum(sample.status == "ok" for sample in read_results(tmp_path)["qa"].samples) == 20


@pytest.mark.parametrize("fault", ["429", "503"])
def test_a_few_questions_that_nobody_answers_at_the_end_are_errors(fault: str, tmp_path: Path) -> None:
    task = qa_task(200, marks=dict.fromkeys(range(185, 200), f"[{fault}]"))
    with serving(MockServer()) as endpoint:
        for _ in range(2):  # repeated, there is nothing else to ask
            settings = replace(QUICK, outage_s=1, timeout_s=1, max_error_rate=0.1)
            assert len(evaluate(endpoint, [task], tmp_path, settings=settings)["qa"].errors) == 15


def test_concurrency_rises_by_itself(tmp_path: Path) -> None:
    server = MockServer(latency_ms=30)
    with serving(server) as endpoint:
        evaluate(endpoint, [qa_task(300)], tmp_path, settings=QUICK)
    assert server.most_in_flight >= 16  # it starts with 8


@pytest.mark.parametrize(("fixed", "most"), [(0, 12), (3, 3)])
def test_requests_of_another_kind_are_no_more_at_once_than_told(fixed: int, most: int) -> None:
    server = MockServer(latency_ms=30)
    body = json.dumps({"messages": [{"role": "user", "content": "?"}]}).encode()

    async def ask(endpoint: Endpoint) -> None:
        async with Client(endpoint, replace(QUICK, concurrency=fixed)) as client:
            for _ in range(2):
                server.most_in_flight = 0
                jobs = ((number, body, check_chat) for number in range(300 if not fixed else 20))
                await client.ask_all("chat/completions", jobs, lambda number, outcome: None)
                client.at_most(12)

    with serving(server) as endpoint:
        asyncio.run(ask(endpoint))
    assert server.most_in_flight == most


def test_a_fixed_concurrency_is_kept(tmp_path: Path) -> None:
    server = MockServer(latency_ms=5)
    with serving(server) as endpoint:
        evaluate(endpoint, [qa_task(60)], tmp_path, settings=replace(QUICK, concurrency=3))
    assert server.most_in_flight == 3


CHOICES = {"A": "北京", "B": "上海", "C": "广州", "D": "深圳"}


def choice_task(count: int) -> Task:
    items = [Item(f"{n}", conversation(f"第{n}题：A"), ["A"], choices=CHOICES) for n in range(count)]
    return Task("exam", "choice", items, group="knowledge")


def test_choices_are_restricted_on_vllm_and_extracted_elsewhere(tmp_path: Path) -> None:
    server = MockServer(owned_by="vllm")
    with serving(server) as endpoint:
        restricted = evaluate(endpoint, [choice_task(8)], tmp_path / "v", settings=QUICK)["exam"]
    assert restricted.meta.method == "choice_logprobs"
    assert restricted.meta.chance == 0.25
    assert {body["max_tokens"] for body in server.bodies} == {1}
    assert {tuple(body["structured_outputs"]["choice"]) for body in server.bodies} == {tuple("ABCD")}
    assert all(sample.detail["margin"] >= 2.9 for sample in restricted.samples)
    with serving(MockServer()) as endpoint:
        generated = evaluate(endpoint, [choice_task(8)], tmp_path / "g", settings=QUICK)["exam"]
        with pytest.raises(ConfigError, match="choice_logprobs needs a vLLM server"):
            evaluate(
                endpoint, [choice_task(8)], tmp_path / "g", settings=replace(QUICK, choice_method="choice_logprobs")
            )
    assert generated.meta.method == "generate"
    assert generated.mean() == 1.0
    assert generated.meta.settings_sha256 != restricted.meta.settings_sha256


@pytest.mark.parametrize(
    ("logprobs", "margin"),
    [((-0.1, -2.6), 2.5), ((-0.1, -9999.0), None), ((-0.1,), None), ((), None)],
)
def test_the_margin_is_between_the_two_best_letters(logprobs: tuple[float, ...], margin: float | None) -> None:
    top = [{"token": letter, "logprob": value} for letter, value in zip(("B", " A"), logprobs, strict=False)]
    noise = [{"token": "答", "logprob": -0.01}]
    assert choice_margin({"content": [{"top_logprobs": noise + top}]}, list("ABCD")) == margin


def test_other_settings_ask_everything_anew(endpoint: Endpoint, server: MockServer, tmp_path: Path) -> None:
    evaluate(endpoint, [qa_task(5)], tmp_path, settings=QUICK)
    evaluate(endpoint, [qa_task(5)], tmp_path, settings=QUICK)
    assert len(server.bodies) == 5
    (mine := tmp_path / "token").write_text("no line end", encoding="utf-8")
    (tmp_path / "qa.jsonl.old").symlink_to(mine)
    evaluate(endpoint, [qa_task(5)], tmp_path, settings=replace(QUICK, temperature=0.7))
    assert len(server.bodies) == 10
    assert len((tmp_path / "qa.jsonl.old").read_text(encoding="utf-8").splitlines()) == 5
    (tmp_path / "qa.jsonl.old").write_bytes(b'{"question": "\xff"}\n')
    evaluate(endpoint, [qa_task(5)], tmp_path, settings=QUICK)
    assert len((tmp_path / "qa.jsonl.old").read_bytes()) == 18
    assert len((tmp_path / "qa.jsonl.2.old").read_text(encoding="utf-8").splitlines()) == 5
    (tmp_path / "qa.jsonl").unlink()
    (tmp_path / "qa.jsonl").symlink_to(mine)
    with pytest.raises(OSError, match="a link"):
        evaluate(endpoint, [qa_task(5)], tmp_path, settings=QUICK)
    assert mine.read_text(encoding="utf-8") == "no line end"


@pytest.mark.parametrize("step", ["drop_torn_line", "write_atomically", "write_meta"])
def test_a_kill_while_old_answers_are_set_aside_leaves_none_of_them(
    step: str, endpoint: Endpoint, server: MockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta file must not say of answers that stand there still how others were to be asked."""
    evaluate(endpoint, [qa_task(5)], tmp_path, settings=QUICK)
    with monkeypatch.context() as killed:
        killed.setattr(f"eval.ask.kept.{step}", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate(endpoint, [qa_task(5)], tmp_path, settings=replace(QUICK, temperature=0.7))
    evaluate(endpoint, [qa_task(5)], tmp_path, settings=replace(QUICK, temperature=0.7))
    assert len(server.bodies) == 10


@pytest.mark.parametrize("beside", [{}, {"qa.meta.json": '{"mine": 1}'}])
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_file_of_the_users_is_never_touched(
    endpoint: Endpoint, server: MockServer, tmp_path: Path, end: str, beside: dict[str, str]
) -> None:
    """Named like the task's answers, in the folder that was given, as with `--tasks qa:qa=qa.jsonl --out .`."""
    mine = {"qa.jsonl": '{"question": "一", "answer": "1"}\n{"question": "二", "answer": "2"}' + end} | beside
    for name, text in mine.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises((ConfigError, DataError), match=r"no evaluation wrote it|not a meta file"):
        evaluate(endpoint, [qa_task(5, "other"), qa_task(5)], tmp_path, settings=QUICK)
    assert {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()} == mine
    assert not server.bodies


def test_answers_that_were_replaced_by_something_else_are_not_cut(endpoint: Endpoint, tmp_path: Path) -> None:
    evaluate(endpoint, [qa_task(5)], tmp_path, settings=QUICK)
    (tmp_path / "qa.jsonl").write_text('{"question": "一"}\n{"question": "二"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"qa.jsonl, line 1: not a sample"):
        evaluate(endpoint, [qa_task(5)], tmp_path, settings=QUICK)
    assert (tmp_path / "qa.jsonl").read_text(encoding="utf-8") == '{"question": "一"}\n{"question": "二"}'


def test_two_evaluations_do_not_write_into_one_folder(tmp_path: Path) -> None:
    server = MockServer(latency_ms=400)
    with serving(server) as endpoint:
        first = threading.Thread(target=evaluate, args=(endpoint, [qa_task(24)], tmp_path), kwargs={"settings": SLOW})
        first.start()
        while not server.bodies:
            time.sleep(0.01)
        with pytest.raises(TuneserveError, match="another evaluation is writing there"):
            evaluate(endpoint, [qa_task(24)], tmp_path, settings=QUICK)
        first.join()
    assert len(server.bodies) == 24
    assert len(read_results(tmp_path)["qa"].samples) == 24


def test_more_or_fewer_items_keep_what_still_holds(endpoint: Endpoint, server: MockServer, tmp_path: Path) -> None:
    evaluate(endpoint, [qa_task(5)], tmp_path, settings=QUICK)
    assert len(evaluate(endpoint, [qa_task(8)], tmp_path, settings=QUICK)["qa"].samples) == 8
    assert len(evaluate(endpoint, [qa_task(3)], tmp_path, settings=QUICK)["qa"].samples) == 3
    # What says which questions belong together may come later than the answers.
    items = [replace(item, cluster="passage", detail={"subject": "law"}) for item in qa_task(3).items]
    kept = evaluate(endpoint, [replace(qa_task(3), items=items)], tmp_path, settings=QUICK)["qa"].samples
    assert {(sample.cluster, sample.detail["subject"]) for sample in kept} == {("passage", "law")}
    assert len(server.bodies) == 8


def test_a_torn_line_is_asked_again(endpoint: Endpoint, server: MockServer, tmp_path: Path) -> None:
    whole = comparable(evaluate(endpoint, [qa_task(20)], tmp_path, settings=QUICK))
    lines = tmp_path / "qa.jsonl"
    lines.write_bytes(lines.read_bytes()[:-25])
    assert len(read_results(tmp_path)["qa"].samples) == 19
    assert comparable(evaluate(endpoint, [qa_task(20)], tmp_path, settings=QUICK)) == whole
    assert len(server.bodies) == 21


def test_answers_that_were_scored_by_other_rules_are_scored_again_not_asked(
    endpoint: Endpoint, server: MockServer, tmp_path: Path
) -> None:
    whole = evaluate(endpoint, [qa_task(20)], tmp_path, settings=QUICK)
    lines, meta = tmp_path / "qa.jsonl", tmp_path / "qa.meta.json"
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    other = [row | {"scores": dict.fromkeys(row["scores"], 0.25), "flags": ["unparsed", "truncated"]} for row in rows]
    lines.write_text("".join(json.dumps(row) + "\n" for row in other), encoding="utf-8")
    meta.write_text(json.dumps(json.loads(meta.read_bytes()) | {"scoring_sha256": "ab12"}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"the rules of scoring, .* differs between base \(ab12\) and tuned"):
        compare(read_results(tmp_path), whole, GateConfig())
    again = evaluate(endpoint, [qa_task(20)], tmp_path, settings=QUICK)["qa"]
    assert [sample.scores for sample in again.samples] == [sample.scores for sample in whole["qa"].samples]
    assert {tuple(sample.flags) for sample in again.samples} == {("truncated",)}
    assert len(server.bodies) == 20


def test_kill_minus_nine_at_random_moments(tmp_path: Path) -> None:
    """The resumed result and its report are the uninterrupted ones, and no recorded sample is asked twice.

    TUNESERVE_KILLS sets the number of moments.
    """
    server = MockServer(latency_ms=4)
    tasks = [qa_task(120), qa_task(60, name="more")]
    settings = replace(QUICK, concurrency=4)
    fork = multiprocessing.get_context("fork")
    with serving(server) as endpoint:
        began = time.monotonic()
        uninterrupted = evaluate(endpoint, tasks, tmp_path / "whole", settings=settings)
        lasts_s = time.monotonic() - began
        whole, report = comparable(uninterrupted), rendered(uninterrupted, uninterrupted, tmp_path / "report")
        draw = random.Random(7)
        interrupted = 0
        for moment in range(int(os.environ.get("TUNESERVE_KILLS", "10"))):
            out = tmp_path / str(moment)
            child = fork.Process(target=evaluate, args=(endpoint, tasks, out), kwargs={"settings": settings})
            child.start()
            time.sleep(draw.uniform(0.0, lasts_s))
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            recorded = {
                (path.stem, json.loads(line)["prompt"][-1]["content"])
                for path in out.glob("*.jsonl")
                for line in path.read_bytes().split(b"\n")[:-1]
            }
            interrupted += 0 < len(recorded) < 180
            asked_before = len(server.bodies)
            resumed = evaluate(endpoint, tasks, out, settings=settings)
            assert comparable(resumed) == whole
            assert rendered(uninterrupted, resumed, tmp_path / "report") == report
            assert len(server.bodies) - asked_before == 180 - len(recorded)
        assert interrupted > 0


@pytest.fixture
def mortal() -> Iterator[tuple[Endpoint, list[subprocess.Popen]]]:
    """A mock server in a process of its own, and the way to start it again."""
    port = free_port()
    processes: list[subprocess.Popen] = []
    yield Endpoint(f"http://127.0.0.1:{port}", MODEL), processes
    for process in processes:
        process.kill()
        process.wait()


def start(endpoint: Endpoint) -> subprocess.Popen:
    port = endpoint.base_url.rsplit(":", 1)[1].split("/")[0]
    command = [sys.executable, "-m", "eval.ask.mock_server", "--port", port, "--latency-ms", "20"]
    process = subprocess.Popen(command)
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                break
        time.sleep(0.02)
    return process


def kill_once_it_answers(server: subprocess.Popen, lines: Path) -> None:
    while not lines.exists() or lines.stat().st_size < 5000:
        time.sleep(0.01)
    server.kill()
    server.wait()


def test_a_server_that_dies_and_comes_back(mortal: tuple[Endpoint, list[subprocess.Popen]], tmp_path: Path) -> None:
    endpoint, processes = mortal
    processes.append(start(endpoint))

    def kill_and_revive() -> None:
        kill_once_it_answers(processes[0], tmp_path / "qa.jsonl")
        processes.append(start(endpoint))

    reaper = threading.Thread(target=kill_and_revive)
    reaper.start()
    result = evaluate(endpoint, [qa_task(300)], tmp_path, settings=replace(QUICK, outage_s=30, concurrency=8))["qa"]
    reaper.join()
    assert [sample.status for sample in result.samples].count("ok") == 300
    assert sum(sample.retries.get("connection", 0) for sample in result.samples) > 0
    port = endpoint.base_url.removesuffix("/v1")
    with urllib.request.urlopen(f"{port}/asked") as asked:
        assert 0 < len(json.load(asked)) < 300


def test_a_server_that_has_ended_for_good_is_not_waited_for(
    mortal: tuple[Endpoint, list[subprocess.Popen]], tmp_path: Path
) -> None:
    endpoint, processes = mortal
    processes.append(start(endpoint))
    watched = replace(endpoint, gone=lambda: processes[0].poll() is not None)
    reaper = threading.Thread(target=kill_once_it_answers, args=(processes[0], tmp_path / "qa.jsonl"))
    reaper.start()
    with pytest.raises(EndpointError, match=r"did not answer for [0-9] s"):
        evaluate(watched, [qa_task(300)], tmp_path, settings=replace(QUICK, outage_s=30, concurrency=8))
    reaper.join()


def test_a_server_that_stays_away_is_an_error_with_what_was_answered_kept(tmp_path: Path) -> None:
    with serving(MockServer()) as endpoint:
        evaluate(endpoint, [qa_task(3)], tmp_path, settings=QUICK)
    with pytest.raises(EndpointError, match="cannot be asked"):
        evaluate(endpoint, [qa_task(6)], tmp_path, settings=replace(QUICK, outage_s=0.3))
    assert len(read_results(tmp_path)["qa"].samples) == 3
