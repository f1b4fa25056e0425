"""The picture of `check` in the docs: Chinese at its width, and nothing from the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from scripts.bench.check_picture import smaller


def test_a_smaller_picture_shows_the_same_texts() -> None:
    line = '<text class="terminal-12-r1" x="12.2" textLength="9.0">a&#160;b&#160;</text>'
    clip = '<clipPath id="terminal-12-line-0">\n<rect/></clipPath>\n'
    filled = '<text class="terminal-12-r2" x="0" textLength="12.2">&#160;</text>\n'
    assert (
        smaller(clip + '<g class="terminal-12-matrix">' + filled + line)
        == '<g class="matrix r1"><text x="12">a\u00a0b</text>\n'
    )


def test_picture_of_the_demo(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    out = tmp_path / "check.svg"
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench.check_picture", "configs/demo.yaml", str(out)],
        cwd=root, env=os.environ | {"TUNESERVE_CACHE": str(tmp_path / "cache"), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    picture = out.read_text(encoding="utf-8")
    assert "configs/demo/data/train.jsonl" in picture
    assert str(root) not in picture
    assert "optimizer\u00a0steps" in picture
    assert not re.search(r"@font-face|@import|(?:src|href)=|url\((?!#)", picture), "it fetches something"
    assert len(picture.encode()) < 45_000
