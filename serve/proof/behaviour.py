"""How the served model behaves towards a plain client: it stops, leaks no thoughts, and never answers with nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.handover.base import read_rows
from configs.handover.rows import HeldoutRow, as_requested
from configs.handover.serving import BehaviourFigures, Switched
from serve.api.client import ServerClient, in_parallel
from serve.launch.target import Target


class Behaviour(BehaviourFigures):
    """How a plain client is served, in words."""

    def sentence(self) -> str:
        """One sentence for the terminal."""
        text = (
            f"{100 * self.stop_rate:.1f} % of {self.answers} answers ended by themselves, "
            f"{100 * self.think_leak_rate:.1f} % leaked <think>, {100 * self.null_rate:.1f} % were empty"
        )
        if self.switched is None:
            return text
        mode = "on" if self.switched.thinking else "off"
        what = "content" if self.switched.content else "reasoning only" if self.switched.reasoning else "nothing"
        switched = f"with thinking switched {mode}: {what} ({self.switched.finish_reason})"
        return f"{text}; {switched}"


def check_behaviour(
    client: ServerClient, target: Target, model: str, file: Path, limit: int = 64, max_tokens: int = 256
) -> Behaviour | None:
    """Asks held-out prompts and looks at how the answers end and what is in them; None where nothing is held out.

    Args:
        client: a server that is ready.
        target: what it serves.
        model: name to ask for.
        file: the run's heldout.jsonl.
        limit: prompts to ask, from the first on.
        max_tokens: longest answer.
    """
    rows = read_rows(file, HeldoutRow, "data")[:limit]
    if not rows:
        return None
    answers = in_parallel(lambda row: ask(client, model, row.messages, max_tokens, **_offered(row)), rows)
    contents = [a["message"].get("content") for a in answers]
    return Behaviour(
        answers=len(answers),
        stop_rate=_share([a["finish_reason"] == "stop" for a in answers]),
        think_leak_rate=_share(["<think>" in (c or "") or "</think>" in (c or "") for c in contents]),
        null_rate=_share([not (c or "").strip() for c in contents]),
        switched=_switch(client, target, model, rows[0], max_tokens),
    )


def ask(
    client: ServerClient, model: str, messages: list[dict[str, Any]], max_tokens: int, **more: Any
) -> dict[str, Any]:
    """The first choice of a greedy chat completion."""
    body = {"model": model, "messages": as_requested(messages), "temperature": 0, "max_tokens": max_tokens, **more}
    return client.post("/v1/chat/completions", body)["choices"][0]


def _switch(client: ServerClient, target: Target, model: str, row: HeldoutRow, max_tokens: int) -> Switched | None:
    if target.family != "switchable":
        return None
    thinking = not (True if target.thinking is None else target.thinking)
    switched = {"chat_template_kwargs": {"enable_thinking": thinking}}
    answer = ask(client, model, row.messages, max_tokens, **switched, **_offered(row))
    message = answer["message"]
    return Switched(
        thinking=thinking,
        content=bool((message.get("content") or "").strip()),
        reasoning=bool((message.get("reasoning") or "").strip()),
        finish_reason=answer["finish_reason"],
    )


def _offered(row: HeldoutRow) -> dict[str, Any]:
    """The tools of a row, which stand in the prompt as in training; the answer comes as it was written."""
    return {"tools": row.tools, "tool_choice": "none"} if row.tools else {}


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)
