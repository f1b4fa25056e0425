"""The tutorial's script does what the page says, and what the page quotes is what it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from configs.terminal.language import LANG

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "tutorial.sh"
FIGURE = re.compile(r"[-+]?\d[\d,.]*")
WHOLE = os.environ.get("TUNESERVE_TUTORIAL") == "1"


def quoted(page: str, part: str) -> list[str]:
    """The lines of the output that a page quotes, in its block that begins with `$ tuneserve PART`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
        first, *lines = block.splitlines()
        if first.startswith(f"$ tuneserve {part}"):
            return [" ".join(line.split()) for line in lines if line.strip() and line.strip() != "..."]
    raise AssertionError(f"{page} quotes no `tuneserve {part}`")


PAGES = {"en": "tutorial.md", "zh": "tutorial.zh-CN.md"}


@pytest.fixture(scope="module", params=PAGES)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def output(language: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the script prints; up to `check` unless TUNESERVE_TUTORIAL=1 asks for the whole way (four minutes)."""
    folder = tmp_path_factory.mktemp("tutorial")
    env = os.environ | {
        "TUNESERVE": f"{sys.executable} -m scripts.cli",
        "TUNESERVE_CACHE": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
        LANG: language,
    }
    until = [] if WHOLE else ["--until", "check"]
    command = ["bash", str(SCRIPT), str(folder / "客服 数据"), *until]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return " ".join(done.stdout.split())


def test_a_checkout_may_lie_under_a_path_with_a_space(tmp_path: Path) -> None:
    script = tmp_path / "客 服" / "scripts" / "tutorial.sh"
    command = script.parents[1] / ".venv" / "bin" / "tuneserve"
    for folder in (script.parent, command.parent, script.parents[1] / "docs" / "examples"):
        folder.mkdir(parents=True)
    shutil.copy(SCRIPT, script)
    shutil.copy(ROOT / "docs" / "examples" / "客服问答.csv", script.parents[1] / "docs" / "examples")
    command.symlink_to(shutil.which("echo") or "")
    env = {key: value for key, value in os.environ.items() if key != "TUNESERVE"}
    until = ["bash", str(script), "mine", "--until", "check"]
    done = subprocess.run(until, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert "init tutorial --out kefu.yaml\n" in done.stdout
    assert os.listdir(tmp_path / "mine") == ["客服问答.csv"]


def test_a_command_ends_with_the_script_that_waits_for_it(tmp_path: Path) -> None:
    command = tmp_path / "command"
    command.write_text("trap 'exit 7' TERM\necho $$ >began.new; mv began.new began\nwhile sleep 0.05; do :; done\n")
    env = os.environ | {"TUNESERVE": f"bash {command}"}
    script = subprocess.Popen(["bash", str(SCRIPT), str(tmp_path / "mine")], env=env, stdout=subprocess.DEVNULL)
    began = tmp_path / "mine" / "began"
    while not began.exists():
        assert script.poll() is None
    waited_for = psutil.Process(int(began.read_text()))
    script.kill()
    script.wait()
    psutil.wait_procs([waited_for], timeout=10)
    assert not waited_for.is_running()


def test_what_a_reader_changed_stays_when_it_is_called_again(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for folder in (elsewhere / "mine", elsewhere / "scripts", tmp_path / "mine"):
        folder.mkdir(parents=True)
    for name in ("客服问答.csv", "kefu.yaml", "vote.html"):
        (tmp_path / "mine" / name).write_text("my own")
    env = os.environ | {"TUNESERVE": "echo", "CDPATH": str(elsewhere)}
    done = subprocess.run(
        ["bash", str(SCRIPT), "mine"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert {file.read_text() for file in (tmp_path / "mine").iterdir()} == {"my own"}
    assert "--force" not in done.stdout
    assert not list((elsewhere / "mine").iterdir())


@pytest.mark.parametrize("part", ["init", "check"])
def test_what_is_quoted_is_printed(output: str, language: str, part: str) -> None:
    for line in quoted(PAGES[language], part):
        assert line in output, line


@pytest.mark.parametrize("part", ["init", "check", "run", "runs", "board export"])
def test_both_pages_quote_the_same_figures(part: str) -> None:
    def figures(page: str) -> list[list[str]]:
        return [sorted(found.rstrip(",.") for found in FIGURE.findall(line)) for line in quoted(page, part)]

    assert figures("tutorial.md") == figures("tutorial.zh-CN.md")


@pytest.mark.skipif(not WHOLE, reason="four minutes: TUNESERVE_TUTORIAL=1 runs it")
@pytest.mark.parametrize("part", ["run", "runs", "board export"])
def test_the_whole_way_prints_what_is_quoted_figures_aside(output: str, language: str, part: str) -> None:
    """Figures move with the machine; words and their order do not."""
    printed = FIGURE.sub("#", output)
    for line in quoted(PAGES[language], part):
        assert FIGURE.sub("#", line) in printed, line
