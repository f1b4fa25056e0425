"""What somebody else wrote meets the terminal as text: nothing in it is obeyed, and nothing of it is lost."""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from configs.terminal.console import (
    OUTPUT,
    WIDEST,
    Terminal,
    console,
    detail,
    done,
    guarded,
    mark,
    note,
    paint,
    plain,
    shell,
    show,
    tables,
    visible,
    warn,
)  # fmt: skip

ROOT = Path(__file__).parents[3]
ROOMS = ("configs", "trainer", "serve", "eval", "scripts")
HOSTILE = [
    "\x1b]52;c;cm0gLXJmIH4=\x07",  # writes the clipboard
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",  # CSI as one C1 byte
    "good\rbad",
    "a\x08b",
    "user\u202etxt.exe",
    "\udcff",  # what an undecodable file name becomes
    "\U000e0041\U000e0042",
]
CODES = ["x.yaml:100:", ":smile:", "[/x]", "[bold]a[/bold]", "[link=http://evil]a[/link]", "\\[x]", "a\\", "{}", "[]"]


def shown(*renderables: object, width: int = 200) -> str:
    terminal = Terminal(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
    terminal.print(*renderables)
    return terminal.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_shown_and_not_sent(text: str):
    table = Table(text, box=None)
    table.add_row(text)
    through_nothing_of_ours = shown(Panel(Text(text)))
    assert visible(through_nothing_of_ours) == through_nothing_of_ours
    for out in (shown(text), shown(paint("[dim]{}[/dim]", text)), shown(plain(text)), shown(table)):
        assert not [c for c in out if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0]
        assert not set(out) & set("\u202e\udcff\U000e0041")
        assert visible(text) in out
        out.encode()


@pytest.mark.parametrize("text", CODES)
def test_markup_and_emoji_codes_stay_as_they_were_written(text: str):
    table = Table(text, box=None)
    table.add_row(text)
    assert shown(text) == shown(paint("[dim]{}[/dim]", text)) == shown(plain(text)) == text
    assert [line.strip() for line in shown(table).splitlines()] == [text, text]


def test_letters_emoji_tabs_and_lines_are_left_alone():
    assert visible("客服 é 👩‍💻\tb\nc\r\nd") == "客服 é 👩‍💻\tb\nc\nd"


def test_a_painted_line_has_its_values_whatever_they_hold_and_styles_only_what_the_template_says():
    draw = random.Random(0)
    for _ in range(2000):
        values = ["".join(draw.choices("[]/\\:{}ab=", k=draw.randrange(8))) for _ in range(3)]
        line = paint("[red]{}[/red]: [bold]x {} y[/bold] {}", *values)
        assert line.plain == f"{values[0]}: x {values[1]} y {values[2]}"
        bold = next(span for span in line.spans if span.style == "bold")
        assert line.plain[bold.start : bold.end] == f"x {values[1]} y"
    with pytest.raises(ValueError, match="room for 1"):
        paint("{}")


def test_a_command_for_pasting_is_quoted():
    assert shell("tuneserve", "serve", "stop", "my runs/a") == "tuneserve serve stop 'my runs/a'"


def test_no_command_of_ours_holds_a_path_that_is_not_quoted():
    sources = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    unquoted = r"tuneserve [a-z]+(?: [a-z]+)? \{(?:self\.|\w+\.)*(?:run|path|file|folder|config_file)\b"
    assert len(sources) > 200
    assert [f"{file}: {found}" for file in sources for found in re.findall(unquoted, file.read_text("utf-8"))] == []


def test_with_json_a_table_is_a_line_on_stdout_and_the_rest_is_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OUTPUT, "json")
    table = Table("name", "rows", "", title="Rows", box=None)
    table.add_row(plain("a b"), "1,234", mark(True))
    table.add_row("模型", "2.5", mark(False))
    tables.print(Group("no table", table))
    console.print("something else")
    show(Table(title="Records"), [{"name": "\x9d52;c;QQ==\x9c\u202e\ud800"}])
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert json.loads(first) == {
        "table": "Rows",
        "rows": [{"name": "a b", "rows": 1234, "column_3": True}, {"name": "模型", "rows": 2.5, "column_3": False}],
    }
    assert second == r'{"table": "Records", "rows": [{"name": "\u009d52;c;QQ==\u009c\u202e\ud800"}]}'
    assert "something else" in said.err


def test_quiet_leaves_results_and_warnings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OUTPUT, "quiet")
    note("an aside")
    note("what is wrong", good=False)
    done("train", 1.0, "loss 1.2")
    detail("python -m trainer")
    warn("may end badly")
    said = capsys.readouterr().out
    assert "an aside" not in said
    assert "loss 1.2" not in said
    assert "what is wrong" in said
    assert "may end badly" in said
    monkeypatch.setenv(OUTPUT, "verbose")
    detail("python -m trainer")
    assert "python -m trainer" in capsys.readouterr().out


def test_a_package_that_is_missing_is_an_error_with_a_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> None:
        raise ModuleNotFoundError("No module named 'tokenizers.x'", name="tokenizers.x")

    assert guarded(action, debug=False) == 1
    said = capsys.readouterr().err
    assert "tokenizers is not installed here" in said
    assert "tuneserve doctor" in said

    def ours() -> None:
        raise ModuleNotFoundError("No module named 'trainer.gone'", name="trainer.gone")

    with pytest.raises(ModuleNotFoundError):
        guarded(ours, debug=False)


def test_a_folder_that_was_removed_under_a_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert guarded(Path.cwd, debug=False) == 1
    assert "the folder in which this command was called is gone" in capsys.readouterr().err


def test_no_terminal_is_a_thousand_million_columns_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "999999999")
    assert Terminal().width == WIDEST
    monkeypatch.setenv("COLUMNS", "132")
    assert Terminal().width == 132


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "latin-1"])
def test_letters_that_a_terminal_has_not_end_no_command(encoding: str) -> None:
    program = "from configs.terminal.console import console; console.print('数据 ✓ 🙂')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert "\\U0001f642" in done.stdout.decode(encoding)


def test_an_unforeseen_error_says_what_others_wrote_as_text() -> None:
    words = "\x1b]52;c;aGk=\x07 of http://me:s3cret@h"
    program = (
        f"from configs.terminal.console import guarded\ndef go(): raise RuntimeError({words!r})\nguarded(go, False)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("RuntimeError: \\x1b]52;c;aGk=\\x07 of http://h\n")
