"""What of a reply is the answer: thinking text in all the shapes in which servers return it."""

from __future__ import annotations

from dataclasses import dataclass

_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class Reply:
    """A reply taken apart.

    `answer` is what is scored. `truncated` means that the thinking never ended, so that there is no answer. `leaked`
    means that thinking tags stood in the content.
    """

    answer: str
    reasoning: str | None
    truncated: bool
    leaked: bool


def split_thinking(
    content: str | None, reasoning: str | None = None, finish_reason: str | None = None, thinks: bool | None = None
) -> Reply | None:
    """Separates the answer from the thinking.

    Args:
        content: `message.content` as it came.
        reasoning: `message.reasoning`, or `reasoning_content` of older servers.
        finish_reason: as it came; `length` together with reasoning and no content is thinking that was cut.
        thinks: whether the model was asked to think. Then content that was cut without any tag is thinking too: the
            template opened the tag, and the model never closed it.

    Returns:
        None where the content is null and no cut thinking explains it: an error of the endpoint, not an empty answer.
    """
    if not content:
        if reasoning and finish_reason == "length":
            return Reply("", reasoning, truncated=True, leaked=False)
        return None if content is None else Reply("", reasoning, truncated=False, leaked=False)
    thought, closed, answer = content.rpartition(_CLOSE)
    if _OPEN in answer:
        return Reply("", content, truncated=True, leaked=True)
    if not closed:
        if thinks and finish_reason == "length" and not reasoning:
            return Reply("", content, truncated=True, leaked=True)
        return Reply(content.strip(), reasoning, truncated=False, leaked=False)
    inside = thought.replace(_OPEN, "").replace(_CLOSE, "").strip()
    return Reply(answer.strip(), inside or reasoning, truncated=False, leaked=True)
