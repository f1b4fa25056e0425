"""Parity: the token ids that the server builds for a conversation are the ids that the model was trained on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.errors import TuneserveError
from serve.api.client import ServerClient, in_parallel


@dataclass(frozen=True)
class Difference:
    """The first conversation whose ids differ, and how."""

    row: str
    """Id of the training conversation."""
    position: int
    """Index of the first token that differs."""
    trained_tokens: int
    """Length of the trained prompt."""
    served_tokens: int
    """Length of the prompt that the server built."""
    trained_text: str
    """The trained prompt, decoded by the server, special tokens shown."""
    served_text: str
    """The server's prompt, decoded likewise."""


@dataclass(frozen=True)
class Parity:
    """How many prompts are equal."""

    rows: int
    """Conversations compared."""
    equal: int
    """Of these, with exactly the same ids."""
    difference: Difference | None = None
    """The first that is not."""

    @property
    def passed(self) -> bool:
        """Whether every prompt is equal, and there was at least one."""
        return self.rows > 0 and self.equal == self.rows

    @property
    def share(self) -> float:
        """Equal prompts as a share of all."""
        return self.equal / self.rows if self.rows else 0.0

    def sentence(self) -> str:
        """One sentence for the terminal."""
        if self.passed:
            return f"token ids equal to the trained ones for {self.equal} of {self.rows} conversations"
        if self.difference is None:
            return "no conversations to compare"
        d = self.difference
        return (
            f"token ids differ for {self.rows - self.equal} of {self.rows} conversations, first in {d.row} at token "
            f"{d.position}\n  trained ({d.trained_tokens} tokens): {_around(d.trained_text, d.served_text)!r}\n"
            f"  served  ({d.served_tokens} tokens): {_around(d.served_text, d.trained_text)!r}"
        )

    def figures(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def check_parity(client: ServerClient, model: str, file: Path) -> Parity:
    """Asks the server to tokenize the conversations of `parity.jsonl` and compares.

    The request leaves the thinking mode to the server's default, because that is what clients will do.

    Args:
        client: a server that is ready.
        model: name to ask for.
        file: rows {"id", "messages", "tools", "prompt_ids"}.

    Raises:
        TuneserveError: the file is missing or has no rows.
    """
    rows = read_rows(file, "data")

    def served_ids(row: dict[str, Any]) -> list[int]:
        body = {"model": model, "messages": row["messages"], "add_generation_prompt": True}
        if row.get("tools"):
            body["tools"] = row["tools"]
        return client.post("/tokenize", body)["tokens"]

    served = in_parallel(served_ids, rows)
    unequal = [(row, ids) for row, ids in zip(rows, served, strict=True) if row["prompt_ids"] != ids]
    difference = _describe(client, model, *unequal[0]) if unequal else None
    return Parity(len(rows), len(rows) - len(unequal), difference)


def read_rows(file: Path, stage: str) -> list[dict[str, Any]]:
    """Rows of a JSONL file that a stage should have written.

    Raises:
        TuneserveError: it is missing or empty.
    """
    if not file.is_file():
        raise TuneserveError(
            f"{file}: missing, so the server cannot be checked against the training",
            f"run the {stage} stage again: `tuneserve train {file.parent.parent}/config.yaml`",
        )
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows:
        raise TuneserveError(f"{file}: no rows in it", f"run the {stage} stage again with --force")
    return rows


def _describe(client: ServerClient, model: str, row: dict[str, Any], served: list[int]) -> Difference:
    trained: list[int] = row["prompt_ids"]
    shorter = min(len(trained), len(served))
    position = next((i for i in range(shorter) if trained[i] != served[i]), shorter)
    return Difference(
        row=str(row["id"]),
        position=position,
        trained_tokens=len(trained),
        served_tokens=len(served),
        trained_text=_decode(client, model, trained),
        served_text=_decode(client, model, served),
    )


def _decode(client: ServerClient, model: str, ids: list[int]) -> str:
    return client.post("/detokenize", {"model": model, "tokens": ids})["prompt"]


def _around(text: str, other: str, context: int = 60) -> str:
    """The part of a text around the first character in which it differs from the other."""
    shorter = min(len(text), len(other))
    at = next((i for i in range(shorter) if text[i] != other[i]), shorter)
    start, end = max(0, at - context), at + context
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
