"""Tasks named on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from configs.errors import ConfigError
from configs.load import resolve_path
from configs.schema import TaskConfig


def parse_tasks(
    given: list[str], limit: int | None = None, role: Literal["target", "retention"] = "retention"
) -> list[TaskConfig]:
    """`TYPE`, `TYPE=PATH` or `NAME:TYPE=PATH` become task entries, as a recipe would hold them.

    Raises:
        ConfigError: a type that does not exist.
    """
    tasks = []
    for text in given:
        head, _, path = text.partition("=")
        name, sep, kind = head.partition(":")
        entry = {"name": name, "type": kind if sep else name, "role": role, "limit": limit}
        if path:
            entry["path"] = resolve_path(path, Path.cwd())
        try:
            tasks.append(TaskConfig.model_validate(entry))
        except ValidationError as error:
            problem = error.errors()[0]
            raise ConfigError(
                f"--tasks {text}: {problem['msg'].removeprefix('Value error, ')}, got {problem['input']!r}",
                "write TYPE, TYPE=PATH or NAME:TYPE=PATH, such as gsm8k=data/gsm8k.jsonl",
            ) from None
    return tasks
