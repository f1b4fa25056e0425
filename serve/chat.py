"""A conversation with served models in the terminal: streamed, with history, one model or two side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from configs.errors import ConfigError, TuneserveError
from configs.network.addresses import http_address, key_in
from configs.terminal.console import ours, paint, plain
from serve.api.openai_client import NO_ANSWER, openai_client, why
from serve.state.servers import ServerState, find_server

HELP = """\
/thinking on|off|default   switch thinking for the next requests
/system TEXT               set the system prompt and start over; without TEXT remove it
/clear                     forget the conversation
/help                      this list
/exit                      leave (also Ctrl-D)"""


@dataclass(frozen=True)
class ChatModel:
    """One model to talk to."""

    label: str
    """Shown above its answers."""
    base_url: str
    """OpenAI base URL."""
    model: str
    """Model name on that server."""
    api_key: str = "none"
    """Key, where the server asks for one."""


@dataclass
class Turn:
    """One answer while it streams."""

    content: str = ""
    """What the user reads."""
    reasoning: str = ""
    """What the model thought."""
    tokens: int = 0
    """Tokens generated, by the server's own count."""
    seconds: float = 0.0
    """From the request to the last token."""
    finish_reason: str | None = None
    """`stop`, `length`, ..."""
    error: str | None = None
    """Why there is no answer."""

    def figures(self) -> str:
        """Tokens, tokens/s, and how it ended."""
        speed = f"{self.tokens / self.seconds:.0f} tokens/s" if self.seconds else ""
        ended = "" if self.finish_reason in ("stop", None) else f", ended by {self.finish_reason}"
        return f"{self.tokens} tokens, {speed}{ended}"


