"""Parity: the token ids that the server builds for a conversation are the ids that the model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.errors import TuneserveError
from configs.handover.base import read_rows
from configs.handover.rows import ParityRow, as_requested
from configs.handover.serving import Difference, ParityFigures
from serve.api.client import ServerClient, in_parallel


class Parity(ParityFigures):
    """How many prompts are equal, in words."""

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
        differing = self.rows - self.equal
        lines = (
            f"token ids differ for {differing} of {self.rows} conversations, first in {d.row} at token {d.position}",
            f"  trained ({d.trained_tokens} tokens): {_around(d.trained_text, d.served_text)!r}",
            f"  served  ({d.served_tokens} tokens): {_around(d.served_text, d.trained_text)!r}",
        )
        return "\n".join(lines)


def check_parity(client: ServerClient, model: str, file: Path) -> Parity:
    """Asks the server to tokenize the conversations of `parity.jsonl` and compares.

    The request leaves the thinking mode to the server's default, because that is what clients will do.

    Args:
        client: a server that is ready.
        model: name to ask for.
        file: the run's parity.jsonl.

    Raises:
        TuneserveError: the file is missing or has no rows.
    """
    rows = read_rows(file, ParityRow, "data")
    if not rows:
        raise TuneserveError(
            f"{file}: no conversations in it, so the server cannot be checked against the training",
            "raise proof.parity_rows, or give data that no row of has special-token text in it",
        )

    def served_ids(row: ParityRow) -> list[int]:
        body: dict[str, Any] = {"model": model, "messages": as_requested(row.messages), "add_generation_prompt": True}
        if row.tools:
            body["tools"] = row.tools
        return client.part("/tokenize", body, "tokens", list)

    served = in_parallel(served_ids, rows)
    unequal = [(row, ids) for row, ids in zip(rows, served, strict=True) if row.prompt_ids != ids]
    difference = _describe(client, model, *unequal[0]) if unequal else None
    return Parity(rows=len(rows), equal=len(rows) - len(unequal), difference=difference)


def _describe(client: ServerClient, model: str, row: ParityRow, served: list[int]) -> Difference:
    trained = row.prompt_ids
    shorter = min(len(trained), len(served))
    position = next((i for i in range(shorter) if trained[i] != served[i]), shorter)
    return Difference(
        row=row.id,
        position=position,
        trained_tokens=len(trained),
        served_tokens=len(served),
        trained_text=_decode(client, model, trained),
        served_text=_decode(client, model, served),
    )


def _decode(client: ServerClient, model: str, ids: list[int]) -> str:
    return client.part("/detokenize", {"model": model, "tokens": ids}, "prompt", str)


def _around(text: str, other: str, context: int = 60) -> str:
    """The part of a text around the first character in which it differs from the other."""
    shorter = min(len(text), len(other))
    at = next((i for i in range(shorter) if text[i] != other[i]), shorter)
    start, end = max(0, at - context), at + context
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
