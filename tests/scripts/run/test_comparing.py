"""`tuneserve compare` at endpoints: noise floor, drift, judge, and what a wrong call is told."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import zlib
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner

from configs.errors import ConfigError, EndpointError
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.language import LANG
from eval.ask.mock_server import MODEL, MockServer, reply_of
from eval.metrics.rouge import jieba_version
from scripts.cli import app
from scripts.run.comparing import JUDGE_KEY, alone_in, endpoints, judge_endpoint
from tests.eval.compare.test_judge import JudgingServer
from tests.eval.conftest import free_port, serving

NOISE_AND_DRIFT = ("eval.repeat_base=true", "eval.drift=true")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "qa.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": f"第{n}题：城市{n}"}], "answers": [f"城市{n}"]} for n in range(20)
    ]
    file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    return file


class Certain(MockServer):
    """Never adds the question mark that the other one adds to some answers."""

    async def _answer(self, request: web.Request, body: dict) -> web.StreamResponse:
        reply = await super()._answer(request, body)
        assert isinstance(reply, web.Response)
        return web.json_response(json.loads(str(reply.text).replace("\\uff1f", "")))


class Elsewhere(MockServer):
    """Names villages where the other one names cities."""

    async def _answer(self, request: web.Request, body: dict) -> web.StreamResponse:
        reply = await super()._answer(request, body)
        assert isinstance(reply, web.Response)
        return web.json_response(json.loads(str(reply.text).replace("\\u57ce\\u5e02", "\\u6751\\u5e84")))


def compare(*args: str | Path, language: str = "en") -> str:
    result = CliRunner().invoke(app, ["compare", *map(str, args)], catch_exceptions=False, env={LANG: language})
    assert result.exit_code == 0, result.output
    return result.output


def test_endpoints_with_noise_floor_and_drift(rows: Path, tmp_path: Path) -> None:
    base_server, tuned_server, out = MockServer(), Certain(), tmp_path / "report"
    with serving(base_server) as base, serving(tuned_server) as tuned:
        asked = ("--base-url", base.base_url, "--model", MODEL, "--base-url", tuned.base_url, "--model", MODEL)
        settings = ("eval.repeat_base=true", "eval.drift=true")
        args = (*asked, "--tasks", f"mine:qa={rows}", "--out", out, *settings)
        compare(*args)
        assert (len(base_server.asked), len(tuned_server.asked)) == (40, 20)
        compare(*args)
        assert (len(base_server.asked), len(tuned_server.asked)) == (40, 20)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    task = report["tasks"][0]
    assert (task["noise"]["delta_points"], task["noise"]["changed"], task["noise"]["n"]) == (0, 0, 20)
    assert task["metric"] == "cmrc_em"
    assert task["tuned_points"] == 100
    assert report["drift"]["change_per_character"] == 0
    assert (report["base"], report["tuned"], report["base_model"]) == ("base", "tuned", MODEL)
    check_facts(report["facts"])
    assert report["facts"]["command"].startswith("tuneserve ")


def check_facts(facts: dict) -> None:
    assert facts["versions"]["jieba"] == jieba_version()
    assert facts["versions"]["tuneserve"] == importlib.metadata.version("tuneserve")
    assert datetime.now(UTC) - datetime.fromisoformat(facts["created_at"]) < timedelta(minutes=5)


def test_several_tuned_models_share_one_base(rows: Path, tmp_path: Path) -> None:
    servers, judging = [MockServer(), Certain(), Elsewhere()], JudgingServer(lambda first, second: "结论：平")
    with ExitStack() as running:
        *asked, third = [running.enter_context(serving(server)).base_url for server in (*servers, judging)]
        output = compare(
            *(word for url in asked for word in ("--base-url", url, "--model", MODEL)),
            *("--targets", f"mine:qa={rows}", "--tasks", f"kept:qa={rows}", "--out", tmp_path),
            *("--judge-url", third, "--judge-model", MODEL, "eval.drift=true"),
        )
    reports = [json.loads((tmp_path / f"report.{n}.json").read_text(encoding="utf-8")) for n in ("mock", "mock-2")]
    assert [(report["base"], report["tasks"][0]["tuned_points"]) for report in reports] == [("base", 100), ("base", 0)]
    assert all(report["drift"] and report["judged"][0]["ties"] == 20 for report in reports)
    assert (tmp_path / "eval" / "judge" / "mock-2" / "kept.jsonl").is_file()
    assert [len(server.asked) for server in servers] == [40, 40, 40]
    assert "Learning against forgetting" in output
    assert "2 runs against base" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("named", [True, False])
def test_one_model_under_two_names_is_not_compared_with_itself(named: bool, rows: Path, tmp_path: Path) -> None:
    class Gateway(MockServer):
        """Has a list of names, and one model for all of them, which answers under the name asked for, or its own."""

        async def _models(self, request: web.Request) -> web.Response:
            return web.json_response({"data": [{"id": "shop-base"}, {"id": "shop"}]})

        async def _answer(self, request: web.Request, body: dict) -> web.StreamResponse:
            return web.json_response(reply_of("城市1") | ({"model": body["model"]} if named else {}))

    with serving(Gateway()) as one:
        asked = [word for name in ("shop-base", "shop") for word in ("--base-url", one.base_url, "--model", name)]
        call = ["compare", *asked, "--tasks", f"mine:qa={rows}", "--out", str(tmp_path)]
        found = CliRunner().invoke(app, call)
    said = f"{one.base_url}: {MODEL} answered for shop-base and for shop"
    assert found.exit_code == 0 if named else said in str(found.exception), found.output


def test_labels_are_folders_of_their_own() -> None:
    for models, labels in (
        (["b", "x/a", "x_a", "base", "..", "a-2", "a", "a"], ["x_a", "x_a-2", "base-2", "tuned", "a-2", "a", "a-3"]),
        (["b", "a"], ["tuned"]),
    ):
        found = endpoints(["http://127.0.0.1:9"] * len(models), models)
        assert [one.label for one in found] == ["base", *labels]
    with pytest.raises(ConfigError, match="3 --base-url and 2 --model were given"):
        endpoints(["http://127.0.0.1:9"] * 3, ["b", "a"])


def test_endpoints_are_asked_and_gated_as_told(rows: Path, tmp_path: Path) -> None:
    server = MockServer(latency_ms=5)
    with serving(server) as base:
        asked = ("--base-url", base.base_url, "--model", MODEL) * 2
        gate = ("eval.gate.margin_points=5", "eval.gate.mean_margin_points=3.5")
        told = ("seed=7", "eval.concurrency=2", "eval.max_tokens=33", "eval.temperature=0.5", *gate)
        compare(*asked, "--tasks", f"mine:qa={rows}", "--out", tmp_path, *told)
    assert {(body["seed"], body["max_tokens"], body["temperature"]) for body in server.bodies} == {(7, 33, 0.5)}
    assert server.most_in_flight == 2
    gate = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["gate"]
    assert (gate["margin_points"], gate["mean_margin_points"]) == (5, 3.5)


def test_progress_tells_of_failed_attempts(rows: Path, tmp_path: Path) -> None:
    rows.write_text(rows.read_text(encoding="utf-8").replace("第7题", "第7题[429x2]"), encoding="utf-8")
    with serving(MockServer()) as one:
        asked = ("--base-url", one.base_url, "--model", MODEL) * 2
        assert "2 failed attempts" in compare(*asked, "--tasks", f"mine:qa={rows}", "--out", tmp_path)


@pytest.mark.parametrize(("given", "sent"), [([], None), (["thinking=true"], True), (["thinking=false"], False)])
def test_the_thinking_mode_is_the_servers_own_unless_told(given: list, sent: bool | None, rows: Path, tmp_path: Path):
    server = MockServer(owned_by="vllm")
    with serving(server) as base:
        asked = ("--base-url", base.base_url, "--model", MODEL) * 2
        compare(*asked, "--tasks", f"mine:qa={rows}", "--out", tmp_path, *given)
    kwargs = [body.get("chat_template_kwargs", {}).get("enable_thinking") for body in server.bodies]
    assert set(kwargs) == {sent}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("train.epochs=3", "'train.epochs=3': an endpoint has no recipe, only eval.*, seed, hub, offline, thinking"),
        ("eval.gate.margin=5", "unknown key `eval.gate.margin`; did you mean `margin_points`?"),
        ("eval.max_tokens=none", "override 'eval.max_tokens=none': `eval.max_tokens`"),
        ("eval.heldout=true", "only a run has held-out rows"),
    ],
)
def test_an_override_that_means_nothing_at_endpoints_is_refused(given: str, said: str, rows: Path, tmp_path: Path):
    asked = ("--base-url", "http://127.0.0.1:9", "--model", MODEL) * 2
    found = CliRunner().invoke(app, ["compare", *asked, "--tasks", f"mine:qa={rows}", "--out", str(tmp_path), given])
    assert said in str(found.exception)


def test_a_run_does_not_ignore_what_is_for_endpoints(tmp_path: Path) -> None:
    run = RunDir.create(
        RunConfig.model_validate({"name": "a", "model": "m", "output_dir": str(tmp_path), "data": {"sources": "rows"}})
    )
    found = CliRunner().invoke(app, ["compare", str(run.path), "--limit", "5"])
    assert "--limit are for endpoints" in str(found.exception)
    for given, said in (
        (["train.epochs=3"], "is trained already"),
        (["data=x.jsonl"], "is trained already"),
        (["--again", "eval.suite=9000"], "changes nothing of answers that are there"),
    ):
        assert said in str(CliRunner().invoke(app, ["compare", str(run.path), *given]).exception)


def test_a_run_is_not_compared_with_another_base_than_it_was_trained_on(tmp_path: Path) -> None:
    base = Path(__file__).parents[3] / "configs" / "demo" / "model"
    recipe = {"name": "a", "model": str(base), "output_dir": str(tmp_path), "data": {"sources": "rows"}}
    run = RunDir.create(RunConfig.model_validate(recipe))
    with run.stage("train", {"base_model": "what it was trained on"}, []):
        pass
    found = CliRunner().invoke(app, ["compare", str(run.path)])
    assert "weights or config.json are not those that" in str(found.exception)


def test_several_runs_keep_noise_floor_and_drift(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tmp_path / "first"
    with serving(MockServer()) as base, serving(Certain()) as tuned:
        asked = ("--base-url", base.base_url, "--model", MODEL, "--base-url", tuned.base_url, "--model", MODEL)
        compare(*asked, "--tasks", f"mine:qa={rows}", "--out", first, *NOISE_AND_DRIFT)
    runs = []
    for name in ("a", "b"):
        recipe = {"name": name, "model": "m", "output_dir": str(tmp_path / "runs"), "data": {"sources": str(rows)}}
        run = RunDir.create(RunConfig.model_validate(recipe | {"eval": {"repeat_base": True, "drift": True}}))
        for stage in ("train", "base", "tuned"):
            with run.stage(stage, {}, []):
                pass
        shutil.copytree(first / "eval", run.eval, dirs_exist_ok=True)
        runs.append(run.path)
    compare(*runs, "--again", "--out", tmp_path / "both", "eval.gate.margin_points=7")
    for name in ("a", "b"):
        report = json.loads((tmp_path / "both" / f"report.{name}.json").read_text(encoding="utf-8"))
        check_facts(report["facts"])
        assert report["tasks"][0]["noise"]["n"] == 20
        assert report["gate"]["margin_points"] == 7
        assert report["drift"]["change_per_character"] == 0
    merged = RunDir(runs[0]).merged
    merged.mkdir()
    (merged / "config.json").write_text("{}", encoding="utf-8")
    compare(runs[0], "--again", "eval.gate.margin_points=7")
    assert "at most 7 points" in (merged / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr("configs.disk.locks.WAIT_S", 0)
    for held, said in (
        (RunDir(runs[0]).exclusively(), "another tuneserve command is working"),  # it may change what is compared
        (alone_in(tmp_path / "both"), "another comparison is writing there"),
    ):
        with held:
            found = CliRunner().invoke(app, ["compare", *map(str, runs), "--again", "--out", str(tmp_path / "both")])
        assert said in str(found.exception)
    second, before = RunDir(runs[1]), str(runs[0])
    known = second.config()
    second.configure(known.model_copy(update={"train": known.train.model_copy(update={"continue_from": before})}))
    shutil.copytree(first / "eval" / "base", second.eval / "origin")
    with pytest.raises(ConfigError, match="was not asked to the end: the stage origin"):
        CliRunner().invoke(app, ["compare", before, str(runs[1]), "--again"], catch_exceptions=False)
    with second.stage("origin", {}, []):
        pass
    compare(runs[1], "--again", "--out", tmp_path / "beside", "--no-answers")
    assert "城市" not in (tmp_path / "beside" / "origin" / "report.html").read_text(encoding="utf-8")
    assert not second.report.exists()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "report.md").write_text("mine", encoding="utf-8")
    found = CliRunner().invoke(app, ["compare", *map(str, runs), "--again"])
    assert "comparison: report.md is in it, which is no report of ours" in str(found.exception)
    for stage, inputs, said, compared in (
        ("tuned", {"serve.precision": "fp8"}, 'its answers are of serve.precision="fp8", those of base', runs),
        ("origin", {"serve.precision": "bf16"}, 'those of origin in .* of serve.precision="bf16"', runs[1:]),
        ("base", {"serve.precision": "auto"}, 'of serve.precision="auto"', runs[1:]),
        ("base", {"base_weights": "others"}, "its base is another one than that of", runs),
    ):
        with RunDir(runs[1]).stage(stage, inputs, []), RunDir(runs[0]).stage("base", {"serve.precision": "auto"}, []):
            pass
        found = CliRunner().invoke(app, ["compare", *map(str, compared), "--again", "--out", str(tmp_path / "both")])
        assert re.search(said, str(found.exception))


@pytest.mark.parametrize("quoted", [True, False])
def test_a_report_can_leave_the_answers_out(rows: Path, tmp_path: Path, quoted: bool) -> None:
    with serving(MockServer()) as base, serving(Elsewhere()) as tuned:
        asked = ("--base-url", base.base_url, "--model", MODEL, "--base-url", tuned.base_url, "--model", MODEL)
        compare(*asked, "--tasks", f"mine:qa={rows}", "--out", tmp_path, *(() if quoted else ("--no-answers",)))
    files = sorted(path for path in tmp_path.iterdir() if path.name.startswith("report."))
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    assert ("城市" in text, "村庄" in text) == (quoted, quoted)
    task = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["tasks"][0]
    assert (len(files), task["lost"], bool(task["flips"])) == (4, 20, quoted)


def test_a_judge_reads_both_answers(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def certain(first: str, second: str) -> str:
        if ("？" in first) == ("？" in second):
            return "结论：平"
        return "结论：二" if "？" in first else "结论：一"

    monkeypatch.setenv(JUDGE_KEY, "judges-own")
    monkeypatch.setenv("TUNESERVE_API_KEY", "models-own")
    judging, out = JudgingServer(certain), tmp_path / "report"
    base_server = MockServer()
    with serving(base_server) as base, serving(Certain()) as tuned, serving(judging) as third:
        output = compare(
            *("--base-url", base.base_url, "--model", MODEL, "--base-url", tuned.base_url, "--model", MODEL),
            *("--tasks", f"mine:qa={rows}", "--out", out),
            *("--judge-url", third.base_url, "--judge-model", MODEL),
            language="zh",
        )
    pairs = [json.loads(line) for line in (out / "eval" / "judge" / "mine.jsonl").read_text().splitlines()]
    wins = sum(pair["outcome"] == "tuned" for pair in pairs)
    assert 0 < wins < len(pairs) == 20
    seen = json.loads((out / "report.json").read_text(encoding="utf-8"))["judged"][0]
    assert (seen["wins"], seen["losses"], seen["ties"], seen["failures"]) == (wins, 0, 20 - wins, 0)
    assert len(judging.bodies) == 40
    assert {headers["Authorization"] for headers in judging.headers} == {"Bearer judges-own"}
    assert {headers["Authorization"] for headers in base_server.headers} == {"Bearer models-own"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "并排评判" in page
    assert "judges-own" not in page + output


@pytest.mark.parametrize("away", ["tuned", "judge"])
def test_who_is_not_there_is_said_before_the_base_is_asked(away: str, rows: Path, tmp_path: Path) -> None:
    server, nobody = MockServer(), f"http://127.0.0.1:{free_port()}/v1"
    with serving(server) as base:
        tuned, third = (nobody if name == away else base.base_url for name in ("tuned", "judge"))
        with pytest.raises(EndpointError, match=f"{nobody} cannot be asked"):
            compare(
                *("--base-url", base.base_url, "--model", MODEL, "--base-url", tuned, "--model", MODEL),
                *("--tasks", f"mine:qa={rows}", "--out", tmp_path, "--judge-url", third, "--judge-model", MODEL),
            )
    assert not server.asked


@pytest.mark.parametrize("owners", [("vllm", "mock"), ("mock", "vllm")])
def test_servers_that_are_asked_otherwise_are_refused_before_they_are(
    owners: tuple[str, str], rows: Path, tmp_path: Path
) -> None:
    one, two = (MockServer(owned_by=owner) for owner in owners)
    with serving(one) as base, serving(two) as tuned:
        asked = ("--base-url", base.base_url, "--model", MODEL, "--base-url", tuned.base_url, "--model", MODEL)
        with pytest.raises(ConfigError, match=r"is vLLM, and .* is not"):
            compare(*asked, "--tasks", f"mine:qa={rows}", "--out", tmp_path)
    assert not one.asked + two.asked


@pytest.mark.parametrize("given", [("http://127.0.0.1:1", None), (None, "judge")])
def test_half_a_judge_is_refused(given: tuple[str | None, str | None]) -> None:
    with pytest.raises(ConfigError, match="was given without --judge"):
        judge_endpoint(*given)
    assert judge_endpoint(None, None) is None


def test_letters_are_not_judged(tmp_path: Path) -> None:
    file = tmp_path / "choice.jsonl"
    line = {"question": "哪一个？", "choices": ["甲", "乙"], "answer": "A"}
    file.write_text("\n".join(json.dumps(line) for _ in range(4)), encoding="utf-8")
    judging = JudgingServer(lambda first, second: "结论：平")
    with serving(MockServer(owned_by="vllm")) as base, serving(judging) as third:
        asked = ("--base-url", base.base_url, "--model", MODEL) * 2
        output = compare(
            *asked, "--tasks", f"choice={file}", "--out", tmp_path, "--judge-url", third.base_url,
            "--judge-model", MODEL,
        )  # fmt: skip
    assert "no task has texts to compare" in output
    assert not judging.bodies


class Otherwise(MockServer):
    """Adds the question mark to other answers: as many are lost as are gained, one in fifteen together."""

    async def _answer(self, request: web.Request, body: dict) -> web.StreamResponse:
        reply = await super()._answer(request, body)
        assert isinstance(reply, web.Response)
        tree = json.loads(str(reply.text))
        message = tree["choices"][0]["message"]
        text, place = message["content"], zlib.crc32(body["messages"][-1]["content"].encode())
        if text.endswith("？") and place % 10 == 0:
            message["content"] = text.removesuffix("？")
        elif place % 20 == 0:
            message["content"] = f"{text}？"
        return web.json_response(tree)


def test_a_tuned_model_is_asked_in_blocks_and_a_killed_one_takes_the_same_looks(tmp_path: Path) -> None:
    rows = tmp_path / "kept.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": f"第{n}题：城市{n}"}], "answers": [f"城市{n}"]} for n in range(2600)
    ]
    rows.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    base_server, tuned_server, out = MockServer(), Otherwise(), tmp_path / "report"
    with serving(base_server) as base, serving(tuned_server) as tuned:
        asked = ("--base-url", base.base_url, "--model", MODEL, "--base-url", tuned.base_url, "--model", MODEL)
        args = (*asked, "--tasks", f"kept:exact={rows}", "--out", out)
        output = compare(*args)
        looks = (out / "eval" / "tuned" / "looks.jsonl").read_text()
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        taken = len(looks.splitlines())
        assert len(base_server.asked) == 2600
        assert len(tuned_server.asked) == 750 * taken == report["gate"]["looks"][-1]["items"]["general"]
        assert 1 < taken < 4
        assert report["groups"][0]["interval"]["method"] == "repeated_tango"
        assert f"{taken} looks, {750 * taken:,} of 2,600 items" in " ".join(output.split())
        # Killed while the last block was answered: its look was not noted, and a part of its answers is missing.
        (out / "eval" / "tuned" / "looks.jsonl").write_text("".join(looks.splitlines(keepends=True)[:-1]))
        answers = out / "eval" / "tuned" / "kept.jsonl"
        answers.write_text(
            "".join(answers.read_text(encoding="utf-8").splitlines(keepends=True)[:-300]), encoding="utf-8"
        )
        compare(*args)
        assert len(tuned_server.asked) == 750 * taken + 300
    again = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert again["gate"]["checks"] == report["gate"]["checks"]
    before, after = (
        [json.loads(line) for line in text.splitlines()]
        for text in (looks, (out / "eval" / "tuned" / "looks.jsonl").read_text())
    )
    assert [(look["items"], look["digest"]) for look in after] == [(look["items"], look["digest"]) for look in before]
