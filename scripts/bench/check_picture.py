"""The terminal of `tuneserve check` as an SVG: `python -m scripts.bench.check_picture RECIPE OUT.svg [--gpu NAME]`."""

from __future__ import annotations

import argparse
import html
import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.cells import cell_len
from rich.terminal_theme import MONOKAI

import configs.terminal.console
from trainer import environment

WIDTH = 124
"""Columns of the terminal that is drawn."""
FONTLESS = re.sub(r"\s*@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's template fetches its font from the network; the viewer's own fixed-width font does."""
LINE_CLIPS = re.compile(
    r'<clipPath id="[^"]*-line-\d+">.*?</clipPath>\s*| clip-path="url\(#[^"]*-line-\d+\)"', re.DOTALL
)
"""Rich cuts every text at its line's end, which none of ours reaches: a third of the file."""
TEXT = re.compile(r'(<text [^>]*textLength=)"([\d.]+)"([^>]*>)([^<]+)</text>')


def main(arguments: list[str] | None = None) -> int:
    """Runs the check on a console that records, draws what it showed, and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.check_picture", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", default="2", help="rows shown with their trained tokens")
    parser.add_argument("--gpu", help="plan for another GPU")
    options = parser.parse_args(arguments)
    screen = configs.terminal.console.Terminal(
        # No terminal: a progress bar would leave its traces in the picture.
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        force_terminal=False,
        color_system="truecolor",
    )
    configs.terminal.console.console = configs.terminal.console.tables = screen
    from trainer.check import main as check  # takes the consoles that stand by now

    gpu = ["--gpu", options.gpu] if options.gpu else []
    code = check([str(options.recipe), "--rows", options.rows, *gpu])
    title = " ".join(["tuneserve check", str(options.recipe), *gpu])
    picture = screen.export_svg(title=title, theme=MONOKAI, code_format=FONTLESS)
    options.out.write_text(smaller(TEXT.sub(_widened, picture)), encoding="utf-8")
    return code


def smaller(picture: str) -> str:
    """The same picture in fewer bytes."""
    picture = re.sub(r"terminal-\d+-", "t-", LINE_CLIPS.sub("", picture))
    # What most texts look like is how all look that say nothing else.
    looks = re.findall(r'<text (class="t-r\d+") ', picture)
    if looks:
        most = max(looks, key=looks.count)
        picture = picture.replace(f"<text {most} ", "<text ").replace(
            '<g class="t-matrix">', f'<g class="t-matrix {most[7:]}>'
        )
    return re.sub(r"\n\s+(?=<)", "\n", picture.replace("&#160;", "\u00a0"))


def _widened(found: re.Match[str]) -> str:
    """Gives a text the width of its cells, without the spaces that fill them up.

    Rich counts characters, which squeezes Chinese to half.
    """
    start, length, end, filled = found.groups()
    text = filled.replace("&#160;", "\u00a0").rstrip()
    width = float(length) / len(html.unescape(filled)) * cell_len(html.unescape(text))
    return f'{start}"{width:.1f}"{end}{text}</text>' if text else ""


if __name__ == "__main__":
    environment.without_torch()
    sys.exit(main())
