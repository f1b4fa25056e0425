"""The messages of a conversation in the OpenAI form, whatever its keys, its speakers and its nesting are called.

Read are objects with a role and a text (`role`/`content`, `from`/`value` and mixtures), objects that hold a question
and its answer (`human`/`assistant`, `q`/`a`), pairs, and lists of texts that alternate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from configs.tables.cells import kind_of, turns_in, unpacked
from configs.tables.columns import Speaker, is_content_key, is_role_key, part_of, speaker_of
from configs.tables.raw import is_blank
from trainer.data.calls import calls_behind, calls_of, tool_text
from trainer.data.marks import verdict_in_words
from trainer.data.template import Message
from trainer.data.values import BadLayout, Note, content_of, text_of

UNTRAINED = "untrained"
"""Key of a message that its author excluded from training; `clean` takes it off again."""

_HARMLESS = {"prefix", "partial", "index", "idx"}
_CALLS = {"tool_calls", "function_call", "function_calls"}
_COPIED = {"name", "tool_call_id"}
_ROLES = {"call": "assistant"}
_MARKS = re.compile(r"(?:^|\n)[^\S\n]*(?:#{2,3} )?(Human|User|人类|用户|Assistant|AI|助手)\s*[:：]", re.IGNORECASE)
_ASKING = {"human", "user", "人类", "用户"}
_MOSS = re.compile(r"\s*<\|[\w ]+\|>:(.*?)<eo\w>\s*", re.DOTALL)
_IMAGE_MARK = re.compile(r"(?<!`)<(?:image|video|audio)>(?!`)|<img>[^<\n]+</img>")


@dataclass(frozen=True)
class _Keys:
    """What the keys of one kind of message are."""

    role: str | None
    content: list[str]
    asked: list[str]
    answered: list[str]
    system: list[str]
    reasoning: list[str]
    flags: list[tuple[str, bool]]
    """(key, whether true excludes)"""
    media: list[str]
    unread: list[str]


@dataclass
class TurnReader:
    """Reads the messages of one file."""

    columns: dict[str, str]
    """`role` and `content` to the keys that hold them, where the recipe or a dataset_info.json says so."""
    roles: dict[str, str]
    """A role's name to its speaker, as the recipe or a dataset_info.json says."""
    ignored: frozenset[str]
    unread: Callable[[str, Any], None]
    """Called with (key, value) for what a message holds beside."""
    ambiguous: Callable[[str, list[str]], None]
    used: dict[str, None] = field(default_factory=dict)
    """Keys that were read, in the order of their first use."""
    _known: dict[tuple[str, ...], _Keys] = field(default_factory=dict)

    @property
    def seen_keys(self) -> list[str]:
        """Every key of the messages so far."""
        return list(dict.fromkeys(key for keys in self._known for key in keys))

    def read(self, value: Any, where: str, note: Note) -> list[Message]:
        """The messages in a cell.

        Raises:
            BadLayout: `missing_columns`, `unknown_role`, `not_text`, `media`, `bad_tool_call`, `bad_flag`,
                `several_conversations`.
        """
        turns = self._list(value, where)
        messages: list[Message] = []
        if turns and all(isinstance(turn, str) for turn in turns):
            told = [unpacked(turn) for turn in turns]
            turns = told if self.are_messages(told) else turns  # each kept as JSON, as some tables do
        if turns and all(isinstance(turn, str) for turn in turns):
            # Texts alone alternate, as UltraChat writes them.
            if len(turns) == 2 and speaker_of(turns[0]):
                return list(self._one(turns, where, note))
            return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
        for turn in turns:
            messages += self._one(turn, where, note)
        return join_calls(messages)

    def are_messages(self, value: Any) -> bool:
        """Whether a cell is a list of messages that say who speaks, rather than a text or other objects."""
        role = self.columns.get("role")
        return (
            isinstance(value, list)
            and bool(value)
            and all(isinstance(turn, dict) and any(key == role or is_role_key(key) for key in turn) for turn in value)
        )

    def say_from(self, value: Any) -> bool:
        """Whether messages say who speaks under `from`, as ShareGPT's do."""
        turns = self._list(value, "")
        return bool(turns) and isinstance(turns[0], dict) and "from" in turns[0]

    def _list(self, value: Any, where: str) -> list[Any]:
        turns = turns_in(value)
        if isinstance(turns, dict):
            # One message, or messages under `turn_1`, `turn_2`, ...
            inner = list(turns.values())
            return inner if inner and all(isinstance(turn, dict) for turn in inner) else [turns]
        if not isinstance(turns, list):
            raise BadLayout("missing_columns", f"{where}: {kind_of(value)} instead of a list of messages")
        lists = [turn for turn in turns if isinstance(turn, list) and turn and isinstance(turn[0], dict)]
        if lists and len(turns) == 1:
            return lists[0]
        if lists:
            raise BadLayout("several_conversations", f"{where}: {len(lists)} lists of messages in one row")
        return turns

    def _one(self, turn: Any, where: str, note: Note) -> Iterator[Message]:
        turn = unpacked(turn)
        if isinstance(turn, list | tuple) and len(turn) == 2:
            if isinstance(turn[0], str) and (speaker := self._speaker_or_none(turn[0])):
                yield from self._said(speaker, {}, turn[1], where, note)
                return
            yield from self._pair(turn[0], turn[1], where, note)
            return
        if not isinstance(turn, dict):
            raise BadLayout("missing_columns", f"{where}: a message that is {kind_of(turn)}")
        shape = tuple(turn)
        keys = self._known.get(shape)
        if keys is None:
            keys = self._known[shape] = self._keys(shape)
        if keys.role is None and any(str(v).startswith("<|") for v in turn.values()):
            turn = {key: _without_marks(text) for key, text in turn.items()}
        for key in keys.unread:
            if not is_blank(turn[key]):
                self.unread(key, turn[key])
        if keys.media and any(not is_blank(turn[key]) for key in keys.media):
            raise BadLayout("media", f"{where}.{keys.media[0]}")
        if keys.role is None:
            yield from self._exchange(turn, keys, where, note)
            return
        speaker = self._speaker(turn[keys.role])
        filled = [key for key in keys.content if not is_blank(turn[key])]
        if len(filled) > 1 and any(turn[key] != turn[filled[0]] for key in filled):
            self.ambiguous("content", filled)
        content = turn[filled[0]] if filled else ""
        if not keys.content and not (_CALLS & turn.keys()):
            raise BadLayout("missing_columns", f"{where}: a message with {', '.join(shape)} and no content")
        extras = {"reasoning": next((turn[k] for k in keys.reasoning if not is_blank(turn[k])), None)}
        extras |= {key: turn[key] for key in shape if key in _CALLS or key in _COPIED}
        if speaker not in ("assistant", "call") and extras["reasoning"] is not None:
            self.unread(next(key for key in keys.reasoning if not is_blank(turn[key])), extras.pop("reasoning"))
        for message in self._said(speaker, extras, content, where, note):
            if message["role"] == "assistant" and keys.flags and self._excluded(turn, keys, where):
                message[UNTRAINED] = True
            yield message

    def _said(
        self, speaker: Speaker, extras: dict[str, Any], content: Any, where: str, note: Note
    ) -> Iterator[Message]:
        if speaker == "call":
            yield {"role": "assistant", "content": "", "tool_calls": calls_of(content)}
            return
        text, thought, calls = content_of(content, where, note)
        if speaker == "assistant" and not calls:
            text, calls = calls_behind(text)
        elif speaker == "tool":
            text = tool_text(text)
        elif speaker == "user":
            refuse_media_mark(text)
        message: Message = {"role": speaker, "content": text}
        for key in _CALLS:
            if not is_blank(extras.get(key)):
                calls = [*calls, *calls_of(extras[key])]
        if calls:
            message["tool_calls"] = calls_of(calls)
        if thought or extras.get("reasoning"):
            message["reasoning_content"] = thought or text_of(extras["reasoning"], f"{where}: reasoning", note)
        for key in _COPIED:
            if extras.get(key):
                message[key] = extras[key]
        yield message

    def _exchange(self, turn: dict[str, Any], keys: _Keys, where: str, note: Note) -> Iterator[Message]:
        """A question and its answer in one object; either may be missing."""
        if not keys.asked and not keys.answered and not keys.system:
            raise BadLayout("missing_columns", f"{where}: a message with {', '.join(turn) or 'no keys'} and no role")
        for names in (keys.asked, keys.answered):
            filled = [key for key in names if not is_blank(turn[key])]
            if len(filled) > 1:
                self.ambiguous("question" if names is keys.asked else "answer", filled)
        for key in keys.system[:1]:
            if not is_blank(turn[key]):
                yield {"role": "system", "content": text_of(turn[key], f"{where}.{key}", note)}
        asked = next((turn[k] for k in keys.asked if not is_blank(turn[k])), None)
        answered = next((turn[k] for k in keys.answered if not is_blank(turn[k])), None)
        for message in self._pair(asked, answered, where, note):
            if message["role"] == "assistant":
                if thought := next((turn[k] for k in keys.reasoning if not is_blank(turn[k])), None):
                    message["reasoning_content"] = text_of(thought, f"{where}: reasoning", note)
                if keys.flags and self._excluded(turn, keys, where):
                    message[UNTRAINED] = True
            yield message

    def _pair(self, asked: Any, answered: Any, where: str, note: Note) -> Iterator[Message]:
        if not is_blank(asked):
            yield from self._said("user", {}, asked, where, note)
        if not is_blank(answered):
            yield from self._said("assistant", {}, answered, where, note)

    def _keys(self, shape: tuple[str, ...]) -> _Keys:
        names = [key for key in shape if key not in self.ignored]
        said_role, said_content = self.columns.get("role"), self.columns.get("content")
        role = said_role if said_role in names else next((key for key in names if is_role_key(key)), None)
        content = [said_content] if said_content in names else [key for key in names if is_content_key(key)]
        parts = {key: part_of(key) for key in names}
        asked: list[str] = []
        answered: list[str] = []
        if role is None:
            asked = [k for k in names if parts[k] in ("question", "instruction", "input") or speaker_of(k) == "user"]
            answered = [k for k in names if parts[k] == "answer" or speaker_of(k) == "assistant"]
            content = []
        system = [k for k in names if role is None and parts[k] == "system"]
        reasoning = [k for k in names if parts[k] == "reasoning"]
        flags = [(k, parts[k] == "reversed_flag") for k in names if parts[k] in ("flag", "reversed_flag")]
        flags += [(k, False) for k in names if parts[k] == "label"]
        media = [k for k in names if parts[k] == "media"]
        read = {role, *content, *asked, *answered, *system, *reasoning, *media, *_CALLS, *_COPIED}
        read |= {key for key, _ in flags}
        self.used |= dict.fromkeys(key for key in names if key in read and key not in media)
        # Of two keys of one kind, `columns` says which is meant.
        if said_role in names or said_content in names:
            read |= {key for key in names if is_role_key(key) or is_content_key(key)}
        unread = [key for key in names if key not in read and key not in _HARMLESS]
        return _Keys(role, content, asked, answered, system, reasoning, flags, media, unread)

    def _speaker_or_none(self, role: str) -> Speaker | None:
        return self.roles.get(role) or speaker_of(role)  # type: ignore[return-value]

    def _speaker(self, role: Any) -> Speaker:
        speaker = self._speaker_or_none(role) if isinstance(role, str) else None
        if speaker is None:
            raise BadLayout("unknown_role", f"role {role if isinstance(role, str) else kind_of(role)!r}")
        return speaker

    def _excluded(self, turn: dict[str, Any], keys: _Keys, where: str) -> bool:
        excluded = False
        for key, reverse in keys.flags:
            flag = flag_of(turn[key])
            if flag is None and not is_blank(turn[key]):
                raise BadLayout("bad_flag", f"{where}.{key}: {kind_of(turn[key])}")
            excluded = excluded or (flag is not None and flag == reverse)
        return excluded


