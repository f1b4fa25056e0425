"""The options of the command that trains, out of a shell script. Nothing of it is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from configs.disk.yaml_text import parse_yaml

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")
_TRAINS = re.compile(r"sft|train|.*\.py")
"""The word of a command behind which the trainer's own options stand."""
_PROCESSES = ("nproc_per_node", "num_gpus", "num_processes", "nproc-per-node")
_LONGEST_VALUE = 4096
_MOST_QUOTES, _LONGEST_QUOTE = 200, 1 << 16
"""Lines on which a quote is still open, and letters in one."""
_NODES = ("nnodes", "num_nodes", "num_machines")


@dataclass
class Command:
    """A command that trains."""

    arguments: dict[str, Any] = field(default_factory=dict)
    """By the names of its options; `--flag` alone is true."""
    processes: int = 0
    """That it starts on all machines; 0 where the script does not say."""
    gpus: int = 0
    """That it may use; 0 where the script does not say."""
    left: list[tuple[str, str]] = field(default_factory=list)
    """(what, why) of what was not read."""


def read_command(text: str) -> Command:
    """The first command of a script that trains, else the last one with options; none has no arguments."""
    variables: dict[str, str] = {}
    commands: list[tuple[list[str], dict[str, str]]] = []
    for words in _commands(text):
        filled = [_filled(word, variables) for word in words if word not in ("export", "env", "nohup", "time")]
        count = next((i for i, word in enumerate(filled) if not re.fullmatch(r"\w+=.*", word, re.DOTALL)), len(filled))
        set_here = dict(word.split("=", 1) for word in filled[:count])
        if count == len(filled):
            variables |= set_here
        elif any(word.startswith("--") for word in filled):
            commands.append((filled[count:], variables | set_here))
    training = [one for one in commands if _starts(one[0]) is not None]
    chosen = next(iter(training or commands[-1:]), None)
    if chosen is None:
        return Command()
    words, environment = chosen
    at = _starts(words) or 0
    launcher = _options(words[:at])
    found = Command(_options(words[at:]))
    number = next((_count(launcher[name]) for name in _PROCESSES if name in launcher), 0)
    number = number or _count(environment.get("NPROC_PER_NODE"))
    nodes = next((_count(launcher[name]) for name in _NODES if name in launcher), 0) or _count(
        environment.get("NNODES")
    )
    found.gpus = len(re.findall(r"[^,\s]+", environment.get("CUDA_VISIBLE_DEVICES", ""))) * max(1, nodes)
    found.processes = number * max(1, nodes)
    if nodes > 1 and not number and not found.gpus:
        found.left.append(("NNODES", f"{nodes} machines: train.rows_per_step is that of one process"))
    if len(training) > 1:
        found.left.append(("the script", f"{len(training)} commands train in it, and the first is taken"))
    return found


def _commands(text: str) -> Iterator[list[str]]:
    """The words of every command; a quote may hold line breaks, and a comment begins at the beginning of a word."""
    text = re.sub(r"\\\s*\n", " ", text)
    waiting, open_quotes = "", 0
    for line in text.split("\n"):
        if waiting and not ("'" in line or '"' in line):
            waiting += f"{line}\n"
            continue
        waiting += line
        lexer = shlex.shlex(waiting, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split, lexer.commenters = True, ""
        try:
            words = list(lexer)
        except ValueError:
            open_quotes += 1
            if open_quotes > _MOST_QUOTES or len(waiting) > _LONGEST_QUOTE:
                return  # no script that anyone wrote
            waiting += "\n"  # a quote that goes on
            continue
        waiting = ""
        command: list[str] = []
        for word in words:
            if word.startswith("#"):
                break
            if set(word) <= set(";&|"):
                yield command
                command = []
            else:
                command.append(word)
        yield command


def _starts(words: list[str]) -> int | None:
    """Where the trainer's own options begin; None for a command that does not train."""
    return next((i for i, word in enumerate(words) if _TRAINS.fullmatch(word)), None)


def _options(words: list[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    key = ""
    for word in words:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            arguments[key] = _value(value) if equals else True
        elif key:
            before = arguments[key]
            several = [*(before if isinstance(before, list) else [before]), _value(word)]
            arguments[key] = _value(word) if before is True else several
    return arguments


def _filled(word: str, variables: Mapping[str, str]) -> str:
    """A word with the variables that the script sets; others stay as they are written."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], match[0] if match[3] is None else match[3])

    filled = _VARIABLE.sub(value, word)
    return filled if len(filled) <= _LONGEST_VALUE else word  # `A=$A$A` doubles at every line


def _count(value: Any) -> int:
    return int(value) if str(value).isdecimal() else 0


def _value(text: str) -> Any:
    if re.fullmatch(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+", text):
        return float(text)  # YAML 1.1 reads 1e-4 as text
    try:
        return parse_yaml(text)
    except ValueError:
        return text
