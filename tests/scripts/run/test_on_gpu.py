"""On a GPU: the demo end to end, and everything that its run can be served as, each with parity and proof."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from openai import OpenAI

from configs.run.rundir import RunDir
from tests.gpu import MODEL, REAL_MODEL, gpu_environment, needs_real_model
from tests.scripts.conftest import CLI, ROOT

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

SHARED_CARD = ("serve.gpu_memory_utilization=0.15", 'serve.args=["--kv-cache-memory-bytes=2000000000"]')
"""vLLM takes the whole card unless it is told how much, and does not start unless that much is free."""

NOT_COMPILED = (
    "serve.args="
    '["--kv-cache-memory-bytes=2000000000","--compilation-config","{\\"mode\\":0,\\"cudagraph_mode\\":\\"FULL_DECODE_ONLY\\"}"]'
)
"""For the demo and for other weights: what torch.compile makes of the model is tried with the merged ones."""


def tuneserve(folder: Path, *args: str, check: bool = True) -> str:
    done = subprocess.run(
        [*CLI, *args], cwd=ROOT, env=gpu_environment(folder), capture_output=True, text=True, timeout=570, check=False
    )
    assert not check or done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def gpu_demo(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The demo's whole run on the GPU, made once for all test processes; one that fails is not tried again."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "gpu-demo"
    done = folder / "done"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            real = (
                [f"model={MODEL}", "train.learning_rate=2e-4", "train.epochs=3", "lora.alpha=32"] if REAL_MODEL else []
            )
            said = tuneserve(
                folder, "run", "configs/demo.yaml", f"output_dir={folder / 'runs'}", *real,
                *SHARED_CARD, NOT_COMPILED, "--no-serve",
            )  # fmt: skip
            (folder / "said").write_text(said, encoding="utf-8")
            done.touch()
    assert done.exists(), f"the demo's run failed; what it left is in {folder}"
    return RunDir.open(folder / "runs" / "demo")


@pytest.fixture
def own_run(gpu_demo: RunDir, tmp_path: Path) -> RunDir:
    """The run in a folder of its own: servers of one folder write what they say into the same logs."""

    def put(source: str, there: str) -> object:
        return os.link(source, there) if source.endswith(".safetensors") else shutil.copy2(source, there)

    shutil.copytree(gpu_demo.path, tmp_path / "demo", copy_function=put, ignore=shutil.ignore_patterns("logs"))
    return RunDir.open(tmp_path / "demo")


@contextmanager
def served(what: Path, *options: str, overrides: tuple[str, ...] = ()) -> Iterator[tuple[str, OpenAI]]:
    """What a detached server said, and a client of it; the server is gone afterwards. Its state is beside `what`."""
    folder = what.parent
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = tuneserve(folder, "serve", str(what), *options, "--detach", f"serve.port={port}", *SHARED_CARD, *overrides)
    try:
        yield said, OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    finally:
        tuneserve(folder, "serve", "stop", str(port))


def answer(client: OpenAI, name: str, question: str = "你好，请介绍一下你自己。") -> str:
    reply = client.chat.completions.create(
        model=name, messages=[{"role": "user", "content": question}], max_tokens=40, temperature=0
    )
    return reply.choices[0].message.content or ""


def taught_questions(run: RunDir, count: int) -> list[str]:
    """Questions of what the run taught, as its evaluation asked them."""
    lines = (run.eval / "tuned" / "taught_qa.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line)["prompt"][-1]["content"] for line in lines]


def require(said: str, *, rounded: bool = False) -> None:
    """That a server said of itself that it serves what was trained."""
    checks = [line for line in said.splitlines() if line.lstrip().startswith(("✓", "✗"))]
    print("\n".join(checks))
    assert any("✓ parity: token ids equal to the trained ones for 64 of 64" in line for line in checks)
    kept = "rounded weights stay close to the trained ones" if rounded else "served weights are the trained ones"
    assert any(f"✓ proof: {kept}" in line for line in checks)


def test_the_demo_runs_end_to_end(gpu_demo: RunDir) -> None:
    manifest = gpu_demo.read()
    assert {name: stage.state for name, stage in manifest.stages.items()} == dict.fromkeys(manifest.stages, "done")
    figures = manifest.stages["train"].figures
    assert "H100" in figures["device"] or "NVIDIA" in figures["device"]
    assert figures["recorded"]["off"] == ""
    assert figures["recorded"]["share"] > 0.95
    tuned = manifest.stages["tuned"].figures
    assert tuned["parity"]["equal"] == tuned["parity"]["rows"] == 64
    assert tuned["proof"]["passed"]
    report = json.loads((gpu_demo.report / "report.json").read_text(encoding="utf-8"))
    taught = next(task for task in report["tasks"] if task["name"] == "taught_qa")
    assert taught["interval"]["lower"] > 40


def test_merged_weights_are_served_and_proved(own_run: RunDir) -> None:
    with served(own_run.path) as (said, client):
        require(said)
        assert answer(client, "demo")


def test_base_and_adapter_are_served_and_proved(own_run: RunDir) -> None:
    with served(own_run.path, "--adapter") as (said, client):
        require(said)
        names = {model.id for model in client.models.list()}
        assert "demo" in names
        (base,) = names - {"demo"}
        pairs = [(answer(client, "demo", asked), answer(client, base, asked)) for asked in taught_questions(own_run, 8)]
        assert sum(tuned != untuned for tuned, untuned in pairs) > 4


@needs_real_model
def test_fp8_while_loading_is_served_and_proved(own_run: RunDir) -> None:
    with served(own_run.path, overrides=("serve.precision=fp8",)) as (said, client):
        require(said, rounded=True)
        assert answer(client, "demo")


@needs_real_model
@pytest.mark.parametrize("kind", ["int8", "fp8", "int4"])
def test_exported_folders_are_proved_against_their_run(own_run: RunDir, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / kind
    tuneserve(tmp_path, "merge", "--model", str(own_run.adapter), "--save-as", str(folder), "--format", kind)
    with served(folder, "--against", str(own_run.path), overrides=(NOT_COMPILED,)) as (said, client):
        require(said, rounded=True)
        assert answer(client, client.models.list().data[0].id)


def test_batch_invariant_answers_do_not_depend_on_their_neighbours(own_run: RunDir) -> None:
    questions = [f"请用一句话介绍第{i}号产品，说明它的价格和特点。" for i in range(32)]
    with served(own_run.path, overrides=("serve.batch_invariant=true",)) as (_, client):
        alone = [answer(client, "demo", question) for question in questions]
        with ThreadPoolExecutor(32) as pool:
            together = list(pool.map(lambda question: answer(client, "demo", question), questions))
    assert together == alone
