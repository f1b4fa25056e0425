"""What a model wrote about passages, kept line by line: a command that was killed goes on, and nothing is asked twice.

A passage is known by what it says, so that a document that changed is asked about anew where it did, and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from configs.disk.files import appended, json_line, read_jsonl
from configs.errors import DataError
from eval.ask.results import drop_torn_line


class Reply(BaseModel):
    """A line of OUT/asked/replies.jsonl."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    passage: str
    """Key of the passage."""
    model: str
    """Name of the model that wrote."""
    content: str
    """Its reply as it came."""
    ended: bool
    """Whether it ended by itself; one that was cut may hold whole pairs."""


class Replies:
    """The journal of a folder, by the passage's key. One process at a time writes into it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.by_passage: dict[str, Reply] = {}
        if not file.exists():
            return
        drop_torn_line(file)
        for number, raw in read_jsonl(file):
            try:
                reply = Reply.model_validate(raw)
            except ValidationError as error:
                raise DataError(
                    f"{file}, line {number}: no reply of this version ({error.error_count()} faults)",
                    "take the line out: its passage is asked about again",
                ) from error
            self.by_passage[reply.passage] = reply

    def add(self, reply: Reply) -> None:
        """Keeps a reply, and writes it down at once."""
        self.by_passage[reply.passage] = reply
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with appended(self.file) as journal:
            journal.write(json_line(reply.model_dump()))
