"""Ten ways to fail a start, each with its cause and next step, soon after vLLM's exit and without a traceback."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import pytest

from configs.recipe.schema import ServeConfig
from scripts.cli import main
from serve.launch.job import ServeJob
from serve.process.causes import find_cause, log_since
from serve.process.server import StartFailed, VllmServer
from tests.serve.fakes import fake_command, free_port, gone

NOISE = (
    "(EngineCore pid=7) ERROR 11-23 23:28:30 [core.py:1512] Traceback (most recent call last):\n"
    "(APIServer pid=5) ERROR RuntimeError: Engine core initialization failed. See root cause above.\n"
)

# What vLLM writes, what the user reads of it, the kind, and whether a second try may help.
FAILURES = [
    ("OSError: [Errno 98] Address already in use", "port", "port-in-use", False),
    (
        "ValueError: Free memory on device cuda:0 (12.1/79.2 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 71.3 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        "cuda:0 (12.1/79.2 GiB)",
        "gpu-memory-taken",
        True,
    ),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "ran out", "out-of-memory", True),
    (
        "ValueError: To serve at least one request with the model's max seq len (40960), (5.62 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (2.1 GiB). Based on the available memory, the estimated "
        "maximum model length is 15296. Try increasing",
        "serve.max_model_len=15296",
        "context-too-long",
        False,
    ),
    (
        "Value error, User-specified max_model_len (65536) is greater than the derived max_model_len "
        "(max_position_embeddings=40960 or model_max_length=None in model's config.json).",
        "65536",
        "context-too-long",
        False,
    ),
    ("api_server.py: error: unrecognized arguments: --max-modellen 5", "--max-modellen 5", "bad-flag", False),
    (
        "api_server.py: error: argument --max-lora-rank: invalid choice: 12 (choose from 1, 8, 16)",
        "--max-lora-rank",
        "bad-flag",
        False,
    ),
    ("KeyError: 'invalid reasoning parser: qwen9 (chose from { qwen3 })'", "qwen9", "bad-parser", False),
    ("ValueError: LoRA rank 64 is greater than max_lora_rank 16.", "rank 64", "adapter-rank", False),
    (
        "ValueError: As of transformers v4.44, default chat template is no longer allowed, so you must provide one",
        "--chat-template",
        "no-chat-template",
        False,
    ),
    (
        "safetensors_rust.SafetensorError: Error while deserializing header: invalid JSON in header",
        "damaged",
        "damaged-weights",
        False,
    ),
    ("ImportError: libcudart.so.13: cannot open shared object file", "libcudart", "incompatible-version", False),
    ("ValueError: vLLM only supports modules_to_save being either None or ['score']", "None or", "adapter", False),
    ("ValueError: vLLM does not support LoRA bias (lora_bias).", "(lora_bias)", "adapter", False),
    ("ValueError: While loading /a, expected target modules in {'q'} but received ['head'].", "head", "adapter", False),
    (
        "pydantic_core.ValidationError: World size (4) is larger than the number of available GPUs (2) in this node.",
        "4 GPUs",
        "too-few-gpus",
        False,
    ),
    (
        "Value error, Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: x",
        "FooForCausalLM",
        "unknown-model",
        False,
    ),
]


@pytest.mark.parametrize(("text", "shown", "kind", "retry"), FAILURES)
def test_the_cause_is_found_among_the_noise(text: str, shown: str, kind: str, retry: bool):
    cause = find_cause(f"INFO starting\n{text}\n{NOISE}", 1)
    assert (cause.kind, cause.retry) == (kind, retry)
    assert shown in cause.message + cause.next_step
    assert cause.next_step


@pytest.mark.parametrize(("text", "shown", "kind", "retry"), FAILURES[:10])
def test_a_failed_start_says_why_and_what_next(
    text: str,
    shown: str,
    kind: str,
    retry: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    marker = f"marker-{uuid.uuid4().hex}"
    log = tmp_path / "serve.log"
    job = ServeJob(fake_command(free_port(), marker, "--fail", text, "--start-s", "0.1"), ServeConfig(), tmp_path, log)
    monkeypatch.setattr("serve.launch.job.prepare", lambda *_, **__: job)
    monkeypatch.setattr("serve.service.look_before", lambda job, console: None)  # the fake has no model files
    with pytest.raises(SystemExit) as end:
        main(["serve", "runs/shop"])
    since_exit_s = time.time() - log.stat().st_mtime  # the fake's last words
    said = " ".join(capsys.readouterr().err.split())
    cause = find_cause(text)
    assert cause.kind == kind
    assert f"error: the server did not start: {cause.message}" in said
    assert f"next: {cause.next_step}" in said
    assert shown in said
    assert "Traceback" not in said
    assert since_exit_s < 3
    assert end.value.code == (1 if retry else 2)  # 2 keeps systemd from trying again
    assert not gone(marker, 5)


def test_only_this_start_is_looked_at(tmp_path: Path):
    """The log is appended to: an old out-of-memory error is not the cause of today's bad flag."""
    log = tmp_path / "serve.log"
    log.write_text("torch.OutOfMemoryError: CUDA out of memory\n")
    command = fake_command(free_port(), "m", "--fail", "x: error: unrecognized arguments: --foo", "--start-s", "0")
    with pytest.raises(StartFailed) as failure, VllmServer(command, log):
        pass
    assert failure.value.cause.kind == "bad-flag"


