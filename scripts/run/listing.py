"""All runs of a folder: how far each came, what it scored, what it takes on disk, and who needs it still."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, FiniteFloat

from configs.disk.files import file_bytes, parse_json
from configs.errors import ConfigError, TuneserveError
from configs.run.manifest import Manifest
from configs.run.merged import has_other_scores
from configs.run.rundir import RunDir
from serve.state.adapters import changes
from serve.state.servers import damaged, status

State = Literal["working", "stopped", "failed", "ready", "judged", "damaged"]
STAGES = ("data", "selfmade", "base", "train", "scale", "merge", "tuned", "report")
"""The stages of a whole run, in their order."""
UNKNOWN = "unknown: a server's state is damaged"
"""Stands for the names under which a run is served, where nobody can tell."""
Sort = Literal["created", "name", "gain", "kept", "size"]


@dataclass(frozen=True)
class RunSummary:
    """One run as a list shows it."""

    name: str
    path: str
    state: State
    """`working` is held by a command now; `judged` has a report, `ready` can be served and has none."""
    stage: str
    """The stage that is worked on, failed or was stopped; else the last one that is done."""
    error: str
    """Why it failed or is damaged; empty otherwise."""
    created: str
    """UTC, ISO 8601; empty where the manifest cannot be read."""
    model: str
    """Base model."""
    verdict: str
    """Of the gate: pass, fail, not_enough_evidence; empty without a report."""
    reservations: int
    """What speaks against a run that passed."""
    gain_points: float | None
    """Mean change on the targets."""
    kept_percent: float | None
    """Share of the base's other abilities that is left."""
    size_bytes: int
    """All files, each counted once."""
    served_as: tuple[str, ...]
    """Names under which a server answers with this run's weights or adapter now."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def find_runs(folder: Path) -> list[RunDir]:
    """The run directories in a folder, by name; the folder itself where it is one. What has two names comes once."""
    places = [folder, *folder.iterdir()] if folder.is_dir() else []
    return [RunDir(path) for path in sorted({p.resolve() for p in places if RunDir.is_run(p)})]


def summarize(run: RunDir) -> RunSummary:
    """What a list shows of a run."""
    try:
        served = served_from(run.path)
    except ConfigError:  # a list shows what it can; `rm` and `prune` stop there
        served = (UNKNOWN,)
    name, path, size = run.path.name, str(run.path), size_of(run.path)
    try:
        manifest = run.read()
    except (TuneserveError, OSError) as error:
        said = error.message if isinstance(error, TuneserveError) else str(error)
        return RunSummary(name, path, "damaged", "", said, "", "", "", 0, None, None, size, served)
    state, stage, why = _where(manifest, working=run.is_held)
    verdict, reservations, gain, kept = _NO_SCORES if has_other_scores(run, manifest) else _scores(run)
    if state == "ready" and verdict:
        state = "judged"
    return RunSummary(
        name,
        path,
        state,
        stage,
        why,
        manifest.created,
        manifest.config.model,
        verdict,
        reservations,
        gain,
        kept,
        size,
        served,
    )


def ordered(runs: Sequence[RunSummary], by: Sort) -> list[RunSummary]:
    """The runs by one figure of theirs, best, newest or largest first; those without a figure come last."""
    if by == "name":
        return sorted(runs, key=lambda run: run.name)
    figure = {
        "created": lambda run: run.created,
        "gain": lambda run: run.gain_points,
        "kept": lambda run: run.kept_percent,
        "size": lambda run: run.size_bytes,
    }[by]
    known = [run for run in runs if figure(run) not in (None, "")]
    return sorted(known, key=figure, reverse=True) + [run for run in runs if run not in known]


def served_from(folder: Path) -> tuple[str, ...]:
    """Model names of this user's servers here that use a file under a folder: weights, an adapter, a draft model.

    Raises:
        ConfigError: a server runs whose state cannot be read, so that nobody can tell.
    """
    if broken := damaged():
        raise broken[0]
    found: list[str] = []
    for server in status():
        if server.state == "failed" and not server.alive:
            continue
        named = [server.served, server.weights, *(part for word in server.argv for part in word.split("="))]
        named += [os.path.realpath(path) for path in changes(server.port).values() if path is not None]
        if any(_under(word, folder) for word in named):
            found += server.all_names
    return tuple(dict.fromkeys(found))


def needed_by(run: RunDir, others: Sequence[RunDir]) -> list[str]:
    """Names of other runs whose recipes name a file of this one: they go on from it, or train on what it wrote."""
    rest = (other for other in others if other.path != run.path)
    return [other.path.name for other in rest if any(_names(text, run.path) for text in _texts(_recipe(other)))]


def _names(text: str, folder: Path) -> bool:
    """Whether a recipe names a run, also by where it lay before it was moved."""
    place = Path(text.partition("#")[0])
    if not place.is_absolute() or folder.name not in place.parts or os.path.exists(place) or _under(text, folder):
        return _under(text, folder)
    return os.path.exists(folder.joinpath(*place.parts[place.parts.index(folder.name) + 1 :]))


def _recipe(run: RunDir) -> dict[str, Any]:
    """The recipe of a run but for its own place; also where its manifest is damaged."""
    for read in (lambda: run.read().config, run.config):
        with suppress(TuneserveError, OSError):
            return read().model_dump(mode="json", exclude={"name", "output_dir"})
    return {}


def size_of(folder: Path) -> int:
    """Bytes of all files under a folder; a file with several names counts once, links count nothing."""
    sizes = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                seen = (Path(place) / name).lstat()
            except FileNotFoundError:
                continue  # a run that works removes files too
            if not (Path(place) / name).is_symlink():
                sizes[(seen.st_dev, seen.st_ino)] = seen.st_size
    return sum(sizes.values())


def shown_size(size: int) -> str:
    """Bytes as people read them, in units of 1000."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size} B"


