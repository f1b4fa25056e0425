"""Environment variables that a library cannot read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from configs.terminal.console import guarded

READS = "import os\ndef as_int(value):\n    return int(value)\n"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SOURCE_DATE_EPOCH", "int(os.environ.get('SOURCE_DATE_EPOCH', 5))"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "as_int(os.environ['HF_HUB_DOWNLOAD_TIMEOUT'])"),
        ("LOCAL_RANK", "float(os.getenv('LOCAL_RANK'))"),
    ],
)
def test_the_variable_is_named(
    name: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    monkeypatch.setenv(name, "x y\x1b")
    (tmp_path / "library.py").write_text(f"{READS}{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("library", None)
    assert guarded(lambda: __import__("library"), debug=False) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"the environment variable {name} is 'x y\\x1b', which a library cannot read" in said
    assert f"unset {name}" in said


def test_an_error_of_something_else_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "5")
    LOCAL_RANK = "x"
    with pytest.raises(ValueError, match="invalid literal"):
        guarded(lambda: int(LOCAL_RANK), debug=False)


@pytest.mark.parametrize("value", ["x", "9" * 30, "-" + "9" * 30])
def test_a_command_says_it_too(value: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": value}
    command = [
        sys.executable,
        "-c",
        "from configs.terminal.console import guarded; guarded(lambda: __import__('numpy.f2py'), False)",
    ]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert "SOURCE_DATE_EPOCH" in ended.stderr


def test_an_overflow_of_our_own_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    with pytest.raises(OverflowError):
        guarded(lambda: float(10**400), debug=False)
