"""What the terminal says, in the user's language: written in English where it is said, translated where it is shown.

A message is a plain f-string in the code. `configs/texts/zh/*.yaml` has for each the English, its values named in
braces, and the Chinese with the same values:

    - en: '{path} has no {key}'
      zh: '{path} 中没有 {key}'

`translated` finds the English template that a finished text was made from and writes its values into the Chinese one.
Values that are messages themselves are translated too, as are texts of several lines and messages that were joined by
`: ` or `; `. What no template matches stays as it is: names, paths, commands, and what users and models wrote.

A template that is mostly values could match what somebody else wrote. Templates of few words therefore take short
values only, and those of one word count only where the text is known to be ours, or where all their values are figures.
Single words that stand for a state are translated by the name of the value that they are: `values.yaml` there. What is
searched for one text is bounded, so that no text can hold up the terminal.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import Any

import yaml

from configs.disk.yaml_text import OWN_FILES
from configs.terminal.language import language

_WORD = re.compile(r"[A-Za-z]{2,}")
_HAN = re.compile(r"[\u3400-\u9fff]")
_FIGURE = re.compile(r"[\d.,:+%x~-]*(s|es)?")
"""A figure, or the ending of a plural."""
_SHORT = re.compile(r"""'[^']*'|"[^"]*"|\S*(, \S+)*|\S*( \S+){0,2}""")
"""Something quoted, a list, or up to three words."""
_JOINTS = ("; ", ": ")
_OURS = frozenset(
    ["at", "hint", "how", "meant", "message", "more", "next_step", "problem", "reason", "said", "step", "where", "why"]
)
"""Names of values that are messages of ours, of which one word is enough."""
_LONGEST_LINE = 1_500
"""Characters of a text that is looked at part by part."""
_MOST_PLACES = 12
"""Places of one joint in it."""
_MOST_SEARCHES = 600
"""Times that the catalogue is searched for one text; what was written to need more is no message."""
_LONGEST = 6_000
"""Characters; a longer text is a file or an answer, and no message."""


@dataclass(frozen=True)
class Template:
    """A message: `literals` with a value between each two of them, and what it is in Chinese."""

    literals: tuple[str, ...]
    names: tuple[str, ...]
    chinese: str

    @classmethod
    def of(cls, english: str, chinese: str) -> Template:
        """Parses `{name}` out of the English; a doubled brace is a brace."""
        literals, names = [""], []
        for literal, name, _, _ in string.Formatter().parse(english):
            literals[-1] += literal
            if name is not None:
                names.append(name)
                literals.append("")
        return cls(tuple(literals), tuple(names), chinese)

    @property
    def skeleton(self) -> str:
        """The English with its values cut out: what is the same however the values are named."""
        return "{}".join(self.literals)

    @cached_property
    def words(self) -> int:
        """Words that every text of this template has."""
        return sum(len(_WORD.findall(literal)) for literal in self.literals)

    @cached_property
    def weight(self) -> int:
        """Characters that every text of this template has."""
        return sum(map(len, self.literals))

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The names of the values by group: values with nothing between them are found together."""
        groups: list[tuple[str, ...]] = []
        for number, name in enumerate(self.names):
            if number and not self.literals[number]:
                groups[-1] += (name,)
            else:
                groups.append((name,))
        return tuple(groups)

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The literals between which the groups of values stand; the first and the last may be empty."""
        return (self.literals[0], *filter(None, self.literals[1:-1]), *self.literals[1:][-1:])

    def values_in(self, text: str, careful: bool = False) -> tuple[str, ...] | None:
        """The values of a whole text that was made from this template, by group; None where it was not.

        Every literal is taken where it stands first, so that the time is linear whatever the text holds.

        Args:
            text: a finished text.
            careful: whether the text may be somebody else's.
        """
        first, *others = self.parts
        if not others:
            return () if text == first else None
        *middle, last = others
        at, end = len(first), len(text) - len(last)
        if end < at or not text.startswith(first) or not text.endswith(last):
            return None
        values = []
        for literal in middle:
            place = text.find(literal, at, end)
            if place < 0:
                return None
            values.append(text[at:place])
            at = place + len(literal)
        values.append(text[at:end])
        taken = (self._takes(number, value, careful) for number, value in enumerate(values))
        return tuple(values) if all(taken) else None

    def _takes(self, number: int, value: str, careful: bool) -> bool:
        """Whether a value can be what stands in this place.

        A template of few words would match much: its values are short, where no colon sets them off, and figures where
        it is one word in a text that may be somebody else's.
        """
        if careful and self.words < 2:
            return _FIGURE.fullmatch(value) is not None
        if self.words >= (4 if careful else 3):
            return True
        before, after = self.parts[number : number + 2]
        set_off = before.endswith((": ", "; ", "  ")) or after.startswith(":") or len(self.groups[number]) > 1
        return set_off or _SHORT.fullmatch(value) is not None

    @cached_property
    def is_ending(self) -> bool:
        """Whether this is the end of a sentence that not every text has: `, and 3 more`."""
        return bool(re.match(r"[,;.(]| \S", self.literals[0])) and self.words > 0

    @cached_property
    def is_predicate(self) -> bool:
        """Whether this says something of a name that stands before it: `is gone`."""
        return bool(re.match(r"(is|has|had|was|did(?! you)|takes|cannot|holds|lies|means) ", self.literals[0]))


