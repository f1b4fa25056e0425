"""What a model's chat template can do, found by rendering it: thinking, tool calls. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from configs.disk.files import file_text
from configs.errors import ConfigError
from configs.handover.training import Family
from configs.model.chat_template import TemplateFailed, looked_at, rendered
from configs.model.files import read_json
from configs.model.template_family import QUESTION, template_family


@dataclass(frozen=True)
class TemplateTraits:
    """What the template decides about the server's flags."""

    family: Family
    """How the template treats thinking."""
    tool_parser: str | None
    """vLLM's parser for the tool calls that the template teaches, None where it knows no tools."""


def template_traits(folder: Path) -> TemplateTraits:
    """Reads the chat template of a model folder and renders it to see what it can do.

    Raises:
        ConfigError: there is no chat template, or it cannot be rendered.
    """
    source = chat_template(folder)
    return TemplateTraits(_family(source, folder), _tool_parser(source))


def chat_template(folder: Path) -> str:
    """The chat template's source: `chat_template.jinja` if there, else the one in `tokenizer_config.json`.

    Raises:
        ConfigError: the folder has neither, or its JSON cannot be read.
    """
    jinja_file = folder / "chat_template.jinja"
    if jinja_file.is_file():
        try:
            return file_text(jinja_file)
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{jinja_file}: not UTF-8 (byte {error.start})", "copy it from the model again"
            ) from error
    template = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # named templates; `default` is the one that a chat uses
        template = next((t["template"] for t in template if t["name"] == "default"), None)
    if not template:
        raise ConfigError(
            f"{folder}: the model has no chat template, so a chat request cannot be answered",
            "serve an instruct model, or give one with `-- --chat-template FILE`",
        )
    return template


def render(source: str, messages: list[dict[str, Any]], **kwargs: Any) -> str:
    """Renders a chat template the way transformers does, up to the generation prompt.

    Only for looking at a template's behaviour: prompts that a model sees are built by vLLM.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source).render(messages=messages, add_generation_prompt=True, **kwargs)


def _family(source: str, folder: Path) -> Family:
    settings = read_json(folder / "tokenizer_config.json")
    named = {name: settings.get(name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    specials = {name: token["content"] if isinstance(token, dict) else token for name, token in named.items() if token}
    question = [{"role": "user", "content": QUESTION}]
    try:
        return looked_at(
            lambda: template_family(
                lambda thinking: rendered(
                    lambda: render(source, question, enable_thinking=thinking, **specials), folder
                )
            ),
            folder,
        )
    except TemplateFailed as error:
        raise ConfigError(
            f"{folder}: the chat template cannot be rendered: {error}", "copy the template of the base model again"
        ) from error


def _tool_parser(source: str) -> str | None:
    if "<tool_call>" not in source:
        return None
    # Qwen3-Coder and Qwen3.5 write calls as <function=name>; Qwen2.5 and Qwen3 as one JSON object.
    return "qwen3_coder" if "<function=" in source else "hermes"


class _Generation(Extension):
    """`{% generation %}`, with which templates mark what a trainer learns; it renders what it holds."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)
