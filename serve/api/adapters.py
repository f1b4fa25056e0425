"""Adapters of a running server: load one, unload one, list them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from configs.errors import ConfigError, first_line
from serve.api.client import Refused, ServerClient
from serve.launch.target import read_adapter


@dataclass(frozen=True)
class ServedModel:
    """One name that a server answers to."""

    name: str
    """Model name."""
    parent: str | None
    """The base that an adapter belongs to, None for the base itself."""
    context: int | None
    """Longest context in tokens, where the server says."""
    folder: str | None = None
    """Where the server read it from."""


class _Model(BaseModel):
    id: str
    parent: str | None = None
    max_model_len: int | None = None
    root: str | None = None


class _Models(BaseModel):
    data: list[_Model]


def served_models(client: ServerClient) -> list[ServedModel]:
    """What `/v1/models` lists.

    Raises:
        Refused: it cannot be reached, or does not answer as vLLM does.
    """
    answer = client.get("/v1/models")
    try:
        return [ServedModel(m.id, m.parent, m.max_model_len, m.root) for m in _Models.model_validate(answer).data]
    except ValidationError as error:
        raise Refused(f"{client.root_url}/v1/models does not answer as vLLM does: {first_line(error)}") from error


def load_adapter(client: ServerClient, name: str, path: str) -> None:
    """Loads a PEFT adapter under a name into a running server; requests for it are answered from then on.

    Args:
        client: the server's.
        name: what clients call it.
        path: of its folder, absolute, as vLLM is given it.

    Raises:
        ConfigError: vLLM cannot serve it, the name is taken, or the server was started without adapters.
    """
    read_adapter(name, Path(path))
    try:
        client.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
    except Refused as error:
        raise ConfigError(f"{name} was not loaded: {error.message}", _step(error)) from error


def unload_adapter(client: ServerClient, name: str) -> None:
    """Takes an adapter out of a running server.

    Raises:
        ConfigError: there is no adapter of that name, or the server was started without adapters.
    """
    try:
        client.post("/v1/unload_lora_adapter", {"lora_name": name})
    except Refused as error:
        raise ConfigError(f"{name} was not unloaded: {error.message}", _step(error)) from error


def _step(error: Refused) -> str:
    if error.status == 404:
        return "see `tuneserve adapters list`; a server takes adapters only when it was started with `--adapter`"
    return (
        "its rank must not exceed --max-lora-rank of the server and its layers must be among --lora-target-modules; "
        "`serve --adapters a=RUN1 b=RUN2` starts a server that fits several"
    )
