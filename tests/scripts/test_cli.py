"""The command line as a user meets it: quick, clear about mistakes, and with the right exit codes."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from configs.errors import EXIT_FAILED, EXIT_USAGE, ConfigError
from configs.terminal.language import LANG
from scripts.cli import main, take_language
from serve.launch.command import installed_device
from tests.scripts import forked

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "configs" / "demo" / "model"


def tuneserve(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd or ROOT, timeout=300, check=False)


def refused(result: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """Asserts a clear error: the exit code, every part of the message, a next step, and no traceback."""
    assert result.returncode == code, result.stderr
    for part in parts:
        assert part in result.stderr, result.stderr
    assert "next:" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A complete recipe over twelve rows; each test breaks one thing of it."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"第{i}号产品卖多少钱？"},
                {"role": "assistant", "content": f"{i}元"},
            ]
        }
        for i in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    config = {"name": "shop", "model": str(MODEL), "output_dir": str(tmp_path / "runs"), "data": "rows.jsonl"}
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_without_standard_streams_writes_into_no_other_file(closed: str, tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from configs.process.child import run_child
from configs.disk.locks import locked
from scripts import cli
def work(args):
    with locked(Path("lock"), SystemExit()), locked(Path("another"), SystemExit()):
        uses = "import os; os.write(1, b'1'); os.write(2, b'2'); os.read(0, 1)"
        sys.exit(run_child([sys.executable, "-c", uses], {**os.environ}))
cli._run = work
cli.main([])
"""
    command = ["bash", "-c", f'exec "$@" {closed}', "-", sys.executable, "-c", code]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, cwd=tmp_path, env=environ, input=b"\n", stdout=-1, check=False).returncode == 0
    assert [file.read_text() for file in tmp_path.iterdir()] == ["", ""]


def test_help_imports_none_of_the_heavy_packages() -> None:
    code = (
        "import sys; from scripts.cli import app; import typer; typer.main.get_command(app)\n"
        "heavy = {'torch', 'unsloth', 'vllm', 'transformers', 'trl', 'peft', 'datasets'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr


def test_help_names_every_verb() -> None:
    shown = tuneserve("--help").stdout
    for verb in ("init", "check", "train", "merge", "serve", "eval", "compare", "chat", "run", "doctor"):
        assert f" {verb} " in shown


def test_init_writes_a_recipe_that_loads(tmp_path: Path) -> None:
    assert tuneserve("init", "qwen3-8b", "--out", tmp_path / "mine.yaml").returncode == 0
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text(encoding="utf-8"))["model"] == "Qwen/Qwen3-8B"
    refused(tuneserve("init", "qwen3-8b", "--out", tmp_path / "mine.yaml"), EXIT_USAGE, "exists", "--force")
    refused(tuneserve("init", "qwen3-9b"), EXIT_USAGE, "no recipe 'qwen3-9b'", "qwen3-8b")


def test_keys_are_listed_with_type_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "--keys", "lora"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "lora.bias" in shown
    assert "none, all" in shown
    assert "train." not in shown


@pytest.mark.parametrize(
    ("args", "said", "step"),
    [
        (["trian", "x.yaml"], "tuneserve trian: no such command", "did you mean train"),
        (["evaluate"], "tuneserve evaluate: no such command", "did you mean eval"),
        (["shop.yaml"], "a recipe follows a command", "tuneserve run shop.yaml"),
        (["adapters", "lst"], "tuneserve adapters lst: no such command", "did you mean list"),
        (["init", "qwen3-14b"], "no recipe 'qwen3-14b'", "qwen3-14b-12gb, qwen3-14b-24gb or qwen3-14b-a100"),
    ],
)
def test_a_mistyped_word_is_refused_with_what_was_meant(
    args: list[str], said: str, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    error = capsys.readouterr().err
    assert ended.value.code == EXIT_USAGE
    assert said in error
    assert step in error.partition("next:")[2]


def test_the_version_is_the_installed_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == f"tuneserve {version('tuneserve')}"


def test_a_command_leaves_no_core_file_which_would_hold_the_key() -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    with pytest.raises(SystemExit):
        main(["--version"])
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, hard)


def test_a_sandbox_that_refuses_limits_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert "allow prlimit64" in capsys.readouterr().err


def test_a_misspelt_key_is_refused_at_once(recipe: Path) -> None:
    refused(
        tuneserve("run", recipe, "train.learning_rat=1e-4"), EXIT_USAGE, "learning_rat", "did you mean `learning_rate`"
    )


def test_a_file_of_the_working_folder_is_no_module(recipe: Path) -> None:
    for name in ("json", "trainer", "numpy"):
        (recipe.parent / f"{name}.py").write_text("import os\nos._exit(7)\n", encoding="utf-8")
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("rows.jsonl", "nothing.jsonl"), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "scripts.cli", "check", str(recipe)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=recipe.parent, timeout=300, check=False)
    refused(result, EXIT_USAGE, "nothing.jsonl")


