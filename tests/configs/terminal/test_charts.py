"""Charts do not depend on what lies where they are drawn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib

from configs.terminal.charts import chart

DRAW = (
    "import os, configs.terminal.charts as c, pathlib; a = os.getcwd()\n"
    "with c.chart(pathlib.Path('x.png'), 1, 1): pass\n"
)


def test_settings_of_the_working_folder_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "matplotlibrc")
    command = [sys.executable, "-c", f"{DRAW}assert os.getcwd() == a"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, timeout=60, check=True)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_settings_that_somebody_made_change_nothing(tmp_path: Path) -> None:
    for name, colour in (("plain", "white"), ("red", "red")):
        with matplotlib.rc_context({"figure.facecolor": colour}), chart(tmp_path / f"{name}.png", 1, 1) as figure:
            figure.suptitle("loss")
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "red.png").read_bytes()
