"""One question and its answer, before it becomes a conversation."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Item:
    """A single-turn exercise of one task.

    `thought` is a short, true line of reasoning, used only for the conversations with thinking switched on.
    `cluster` names what several items share (a passage, a fact): items of one cluster are not independent.
    """

    task: str
    prompt: str
    answer: str
    thought: str = ""
    cluster: str = ""
    choices: dict[str, str] = field(default_factory=dict)