@pytest.mark.parametrize("before", ["", "/a::/b:"])
def test_a_file_of_the_working_folder_is_no_library(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", before)
    with pytest.raises(SystemExit):
        main(["--version"])
    opencv = [sys.executable, "-c", "import cv2, os; print(os.environ['LD_LIBRARY_PATH'], end='')"]
    searched = subprocess.run(opencv, capture_output=True, text=True, timeout=300, check=True).stdout.split(":")
    assert len(searched) > 1
    assert all(part.startswith("/") for part in searched)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    refused(tuneserve("run", tmp_path / "none.yaml"), EXIT_USAGE, "none.yaml: no such recipe")


def test_a_missing_data_file_is_refused_also_under_a_program_that_ignores_its_children(recipe: Path) -> None:
    ignores = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    cli = [sys.executable, "-c", ignores, sys.executable, "-m", "scripts.cli"]
    command = [*cli, "train", str(recipe), "data.sources=./gone.jsonl"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    refused(result, EXIT_USAGE, "gone.jsonl")
    assert "next: tuneserve merge" not in result.stdout


def test_an_empty_data_set_is_refused(recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (recipe.parent / "rows.jsonl").write_text("", encoding="utf-8")
    refused(forked.tuneserve(capfd, "train", recipe), EXIT_USAGE, "rows.jsonl")


def test_a_broken_row_is_named_with_its_line(recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (recipe.parent / "rows.jsonl").open("a", encoding="utf-8") as rows:
        rows.write('\n{"messages": [{"role": "user", "content": ')
    result = forked.tuneserve(capfd, "train", recipe)
    refused(result, EXIT_USAGE, "rows.jsonl", "13")


def test_rows_without_an_answer_stop_the_run_with_the_key_to_change(
    recipe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (recipe.parent / "rows.jsonl").open("a", encoding="utf-8") as rows:
        for i in range(6):
            row = {"messages": [{"role": "user", "content": f"问题{i}"}, {"role": "assistant", "content": ""}]}
            rows.write("\n" + json.dumps(row, ensure_ascii=False))
    refused(forked.tuneserve(capfd, "train", recipe), EXIT_USAGE, "data.max_dropped")


def test_a_base_model_that_does_not_exist_is_refused(recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused(
        forked.tuneserve(capfd, "run", recipe, "model=/nowhere/qwen3", "--no-serve"),
        EXIT_USAGE,
        "/nowhere/qwen3",
        "no such folder",
    )


def test_a_busy_port_is_found_before_anything_is_trained(recipe: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = tuneserve("run", recipe, f"serve.port={port}")
    assert result.returncode != 0
    assert str(port) in result.stderr
    assert "next:" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (recipe.parent / "runs").exists()


def test_what_this_machines_server_cannot_do_is_found_before_anything_is_trained(recipe: Path) -> None:
    if installed_device() != "cpu":
        pytest.skip("a GPU's vLLM has the kernels")
    refused(tuneserve("run", recipe, "serve.batch_invariant=true"), EXIT_USAGE, "GPUs only", "eval.repeat_base")
    assert not (recipe.parent / "runs").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    refused(tuneserve("merge", tmp_path), EXIT_USAGE, "not a run directory")
    refused(tuneserve("serve", tmp_path, "--print-only"), EXIT_USAGE, str(tmp_path))


def test_a_task_type_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    result = tuneserve(
        "eval", "--base-url", "http://127.0.0.1:9", "--model", "m", "--tasks", "gsm9k", "--out", tmp_path
    )
    refused(result, EXIT_USAGE, "gsm9k")


@pytest.mark.parametrize("name", ["../../../x", "/tmp/x", ".", "[/x]", "a" * 300, "a\nb", "\x1b[2J"])
@pytest.mark.parametrize("verb", ["eval", "compare"])
def test_a_tasks_name_stays_in_the_folder_of_the_answers(
    verb: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.jsonl").write_text('{"question": "1+1", "answer": "2"}\n')
    endpoint = ["--base-url", "http://127.0.0.1:9", "--model", "m"] * (1 + (verb == "compare"))
    with pytest.raises(SystemExit) as ended:
        main([verb, *endpoint, "--tasks", f"{name}:qa={tmp_path / 'mine.jsonl'}", "--out", str(tmp_path / "a" / "b")])
    said = capsys.readouterr().err
    assert ended.value.code == EXIT_USAGE
    assert "a name " in said
    assert "\x1b" not in said
    assert not (tmp_path / "a").exists()


def test_an_unwritable_output_folder_is_refused(recipe: Path) -> None:
    blocked = recipe.parent / "file"
    blocked.write_text("", encoding="utf-8")
    refused(tuneserve("train", recipe, f"output_dir={blocked}"), EXIT_FAILED, str(blocked))


@pytest.mark.parametrize(
    ("given", "language", "left"),
    [
        (["--lang", "zh", "runs"], "zh", ["runs"]),
        (["runs", "--lang=zh", "--sort", "gain"], "zh", ["runs", "--sort", "gain"]),
        (["--lang", "zh", "runs", "--lang", "en"], "en", ["runs"]),
        (["serve", "x", "--", "--lang", "zh"], "en", ["serve", "x", "--", "--lang", "zh"]),
        (["serve", "--lang", "zh", "--", "--lang", "fr"], "zh", ["serve", "--", "--lang", "fr"]),
    ],
)
def test_the_language_is_taken_wherever_it_stands(
    given: list[str], language: str, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LANG, "en")
    take_language(given)
    assert given == left
    assert os.environ[LANG] == language


@pytest.mark.parametrize("given", [["runs", "--lang"], ["serve", "--lang", "--", "zh"], ["--lang=", "runs"]])
def test_an_option_without_a_language_is_refused(given: list[str]) -> None:
    with pytest.raises(ConfigError, match="names no language"):
        take_language(given)
