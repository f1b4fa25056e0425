"""Which rendering of its rows a model was trained with: the one under which it finds their answers likeliest.

What a model was trained to write after one prompt it is less sure to write after another, be the difference a system
prompt or an empty think block. Every rendering asks for the same answers, so their likelihoods compare row by row.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

import torch
from scipy.stats import binomtest

from configs.handover.foreign import RenderingScore
from configs.handover.rows import ProofAnswer
from trainer.data.layouts import Conversation
from trainer.data.template import ChatCodec, Unrenderable, render_turn
from trainer.foreign.renderings import Rendering
from trainer.sft.proof_rows import log_softmax_of_answer, of_answer

ROWS = 32
"""Conversations by which renderings are told apart."""
SURE = 0.01
"""Two renderings are told apart when a sign test over the rows gives less than this."""
DRIFT_NATS = 0.1
"""Nats an answer by which another rendering must be likelier than the served one: a tenth of an answer's probability.
A model that is sure of its answers either way is served well either way."""


@dataclass(frozen=True)
class Group:
    """Renderings that give the same ids for every row."""

    members: tuple[Rendering, ...]
    rows: tuple[ProofAnswer, ...]

    def named(self, name: str) -> bool:
        """Whether a rendering of that name is among them."""
        return any(member.name == name for member in self.members)


@dataclass(frozen=True)
class Scored:
    """A group with what a model says of it."""

    group: Group
    nats: tuple[float, ...]
    """Log-likelihood of each row's answer, without the token that ends it: a trainer may have left that one out."""
    end: tuple[float, ...]
    """Log-likelihood of the end-of-turn token behind it."""
    instead: Counter[int]
    """The likeliest token at that place, over the rows."""

    @property
    def mean(self) -> float:
        """Mean over the rows, in nats."""
        return fmean(self.nats)


def choose(
    conversations: Sequence[Conversation], codec: ChatCodec, thinking: bool, longest: int, seed: int
) -> list[Conversation]:
    """A seeded choice, of conversations without tools where there are any: the trainers' formats here know none.

    What would be dropped as longer than `longest` tokens is not chosen, where anything else is there.
    """
    spoken = [c for c in conversations if c.tools is None and not any(m.get("tool_calls") for m in c.messages)]
    spoken = [c for c in spoken if c.messages[-1]["role"] == "assistant" and isinstance(c.messages[-1]["content"], str)]
    pool = spoken or list(conversations)
    mixed = random.Random(f"{seed} renderings").sample(pool, len(pool))
    fitting = (c for c in mixed if _fits(codec, c, thinking, longest))
    return list(islice(fitting, ROWS)) or mixed[:ROWS]


def _fits(codec: ChatCodec, row: Conversation, thinking: bool, longest: int) -> bool:
    """Whether a row, up to its last answer, has at most so many tokens; one that cannot be rendered has none."""
    try:
        return len(_row(codec, row, thinking).input_ids) <= longest
    except Unrenderable:
        return True


def group(
    renderings: Sequence[Rendering],
    codecs: Mapping[str, ChatCodec],
    rows: Sequence[Conversation],
    thinking: bool,
    longest: int,
) -> list[Group]:
    """Renders the last answer of every row in every way, and puts together what gives the same ids.

    A rendering that cannot render some row, or makes it too long, is left out, for it cannot be compared.

    Args:
        codecs: a codec by the rendering's name.
        thinking: whether the rows' reasoning is rendered.
        longest: tokens that a row may have.
    """
    found: dict[tuple[tuple[int, ...], ...], tuple[list[Rendering], list[ProofAnswer]]] = {}
    for rendering in renderings:
        try:
            answers = [_row(codecs[rendering.name], row, thinking) for row in rows]
        except Unrenderable:
            continue
        if any(len(answer.input_ids) > longest for answer in answers):
            continue
        members, _ = found.setdefault(tuple(tuple(a.input_ids) for a in answers), ([], answers))
        members.append(rendering)
    return [Group(tuple(members), tuple(answers)) for members, answers in found.values()]


def _row(codec: ChatCodec, row: Conversation, thinking: bool) -> ProofAnswer:
    turn = render_turn(codec, row.messages, len(row.messages) - 1, thinking=thinking, tools=row.tools)
    return ProofAnswer(id=row.place, input_ids=turn.prompt_ids + turn.answer_ids, answer_start=len(turn.prompt_ids))


@torch.no_grad()
def score(model: Any, groups: Sequence[Group]) -> list[Scored]:
    """The groups as a model sees them, the likeliest first."""
    scored = []
    for one in groups:
        nats, end, instead = [], [], Counter[int]()
        for row in one.rows:
            whole = log_softmax_of_answer(model, row)
            own = of_answer(row, whole)
            nats.append(own[:-1].sum().item())
            end.append(own[-1].item())
            instead[int(whole[-1].argmax())] += 1
        scored.append(Scored(one, tuple(nats), tuple(end), instead))
    return sorted(scored, key=lambda s: s.mean, reverse=True)


def likelier(one: Scored, other: Scored) -> tuple[int, float]:
    """Rows whose answer is likelier under `one`, and the sign test's p-value that as many would be by chance."""
    pairs = list(zip(one.nats, other.nats, strict=True))
    wins, losses = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    p = float(binomtest(wins, wins + losses, alternative="greater").pvalue) if wins + losses else 1.0
    return wins, p


def worse(one: Scored, best: Scored) -> bool:
    """Whether answers are less likely under `one`, by more than chance and by enough to matter."""
    return best.mean - one.mean >= DRIFT_NATS and likelier(best, one)[1] < SURE


def table(scored: Sequence[Scored]) -> list[RenderingScore]:
    """For the manifest and the report."""
    return [
        RenderingScore(
            names=[member.described() for member in one.group.members],
            rows=len(one.nats),
            nats=round(one.mean, 4),
            likelier=likelier(scored[0], one)[0],
        )
        for one in scored
    ]
