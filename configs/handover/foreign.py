"""What was found out about a model of another trainer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.handover.base import HandedOver


class Finding(HandedOver):
    """Something that was found out about a model of another trainer."""

    key: str
    """Key of its text in `configs/texts`; the text of a fault ends with the next step."""
    values: dict[str, str | int | float] = Field(default_factory=dict)
    """What is put into the text."""
    fault: bool
    """Whether it makes the verdict `failed`, or is only told."""


def fault(key: str, **values: str | int | float) -> Finding:
    """A finding that makes the verdict `failed`."""
    return Finding(key=key, values=values, fault=True)


def told(key: str, **values: str | int | float) -> Finding:
    """A finding that is only told."""
    return Finding(key=key, values=values, fault=False)


class RenderingScore(HandedOver):
    """How likely a model finds the answers of its rows under one way of rendering them."""

    names: list[str]
    """Every way that gives these ids, and who renders so."""
    rows: int
    """Conversations."""
    nats: float
    """Mean over them of the answer's log-likelihood in nats, without its end-of-turn token."""
    likelier: int
    """Conversations whose answer is likelier under the first of all renderings than under this one."""


class ForeignFacts(HandedOver):
    """What was found out about a model of another trainer before it was served."""

    kind: Literal["adapter", "merged", "merged with adapter"]
    """What was given."""
    trainer: str | None
    """Who made it, where its files tell."""
    rendering: str
    """How it was trained to be asked: what parity holds the server to."""
    renderings: list[RenderingScore]
    """All that were looked at, the likeliest first; empty where its rows are not known."""
    end_probability: float | None
    """Geometric mean of the probability of the end-of-turn token behind the rows' answers; None without rows."""
    thinking: bool
    """Thinking mode of the served template that comes nearest to it."""
    longest_answer: int
    """Longest answer of the rows, in tokens."""
    findings: list[Finding]
    """Faults first."""
