"""The user's own questions, a row each, for every kind of task.

Full rows bring the conversation; simple rows bring a question, and `eval/tasks/prompts.py` words the prompt:

    {"id": "1", "cluster": "p7", "messages": [{"role": "user", "content": "…"}], "answers": ["…"]}
    {"question": "…", "context": "…", "answer": "…"}             qa, exact, number; `context` may be missing
    {"question": "…", "choices": ["…", "…"], "answer": "B"}      choice; see `eval/tasks/choices.py`
    {"text": "…", "summary": "…"}                                summary; a `question` replaces our wording
    {"prompt": "…", "constraints": [{"type": "max_chars", "value": 50}]}    instruction

What a column is for follows from its name (`configs.tables.columns`), as in training: `system` and `history` go before
the question, `instruction`, `question` and `input` are one below the other, a passage stands before them. A
conversation that ends with the assistant brings its own reference. Without an `id` a row is named by its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import DataError
from configs.handover.rows import as_requested
from configs.tables.cells import is_missing_word, kind_of, unpacked
from configs.tables.columns import Part, name_key, part_of
from configs.tables.kept import is_kept
from configs.tables.raw import is_blank
from eval.metrics import constraints
from eval.metrics.number import extract_number
from eval.metrics.thinking import split_thinking
from eval.tasks import prompts
from eval.tasks.cells import passage_of, refuse_lone_surrogates, text_of
from eval.tasks.choices import Options, is_index, letter_of, options_of
from eval.tasks.task import Item, Kind, Message
from eval.tasks.turns import Turn, are_messages, history_of, turns_of

_ASKED: tuple[Part, ...] = ("instruction", "question", "input")
"""Parts that are asked one below the other."""
_PASSAGE = ("context", "text", "document", "article", "content")
"""Names of a passage, the first that holds something; then whatever else `configs.tables.columns` calls a context."""
_ANSWER = ("answers", "answer", "summary", "title", "reference", "output", "target")
"""Names of the reference, the first that holds something; then whatever else is called an answer."""
_MORE_ANSWERS = {"references", "answerkey", "correctanswer", "rightanswer", "gold", "正确答案", "正确选项"}
_SEVERAL = {"answers", "references", "outputs", "responses"}
"""Columns whose text may be a list that a sheet keeps as text."""
_LABELLED: set[Kind] = {"choice", "exact", "qa", "number"}
_MAY_BE_EMPTY: set[Part] = {"system", "input", "context", "history"}


def items_from_rows(rows: Sequence[Mapping[str, Any]], kind: Kind, where: str, system: str | None = None) -> list[Item]:
    """Items of one kind.

    Args:
        where: file or name, for messages; rows are counted from 1.
        system: system prompt for conversations that have none.

    Raises:
        DataError: a row lacks what its kind needs.
    """
    may_lack = kind == "qa" and any(map(_unanswerable, rows))
    counted = kind == "choice" and any(map(_names_an_index, rows))
    items: list[Item] = []
    first: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        try:
            item = _item(row, kind, f"row-{number:05d}", system, may_lack, counted)
            if item.id in first:
                raise DataError(
                    f"the id {item.id!r} is that of row {first[item.id]} too",
                    "give every row an id of its own, or none",
                )
        except DataError as error:
            raise DataError(f"{where}, row {number}: {error.message}", error.next_step) from error
        first[item.id] = number
        items.append(item)
    return items


def _names_an_index(row: Mapping[str, Any]) -> bool:
    """Whether the answer of a choice row can only be an index."""
    try:
        options = options_of(row)
        asked = _Row({column: value for column, value in row.items() if column not in options.columns})
        column = _answer_column(asked, "choice")
    except DataError:  # said of its row when that is read
        return False
    return column is not None and is_index(asked.value[column], options)


def _unanswerable(row: Mapping[str, Any]) -> bool:
    """Whether a row says, as SQuAD 2.0 does, that its passage holds no answer."""
    answers = unpacked(row.get("answers"))
    empty = isinstance(answers, Mapping) and "text" in answers and is_blank(answers["text"])
    return empty or row.get("is_impossible") is True


def _item(
    row: Mapping[str, Any], kind: Kind, default_id: str, system: str | None, may_lack: bool, counted: bool
) -> Item:
    refuse_lone_surrogates(row)
    options = options_of(row) if kind == "choice" else Options({}, {})
    asked = _Row({column: value for column, value in row.items() if column not in options.columns})
    asked.refuse_what_is_no_text()
    messages, own = _messages(asked, kind, options, system, may_lack)
    said = [str(turn["content"]) for turn in messages]
    asked.refuse_what_is_not_asked([*said, *own])
    if unseen := [letter for letter, text in options.texts.items() if not is_kept(text, said)]:
        raise DataError(
            f"the conversation does not show option {unseen[0]}", "write the options into it, or give a `question`"
        )
    none = may_lack and _unanswerable(row)
    references = [""] if none else list(map(_without_thinking, _references(asked, kind, options, own, counted)))
    demands = _constraints(row.get("constraints"))
    if kind == "instruction" and not demands:
        raise DataError("an instruction row needs `constraints`", "see the list in eval/metrics/constraints.py")
    if kind != "instruction" and not references:
        raise DataError(f"no reference under any of {', '.join(_ANSWER)}", "give the row an `answers` list")
    return Item(
        id=_name(row.get("id"), default_id),
        cluster=_name(row.get("cluster"), None),
        messages=messages,
        references=references,
        choices=options.texts,
        constraints=demands,
        detail=prompts.UNANSWERABLE if none else {},
        source=asked.passage() or asked.text("input") or str(messages[-1]["content"]),
    )


def _name(value: Any, default: Any) -> Any:
    """An id or cluster as text; 1.0, which a sheet makes of 1 beside an empty cell, is 1."""
    if is_blank(value):
        return default
    return str(int(value)) if isinstance(value, float) and value.is_integer() else text_of(value, "`id`")


class _Row:
    """A row whose columns are asked for by their part."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self.value = value
        self._parts: dict[str, list[str]] = {}
        for column, cell in value.items():
            part = part_of(str(column))
            if part and not is_blank(cell) and not (part in _MAY_BE_EMPTY and is_missing_word(cell)):
                self._parts.setdefault(part, []).append(column)

    def columns(self, part: Part) -> list[str]:
        """The columns of a part that hold something."""
        return self._parts.get(part, [])

    def text(self, part: Part) -> str:
        """The text of a part, empty where there is none.

        Raises:
            DataError: several columns could be it and differ.
        """
        columns = self.columns(part)
        if not columns:
            return ""
        texts = {column: text_of(self.value[column], f"`{column}`") for column in columns}
        if len(set(texts.values())) > 1:
            raise DataError(
                f"{' and '.join(f'`{column}`' for column in columns)} could both be the {part}, and they differ",
                "keep one of these columns, or write the whole conversation as `messages`",
            )
        return texts[columns[0]]

    def talk(self) -> str:
        """The column that holds the conversation, which may stand where a question should; "" without one."""
        elsewhere = [one for part in _ASKED for one in self.columns(part) if are_messages(self.value[one])]
        return next(iter([*self.columns("messages"), *elsewhere]), "")

    def history(self) -> list[Turn]:
        """The turns before the question, which may be called a context."""
        called = [one for one in self.columns("context") if are_messages(self.value[one])]
        columns = [*self.columns("history"), *called]
        return history_of(self.value[columns[0]], columns[0]) if columns else []

    def refuse_what_is_not_asked(self, said: Sequence[str]) -> None:
        """Raises for a column whose texts did not come into what is sent, such as a passage beside `messages`."""
        named: list[Part] = [*_ASKED, "context", "history", "system"]
        passages = [name for name in _PASSAGE if name in self.value and not is_blank(self.value[name])]
        for column in dict.fromkeys([*(one for part in named for one in self.columns(part)), *passages]):
            if not is_missing_word(self.value[column]) and not is_kept(self.value[column], said):
                raise DataError(
                    f"`{column}` would not be asked beside the row's other columns",
                    "write it into the conversation, or take the column out",
                )

    def passage(self) -> str:
        """What the question is about."""
        columns = [*(name for name in _PASSAGE if name in self.value), *self.columns("context")]
        for column in columns:
            if are_messages(self.value[column]):
                continue
            if not is_blank(self.value[column]) and not is_missing_word(self.value[column]):
                return passage_of(self.value[column], f"`{column}`")
        return ""

    def question(self) -> str:
        """Instruction, question and input, one below the other as in training."""
        texts = [self.text(part) for part in _ASKED]
        return "\n".join(dict.fromkeys(text for text in texts if text))

    def refuse_what_is_no_text(self) -> None:
        """Raises for rows that no request of ours can carry as their author means them."""
        for part, what in (("media", "more than text"), ("tools", "tools, which are not sent along")):
            for column in self.columns(part):  # type: ignore[arg-type]
                raise DataError(f"`{column}` holds {what}", "take such rows out: only text can be asked and scored")


