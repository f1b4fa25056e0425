"""How a chat template treats thinking, found by rendering it: the one rule of trainer and server."""

from __future__ import annotations

from collections.abc import Callable

from configs.handover.training import Family

QUESTION = "问题标记"
"""What the user says in the rendered conversation."""


def template_family(prompt: Callable[[bool], str]) -> Family:
    """The family of a template.

    Args:
        prompt: renders the conversation in which the user says QUESTION, up to where the answer starts, with
            `enable_thinking` as given.
    """
    on, off = prompt(True), prompt(False)
    if on != off:
        return "switchable"
    opened = on.rpartition(QUESTION)[2]
    return "always" if opened.count("<think>") > opened.count("</think>") else "none"
