"""Rows of any common layout become conversations in the OpenAI `messages` form.

What each column is for a row is told by its name (`configs.tables.columns`), row by row, so that a file may hold rows
of several layouts; `columns` in the recipe, or a `dataset_info.json`, goes before the names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from configs.recipe.schema import SourceConfig
from configs.tables.cells import is_missing_word, kind_of, unpacked
from configs.tables.columns import Part
from configs.tables.kept import is_kept
from configs.tables.raw import RawRow, is_blank
from trainer.data.calls import are_calls, calls_of, tools_of, without_padding
from trainer.data.dataset_info import DataFile
from trainer.data.shapes import Shape, shape_of
from trainer.data.template import Message, Tools
from trainer.data.turns import TurnReader, flag_of, refuse_media_mark, split_transcript, verdict_of
from trainer.data.use import FileUse
from trainer.data.values import BadLayout, some, text_of

_OPTIONAL: set[Part] = {"system", "input", "context", "history", "reasoning", "tools"}
_PREFERENCE: set[Part] = {"chosen", "rejected"}
_ASIDE: set[Part] = {"label", "flag", "reversed_flag", "media", "segments"}
_NOT_SAID: set[Part] = {"messages", "rejected", "tools"}
"""Parts whose texts stand elsewhere than in the messages, or are followed key by key."""
_CHAT: set[Part] = {"messages", "system", "tools"}
_CHAT_WITH_ANSWER: set[Part] = _CHAT | {"answer", "reasoning"}
_SINGLE: set[Part] = {
    "system", "instruction", "question", "input", "context", "history", "answer", "reasoning", "tools",
}  # fmt: skip


@dataclass(frozen=True)
class Conversation:
    """One conversation of the user's data."""

    place: str
    """Where it was read: file and row number."""
    messages: list[Message]
    """In the OpenAI form; tool-call arguments are mappings, as a server hands them to the template."""
    tools: Tools = None
    """Tool schemas passed to the template."""
    untrained: frozenset[int] = frozenset()
    """Positions of the answers that their author excluded from training."""
    notes: tuple[tuple[str, str], ...] = ()
    """(rule, what was found) for what was mended, or read by a rule worth counting, on the way here."""