def _messages(
    row: _Row, kind: Kind, options: Options, system: str | None, may_lack: bool
) -> tuple[list[Message], list[str]]:
    """The conversation to send, and the reference that it brings itself."""
    own: list[str] = []
    column = row.talk()
    if column:
        messages = turns_of(row.value[column], column)
        if messages and messages[-1]["role"] == "assistant":
            answer = messages.pop()
            if answer["content"] is None:
                raise DataError(f"`{column}` ends with a function call", "only answers in words are scored")
            own = [answer["content"]]
        # Behind a tool's result it is the assistant's turn, too.
        if not messages or messages[-1]["role"] not in ("user", "tool"):
            said = f"; the last is the {messages[-1]['role']}'s" if messages else ""
            raise DataError(
                f"`{column}` holds no user turn to answer{said}", "end it with the user's turn, or the answer to it"
            )
    else:
        messages = [{"role": "user", "content": _prompt(row, kind, options, may_lack)}]
    if column not in row.columns("messages"):
        passage = row.passage() if column else ""
        first = next(turn for turn in messages if turn["role"] == "user")
        if passage and passage.strip() not in first["content"]:
            first["content"] = f"{passage}\n\n{first['content']}"
        messages = [*row.history(), *messages]
    before = row.text("system") or ("" if messages[0]["role"] == "system" else system or "")
    head: list[Message] = [{"role": "system", "content": before}] if before else []
    return [*as_requested([*(head if messages[:1] != head else []), *messages])], own


