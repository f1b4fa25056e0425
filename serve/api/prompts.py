"""Prompts as the server itself builds them: token ids of its chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import ConfigError
from configs.model.template_family import QUESTION
from serve.api.client import ServerClient


def prompt_ids(
    client: ServerClient, model: str, messages: Sequence[Mapping[str, Any]], thinking: bool | None = None
) -> list[int]:
    """Token ids of a conversation up to where the answer begins; `thinking` None leaves the mode to the server."""
    body: dict[str, Any] = {"model": model, "messages": list(messages), "add_generation_prompt": True}
    if thinking is not None:
        body["chat_template_kwargs"] = {"enable_thinking": thinking}
    return _ids(client, body)


def user_header(client: ServerClient, model: str, system: str | None = None) -> list[int]:
    """Token ids up to where the user speaks: whoever goes on from there writes in the user's place.

    Args:
        system: system prompt before it; None leaves what the template puts there by itself.

    Raises:
        ConfigError: the template does not write the user's words as they are.
    """
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": QUESTION})
    ids = _ids(client, {"model": model, "messages": messages, "add_generation_prompt": False})
    text = str(client.post("/detokenize", {"model": model, "tokens": ids})["prompt"])
    header, found, _ = text.rpartition(QUESTION)
    if not found or (system and system not in header):
        raise ConfigError(
            f"the chat template of {model} does not write a question{' and a system prompt' if system else ''} as they "
            f"are: {text[:200]!r}",
            "the base cannot be had to write questions: mix a data set in with data.replay, or set it to null",
        )
    return _ids(client, {"model": model, "prompt": header, "add_special_tokens": False})


def _ids(client: ServerClient, body: Mapping[str, Any]) -> list[int]:
    return list(client.post("/tokenize", body)["tokens"])
