"""What a contestant is given, and what it hands back. Imports the standard library only: it runs under any Python.

python -m scripts.bench.contestants.NAME JOB.json RESULT.json
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

Work = Literal["choice", "text"]
LETTERS = "ABCD"
MAX_TOKENS = 64
"""Longest text."""
_WARM_UP = 8


@dataclass(frozen=True)
class Job:
    """Rows to be asked and scored.

    Args:
        work: `choice`, rows of question, choices (four), answer (a letter) and prompt; or `text`, rows of prompt,
            source and answer.
        url: base URL of the server, `/v1` included.
        in_flight: requests at a time.
    """

    work: Work
    url: str
    in_flight: int
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Done:
    """What became of it: wall and CPU seconds of the whole call, and a score for each row in their order."""

    version: str
    metric: str
    seconds: float
    cpu_s: float
    scores: Sequence[float]


def write_job(job: Job, file: Path) -> None:
    """For `contest` to read."""
    file.write_text(json.dumps(asdict(job), ensure_ascii=False), encoding="utf-8")


def read_done(file: Path) -> Done:
    """What `contest` wrote."""
    return Done(**json.loads(file.read_text(encoding="utf-8")))


def contest(package: str, metrics: Mapping[Work, str], ask: Callable[[Job], Sequence[float]]) -> None:
    """Runs a contestant: a few rows to pay for its imports, then all of them against the clock.

    Args:
        package: distribution whose version is reported.
        metrics: what the scores of each work are called.
        ask: asks and scores the rows of a job.
    """
    job_file, done_file = map(Path, sys.argv[1:])
    job = Job(**json.loads(job_file.read_text(encoding="utf-8")))
    ask(replace(job, rows=job.rows[:_WARM_UP]))
    seen(job.url)  # the server forgets the requests so far
    cpu_s, began = _cpu_s(), time.perf_counter()
    scores = ask(job)
    seconds = time.perf_counter() - began
    done = Done(importlib.metadata.version(package), metrics[job.work], seconds, _cpu_s() - cpu_s, list(scores))
    done_file.write_text(json.dumps(asdict(done)), encoding="utf-8")


def seen(url: str) -> dict[str, float]:
    """Requests that the server answered since this was last asked, and the seconds from the first to the last."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/seen", timeout=5) as reply:
        found: dict[str, float] = json.loads(reply.read())
    return found


def _cpu_s() -> float:
    """Of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