class Catalogue:
    """All templates of one language."""

    def __init__(self, templates: list[Template], values: Mapping[str, Mapping[str, str]]) -> None:
        self.by_skeleton = {template.skeleton: template for template in templates}
        """Templates by their English with `{}` for each value."""
        ranked = sorted(templates, key=lambda template: -template.weight)
        # With the longest literal of each, by which most are ruled out; those of `paint` are asked for by themselves.
        self._with_values = [(max(t.literals, key=len), t) for t in ranked if t.names and t.words and all(t.names)]
        self._endings = [template for template in ranked if template.is_ending]
        self._beginnings = [template for template in ranked if template.words > 1 and template.literals[-1][-1:] == " "]
        self._predicates = [template for template in ranked if template.is_predicate]
        self._values = values
        self._searches_left = 0

    def find(self, text: str, ours: bool = False, least: int = 2) -> str | None:
        """The translation of a text that one template matches wholly; None when none does.

        Args:
            text: a finished text.
            ours: whether the text is known to be ours, so that one word is enough.
            least: words that a template without values must have where it is not, and one with values that are no
                figures.
        """
        self._searches_left -= 1
        if self._searches_left < 0:
            return None
        exact = self.by_skeleton.get(text)
        if exact is not None and not exact.names and (ours or exact.words >= least):
            return exact.chinese.format()
        for longest, template in self._with_values:
            if longest not in text or (not ours and 1 < template.words < least):
                continue
            found = template.values_in(text, careful=not ours)
            if found is not None and not self._is_named(text, template, found, ours):
                return self._written(template, found)
        return self._of_something(text) if ours else None

    def _is_named(self, text: str, template: Template, found: tuple[str, ...], ours: bool) -> bool:
        """Whether the first value has taken in what only stands before the message: `proof: 3 rows of 5`."""
        if template.literals[0] or ": " not in found[0]:
            return False
        if len(_WORD.findall(found[0])) > 1 and self.find(found[0]) is not None:
            return False  # a message by itself
        return template.values_in(text.partition(": ")[2], careful=not ours) is not None

    def _of_something(self, text: str) -> str | None:
        """The translation of a sentence whose subject is a name and whose rest is a message: `merged/a is gone`."""
        for template in self._predicates:
            for at in _places(f" {template.literals[0]}", text):
                if at and (found := template.values_in(text[at + 1 :])) is not None:
                    return f"{text[:at]} {self._written(template, found)}"
        return None

    def _written(self, template: Template, found: tuple[str, ...]) -> str:
        """The Chinese with the values of a match; a value that became Chinese stands there without spaces around it."""
        values, chinese = self._filled(template, found), template.chinese
        for name, value in values.items():
            if value not in found and _HAN.match(value):
                chinese = re.sub(rf"(?<={_HAN.pattern}) (?=\{{{name}\}})", "", chinese)
            if value not in found and value and _HAN.match(value[-1]):
                chinese = re.sub(rf"(?<=\{{{name}\}}) (?={_HAN.pattern})", "", chinese)
        return chinese.format(**values)

    def _filled(self, template: Template, found: tuple[str, ...]) -> dict[str, str]:
        """The values of a match by name, each translated where it is a message itself."""
        values: dict[str, str] = {}
        for names, text in zip(template.groups, found, strict=True):
            endings: list[str] = []
            if len(names) > 1 and (begun := self._beginning(text)):
                values[names[0]], text = begun
                names = names[1:]
            while len(endings) < len(names) - 1 and (split := self._ending(text, ours=True)):
                text, ending = split
                endings.insert(0, ending)
            first, *rest = names
            values[first] = self._value(first, text)
            # As many of the last values as were found; those in between were empty.
            values |= dict.fromkeys(rest, "")
            values |= dict(zip(rest[len(rest) - len(endings) :], endings, strict=True))
        return values

    def _value(self, name: str, text: str) -> str:
        name = re.sub(r"_\d+$", "", name)
        words = self._values.get(name, {})
        if text in words:
            return words[text]
        whole = self._translated(text, ours=name in _OURS)
        if whole != text:
            return whole
        head_and_ending = self._ending(text, ours=name in _OURS)
        return self._value(name, head_and_ending[0]) + head_and_ending[1] if head_and_ending else text

    def _ending(self, text: str, ours: bool) -> tuple[str, str] | None:
        """A text without the ending of ours that it has, and that ending translated."""
        for template in self._endings:
            if ours or template.words > 1:
                for at in reversed(_places(template.literals[0], text)):
                    if (found := template.values_in(text[at:])) is not None:
                        return text[:at], self._written(template, found)
        return None

    def _beginning(self, text: str) -> tuple[str, str] | None:
        """The beginning of ours that a text has, translated, and the text without it."""
        for template in self._beginnings:
            for at in _places(template.literals[-1], text):
                end = at + len(template.literals[-1])
                if (found := template.values_in(text[:end])) is not None:
                    return self._written(template, found), text[end:]
        return None

    def translate(self, text: str, ours: bool = False) -> str:
        """The text with all in it translated that is a message: as a whole, line by line, or part by part."""
        self._searches_left = _MOST_SEARCHES
        return self._translated(text, ours)

    def _translated(self, text: str, ours: bool) -> str:
        if not _WORD.search(text):
            return text
        core = text.strip("\n")
        core = core.lstrip(" ") if core.startswith("  ") else core
        start = text.index(core)
        before, after = text[:start], text[start + len(core) :]
        if len(core) <= _LONGEST and (whole := self._joined(core) or self.find(core, ours)) is not None:
            return before + whole + after
        if "\n" in core:
            return before + "\n".join(self._translated(line, ours) for line in core.split("\n")) + after
        if len(core) > _LONGEST:
            return text
        whole = self._parts(core, ours)
        if ours and whole == core and (split := self._ending(core, ours)):
            whole = self._translated(split[0], ours) + split[1]
        return before + whole + after

    def _joined(self, text: str) -> str | None:
        """The translation of whole messages joined by `; ` or `; or `; a value would else take one of them in."""
        for at in _places("; ", text):
            if first := self._whole(text[:at]):
                tail = text[at + 2 :]
                if rest := self._joined(tail) or self._whole(tail):
                    return f"{first}；{rest}"
                tail = tail.removeprefix("or ")
                if rest := self._joined(tail) or self._whole(tail):
                    return f"{first}；或者{rest}"
        return None

    def _whole(self, text: str) -> str | None:
        """The translation of a message, or of one behind the name of what it is about."""
        name, _, message = text.partition(": ")
        if (found := self.find(text)) is None and " " not in name and (found := self.find(message, least=3)):
            return f"{name}：{found}"
        return found

    def _parts(self, text: str, ours: bool) -> str:
        """Messages that were joined, or that follow the name of what they are about; the text where it is neither."""
        if ours and ", " in text:
            items = [self.find(item, ours) for item in text.split(", ")]
            if all(items):
                return "、".join(filter(None, items))
        for head, joint, tail in _splits(text):
            # Half of what somebody else wrote is more easily taken for ours than the whole.
            first = self.find(head, ours, least=3)
            rest = self.find(tail, ours, least=3)
            if first is None and rest is None:
                continue
            if joint == "; " and first is None:
                continue  # half of a sentence that has a semicolon of its own
            rest = self._parts(tail, ours) if rest is None else rest
            chinese = (first or head)[-1:] > "\u2e80"
            return (first or head) + ({"; ": "；", ": ": "："}[joint] if chinese else joint) + rest
        return text