def _prompt(row: _Row, kind: Kind, options: Options, may_lack: bool) -> str:
    question, passage = row.question(), row.passage()
    if kind == "summary" and passage:
        return f"{question}\n\n{passage}" if question else prompts.summary(passage)
    if not question and "messages" in row.value:
        raise DataError("`messages` holds no user turn to answer", "end it with the user's turn, or give a `question`")
    if not question:
        raise DataError(
            f"nothing is asked: neither `messages` nor any of question, prompt, instruction, query, input; the row has "
            f"{', '.join(map(str, row.value)) or 'no columns'}",
            "give the row a `question`",
        )
    if kind == "qa":
        return prompts.extractive_qa(question, passage or None, may_lack)
    if kind == "summary":
        both = row.columns("input") and question != row.text("input")
        return question if both else prompts.summary(question)
    whole = f"{passage}\n\n{question}" if passage else question
    if kind == "choice":
        return prompts.multiple_choice(whole, options.texts)
    return prompts.number(whole) if kind == "number" else whole


def _references(row: _Row, kind: Kind, options: Options, own: list[str], counted: bool) -> list[str]:
    column = _answer_column(row, kind)
    if column is None or (own and column not in ("answers", "references")):
        if column is not None and not is_kept(row.value[column], own):
            raise DataError(
                f"the conversation ends with an answer, and `{column}` holds another",
                "end the conversation with the question, or take the column out",
            )
        return [letter_of(_without_thinking(text), options, counted) for text in own] if kind == "choice" else own
    value = row.value[column]
    if name_key(column) in _SEVERAL or kind == "number":
        value = unpacked(value)
    if isinstance(value, Mapping) and "text" in value:  # the layout of SQuAD's rows on a hub
        value = value["text"]
    if are_messages(value):
        value = turns_of(value, column)[-1]["content"]
    if kind == "choice":
        return [letter_of(value, options, counted)]
    values = list(value) if isinstance(value, list | tuple) else [value]
    texts = [_reference(answer, column) for answer in values]
    beside = row.value.get("answer") if column == "answers" else None
    if not is_blank(beside) and not any(text in str(beside) or str(beside) in text for text in texts):
        raise _differ(["answer", column])
    if kind == "number":
        for text in texts:
            if extract_number(text) is None:
                raise DataError(
                    f"the answer {text[:60]!r} is no number, so no answer could match it",
                    "write the number, or ask this row in a task of type exact or qa",
                )
    return texts


def _answer_column(row: _Row, kind: Kind) -> str | None:
    """The column that holds the reference: the usual names in their order, then any other name of an answer."""
    filled = [column for column, cell in row.value.items() if not is_blank(cell)]
    for name in _ANSWER:
        if name in filled:
            return name
    given = [name for name in _ANSWER[:2] if name in row.value]
    if given:
        raise DataError(f"`{given[0]}` is {kind_of(row.value[given[0]])}", "write the answer, or take the row out")
    more = [column for column in filled if name_key(str(column)) in _MORE_ANSWERS]
    other = more or row.columns("answer") or row.columns("chosen")
    if len({str(row.value[column]) for column in other}) > 1:
        raise _differ(other)
    labels = [column for column in row.columns("label") if kind in _LABELLED]
    return next(iter([*other, *labels]), None)


def _differ(columns: Sequence[str]) -> DataError:
    return DataError(
        f"{' and '.join(f'`{column}`' for column in columns)} could both be the answer, and they differ",
        "call the right one `answer`, alone",
    )


def _reference(value: Any, column: str) -> str:
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    if is_blank(value):
        raise DataError(f"an answer in `{column}` is {kind_of(value)}", "write the answer, or take the row out")
    return text_of(value, f"`{column}`")


def _without_thinking(reference: str) -> str:
    """What is compared with answers, of which the thinking is not scored either."""
    reply = split_thinking(reference)
    if reply is None or not reply.leaked:
        return reference
    if not reply.answer:
        raise DataError("an answer is reasoning alone", "write the answer behind its `</think>`, or take the row out")
    return reply.answer


def _constraints(value: Any) -> list[Mapping[str, Any]]:
    found = unpacked(value)
    if is_blank(found):
        return []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise DataError(f"`constraints` holds {kind_of(found)}", "write a list of objects with `type` and `value`")
    for constraint in found:
        constraints.try_out(constraint)
    return found
