"""The main job, end to end, on the embedded model: what the README promises of it holds.

`TUNESERVE_KILLS=4` kills a run while it trains and while its base is asked, too.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from openai import OpenAI

from configs.disk.files import read_jsonl
from configs.errors import EXIT_GATE_FAILED
from configs.run.rundir import RunDir
from scripts.run.pipeline import base_inputs, tuned_inputs
from scripts.run.tasks import run_tasks
from tests.processes import lives
from tests.scripts.conftest import CLI, ROOT, Demo, environment
from trainer.data.selfmade import training_rows

pytestmark = pytest.mark.slow

RETENTION_TASKS = ("facts", "arithmetic", "choice", "extract", "summary")
STAGES = ("data", "base", "train", "merge", "tuned")
KILLS = int(os.environ.get("TUNESERVE_KILLS", "1"))


def folder_of(demo: Demo) -> Path:
    """Where the demo's run keeps its cache and state."""
    return demo.run.path.parents[1]


def tuneserve(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *args],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def seconds_of(run: RunDir) -> dict[str, str]:
    """When each stage was last begun."""
    return {name: run.read().stages[name].started for name in STAGES}


def vllm_processes(run: RunDir) -> list[int]:
    """Servers that serve anything of this run."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if "vllm" in command and str(run.path) in command:
            found.append(process.pid)
    return found


def test_what_was_taught_is_gained_with_intervals(demo: Demo) -> None:
    qa, summary = demo.task("taught_qa"), demo.task("taught_summary")
    assert qa["metric"] == "cmrc_em"
    assert qa["delta_points"] >= 40
    assert qa["interval"]["lower"] > 40
    assert summary["metric"] == "rougeL"
    assert summary["delta_points"] >= 10
    assert summary["interval"]["lower"] > 10


def test_what_the_base_could_do_is_kept(demo: Demo) -> None:
    kept = [demo.task(name)["retention"] for name in RETENTION_TASKS]
    assert sum(task["percent"] for task in kept) / len(kept) >= 95
    assert all(task["interval"]["lower"] <= task["percent"] <= task["interval"]["upper"] for task in kept)


def test_the_base_really_does_its_tasks_and_none_is_at_its_ceiling(demo: Demo) -> None:
    for name in RETENTION_TASKS:
        assert 80 <= demo.task(name)["base_points"] <= 98, name


def test_parity_and_proof_hold_and_answers_end_by_themselves(demo: Demo) -> None:
    figures = demo.run.read().stages["tuned"].figures
    assert figures["parity"]["equal"] == figures["parity"]["rows"] == 64
    assert figures["proof"]["passed"]
    stopped = [task["tuned_behaviour"] for task in demo.report["tasks"] if task["tuned_behaviour"]["stop_percent"]]
    answers = sum(seen["samples"] for seen in stopped)
    assert sum(seen["stop_percent"] * seen["samples"] for seen in stopped) / answers >= 98


def test_nothing_is_called_but_this_machine(demo: Demo) -> None:
    # The run's own servers were asked, so the calls were watched: in the trainer's stages and in vLLM too.
    assert any("127.0.0.1" in call[0] for call in demo.calls)
    here = re.compile(r"127\.\d+\.\d+\.\d+|::1?|localhost|0\.0\.0\.0|None|" + re.escape(socket.gethostname()))
    assert [call for call in demo.calls if not here.fullmatch(call[0])] == []


def test_the_report_page_needs_nothing_from_elsewhere(demo: Demo) -> None:
    page = (demo.run.report / "report.html").read_text(encoding="utf-8")
    for outside in ('src="http', 'href="http', "<script", "@import", "url(http"):
        assert outside not in page


def test_forgetting_is_seen_and_fails_the_gate(demo: Demo) -> None:
    output_dir = f"output_dir={demo.run.path.parent}"
    # One pass is enough to forget, and half a minute to train; the recipe makes six.
    recipe = ("configs/demo-forgets.yaml", output_dir, "train.epochs=1")
    done = tuneserve(folder_of(demo), "run", *recipe, "--no-serve", "--gate")
    assert done.returncode == EXIT_GATE_FAILED, done.stderr
    assert "was asked the same questions" in done.stdout
    forgets = Demo(RunDir.open(demo.run.path.parent / "demo-forgets"), done.stdout, False)
    dropped = [forgets.task(name) for name in RETENTION_TASKS]
    assert all(task["interval"]["upper"] < 0 and task["p_holm"] < 0.05 for task in dropped)
    shutil.rmtree(forgets.run.path)


def test_a_changed_key_redoes_what_depends_on_it_and_nothing_else(demo: Demo) -> None:
    before = seconds_of(demo.run)
    changed = tuneserve(folder_of(demo), "run", str(demo.run.config_file), "--no-serve", "merge.shard_gb=2.0")
    assert changed.returncode == 0, changed.stderr
    after = seconds_of(demo.run)
    # Merged anew into the same weights, so what was asked of them still holds.
    assert [name for name in STAGES if after[name] != before[name]] == ["merge"]


def test_a_looser_proof_is_proved_again_without_training_again(demo: Demo) -> None:
    config, stages = demo.run.config(), demo.run.read().stages
    looser = config.model_copy(update={"proof": config.proof.model_copy(update={"tolerance": 0.06})})
    tasks = run_tasks(demo.run, config)
    assert base_inputs(demo.run, looser, tasks) == stages["base"].inputs
    assert demo.run.changed_since("tuned", tuned_inputs(demo.run, config, tasks)) is None
    assert str(demo.run.changed_since("tuned", tuned_inputs(demo.run, looser, tasks))).startswith("proof changed")


@contextmanager
def started(folder: Path, log: Path, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen([*CLI, *args], cwd=ROOT, env=environment(folder), stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for(log: Path, text: str, process: subprocess.Popen[bytes], timeout_s: float = 480) -> None:
    """Waits until a text stands in the log, or until a file that `text` is the path of holds something."""
    deadline = time.monotonic() + timeout_s
    while text not in (said := log.read_text(encoding="utf-8", errors="replace")):
        if text.startswith("/") and any(file.stat().st_size for file in Path("/").glob(text[1:])):
            return
        assert process.poll() is None, said[-3000:]
        assert time.monotonic() < deadline, f"{text!r} did not come within {timeout_s} s"
        time.sleep(0.05)


def gone(run: RunDir, timeout_s: float = 30) -> bool:
    deadline = time.monotonic() + timeout_s
    while vllm_processes(run) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not vllm_processes(run)


def alive(processes: list[psutil.Process], timeout_s: float = 30) -> list[int]:
    """Which of some processes still run when the time is up."""
    deadline = time.monotonic() + timeout_s
    while left := [process.pid for process in processes if lives(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return left


def test_a_second_run_skips_every_finished_stage_and_serves_until_ctrl_c(demo: Demo, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log, before = tmp_path / "serve.log", seconds_of(demo.run)
    # The run is finished, so the same command only serves; the port is the one thing that is set anew.
    with started(folder_of(demo), log, "run", str(demo.run.config_file), f"serve.port={port}") as process:
        wait_for(log, "Base URL", process)
        client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
        question = [{"role": "user", "content": "栖禾电器的客服电话是多少？"}]
        answer = client.chat.completions.create(model="demo", messages=question, temperature=0).choices[0]
        assert answer.finish_reason == "stop"
        assert answer.message.content
        assert "<think>" not in answer.message.content
        chunks = list(client.chat.completions.create(model="demo", messages=question, temperature=0, stream=True))
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert streamed == answer.message.content
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    assert gone(demo.run)
    shown = log.read_text(encoding="utf-8")
    assert shown.count("skipped") == len(STAGES)
    assert seconds_of(demo.run) == before
    assert f"http://127.0.0.1:{port}/v1" in shown
    assert "curl " in shown
    assert "from openai import OpenAI" in shown
    assert "Traceback" not in shown


@pytest.mark.timeout(1200)
def test_a_run_that_is_killed_at_any_stage_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = ROOT / "configs" / "demo" / "data"
    tasks = (
        f"eval.tasks=[{{name: taught_qa, type: qa, role: target, path: {data}/test_qa.jsonl, limit: 60}}, "
        f"{{name: facts, type: qa, path: {data}/heldout_facts.jsonl, limit: 60}}]"
    )
    args = (
        *("run", "configs/demo.yaml", "--no-serve", "name=killed", f"output_dir={tmp_path}", "eval.concurrency=2"),
        *("train.max_steps=24", "train.save_steps=8", "train.eval_steps=0", "eval.drift=false", tasks),
        *("data.replay=self", "data.selfmade.min_rows=40", "data.selfmade.unseen=10", "data.replay.ratio=0.01"),
        "data.selfmade.other_languages=0",  # the base hardly writes any, and would be asked for more
    )
    run = RunDir(tmp_path / "killed")
    written = tmp_path / "cache" / "selfmade" / "*"
    moments = (f"{written}/questions.jsonl", "asking base: ", "train  step", "asking tuned: ")
    for number, moment in enumerate(moments[place] for place in sorted((3, 0, 2, 1)[:KILLS])):
        log = tmp_path / f"{number}.log"
        with started(tmp_path, log, *args) as process:
            wait_for(log, moment, process)
            children = psutil.Process(process.pid).children(recursive=True)
            os.kill(process.pid, signal.SIGKILL)
            assert not alive(children), f"a child survived the kill at {moment!r}"
        assert gone(run), f"a server survived the kill at {moment!r}"
    last = tuneserve(tmp_path, *args)
    assert last.returncode == 0, last.stderr
    assert last.stdout.count("skipped") >= 4
    assert (run.report / "report.html").is_file()
    stages = run.read().stages
    assert all(stages[name].state == "done" for name in STAGES)
    assert stages["base"].figures["base"]["taught_qa"]["n"] == 60
    # What the base wrote before it was killed was not written again, and what it wrote is trained.
    for name in ("questions", "answers", "likelihoods", "likely_tokens"):
        (journal,) = Path("/").glob(f"{written}/{name}.jsonl"[1:])
        numbers = [line["number"] for _, line in read_jsonl(journal)]
        assert len(numbers) == len({*numbers}) >= 10, name
    assert training_rows(run, run.config()).num_rows == 740 + 40
    assert stages["train"].figures["soft_rows"] == 40
    assert "Rows that the base wrote itself" in (run.report / "report.html").read_text(encoding="utf-8")
