"""The pretraining mix: conversations drawn from all generators, endless and seeded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from scripts.demo_model import arithmetic, catalogue, chat, facts, notices, passages, records
from scripts.demo_model.items import Item

MIX = {
    "extract": 20,
    "records": 6,
    "summary": 16,
    "arithmetic": 15,
    "facts": 18,
    "choice": 24,
    "statement": 3,
    "catalogue": 6,
    "copy": 2,
    "chat": 1,
    "tools": 2,
}
THINKING_SHARE = 0.08
SYSTEM_SHARE = 0.08
SECOND_TURN_SHARE = 0.12


@dataclass(frozen=True)
class Conversation:
    """What the chat template needs. `thinking` says whether the last answer begins with a thought."""

    messages: list[dict[str, Any]]
    thinking: bool
    tools: list[dict[str, Any]] = field(default_factory=list)


def draw(rng: Random, task: str) -> list[Item]:
    """One or more items of a task that belong together (several questions about one passage)."""
    if task == "extract":
        return passages.questions(rng, passages.passage(rng, "train"), 2 if rng.random() < 0.3 else 1)
    if task == "records":
        return records.lookups(rng, "train", 2 if rng.random() < 0.2 else 1)
    single = {
        "summary": lambda: notices.summary(rng, "train") if rng.random() < 0.75 else notices.restyled(rng),
        "arithmetic": lambda: arithmetic.sum_item(rng, "train"),
        "facts": lambda: facts.fact(rng),
        "choice": lambda: facts.choice(rng),
        "statement": lambda: facts.statement(rng),
        "catalogue": lambda: catalogue.closed_book(rng),
        "copy": lambda: records.copying(rng, "train"),
        "chat": lambda: chat.small_talk(rng),
    }
    return [single[task]()]


def conversation(rng: Random, mix: dict[str, int] | None = None) -> Conversation:
    """One conversation of the mix, of one or two turns."""
    weights = mix or MIX
    task = rng.choices(list(weights), weights=list(weights.values()))[0]
    if task == "tools":
        called, tools = chat.tool_messages(rng)
        return Conversation(called, thinking=False, tools=tools)
    items = draw(rng, task)
    if len(items) == 1 and rng.random() < SECOND_TURN_SHARE:
        second = rng.choices(list(weights), weights=list(weights.values()))[0]
        items += draw(rng, second if second not in ("tools", "extract", "records", "summary") else "facts")
    thinking = bool(items[-1].thought) and rng.random() < THINKING_SHARE
    messages: list[dict[str, Any]] = []
    if rng.random() < SYSTEM_SHARE:
        messages.append({"role": "system", "content": rng.choice(chat.TEXTS.system_prompts)})
    for item in items:
        messages += [{"role": "user", "content": item.prompt}, {"role": "assistant", "content": item.answer}]
    if thinking:
        messages[-1] = {"role": "assistant", "content": items[-1].answer, "reasoning_content": items[-1].thought}
    return Conversation(messages, thinking)


def stream(seed: int, mix: dict[str, int] | None = None) -> Iterator[Conversation]:
    """Conversations without end, the same for the same seed."""
    rng = Random(seed)
    while True:
        yield conversation(rng, mix)
