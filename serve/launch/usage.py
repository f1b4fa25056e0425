"""What to type to use a server: curl, the openai client, what an existing app needs, and how to stop it."""

from __future__ import annotations

import json

from rich.text import Text

from configs.terminal.console import ours, plain, shell
from serve.launch.command import ServerCommand


def usage_text(command: ServerCommand, stop: str = "Ctrl-C") -> Text:
    """What is shown once a server is ready, in the user's language but for what is typed.

    Args:
        command: what was started.
        stop: how to stop it.
    """
    address = Text("\n").join(map(ours, _address(command)))
    typed = [plain(curl_line(command)), plain(python_snippet(command))]
    return Text("\n\n").join([address, *typed, ours(f"Stop it with: {stop}")])


def curl_line(command: ServerCommand, question: str = "你好") -> str:
    """One chat as a line for a shell."""
    body = json.dumps({"model": _model(command), "messages": _messages(command, question)}, ensure_ascii=False)
    key = f' -H "Authorization: Bearer ${command.api_key_env}"' if command.api_key_env else ""
    where = shell(f"{command.base_url}/chat/completions")
    return f"curl {where}{key} -H 'Content-Type: application/json' -d {shell(body)}"


def python_snippet(command: ServerCommand, question: str = "你好") -> str:
    """One streamed chat with the `openai` package."""
    key = f'os.environ["{command.api_key_env}"]' if command.api_key_env else '"none"'
    imports = "import os\n\n" if command.api_key_env else ""
    messages = json.dumps(_messages(command, question), ensure_ascii=False)
    return (
        f"{imports}from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{command.base_url}", api_key={key})\n'
        f"answer = client.chat.completions.create(\n"
        f"    model={json.dumps(_model(command), ensure_ascii=False)},\n"
        f"    messages={messages},\n"
        f")\n"
        f"print(answer.choices[0].message.content)"
    )


def _address(command: ServerCommand) -> list[str]:
    target = command.target
    key = f"the value of ${command.api_key_env}" if command.api_key_env else "anything (none is asked for)"
    lines = [
        f"Base URL   {command.base_url}",
        f"API key    {key}",
        f"Model      {_model(command)}" + _others(command),
    ]
    systems = {a.name: a.system for a in target.adapters} or {target.name: target.system}
    if len(set(systems.values())) == 1:
        systems = {"": target.system}
    for name, system in systems.items():
        if system:
            whose = f"{name}: " if name else ""
            lines.append(f"System     {whose}{system!r} (used in training: send it as the first message)")
    if target.family == "switchable":
        default = {True: "on", False: "off", None: "left to the template"}[target.thinking]
        lines.append(
            f'Thinking   {default}; a request switches it with "chat_template_kwargs": {{"enable_thinking": true}}'
        )
    return lines


def _others(command: ServerCommand) -> str:
    others = [name for name in command.names if name != _model(command)]
    return f" (also: {', '.join(others)})" if others else ""


def _model(command: ServerCommand) -> str:
    return command.target.name if command.target.name in command.names else command.names[0]


def _messages(command: ServerCommand, question: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": command.target.system}] if command.target.system else []
    return [*system, {"role": "user", "content": question}]