def _splits(text: str) -> Iterator[tuple[str, str, str]]:
    """The ways to part a text at a joint, the longest head first for `; `, the shortest for `: `."""
    for joint in _JOINTS:
        places = _places(joint, text)
        for at in reversed(places) if joint == "; " else places:
            yield text[:at], joint, text[at + len(joint) :]


def _places(part: str, text: str) -> list[int]:
    """Where a part stands in a sentence of ours; a text with so many places is none."""
    if len(text) > _LONGEST_LINE or text.count(part) > _MOST_PLACES:
        return []
    return [found.start() for found in re.finditer(re.escape(part), text)]


@cache
def catalogue() -> Catalogue:
    """The Chinese catalogue; read once, and only where it is needed."""
    templates: list[Template] = []
    values: Mapping[str, Mapping[str, str]] = {}
    for file in sorted(files("configs").joinpath("texts", "zh").iterdir(), key=lambda file: file.name):
        read: Any = yaml.load(file.read_text(encoding="utf-8"), OWN_FILES) or []
        if file.name == "values.yaml":
            values = read
        elif isinstance(read, list):
            templates += [Template.of(entry["en"], entry["zh"]) for entry in read]
    return Catalogue(templates, values)


def translated(text: str, *, ours: bool = False) -> str:
    """A text as the user reads it: what is a message of ours in their language, the rest as it is.

    Args:
        text: a finished text, whose values are written in.
        ours: whether all of it is known to be ours, such as the title of a column, so that one word is enough.
    """
    return text if language() == "en" else _in_chinese(text, ours)


@lru_cache(maxsize=2048)
def _in_chinese(text: str, ours: bool) -> str:
    return catalogue().translate(text, ours)


def markup(template: str) -> str:
    """A template of `paint`, in the user's language; its `{}` stay in their order."""
    if language() == "en":
        return template
    core = template.strip("\n ")
    found = catalogue().by_skeleton.get(core)
    return template if found is None else template.replace(core, found.chinese)
