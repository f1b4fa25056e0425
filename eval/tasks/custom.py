"""The user's own questions, a row each, for every kind of task.

Full rows bring the conversation; simple rows bring a question, and `eval/tasks/prompts.py` words the prompt:

    {"id": "1", "cluster": "p7", "messages": [{"role": "user", "content": "…"}], "answers": ["…"]}
    {"question": "…", "context": "…", "answer": "…"}             qa, exact, number; `context` may be missing
    {"question": "…", "choices": ["…", "…"], "answer": "B"}      choice; `choices` may be {"A": "…"}, the answer a
                                                                 letter, an index from 0, or the option's text
    {"text": "…", "summary": "…"}                                summary; a `question` replaces our wording
    {"prompt": "…", "constraints": [{"type": "max_chars", "value": 50}]}    instruction

A conversation that ends with the assistant brings its own reference. Without an `id` a row is named by its number.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import DataError
from eval.metrics import constraints
from eval.tasks import prompts
from eval.tasks.task import Item, Kind, Message, conversation

_QUESTION = ("question", "prompt", "instruction", "query")
_PASSAGE = ("context", "text", "document", "article", "content")
_ANSWER = ("answers", "answer", "summary", "title", "reference", "output", "target")


def items_from_rows(rows: Sequence[Mapping[str, Any]], kind: Kind, where: str, system: str | None = None) -> list[Item]:
    """Items of one kind.

    Args:
        where: file or name, for messages; rows are counted from 1.
        system: system prompt for conversations that have none.

    Raises:
        DataError: a row lacks what its kind needs.
    """
    items = []
    for number, row in enumerate(rows, start=1):
        try:
            items.append(_item(row, kind, f"row-{number:05d}", system))
        except DataError as error:
            raise DataError(f"{where}, row {number}: {error.message}", error.next_step) from error
    return items


def _item(row: Mapping[str, Any], kind: Kind, default_id: str, system: str | None) -> Item:
    choices = _choices(row.get("choices")) if kind == "choice" else {}
    messages, references = _messages(row, kind, choices, system)
    references = references or _references(row, kind, choices)
    for constraint in row.get("constraints", []):
        constraints.validate(constraint)
    if kind == "instruction" and not row.get("constraints"):
        raise DataError("an instruction row needs `constraints`", "see the list in eval/metrics/constraints.py")
    if kind != "instruction" and not references:
        raise DataError(f"no reference under any of {', '.join(_ANSWER)}", "give the row an `answers` list")
    return Item(
        id=str(row.get("id", default_id)),
        cluster=None if row.get("cluster") is None else str(row["cluster"]),
        messages=messages,
        references=references,
        choices=choices,
        constraints=list(row.get("constraints", [])),
        source=_first(row, _PASSAGE) or str(messages[-1]["content"]),
    )


def _messages(
    row: Mapping[str, Any], kind: Kind, choices: Mapping[str, str], system: str | None
) -> tuple[list[Message], list[str]]:
    """The conversation to send, and the reference that it brings itself."""
    if "messages" not in row:
        return conversation(_prompt(row, kind, choices), system), []
    messages = list(row["messages"])
    references = []
    if messages and messages[-1].get("role") == "assistant":
        own = str(messages.pop()["content"])
        references = [] if row.get("answers") else [own]
    if not messages or messages[-1].get("role") != "user":
        raise DataError("`messages` holds no user turn to answer", "end it with the user's turn, or the answer to it")
    if system and messages[0].get("role") != "system":
        messages.insert(0, {"role": "system", "content": system})
    return messages, references


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((str(row[name]) for name in names if row.get(name)), None)


def _prompt(row: Mapping[str, Any], kind: Kind, choices: Mapping[str, str]) -> str:
    question, passage = _first(row, _QUESTION), _first(row, _PASSAGE)
    if kind == "summary" and passage is not None:
        return prompts.summary(passage) if question is None else f"{question}\n\n{passage}"
    if question is None:
        raise DataError(f"neither `messages` nor any of {', '.join(_QUESTION)}", "give the row a `question`")
    if kind == "qa":
        return prompts.extractive_qa(question, passage)
    if kind == "summary":
        return prompts.summary(question)
    whole = question if passage is None else f"{passage}\n\n{question}"
    if kind == "choice":
        return prompts.multiple_choice(whole, choices)
    return prompts.number(whole) if kind == "number" else whole


def _choices(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        return {str(letter): str(option) for letter, option in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return {letter: str(option) for letter, option in zip(string.ascii_uppercase, value, strict=False)}
    raise DataError(f"`choices` is {value!r}", "write a list of options, or an object from letter to option")


def _references(row: Mapping[str, Any], kind: Kind, choices: Mapping[str, str]) -> list[str]:
    value = next((row[name] for name in _ANSWER if row.get(name) is not None), None)
    if value is None:
        return []
    if isinstance(value, Mapping):  # the layout of SQuAD's rows on a hub
        value = value.get("text", [])
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    texts = [str(entry["text"] if isinstance(entry, Mapping) else entry) for entry in values]
    return [_letter(text, choices) for text in texts] if kind == "choice" else texts


def _letter(answer: str, choices: Mapping[str, str]) -> str:
    letters = list(choices)
    if answer.strip().upper() in choices:
        return answer.strip().upper()
    if answer.isdigit() and int(answer) < len(letters):
        return letters[int(answer)]
    for letter, option in choices.items():
        if option == answer:
            return letter
    raise DataError(f"the answer {answer!r} is none of the choices {', '.join(letters)}", "name it by its letter")