def _without_marks(text: Any) -> Any:
    """A text of MOSS's without the marks around it; nothing where it says None between them."""
    found = _MOSS.fullmatch(text) if isinstance(text, str) else None
    said = found.group(1).strip() if found else text
    return None if found and said == "None" else said


def refuse_media_mark(text: str) -> None:
    """Raises BadLayout for a question with the mark of an image, video or audio; one in backticks is text."""
    if mark := _IMAGE_MARK.search(text):
        raise BadLayout("media", f"{mark.group()[:20]} in a question")


def flag_of(value: Any) -> bool | None:
    """True or false where a cell says one of them, as a boolean, 0 or 1, or the text of either; else None."""
    if isinstance(value, str):
        words = {"true": True, "1": True, "yes": True, "y": True, "是": True,
                 "false": False, "0": False, "no": False, "n": False, "否": False}  # fmt: skip
        return words.get(value.strip().casefold())
    return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None


def verdict_of(value: Any, *, asked: bool = False) -> bool | None:
    """Whether a label calls an answer good, as KTO's data write it; None where it says something else.

    Args:
        asked: whether the recipe calls the column a verdict, which may be in the words of a review then.
    """
    words = {"good": True, "chosen": True, "accepted": True, "desirable": True,
             "bad": False, "rejected": False, "undesirable": False}  # fmt: skip
    if not isinstance(value, str):
        return flag_of(value)
    said = verdict_in_words(value) if asked else None
    return words.get(value.strip().casefold(), flag_of(value) if said is None else said)