def age_days(created: str) -> float:
    """Days since a run was made."""
    return (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds() / 86_400


def _where(manifest: Manifest, working: bool) -> tuple[State, str, str]:
    stages = {name: manifest.stages[name] for name in STAGES if name in manifest.stages}
    begun = [name for name, stage in stages.items() if stage.state == "running"]
    if working:
        return "working", begun[-1] if begun else (list(stages) or ["data"])[-1], ""
    failed = [name for name, stage in stages.items() if stage.state == "failed"]
    if failed:
        return "failed", failed[-1], stages[failed[-1]].error or ""
    done = [name for name, stage in stages.items() if stage.state == "done"]
    if begun or not done:
        return "stopped", begun[-1] if begun else "", ""
    # Weights that a judgement was given are merged already.
    return ("ready" if "merge" in done or "tuned" in done else "stopped"), done[-1], ""


class _Task(BaseModel):
    role: str
    delta_points: FiniteFloat | None = None


class _Forgetting(BaseModel):
    retention_percent: FiniteFloat | None = None


class _Gate(BaseModel):
    verdict: str
    reservations: list[Any] | None = None


class _Report(BaseModel):
    """What a list shows of report.json."""

    tasks: list[_Task]
    forgetting: _Forgetting | None = None
    gate: _Gate


_NO_SCORES = "", 0, None, None


def _scores(run: RunDir) -> tuple[str, int, float | None, float | None]:
    """(verdict, reservations, mean gain on targets, share kept) of the run's report."""
    try:
        report = _Report.model_validate(parse_json(file_bytes(run.report / "report.json")))
    except (OSError, ValueError):
        return _NO_SCORES  # none was written, or not by this version: the list goes on without it
    targets = [task.delta_points for task in report.tasks if task.role == "target"]
    gains = [points for points in targets if points is not None]
    kept = report.forgetting.retention_percent if report.forgetting else None
    gain = sum(gains) / len(gains) if gains else None
    return report.gate.verdict, len(report.gate.reservations or ()), gain, kept


def _under(word: object, folder: Path) -> bool:
    """Whether a word is a path in a folder, or the folder."""
    if not isinstance(word, str) or "/" not in word:
        return False
    place = Path(word.partition("#")[0])
    return place.is_absolute() and place.resolve().is_relative_to(folder.resolve())


def _texts(tree: Any) -> list[str]:
    if isinstance(tree, dict):
        return [text for value in tree.values() for text in _texts(value)]
    if isinstance(tree, list):
        return [text for value in tree for text in _texts(value)]
    return [tree] if isinstance(tree, str) else []
