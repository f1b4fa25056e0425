"""Where the reasoning in an answer begins and ends, by one stated rule for each way that data sets write it.

Answers come out with their reasoning in one leading `<think>` block, or with none. Chat templates cut an answer at its
last `</think>`, so an answer whose tags are anywhere else would lose text; it is dropped, and the reason is counted.
"""

from __future__ import annotations

import re

from trainer.data.template import Message

_OTHER_TAGS = {
    "<thinking>": "</thinking>", "<thought>": "</thought>", "<thoughts>": "</thoughts>",
    "<seed:think>": "</seed:think>", "[think]": "[/think]", "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",
}  # fmt: skip
_SOLUTION = re.compile(r"\s*<\|begin_of_solution\|>(.*?)<\|end_of_solution\|>\s*", re.DOTALL)
_OPENED = re.compile(r"\s*(?:<think>\s*)+")
# A tag in quotes or backticks is spoken of, not used.
_SPOKEN_OF = re.compile(r"""[`"'“‘「]</?think>|</?think>[`"'”’」]""")


class BadThinking(Exception):
    """An answer whose reasoning cannot be told from its answer; `reason` is the rule it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def settle_reasoning(message: Message) -> tuple[Message, str]:
    """The assistant's message with its reasoning as a leading block, and the rule that was needed or "".

    Raises:
        BadThinking: `think_unclosed`, `think_inside`, `think_spoken_of`, `two_reasonings`.
    """
    content = str(message["content"])
    column = str(message.get("reasoning_content") or "").strip()
    renamed = _with_think_tags(content)
    rule = "" if renamed is None else "other_think_tag"
    content = content if renamed is None else renamed
    if "think>" not in content:
        if not column and "reasoning_content" not in message:
            return message, rule
        # Some reasoning columns bring the tags along.
        thought = column.removeprefix("<think>").removesuffix("</think>").strip()
        return _written(message, thought, content), rule
    thought, answer, rule = _split(content, rule)
    if column and thought and column.split() != thought.split():
        raise BadThinking("two_reasonings")
    return _written(message, thought or column, answer), rule


def _split(content: str, rule: str) -> tuple[str, str, str]:
    """(reasoning, answer, rule)"""
    if _SPOKEN_OF.search(content):
        raise BadThinking("think_spoken_of")
    opened = _OPENED.match(content)
    rest = content[opened.end() :] if opened else content
    thought, close, answer = rest.partition("</think>")
    if not close:
        # `<think>` somewhere, and no end of it.
        raise BadThinking("think_unclosed")
    if "<think>" in thought or "think>" in answer:
        raise BadThinking("think_inside")
    return thought.strip(), answer.lstrip(), rule if opened else "think_unopened"


def _written(message: Message, thought: str, answer: str) -> Message:
    if "think>" in thought:
        raise BadThinking("think_inside")
    kept = {key: value for key, value in message.items() if key != "reasoning_content"}
    kept["content"] = f"<think>\n{thought}\n</think>\n\n{answer}" if thought else answer
    return kept


def _with_think_tags(content: str) -> str | None:
    """The answer with another family's leading tags turned into `<think>`; None where it has none."""
    head = content.lstrip()[:24].casefold()
    for opening, closing in _OTHER_TAGS.items():
        if head.startswith(opening):
            rest = content.lstrip()[len(opening) :]
            # Not in `casefold()` of it, in which a letter (`ß`) may be two, and every place behind it another.
            end = re.search(re.escape(closing), rest, re.IGNORECASE)
            if end is None:
                return f"<think>{rest}"
            answer = rest[end.end() :]
            if solution := _SOLUTION.fullmatch(answer):
                answer = solution.group(1).strip()
            return f"<think>{rest[: end.start()]}</think>{answer}"
    return None
