"""The terminal of `tuneserve check` as an SVG: `python -m scripts.bench.check_picture RECIPE OUT.svg [--gpu NAME]`."""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
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
    options.out.write_text(smaller(picture), encoding="utf-8")
    return code


def smaller(picture: str) -> str:
    """The same picture in fewer bytes: texts begin where Rich puts them, and all but lines have the font's width."""
    picture = re.sub(r"terminal-\d+-", "", LINE_CLIPS.sub("", picture)).replace("&#160;", "\u00a0")
    picture = re.sub(r' textLength="[\d.]+"(?![^<]*──)|\s+(?=</text>)', "", picture)
    picture = re.sub(r'(="\d+)\.\d+(?=")', r"\1", re.sub(r"<text[^>]*></text>|\n\s*", "", picture))
    # What most texts look like is how all look that say nothing else.
    if looks := re.findall(r'<text (class="r\d+") ', picture):
        most = max(looks, key=looks.count)
        picture = picture.replace(f"<text {most} ", "<text ").replace('"matrix">', f'"matrix {most[7:]}>')
    return picture.replace("</text>", "</text>\n")


if __name__ == "__main__":
    environment.without_torch()
    sys.exit(main())