def join_calls(messages: list[Message]) -> list[Message]:
    """One message for what an assistant says in a row up to its calls: text before a call, and parallel calls."""
    joined: list[Message] = []
    for message in messages:
        before = joined[-1] if joined else None
        if before and before["role"] == message["role"] == "assistant" and message.get("tool_calls"):
            texts = [text for text in (before["content"], message["content"]) if text]
            joined[-1] = {
                **message, **before, "content": "\n".join(texts),
                "tool_calls": [*before.get("tool_calls", []), *message["tool_calls"]],
            }  # fmt: skip
            if message.get(UNTRAINED):
                joined[-1][UNTRAINED] = True
        else:
            joined.append(message)
    return joined


def split_transcript(text: str) -> list[Message]:
    """The messages in a text that begins with `Human:` and has `Assistant:` on a line of its own; else none.

    BELLE's conversations and HH-RLHF are written so. An `Assistant:` at the end is where the answer comes.
    """
    marks = list(_MARKS.finditer(text))
    if len(marks) < 2 or text[: marks[0].start()].strip() or marks[0].group(1).casefold() not in _ASKING:
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    messages: list[Message] = []
    for mark, end in zip(marks, ends, strict=True):
        said = text[mark.end() : end].strip()
        role = "user" if mark.group(1).casefold() in _ASKING else "assistant"
        if said or end < len(text):
            messages.append({"role": role, "content": said})
    return messages
