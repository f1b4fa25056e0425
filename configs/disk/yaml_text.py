"""YAML as somebody may have written it: bounded in size, depth and repetition, and every error with its line.

    value, lines = read_yaml(Path("shop.yaml"))

An alias (`*name`) costs nothing to write and may stand for a thousand nodes that each hold aliases again; what a file
means is therefore counted with every alias spelled out, before anything is built of it.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import yaml

from configs.disk.files import conversion_to_utf8, file_bytes
from configs.errors import ConfigError

KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, int]
"""Line, counted from 1, of every key and list item."""

LARGEST_BYTES = 1_000_000
LARGEST_NODES = 20_000
"""Keys and values, aliases spelled out: a recipe has a few hundred."""
DEEPEST = 40
OWN_FILES = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""What reads the YAML that comes with this package: in C where PyYAML has it, eight times as fast as in Python."""

_ODD_NUMBER = re.compile(r"[-+]?(0[0-7_]+$|[^.]*:)")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also counts what it composes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes: dict[int, int] = {}
        self._open: set[str] = set()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._open:
            raise _Refused(f"*{event.anchor} stands inside what it repeats", event.start_mark)
        if self._depth == DEEPEST:
            raise _Refused(f"more than {DEEPEST} levels deep", event.start_mark)
        anchor = "" if isinstance(event, yaml.AliasEvent) else getattr(event, "anchor", None) or ""
        self._depth += 1
        self._open.add(anchor)
        node = super().compose_node(parent, index)
        self._open.discard(anchor)
        self._depth -= 1
        if id(node) not in self._nodes:
            self._nodes[id(node)] = 1 + sum(self._nodes[id(child)] for child in _children(node))
        if self._nodes[id(node)] > LARGEST_NODES:
            raise _Refused(f"means more than {LARGEST_NODES:,} values with its aliases written out", event.start_mark)
        if isinstance(node, yaml.ScalarNode) and (odd := _UNUSABLE.search(node.value)):
            raise _Refused(f"holds the character U+{ord(odd[0]):04X}, which no file or name can", node.start_mark)
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise _Refused("a key is a list or a mapping", key.start_mark)
                name, line = str(key.value), key.start_mark.line + 1
                if name in seen and name != "<<":
                    raise _Refused(f"the key `{_short(name)}` stands in line {seen[name]} already", key.start_mark)
                seen[name] = line
        return node

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """A number; as text where YAML 1.1 means eights by `010` and sixties by `1:30`, and nobody else does."""
        if _ODD_NUMBER.match(node.value):
            return node.value
        if node.tag.endswith("float"):
            return self.construct_yaml_float(node)
        number = self.construct_yaml_int(node)
        str(number)  # Python reads hexadecimal digits without end, and refuses to write down what they make
        return number


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


class _Refused(yaml.MarkedYAMLError):
    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


def read_yaml(file: Path) -> tuple[Any, Lines]:
    """What a YAML file says, and the line of everything in it.

    Raises:
        ConfigError: it is no UTF-8, no YAML, or larger, deeper or more repetitive than a file that a person wrote.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: is not a file", "name a YAML file")
    size = file.stat().st_size
    if size > LARGEST_BYTES:
        raise ConfigError(f"{file}: {size:,} bytes, far more than a recipe has", "name the recipe, not its data")
    text = read_text(file)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return _unshared(None if node is None else loader.construct_document(node)), _key_lines(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}{_where(error)}: not valid YAML: {_why(error)}", "mend that line") from error


def one_line(text: str) -> str:
    """A text of somebody else's for a comment: whatever YAML takes for a line break is a space."""
    return " ".join(text.split())


def parse_yaml(text: str) -> Any:
    """The value of a short YAML text, such as the right-hand side of an override.

    Raises:
        ValueError: it is not YAML, or means more than a person writes there; says why.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(_why(error)) from error


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark, or in UTF-16 with one.

    Raises:
        ConfigError: it is neither; says in which line, and what converts it.
    """
    content = file_bytes(file)
    encoding = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}.get(content[:2], "utf-8-sig")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        command = conversion_to_utf8(file, "GB18030")
        raise ConfigError(
            f"{file}:{line}: not UTF-8 (byte {error.start})",
            f"save it as UTF-8; from a Chinese editor: {command}",
        ) from error


def _key_lines(node: yaml.Node | None, path: KeyPath = ()) -> Lines:
    lines: Lines = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            lines[here] = key.start_mark.line + 1
            lines |= _key_lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[*path, i] = item.start_mark.line + 1
            lines |= _key_lines(item, (*path, i))
    return lines


def _unshared(value: Any) -> Any:
    """The value with a copy where an alias stood, so that a change of one place changes no other."""
    if isinstance(value, dict):
        return {key: _unshared(part) for key, part in value.items()}
    return [_unshared(part) for part in value] if isinstance(value, list) else value


def _children(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(getattr(error, "problem", None) or error)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
