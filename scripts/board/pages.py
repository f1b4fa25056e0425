"""The board's pages: templates filled with words of one language; styles and scripts lie in the page, with a nonce."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from configs.terminal.console import visible
from configs.terminal.language import Language
from configs.terminal.messages import translated
from configs.terminal.words import Words, table
from eval.compare.votes import Tally

_TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """Renders in one language."""

    def __init__(self, language: Language) -> None:
        self.words = Words(language)
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
            finalize=lambda value: visible(value) if type(value) is str else value,
        )
        self._environment.filters["said"] = lambda text: translated(text, ours=True)

    def render(self, name: str, *, nonce: str, token: str = "", data: Any = None, **values: Any) -> str:
        """A page.

        Args:
            name: of the template.
            nonce: that the page's own style and script carry.
            token: of this start, for requests of the page's script.
            data: JSON that the script starts from.
            values: of the template.
        """
        script = source(f"{name}.js") if (_TEMPLATES / f"{name}.js").is_file() else ""
        return self._environment.get_template(f"{name}.html.j2").render(
            language="zh-CN" if self.words.language == "zh" else "en",
            other_language="en" if self.words.language == "zh" else "zh",
            say=self.words.say,
            nonce=nonce,
            token=token,
            style=Markup(source("board.css")),
            script=Markup(script),
            common=Markup(source("common.js")),
            data=in_script({"words": self.script_words(script, source("common.js")), **(data or {})}),
            **values,
        )

    def script_words(self, *scripts: str) -> dict[str, str]:
        """The texts that these scripts say, and no others: what a voter's page holds must give nothing away."""
        names = [key.removeprefix("board.js.") for key in table() if key.startswith("board.js.")]
        said = "".join(scripts)
        used = [name for name in names if f"words.{name}" in said or f'words["{name.partition(".")[0]}.' in said]
        return {name: self.words.say(f"board.js.{name}") for name in used}

    def sentence(self, counted: Tally | None) -> str:
        """The outcome of a blind vote."""
        if counted is None:
            return self.words.say("board.tally.none")
        p = "< 0.001" if counted.p < 0.001 else f"= {counted.p:.3f}"
        return self.words.say(
            "board.tally", wins=counted.wins, losses=counted.losses, ties=counted.ties, p=p,
            net=f"{counted.net_points:+.1f}", bounds=f"[{counted.interval.lower:+.1f}, {counted.interval.upper:+.1f}]",
            voters=counted.voters, questions=counted.questions,
        )  # fmt: skip


def policy(nonce: str) -> str:
    """What a page of the board may load: its own style, script and data, nothing else."""
    return (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def alone_policy(style: str, *scripts: str) -> str:
    """The same for a file that stands alone: exactly these scripts, and no request to anywhere."""
    allowed = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    return (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src {allowed}; base-uri 'none'; "
        "form-action 'none'"
    )


def in_script(value: Any) -> Markup:
    """JSON that can stand in a `<script>` element: nothing in it closes the element or opens a comment."""
    text = in_json(value)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def in_json(value: Any) -> str:
    """JSON as browsers read it: half a character is escaped, and what is no finite number becomes null."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@cache
def source(name: str) -> str:
    """A style or script of ours."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
