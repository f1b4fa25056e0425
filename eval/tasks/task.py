"""What a task is: items to ask, and the kind of answer that decides how they are scored."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from configs.errors import DataError
from configs.recipe.names import require_file_name

Kind = Literal["qa", "summary", "choice", "number", "exact", "instruction"]
Message = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """One question.

    Args:
        id: unique in its task, and the same for every endpoint.
        messages: the conversation up to the answer.
        references: accepted answers; of a choice, the letter.
        cluster: what items share that makes them dependent, such as a passage.
        choices: letter to option, for multiple choice.
        constraints: what the answer must obey, for instruction following.
        source: the text that a summary summarizes.
        tools: schemas of functions that the prompt offers; what is scored is an answer in words.
        detail: further facts for the record, such as the subject.
    """

    id: str
    messages: Sequence[Message]
    references: Sequence[str]
    cluster: str | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    constraints: Sequence[Mapping[str, Any]] = ()
    source: str = ""
    tools: Sequence[Mapping[str, Any]] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Items of one kind, asked and scored alike.

    Args:
        max_tokens: longest answer; None takes the evaluation's own.
        macro: the official score is the mean over subjects.
        primary: metric that is compared; None takes the kind's own.
    """

    name: str
    kind: Kind
    items: Sequence[Item]
    role: Literal["target", "retention"] = "retention"
    group: str = "general"
    max_tokens: int | None = None
    seed: int = 42
    shots: int = 0
    macro: bool = False
    primary: str | None = None

    def __post_init__(self) -> None:
        require_file_name("the task's name", self.name)
        if not self.items:
            raise DataError(f"task {self.name!r} has no items", "check its path, `subjects` and the file's layout")
        seen: set[str] = set()
        for item in self.items:
            if item.id in seen:
                raise DataError(
                    f"task {self.name!r}: the id {item.id!r} stands twice", "give every row an id of its own"
                )
            seen.add(item.id)

    def sampled(self, limit: int | None, seed: int) -> Task:
        """The task with a seeded sample of `limit` items, in their order; itself where it has no more."""
        if limit is None or limit >= len(self.items):
            return replace(self, seed=seed)
        kept = sorted(random.Random(seed).sample(range(len(self.items)), limit))
        return replace(self, seed=seed, items=[self.items[index] for index in kept])


def conversation(user: str, system: str | None = None) -> list[Message]:
    """A system prompt, where there is one, and one user turn."""
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": user}]
