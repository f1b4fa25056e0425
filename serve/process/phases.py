"""What a starting vLLM is doing, read from its log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

PHASES = (
    ("importing", re.compile("")),
    ("engine", re.compile(r"Initializing a V\d LLM engine")),
    ("weights", re.compile(r"Starting to load model|Loading model from scratch")),
    (
        "compilation",
        re.compile(
            r"Dynamo bytecode transform|Compiling a graph|torch\.compile takes|Directly load the compiled graph"
        ),
    ),
    ("KV cache", re.compile(r"KV cache size|Available KV cache memory")),
    ("CUDA graphs", re.compile(r"Capturing CUDA graphs?")),
    ("HTTP server", re.compile(r"Starting vLLM (?:API )?server|Available routes are")),
)
"""Phases in the order in which a start goes through them, and the line that begins each."""

FIRST_ANSWER = "first answer"
"""The last phase, ours: the server is up and a real chat is on its way."""


@dataclass
class PhaseReader:
    """Follows a log from an offset and knows the phase that its lines have reached."""

    log: Path
    offset: int
    reached: int = 0
    _partial: str = field(default="", repr=False)

    def phase(self) -> str:
        """Reads what was added and returns the current phase; phases only go forward."""
        if self.log.exists():
            with self.log.open("rb") as handle:
                handle.seek(self.offset)
                added = handle.read()
            self.offset += len(added)
            text = self._partial + added.decode("utf-8", errors="replace")
            self._partial = text.rpartition("\n")[2]
            for number in range(len(PHASES) - 1, self.reached, -1):
                if PHASES[number][1].search(text):
                    self.reached = number
                    break
        return PHASES[self.reached][0]
