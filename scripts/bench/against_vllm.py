"""The evaluation beside `vllm bench serve`: how much of what a running server can do an evaluation gets out of it.

    tuneserve serve MODEL --name m --detach
    python -m scripts.bench.against_vllm --base-url http://127.0.0.1:8000 --model m \\
        --prompts 1000 --input-tokens 512 --output-tokens 64 --in-flight 64 --rounds 3

Both ask the same random prompts as one user turn, at temperature 0, with as many in flight, and both let every answer
run to its full length. The benchmark counts from its first request to its last answer; the evaluation is counted whole:
prompts, requests, official scores, a line of JSON for every sample, and reading them back. Each measurement has a cache
salt of its own, so that none finds the prompts of another in the server's prefix cache. The two take turns, and the
fastest round of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.errors import ConfigError
from eval.ask.endpoint import Endpoint, Settings, sampling
from eval.ask.evaluate import evaluate
from eval.tasks.task import Item, Task, conversation
from serve.bench.running import vllm_bench

BENCH, FIXED, FOUND = "vllm bench serve", "evaluation", "evaluation, own level"


@dataclass(frozen=True)
class Load:
    """What is asked."""

    prompts: tuple[str, ...]
    output_tokens: int
    in_flight: int


@dataclass(frozen=True)
class Measured:
    """One measurement; tokens are those that the server counted."""

    name: str
    seconds: float
    requests: int
    output_tokens: int

    @property
    def requests_per_s(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def random_prompts(tokenizer_folder: Path, count: int, tokens: int, seed: int) -> tuple[str, ...]:
    """Texts of about `tokens` tokens each, drawn evenly from the vocabulary's whole characters.

    Decoding and encoding again moves a boundary here and there; both sides are given the same texts.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    drawn = random.Random(seed)
    size = tokenizer.get_vocab_size(with_added_tokens=False)
    found = []
    for _ in range(count):
        ids: list[int] = []
        while len(ids) < tokens:
            text = tokenizer.decode([drawn.randrange(size) for _ in range(2 * tokens)], skip_special_tokens=True)
            ids += tokenizer.encode(text.replace("\ufffd", ""), add_special_tokens=False).ids
        found.append(tokenizer.decode(ids[:tokens], skip_special_tokens=True))
    return tuple(found)


def by_vllm(endpoint: Endpoint, load: Load, tokenizer: Path, folder: Path) -> Measured:
    """`vllm bench serve` with the prompts as its custom data set."""
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in load.prompts), encoding="utf-8")
    asked = sampling(Settings(), load.output_tokens, is_vllm=True)
    extra = {**_fresh(), "seed": asked["seed"]}
    settings = {
        "--backend": "openai-chat",
        "--base-url": endpoint.base_url.removesuffix("/v1"),
        "--endpoint": "/v1/chat/completions",
        "--model": endpoint.model,
        "--tokenizer": str(tokenizer),
        "--dataset-name": "custom",
        "--dataset-path": str(file),
        "--custom-output-len": str(load.output_tokens),
        "--num-prompts": str(len(load.prompts)),
        "--max-concurrency": str(load.in_flight),
        **{f"--{name.replace('_', '-')}": str(asked[name]) for name in _SAMPLING},
        "--extra-body": json.dumps(extra),
    }
    flags = ["--skip-chat-template", "--disable-shuffle", "--disable-tqdm"]
    point = vllm_bench(settings, flags, folder / "bench.json", os.environ.get(endpoint.api_key_env))
    if point.failed:
        raise ConfigError(f"{point.failed} requests of vllm bench serve failed", "read the server's log")
    return Measured(BENCH, point.seconds, point.requests, round(point.output_tokens_per_s * point.seconds))


def by_evaluation(endpoint: Endpoint, load: Load, name: str, folder: Path) -> Measured:
    """The evaluation, whole, with the level given or, for `FOUND`, found by itself."""
    items = [Item(f"{number:06d}", conversation(text), ["北京"]) for number, text in enumerate(load.prompts)]
    settings = Settings(concurrency=0 if name == FOUND else load.in_flight, extra=_fresh())
    began = time.perf_counter()
    task = Task("prompts", "qa", items, max_tokens=load.output_tokens)
    samples = evaluate(endpoint, [task], folder, settings=settings)["prompts"].samples
    seconds = time.perf_counter() - began
    tokens = sum((sample.usage or {})["completion_tokens"] for sample in samples)
    return Measured(name, seconds, len(samples), tokens)


def tokenizer_of(endpoint: Endpoint) -> Path:
    """The folder that a vLLM server on this machine says it serves."""
    request = urllib.request.Request(f"{endpoint.base_url}/models", headers=endpoint.headers())
    with urllib.request.urlopen(request, timeout=30) as reply:
        models = {model["id"]: model for model in json.loads(reply.read())["data"]}
    if endpoint.model not in models:
        raise ConfigError(f"{endpoint.base_url} does not serve {endpoint.model!r}", f"it serves: {', '.join(models)}")
    root = Path(models[endpoint.model].get("root") or "")
    if not (root / "tokenizer.json").is_file():
        raise ConfigError(f"no tokenizer.json in {root}", "name the model's folder: --tokenizer DIR")
    return root


_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


def _fresh() -> dict[str, Any]:
    return {"ignore_eos": True, "cache_salt": uuid.uuid4().hex}


def show(console: Console, load: Load, input_tokens: int, best: dict[str, Measured]) -> None:
    """The table, and the share that the evaluation reaches."""
    title = (
        f"{len(load.prompts)} prompts, {input_tokens} tokens in, {load.output_tokens} out, {load.in_flight} in flight"
    )
    shown = Table(title=title)
    shown.add_column("", no_wrap=True)
    for heading in ("seconds", "requests/s", "tokens/s out", "tokens out", "of vllm bench"):
        shown.add_column(heading, justify="right")
    reference = best[BENCH].requests_per_s
    for name, one in best.items():
        shown.add_row(
            name,
            f"{one.seconds:.2f}",
            f"{one.requests_per_s:.2f}",
            f"{one.output_tokens / one.seconds:,.0f}",
            f"{one.output_tokens:,}",
            "" if name == BENCH else f"{one.requests_per_s / reference:.1%}",
        )
    console.print(shown)


def main() -> None:
    """Rounds of all three, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", type=Path, help="folder; by default the one that the server serves")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--input-tokens", type=int, default=512)
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    endpoint = Endpoint(options.base_url, options.model)
    tokenizer = options.tokenizer or tokenizer_of(endpoint)
    prompts = random_prompts(tokenizer, options.prompts, options.input_tokens, seed=1)
    load = Load(prompts, options.output_tokens, options.in_flight)
    best: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as scratch:
        warm = Load(prompts[: min(len(prompts), options.in_flight)], options.output_tokens, options.in_flight)
        by_evaluation(endpoint, warm, FIXED, Path(scratch) / "warm")  # the server compiles, this process imports
        for number in range(options.rounds):
            for name in (BENCH, FIXED, FOUND):
                folder = Path(scratch) / f"{number}-{name.replace(' ', '-')}"
                folder.mkdir()
                if name == BENCH:
                    one = by_vllm(endpoint, load, tokenizer, folder)
                else:
                    one = by_evaluation(endpoint, load, name, folder)
                console.print(f"round {number + 1}: {name}: {one.requests_per_s:.2f} requests/s")
                if name not in best or one.seconds < best[name].seconds:
                    best[name] = one
    show(console, load, options.input_tokens, best)


if __name__ == "__main__":
    main()
