"""An OpenAI-compatible endpoint, and how it is asked.

The API key comes from an environment variable and goes into the request header only, never into a log or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
from yarl import URL

from configs.errors import without_credentials
from configs.network.addresses import http_address, key_in

ChoiceMethod = Literal["auto", "generate", "choice_logprobs"]


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers.

    Args:
        base_url: with or without the closing `/v1`. User and password in it (`http://user:pass@host`) move to
            `authorization`, so that the address can be written down.
        model: the served name.
        label: name of its folder and its column in the report: `base`, `tuned`, or the user's own.
        api_key_env: environment variable that holds the API key; unset or empty means that no key is sent.
        authorization: value of the header of that name where there is no key.
        gone: whether the server is known to have ended for good, so that it is not waited for.
    """

    base_url: str
    model: str
    label: str = "base"
    api_key_env: str = "TUNESERVE_API_KEY"
    authorization: str = field(default="", repr=False)
    gone: Callable[[], bool] = field(default=lambda: False, repr=False, compare=False)

    def __post_init__(self) -> None:
        http_address(self.base_url)
        url = URL(self.base_url)
        if url.user is not None or url.password is not None:
            basic = aiohttp.BasicAuth(url.user or "", url.password or "", "utf-8")
            object.__setattr__(self, "authorization", basic.encode())
        address = without_credentials(self.base_url).rstrip("/")
        object.__setattr__(self, "base_url", address if url.path.strip("/") else f"{address}/v1")

    def headers(self) -> dict[str, str]:
        """Headers of every request, the key included where there is one.

        Raises:
            ConfigError: the key holds what no header can.
        """
        key = key_in(self.api_key_env)
        value = f"Bearer {key}" if key else self.authorization
        return {"Authorization": value} if value else {}


@dataclass(frozen=True)
class Settings:
    """How every sample is asked; base and tuned alike.

    Args:
        temperature, top_p, seed: sampling, always sent.
        max_tokens: longest answer in tokens where the task does not say.
        thinking_tokens: added to every answer's length where the model thinks.
        thinking: sent as `enable_thinking` where the server is vLLM; None leaves the template's own default.
        choice_method: how multiple choice is asked; `auto` restricts the output where the server is vLLM.
        concurrency: requests in flight; 0 finds the level by itself.
        timeout_s: of one request.
        max_error_rate: share of samples without an answer above which the endpoint is not scored.
        first_pause_s: pause before the first repetition; it doubles from there.
        outage_s: how long a server that does not answer at all may take to come back.
        extra: sent with every request beside the sampling parameters.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 42
    max_tokens: int = 256
    thinking: bool | None = None
    thinking_tokens: int = 4096
    choice_method: ChoiceMethod = "auto"
    concurrency: int = 0
    timeout_s: float = 300.0
    max_error_rate: float = 0.02
    outage_s: float = 180.0
    first_pause_s: float = 0.5
    extra: Mapping[str, Any] = field(default_factory=dict)


def sampling(settings: Settings, max_tokens: int, is_vllm: bool) -> dict[str, Any]:
    """Every sampling parameter, spelled out: what a request leaves out, `generation_config.json` or the server decides.

    Servers other than vLLM refuse names that OpenAI does not know, so those go to vLLM only.
    """
    values: dict[str, Any] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": max_tokens,
        "seed": settings.seed,
        "n": 1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "stream": False,
    }
    if is_vllm:
        values |= {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
        if settings.thinking is not None:
            values["chat_template_kwargs"] = {"enable_thinking": settings.thinking}
    return {**values, **settings.extra}