@dataclass
class RowReader:
    """Reads the rows of one file of a source, and keeps count of what became of their columns."""

    source: SourceConfig
    file: DataFile
    ignored: frozenset[str] = frozenset()
    """data.ignore_columns."""
    use: FileUse = field(init=False)
    mapped: dict[str, str] = field(init=False)
    """Layout name to column, the recipe's word before that of dataset_info.json."""
    read_columns: set[str] = field(default_factory=set)
    """Columns of `columns` that a row was read from."""
    filled_columns: set[str] = field(default_factory=set)
    """Columns of `columns` that held something in a row."""
    _shapes: dict[tuple[str, ...], Shape] = field(default_factory=dict)
    _notes: list[tuple[str, str]] = field(default_factory=list)
    _place: str = ""
    _unread_keys: list[tuple[str, Any]] = field(default_factory=list)
    _differing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.use = FileUse(self.file.name)
        self.mapped = {**self.file.columns, **self.source.columns}
        self._turns = TurnReader(
            self.mapped, {**self.file.roles, **self.source.roles},
            frozenset(name.removeprefix("messages.") for name in self.ignored),
            lambda key, value: self._unread_keys.append((f"messages.{key}", value)),
            lambda part, keys: self.use.differ(part, [f"messages.{key}" for key in keys], self._place),
        )  # fmt: skip

    def read(self, row: RawRow) -> Conversation:
        """The conversation in a row.

        Raises:
            BadLayout: with a rule of `trainer.data.rules.RULES`.
        """
        self._notes, self._place, self._unread_keys, self._differing = [], row.place, [], set()
        value, columns = row.value, tuple(row.value)
        shape = self._shapes.get(columns)
        if shape is None:
            shape = self._shapes[columns] = shape_of(columns, self.mapped, self.ignored)
            self.use.ignored |= dict.fromkeys(shape.aside)
        self._refuse(shape, value)
        layout, read, messages, tools = self._converted(shape, value)
        if tools is not None:
            for message in messages:
                if calls := message.get("tool_calls"):
                    without_padding(calls, tools)
        self.use.layouts[layout] += 1
        self._account(shape, layout, read, value, messages)
        # JSON's \ud83d without its other half is a Python string, but no tokenizer and no file takes it.
        try:
            json.dumps([messages, tools], ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise BadLayout("lone_surrogate") from None
        return Conversation(row.place, messages, tools, notes=tuple(self._notes))

    def _note(self, rule: str, found: str) -> None:
        self._notes.append((rule, found))

    def _differ(self, part: str, columns: Sequence[str]) -> None:
        self._differing.update(columns)
        self.use.differ(part, columns, self._place)

    def _refuse(self, shape: Shape, value: dict[str, Any]) -> None:
        """Raises for a row that its author marked as not to be trained, and for one that is more than text."""
        for part in _ASIDE & shape.parts.keys():
            for column in shape.parts[part]:
                cell = value[column]
                if is_blank(cell):
                    continue
                if part == "media":
                    raise BadLayout("media", f"column {column}")
                if part == "segments":
                    raise BadLayout("raw_segments", f"column {column}: {kind_of(cell)}")
                flag = flag_of(cell) if part != "label" else verdict_of(cell, asked="label" in shape.said)
                if part == "label" and self._is_class(column, cell, shape):
                    continue
                if flag is None and part in shape.said:
                    raise BadLayout("bad_flag", f"{column}: {kind_of(cell)}")
                if flag is None:
                    self.use.see(column, cell, self._place, ())
                elif flag is False and part == "label":
                    raise BadLayout("marked_bad", f"{column}: {cell}")
                elif part != "label" and flag is (part == "reversed_flag"):
                    raise BadLayout("excluded_row", f"{column}: {cell}")
                else:
                    self.use.used[column] = None

    def _is_class(self, column: str, cell: Any, shape: Shape) -> bool:
        """Whether a column called `label` may hold a class: anything but a boolean, unless `columns` says otherwise."""
        if column.casefold() != "label" or "label" in shape.said or isinstance(cell, bool):
            return False
        if isinstance(cell, str) and not cell.isdigit() and verdict_of(cell) is not None:
            return False
        self.use.see(column, cell, self._place, ())
        classes = self.use.labels.setdefault(column, set())
        if len(classes) < 4:
            classes.add(str(cell)[:20])
        return True

    def _pick(self, shape: Shape, value: dict[str, Any], part: Part) -> tuple[str, Any]:
        """(column, cell) of a part, or ("", None); notes several columns that differ."""
        found: list[str] = []
        for column in shape.parts.get(part, ()):
            cell = value[column]
            if is_blank(cell):
                continue
            if part in _OPTIONAL and is_missing_word(cell):
                self._note("missing_word", f"{column}: {cell}")
                continue
            found.append(column)
        if not found:
            return "", None
        if len(found) > 1 and any(value[column] != value[found[0]] for column in found):
            self._differ(part, found)
        return found[0], value[found[0]]

    def _text(self, shape: Shape, value: dict[str, Any], part: Part) -> str:
        column, cell = self._pick(shape, value, part)
        return text_of(cell, f"column {column}", self._note) if column else ""

    def _converted(self, shape: Shape, value: dict[str, Any]) -> tuple[str, set[Part], list[Message], Tools]:
        """(layout, parts that it reads, messages, tools)"""
        parts, wanted = shape.parts, self.source.format
        preference = any(not is_blank(value[c]) for part in _PREFERENCE for c in parts.get(part, ()))
        tools = None
        if "tools" in parts:
            tools = tools_of(self._pick(shape, value, "tools")[1], self._note)
        talked, cell = self._pick(shape, value, "messages")
        # A `chat` or `data` column may hold something else than messages.
        if talked and wanted in ("auto", "messages", "sharegpt") and isinstance(unpacked(cell), list | dict):
            messages = self._turns.read(cell, talked, self._note)
            read = _CHAT
            answered = bool(messages) and messages[-1]["role"] == "assistant"
            if preference:
                messages = self._preferred(shape, value, messages)
            elif not answered and messages:
                messages += self._answer(shape, value, tools)
                read = _CHAT_WITH_ANSWER
            system = self._text(shape, value, "system")
            head = [{"role": "system", "content": system}] if system else []
            if sum(m["role"] == "assistant" for m in messages) == 1 and "reasoning" in parts:
                self._reason(shape, value, messages[-1])
                read = read | {"reasoning"}
            if head and messages and messages[0] == head[0]:
                head = []
            layout = "sharegpt" if self._turns.say_from(cell) else "messages"
            return layout, read | _PREFERENCE, head + messages, tools
        if wanted in ("messages", "sharegpt"):
            raise BadLayout("missing_columns", f"columns {some(value)}, no conversation")
        return self._single(shape, value, tools, preference)

    def _single(
        self, shape: Shape, value: dict[str, Any], tools: Tools, preference: bool
    ) -> tuple[str, set[Part], list[Message], Tools]:
        """A question with what belongs to it, and its answer."""
        parts = shape.parts
        layout = "alpaca" if "instruction" in parts else "prompt_completion"
        messages: list[Message] = []
        if system := self._text(shape, value, "system"):
            messages.append({"role": "system", "content": system})
        if "history" in parts:
            messages += self._history(shape, value)
        messages += self._talk_before(shape, value)
        asked = self._asked(shape, value)
        if asked is None and not preference:
            raise BadLayout("missing_columns", f"columns {some(value)}, nothing asked")
        messages += asked or []
        if preference:
            messages = self._preferred(shape, value, messages)
        else:
            answer = self._answer(shape, value, tools)
            if not answer and "answer" not in parts:
                raise BadLayout("missing_columns", f"columns {some(value)}, no answer")
            messages += answer or [{"role": "assistant", "content": ""}]
        return layout, _SINGLE | _PREFERENCE, messages, tools

    def _asked(self, shape: Shape, value: dict[str, Any]) -> list[Message] | None:
        """What the user says: passage, instruction and input; None where no column could hold it."""
        parts = shape.parts
        if not ({"instruction", "question", "input"} & parts.keys()):
            return None
        texts: list[str] = []
        columns: list[str] = []
        talk: list[Message] = []
        for part in ("instruction", "question", "input"):
            column, cell = self._pick(shape, value, part)
            if not column:
                continue
            turns = unpacked(cell) if part != "input" else cell
            if isinstance(turns, dict) and isinstance(turns.get("messages"), list):  # OpenAI's preference data
                turns = turns["messages"]
            if self._turns.are_messages(turns):
                talk = talk or self._turns.read(turns, column, self._note)
                continue
            text = text_of(cell, f"column {column}", self._note)
            if text in texts:
                continue
            texts.append(text)
            columns.append(column)
            both_said = {"instruction", "question"} <= shape.said
            if part == "question" and len(texts) > 1 and not both_said:
                self._differ("question", columns)
        if not talk and len(texts) == 1 and (talk := split_transcript(texts[0])):
            self._note("transcript_split", f"column {columns[0]}")
        asked = talk or [{"role": "user", "content": "\n".join(texts)}]
        first = next((m for m in asked if m["role"] == "user"), None)
        passage = self._passage(shape, value) if "context" in parts else ""
        if first and passage and passage.strip() not in first["content"]:
            first["content"] = f"{passage}\n\n{first['content']}"
        if not talk:
            refuse_media_mark(asked[0]["content"])
        return asked

    def _talk_before(self, shape: Shape, value: dict[str, Any]) -> list[Message]:
        """The messages in a column that is called a context, which are no passage."""
        column, cell = self._pick(shape, value, "context")
        turns = unpacked(cell)
        return self._turns.read(turns, column, self._note) if self._turns.are_messages(turns) else []

    def _passage(self, shape: Shape, value: dict[str, Any]) -> str:
        column, cell = self._pick(shape, value, "context")
        passages = unpacked(cell)
        if self._turns.are_messages(passages):
            return ""
        if not isinstance(passages, list):
            return text_of(cell, f"column {column}", self._note) if column else ""
        texts = []
        for passage in passages:
            if isinstance(passage, dict) and all(isinstance(text, str) for text in passage.values()):
                texts.append("\n".join(text for text in passage.values() if text))
            else:
                texts.append(text_of(passage, f"column {column}", self._note))
        return "\n\n".join(texts)

    def _history(self, shape: Shape, value: dict[str, Any]) -> list[Message]:
        column, cell = self._pick(shape, value, "history")
        if not column:
            return []
        turns = unpacked(cell)
        if isinstance(turns, str):
            if transcript := split_transcript(turns):
                return transcript
            raise BadLayout("bad_history", f"column {column}: {kind_of(cell)}")
        if not isinstance(turns, list):
            raise BadLayout("bad_history", f"column {column}: {kind_of(cell)}")
        if all(isinstance(turn, str) for turn in turns) and len(turns) % 2:
            raise BadLayout("bad_history", f"column {column}: {len(turns)} texts, an odd number")
        messages = []
        for turn in turns:
            if not isinstance(turn, dict | str) and not (isinstance(turn, list | tuple) and len(turn) == 2):
                raise BadLayout("bad_history", f"column {column}: {kind_of(turn)}")
        if turns and all(isinstance(turn, list | tuple | dict) for turn in turns):
            for turn in turns:
                messages += self._turns.read([turn], column, self._note)
            return messages
        return self._turns.read(turns, column, self._note)

    def _answer(self, shape: Shape, value: dict[str, Any], tools: Tools) -> list[Message]:
        column, cell = self._pick(shape, value, "answer")
        if not column:
            return []
        messages = self._answer_in(cell, column, tools)
        self._reason(shape, value, messages[-1])
        return messages

    def _reason(self, shape: Shape, value: dict[str, Any], message: Message) -> None:
        """Gives an answer the reasoning that a column of its row holds, unless it has its own."""
        if message["role"] != "assistant" or message.get("reasoning_content"):
            return
        column, cell = self._pick(shape, value, "reasoning")
        if column:
            texts = unpacked(cell)
            whole = "\n".join(texts) if isinstance(texts, list) and all(isinstance(t, str) for t in texts) else cell
            message["reasoning_content"] = text_of(whole, f"column {column}", self._note)

    def _answer_in(self, cell: Any, column: str, tools: Tools) -> list[Message]:
        if tools and are_calls(cell):
            return [{"role": "assistant", "content": "", "tool_calls": calls_of(cell)}]
        if isinstance(cell, dict) and isinstance(cell.get("text"), list):  # SQuAD
            cell = cell["text"]
        if isinstance(cell, list) and cell and all(isinstance(text, str) for text in cell):
            texts = list(dict.fromkeys(cell))
            if self.file.ranking and len(cell) == 2:
                self._note("preference", f"the first of `{column}` is trained, the second is not")
                texts = texts[:1]
            if len(texts) > 1:
                raise BadLayout("several_answers", f"column {column}: {kind_of(cell)}")
            return [{"role": "assistant", "content": texts[0]}]
        turns = cell if isinstance(cell, list) else [cell]
        if self._turns.are_messages(turns):
            return self._turns.read(turns, column, self._note)
        return [{"role": "assistant", "content": text_of(cell, f"column {column}", self._note)}]

    def _preferred(self, shape: Shape, value: dict[str, Any], asked: list[Message]) -> list[Message]:
        """The conversation with the better answer; the worse one is left out, and that is counted."""
        chosen, cell = self._pick(shape, value, "chosen")
        rejected = ", ".join(f"`{column}`" for column in shape.parts.get("rejected", ()))
        if not chosen:
            # ms-swift's rows: the better answer stands in the conversation, the worse one beside it.
            column = next(iter(shape.parts.get("answer", ())), "messages")
            self._note("preference", f"`{column}` is trained, {rejected} is not")
            if asked and asked[-1]["role"] == "assistant" and "messages" in shape.parts:
                return asked
            return asked + self._answer(shape, value, None)
        self._note("preference", f"`{chosen}` is trained, {rejected or 'nothing else'} is not")
        if shape.parts.get("answer") and self._answer_differs(shape, value, cell):
            self._differ("answer", [*shape.parts["answer"], chosen])
        if isinstance(cell, str) and not asked and (transcript := split_transcript(cell)):
            self._note("transcript_split", f"column {chosen}")
            return transcript
        answer = self._answer_in(unpacked(cell) if not isinstance(cell, str) else cell, chosen, None)
        if answer and answer[0]["role"] != "assistant":
            # The whole conversation stands in `chosen`; `prompt` repeats its question.
            system = asked[:1] if asked and asked[0]["role"] == "system" != answer[0]["role"] else []
            said = {message["content"] for message in answer}
            if any(m["content"] not in said for m in asked if m["role"] != "system"):
                return asked + [m for m in answer if m["role"] == "assistant"][-1:]
            return system + answer
        self._reason(shape, value, answer[-1])
        if asked and asked[-1]["role"] == "assistant" and asked[-1]["content"] == answer[-1]["content"]:
            return asked
        return asked + answer

    def _answer_differs(self, shape: Shape, value: dict[str, Any], chosen: Any) -> bool:
        column, cell = self._pick(shape, value, "answer")
        return bool(column) and cell != chosen

    def _account(
        self, shape: Shape, layout: str, read: set[Part], value: dict[str, Any], messages: Sequence[Message]
    ) -> None:
        """Keeps count of which columns of a row were read and which hold something that was not."""
        unread = shape.unread.get(layout)
        if unread is None:
            unread = shape.unread[layout] = list(shape.rest)
            for part, columns in shape.parts.items():
                if part in read:
                    self.use.used |= dict.fromkeys(columns)
                    self.read_columns.update(columns)
                elif part in _ASIDE:
                    self.read_columns.update(columns)
                else:
                    unread += columns
        said = [str(m[key]) for m in messages for key in ("content", "reasoning_content") if m.get(key)]
        left = [(column, value[column]) for column in unread if not is_blank(value[column])]
        for column, cell in [*left, *self._left_out(shape, read, value, said), *self._unread_keys]:
            self.use.see(column, cell, self._place, said)
        if self.mapped:
            self.filled_columns.update(c for c in self.mapped.values() if not is_blank(value.get(c)))

    def _left_out(
        self, shape: Shape, read: set[Part], value: dict[str, Any], said: Sequence[str]
    ) -> Iterator[tuple[str, Any]]:
        """Columns of the layout whose texts did not come into the conversation, such as two that hold messages."""
        for part in (read & shape.parts.keys()) - _NOT_SAID:
            for column in shape.parts[part]:
                cell = value[column]
                ranked = self.file.ranking and part == "answer"
                if is_blank(cell) or column in self._differing or ranked:
                    continue
                is_read = (part in _OPTIONAL and is_missing_word(cell)) or are_calls(unpacked(cell))
                if not is_read and not is_kept(cell, said):
                    yield column, cell

    @property
    def seen_columns(self) -> list[str]:
        """Every column of the rows so far."""
        return list(dict.fromkeys(column for columns in self._shapes for column in columns))

    @property
    def seen_keys(self) -> list[str]:
        """Every key of the messages so far."""
        return self._turns.seen_keys

    def finish(self) -> FileUse:
        """What became of the columns of the file, once all rows are read."""
        self.use.used |= dict.fromkeys(f"messages.{key}" for key in self._turns.used)
        return self.use