def test_of_a_log_of_gigabytes_the_end_is_read_also_where_its_owner_has_cut_it(tmp_path: Path):
    log = tmp_path / "serve.log"
    log.touch()
    os.truncate(log, 8 << 30)
    with log.open("a") as end:
        end.write("\nx: error: unrecognized arguments: --foo\n")
    assert find_cause(log_since(log, 100)).kind == "bad-flag"
    log.write_text("x: error: unrecognized arguments: --foo\n")
    assert find_cause(log_since(log, 8 << 30)).kind == "bad-flag"


def test_the_words_of_our_own_command_line_are_no_cause(tmp_path: Path):
    flags = ("--note", "CUDA out of memory", "--fail", "FooError: bar is wrong", "--start-s", "0")
    with pytest.raises(StartFailed) as failure, VllmServer(fake_command(free_port(), "m", *flags), tmp_path / "s.log"):
        pass
    assert failure.value.cause.kind == "unknown"
    assert "FooError: bar is wrong" in str(failure.value)


def test_a_killed_server_points_at_memory():
    cause = find_cause("INFO loading weights\n", -9)
    assert (cause.kind, cause.retry) == ("killed", True)
    assert "ran out of memory" in cause.message


def test_an_unknown_error_is_quoted():
    cause = find_cause("Traceback (most recent call last):\n  File ...\nFooError: bar is wrong\n" + NOISE, 1)
    assert cause.kind == "unknown"
    assert "FooError: bar is wrong" in cause.message


def test_a_warning_about_imports_is_not_a_cause():
    log = "Failed to load /x/torchao/_C.so: ImportError: undefined symbol\nW DeprecationWarning: old\n"
    assert find_cause(log, 1).kind == "unknown"


def test_a_start_that_takes_too_long_says_where_it_stands(tmp_path: Path):
    command = fake_command(free_port(), "m", "--start-s", "60")
    began = time.monotonic()
    with pytest.raises(StartFailed) as failure, VllmServer(command, tmp_path / "serve.log", ready_timeout_s=2):
        pass
    assert failure.value.cause.kind == "timeout"
    assert "weights" in str(failure.value)
    assert time.monotonic() - began < 60


def test_a_server_that_answers_nothing_is_not_ready(tmp_path: Path):
    command = fake_command(free_port(), "m", "--content", "", "--start-s", "0")
    with pytest.raises(StartFailed) as failure, VllmServer(command, tmp_path / "serve.log"):
        pass
    assert failure.value.cause.kind == "empty-answer"


def test_a_server_without_our_name_is_not_ready(tmp_path: Path):
    command = fake_command(free_port(), "m", "--served-model-name", "other", "--start-s", "0")
    with pytest.raises(StartFailed) as failure, VllmServer(command, tmp_path / "serve.log"):
        pass
    assert failure.value.cause.kind == "name-missing"
    assert "other" in str(failure.value)
