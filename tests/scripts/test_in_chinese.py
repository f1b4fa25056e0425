"""Whole commands in Chinese: no English sentence is left in what they print, and what others wrote stays as it was."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from configs.terminal.console import tables
from configs.terminal.language import LANG
from scripts.cli import app
from tests.scripts.conftest import ROOT
from tests.scripts.forked import tuneserve

MODEL = ROOT / "configs" / "demo" / "model"
CHINESE = re.compile(r"[\u3400-\u9fff]")
CODE = re.compile(
    r"`[^`]*`|(\w+,\s*){2,}|\S*[/=<>_|]\S*|(?<!\S)--?\w\S*|\b(?:tuneserve|python|bash|uv|export|iconv)( \S+)*"
)
WORD = re.compile(r"(?<![\w.-])[A-Za-z][a-z]+(?![\w.-])")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`tuneserve ARGS` in Chinese by the locale, in a home of its own."""
    own = {"TUNESERVE_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path), "COLUMNS": "160", "OMP_NUM_THREADS": "1"}
    for name, value in {**own, LANG: "", "LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tables, "_width", 160)  # a worker of pytest's has a width of its own when the console is made
    monkeypatch.chdir(tmp_path)
    return lambda *args: tuneserve(capfd, *args)


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe over sixty rows of English text, with the given changes."""
    rows = [{"instruction": f"the disk of shop {i} is full of what?", "output": f"no runs in {i}"} for i in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    def write(**changes: object) -> Path:
        wanted = {"name": "shop", "model": str(MODEL), "output_dir": str(tmp_path / "runs"), "data": "rows.jsonl"}
        file = tmp_path / "shop.yaml"
        file.write_text(yaml.safe_dump(wanted | changes), encoding="utf-8")
        return file

    return write


def english(said: str) -> list[str]:
    """Lines that are English sentences: four words and more, commands and paths aside, and nothing in Chinese."""
    lines = [line for line in said.splitlines() if not CHINESE.search(line)]
    return [line for line in lines if len(WORD.findall(CODE.sub(" ", line))) >= 4]


def commands(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, under in getattr(command, "commands", {}).items():
        found += commands(under, (*path, name))
    return found


@pytest.mark.parametrize("words", commands(get_command(app)), ids=" ".join)
def test_help_is_in_chinese(words: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 72)
    said = run(*words, "--help").stdout
    assert "…" not in said  # nothing is cut off, though there are no spaces to break at
    assert english(said) == []
    assert "用法" in said
    assert "选项" in said
    assert "显示此说明后退出" in said


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (("run", "--foo"), "没有这个选项：--foo"),
        (("run",), "缺少参数"),
        (("check", "--rows", "many", "demo"), "应为整数"),
        (("chek",), "是否想写 check？"),
        (("check", "nowhere.yaml"), "没有这个配方"),
        (("run", "nowhere.yaml"), "没有这个配方"),
        (("check", "demo", "train.lerning_rate=1"), "是否想写 `learning_rate`"),
        (("check", "demo", "train.epochs=many"), "应为数"),
        (("check", "demo", "train.epochs=-1"), "应大于 0"),
        (("check", "demo", "--gpu", "abacus"), "没有这种 GPU"),
        (("train", "demo", "train"), "应写作 section.key=value"),
        (("merge",), "给出运行目录"),
        (("serve", "nowhere/at-all"), "错误："),
        (("compare", "--base-url", "http://x/v1"), "错误："),
        (("judge", "nowhere"), "缺少 --base"),
        (("adapters", "load", "b"), "应写作 NAME=RUN"),
        (("runs", "rm", "gone", "--yes"), "没有这个名字的运行"),
        (("init", "no-such"), "没有配方"),
        (("eval", "--base-url", "http://x/v1", "--model", "m", "--out", "o"), "缺少选项"),
        (("board", "count", "nowhere", "x.json"), "不是运行目录"),
        (("cluster", "demo", "--to", "abacus"), "没有这种工具"),
        (("runs", "--lang"), "--lang 后没有语言"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_errors_and_their_next_steps_are_in_chinese(args: tuple[str, ...], shown: str, run: Run) -> None:
    ended = run(*args)
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert english(said) == []
    assert shown in said.replace("\n", "")


@pytest.mark.parametrize("args", [("runs",), ("init",), ("init", "--keys"), ("doctor",), ("serve", "status")])
def test_lists_are_in_chinese(args: tuple[str, ...], run: Run) -> None:
    said = run(*args).stdout
    assert CHINESE.search(said)
    assert english(said) == []


def test_check_is_in_chinese_and_the_rows_it_shows_stay(run: Run, recipe: Callable[..., Path]) -> None:
    file = recipe()
    ended = run("check", file, "--rows", "1", "--gpu", "rtx4090")
    assert ended.returncode == 0, ended.stderr
    rows = [line for line in ended.stdout.splitlines() if "the disk of shop" in line]
    assert rows
    said = "\n".join(line for line in ended.stdout.splitlines() if line not in rows)
    assert [line for line in english(said) if "no runs in" not in line] == []
    assert re.search(r"no runs in \d+", ended.stdout)


def test_what_is_wrong_with_the_data_is_said_in_chinese(run: Run, recipe: Callable[..., Path], tmp_path: Path) -> None:
    file = recipe()
    (tmp_path / "rows.jsonl").write_text('{"a": "no runs in", "b": 1}\n' * 20, encoding="utf-8")
    ended = run("check", file)
    assert ended.returncode == 2
    assert english(ended.stderr) == []
    assert "错误：" in ended.stderr


def test_json_keeps_its_words_and_files_too(run: Run, recipe: Callable[..., Path]) -> None:
    keys = json.loads(run("init", "--keys", "lora", "--json").stdout)
    assert keys["rows"][0]["meaning"]
    assert not CHINESE.search(json.dumps(keys, ensure_ascii=False))


def test_the_option_goes_before_the_variable_and_the_variable_before_the_locale(run: Run) -> None:
    assert "no runs in" in run("runs", "--lang", "en").stdout
    assert "没有运行" in run("--lang=zh", "runs").stdout


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "LANG": "zh_CN.UTF-8", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "scripts.cli", "runs", "--folder", str(tmp_path)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert f"{tmp_path} 中没有运行" in said.replace("\n", "")