@dataclass
class Conversation:
    """The history with one model."""

    model: ChatModel
    """Whom it is with."""
    system: str | None = None
    """System prompt."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """Turns so far."""

    def ask(self, text: str, thinking: bool | None, max_tokens: int | None, turn: Turn) -> Iterator[Turn]:
        """Sends one message and yields the turn each time it has grown; the history keeps the answer without thoughts.

        Raises:
            TuneserveError: the server refuses or cannot be reached; the message is not kept then.
        """
        self.messages.append({"role": "user", "content": _sendable(text)})
        system = [{"role": "system", "content": self.system}] if self.system else []
        extra = {} if thinking is None else {"chat_template_kwargs": {"enable_thinking": thinking}}
        began = time.monotonic()
        try:
            with openai_client(self.model.base_url, self.model.api_key) as client:
                create: Any = client.chat.completions.create
                stream = create(
                    model=self.model.model,
                    messages=[*system, *self.messages],
                    stream=True,
                    stream_options={"include_usage": True},
                    max_tokens=max_tokens,
                    extra_body=extra,
                )
                for chunk in stream:
                    turn.seconds = time.monotonic() - began
                    _grow(turn, chunk)
                    yield turn
                if not turn.seconds:
                    raise ValueError("an answer that is no stream")
        except NO_ANSWER as error:
            self.messages.pop()
            raise TuneserveError(
                f"{self.model.model} at {self.model.base_url}: {why(error)}", "look at `tuneserve serve status`"
            ) from error
        self.messages.append({"role": "assistant", "content": turn.content})

    def clear(self) -> None:
        """Forgets every turn."""
        self.messages.clear()


def models_of(state: ServerState, both: bool) -> list[ChatModel]:
    """Whom to talk to on a running server: its main model, or base and tuned.

    Raises:
        ConfigError: both are wanted, but the server has one.
    """
    bases = [name for name in state.names if name.endswith("-base")]
    tuned = [name for name in state.names if name not in bases] or bases
    chosen = [tuned[0]]
    if both:
        if not bases or tuned == bases:
            raise ConfigError(
                f"the server on port {state.port} serves {', '.join(state.names)}: there is no base beside it",
                "serve both from one process: `tuneserve serve RUN --adapter`",
            )
        chosen = [bases[0], tuned[0]]
    return [ChatModel(name, state.base_url, name, state.api_key or "none") for name in chosen]


def model_at(base_url: str, model: str | None = None) -> ChatModel:
    """A model at any OpenAI endpoint, by default the first that it lists; the key is TUNESERVE_API_KEY's, if set.

    Raises:
        ConfigError: address or key are none.
        TuneserveError: the endpoint cannot be reached.
    """
    http_address(base_url)
    key = key_in("TUNESERVE_API_KEY")
    try:
        with openai_client(base_url, key) as client:
            names = [model] if model else [listed.id for listed in client.models.list().data]
    except NO_ANSWER as error:
        step = "check the address (it ends in /v1) and the key; where it lists no models, name one with --model"
        raise TuneserveError(f"{base_url}: {why(error)}", step) from error
    if not names or not isinstance(names[0], str):
        raise TuneserveError(f"{base_url} lists no models", "name one with --model")
    return ChatModel(names[0], base_url, names[0], key)


def chat(
    which: str | Path | None = None,
    *,
    base_url: str | None = None,
    model: str | None = None,
    system: str | None = None,
    both: bool = False,
    console: Console,
) -> None:
    """Talks to a server that was started here, or to any endpoint.

    Args:
        which: run directory, model name or port; None takes the only server there is.
        base_url: an OpenAI endpoint instead.
        model: model name on it.
        system: system prompt.
        both: base and tuned side by side.
        console: where the conversation is shown.

    Raises:
        ConfigError: there is no such server, or no base beside the tuned model.
    """
    if both and (base_url or model):
        raise ConfigError(
            "--both shows base and tuned of a server that was started here; --base-url or --model names something else",
            "leave one of them out",
        )
    if base_url:
        models = [model_at(base_url, model)]
    else:
        state = find_server(which)
        models = models_of(state, both)
        named = model or (str(which) if which in state.all_names and not both else None)
        if named:
            models = [replace(models[0], label=named, model=named)]
    converse(models, console, system)


def converse(
    models: Sequence[ChatModel],
    console: Console,
    system: str | None = None,
    thinking: bool | None = None,
    max_tokens: int | None = None,
    read: Callable[[], str] | None = None,
) -> None:
    """Talks until `/exit` or the end of the input.

    Args:
        models: one model, or two that get the same messages side by side.
        console: where answers are shown.
        system: system prompt.
        thinking: thinking mode of the requests; None leaves it to the server's default.
        max_tokens: longest answer; None leaves it to the server.
        read: gives the user's next line, raising EOFError at the end; by default the terminal.
    """
    read = read or (lambda: console.input(paint("[bold green]>[/bold green] ")))
    talks = [Conversation(model, system) for model in models]
    console.print(ours(f"{', '.join(m.label for m in models)}; /help lists the commands", "dim"))
    while True:
        try:
            line = read().strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line in ("/exit", "/quit"):
            return
        if line.startswith("/"):
            thinking = _command(line, talks, thinking, console)
        elif line:
            _answer(line, talks, thinking, max_tokens, console)


def _command(line: str, talks: Sequence[Conversation], thinking: bool | None, console: Console) -> bool | None:
    """Carries a command out and returns the thinking mode that holds from now on."""
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    if word == "/thinking" and rest in ("on", "off", "default"):
        thinking = {"on": True, "off": False, "default": None}[rest]
        console.print(ours(f"thinking: {rest}", "dim"))
    elif word == "/system":
        for talk in talks:
            talk.system = rest or None
            talk.clear()
        console.print(ours("new system prompt, new conversation", "dim"))
    elif word == "/clear":
        for talk in talks:
            talk.clear()
        console.print(ours("new conversation", "dim"))
    else:
        console.print(ours(HELP, "dim"))
    return thinking


def _answer(
    text: str, talks: Sequence[Conversation], thinking: bool | None, max_tokens: int | None, console: Console
) -> None:
    if len(talks) == 1:
        _stream_plainly(text, talks[0], thinking, max_tokens, console)
    else:
        _stream_side_by_side(text, talks, thinking, max_tokens, console)


def _stream_plainly(
    text: str, talk: Conversation, thinking: bool | None, max_tokens: int | None, console: Console
) -> None:
    """Prints each piece as it comes; Ctrl-C ends the answer, not the conversation."""
    turn, seen = Turn(), Turn()
    try:
        for _ in talk.ask(text, thinking, max_tokens, turn):
            thought, said = turn.reasoning[len(seen.reasoning) :], turn.content[len(seen.content) :]
            if thought:
                console.print(plain(thought, "dim italic"), end="")
            if said:
                if seen.reasoning and not seen.content:
                    console.print()
                console.print(plain(said), end="")
            seen = replace(turn)
    except TuneserveError as error:
        console.print(ours(error.message, "red"))
        return
    except KeyboardInterrupt:
        talk.messages.append({"role": "assistant", "content": turn.content})
    console.print("")
    console.print(ours(turn.figures(), "dim"))


def _stream_side_by_side(
    text: str, talks: Sequence[Conversation], thinking: bool | None, max_tokens: int | None, console: Console
) -> None:
    """Shows both answers as they grow; Ctrl-C ends the answers, not the conversations."""
    turns, cancelled = [Turn() for _ in talks], threading.Event()

    def follow(talk: Conversation, turn: Turn) -> None:
        try:
            for _ in talk.ask(text, thinking, max_tokens, turn):
                if cancelled.is_set():  # leaving the loop closes the connection, and the server stops generating
                    talk.messages.append({"role": "assistant", "content": turn.content})
                    return
        except TuneserveError as error:
            turn.error = error.message

    threads = [threading.Thread(target=follow, args=pair, daemon=True) for pair in zip(talks, turns, strict=True)]
    with Live(console=console, refresh_per_second=8) as live:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            try:
                live.update(_columns(talks, turns))
                time.sleep(0.1)
            except KeyboardInterrupt:
                cancelled.set()  # the next question must wait for the threads, which write the history
        live.update(_columns(talks, turns))


def _columns(talks: Sequence[Conversation], turns: Sequence[Turn]) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    for _ in talks:
        table.add_column(ratio=1)
    table.add_row(*(_panel(talk, turn) for talk, turn in zip(talks, turns, strict=True)))
    return table


def _panel(talk: Conversation, turn: Turn) -> Panel:
    if turn.error:
        body = Group(ours(turn.error, "red"))
    else:
        thought = [plain(turn.reasoning, "dim italic")] if turn.reasoning else []
        body = Group(*thought, plain(turn.content))
    return Panel(body, title=plain(talk.model.label), subtitle=ours(turn.figures(), "dim"))


def _grow(turn: Turn, chunk: Any) -> None:
    """Adds a streamed chunk to a turn; thoughts are an addition to the OpenAI fields, of two names."""
    counted = getattr(chunk.usage, "completion_tokens", None)
    # The client passes on whatever stands there.
    if isinstance(counted, int) and not isinstance(counted, bool) and 0 <= counted < 1 << 53:
        turn.tokens = counted
    for choice in chunk.choices:
        turn.content += _sendable(choice.delta.content or "")
        thought = choice.delta.model_extra or {}
        turn.reasoning += _sendable(thought.get("reasoning") or thought.get("reasoning_content") or "")
        turn.finish_reason = choice.finish_reason or turn.finish_reason


def _sendable(text: str) -> str:
    """The text as it can be sent back with the history: half characters, which UTF-8 does not have, become `?`."""
    return text.encode("utf-8", "replace").decode()
