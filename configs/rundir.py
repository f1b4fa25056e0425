"""The run directory: where the parts of the project meet, and what each of them has finished.

`run.json` is the manifest. It is written atomically, and a stage is done only once its files are there. Every stage
records the inputs that it depended on; a later call skips it when they are the same, and says which one changed when
they are not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from configs.errors import ConfigError, TuneserveError
from configs.load import dump_config, validate
from configs.schema import RunConfig

Inputs = Mapping[str, Any]
"""What a stage depended on: names to JSON values or hashes. Flat, so that a difference can be named."""


class Stage(BaseModel):
    """What the manifest knows of one stage."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["running", "done", "failed"]
    """`running` also stands there after a kill: such a stage is done again."""
    started: str
    """UTC, ISO 8601."""
    seconds: float | None = None
    """Wall-clock duration."""
    inputs: dict[str, Any] = {}
    """What it depended on."""
    outputs: list[str] = []
    """Files and folders that it wrote, relative to the run directory."""
    figures: dict[str, Any] = {}
    """What it measured."""
    error: str | None = None
    """Why it failed."""


class Manifest(BaseModel):
    """`run.json`."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    """Version of this layout."""
    name: str
    """The run's name."""
    created: str
    """UTC, ISO 8601."""
    seed: int
    """Seed of the run."""
    thinking: bool
    """Thinking mode that was trained."""
    config: dict[str, Any]
    """The resolved recipe."""
    versions: dict[str, str] = {}
    """Versions of the packages that took part."""
    hashes: dict[str, str] = {}
    """Hashes of config, data, base weights, chat template."""
    facts: dict[str, Any] = {}
    """What one part learned and another needs: template family, served name, trained end token, ..."""
    stages: dict[str, Stage] = {}
    """Stages by name."""


@dataclass
class StageRecord:
    """What a running stage fills in: `figures` go to the manifest when it ends."""

    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunDir:
    """A run directory; every path of the layout has a name here."""

    path: Path

    @property
    def manifest_file(self) -> Path:
        return self.path / "run.json"

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def merged(self) -> Path:
        return self.path / "merged"

    @property
    def gguf(self) -> Path:
        return self.path / "gguf"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def eval(self) -> Path:
        return self.path / "eval"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @classmethod
    def create(cls, config: RunConfig) -> RunDir:
        """Makes or reopens the directory of a recipe and writes the resolved recipe into it."""
        run = cls(Path(config.output_dir) / config.name)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TuneserveError(
                f"{run.path}: cannot be created: {error.strerror}", "set output_dir to a folder that you can write to"
            ) from error
        run.configure(config)
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunDir:
        """Opens an existing run directory.

        Raises:
            ConfigError: there is no `run.json` in it.
        """
        run = cls(Path(path).resolve())
        if not run.manifest_file.is_file():
            raise ConfigError(
                f"{path}: not a run directory (no run.json in it)", "give a folder made by `tuneserve train` or `run`"
            )
        return run

    def configure(self, config: RunConfig) -> None:
        """Writes the resolved recipe into this directory, which may have moved since `output_dir` was written."""
        write_atomically(self.config_file, dump_config(config))
        resolved = config.model_dump(mode="json")
        with self._lock():
            if self.manifest_file.exists():
                manifest = self.read()
            else:
                manifest = Manifest(
                    name=config.name, created=_now(), seed=config.seed, thinking=config.thinking, config=resolved
                )
            manifest.config, manifest.seed, manifest.thinking = resolved, config.seed, config.thinking
            self._write(manifest)

    def config(self) -> RunConfig:
        """The resolved recipe of this run."""
        return validate(yaml.safe_load(self.config_file.read_text(encoding="utf-8")), self.config_file)

    def read(self) -> Manifest:
        """The manifest as it stands.

        Raises:
            TuneserveError: `run.json` is damaged.
        """
        try:
            return Manifest.model_validate_json(self.manifest_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TuneserveError(
                f"{self.manifest_file}: damaged: {error}", "move the run directory away and start the run again"
            ) from error

    def update(self, **changes: Mapping[str, Any]) -> None:
        """Adds entries to `facts`, `hashes` or `versions`: `run.update(facts={"family": "switchable"})`."""
        with self._lock():
            manifest = self.read()
            for name, entries in changes.items():
                getattr(manifest, name).update(entries)
            self._write(manifest)

    def changed_since(self, stage: str, inputs: Inputs) -> str | None:
        """Why the stage must be done (again), or None when it is done and nothing that it depends on changed."""
        record = self.read().stages.get(stage)
        if record is None:
            return "not done yet"
        if record.state != "done":
            return "did not finish" if record.state == "running" else f"failed before: {record.error}"
        wanted = _as_json(inputs)
        for key in sorted(wanted.keys() | record.inputs.keys()):
            if wanted.get(key) != record.inputs.get(key):
                return f"{key} changed ({_short(record.inputs.get(key))} -> {_short(wanted.get(key))})"
        missing = next((o for o in record.outputs if not (self.path / o).exists()), None)
        return f"{missing} is gone" if missing else None

    @contextmanager
    def stage(self, name: str, inputs: Inputs, outputs: Sequence[Path] = ()) -> Iterator[StageRecord]:
        """Records a stage: running, then done with its figures once `outputs` exist, or failed with the error.

        Raises:
            TuneserveError: the stage ended without one of its outputs.
        """
        record, started = StageRecord(), time.monotonic()
        entry = Stage(state="running", started=_now(), inputs=_as_json(inputs))
        self._put(name, entry)
        try:
            yield record
            missing = [str(o) for o in outputs if not o.exists()]
            if missing:
                raise TuneserveError(
                    f"stage {name} ended without {', '.join(missing)}", "see logs/ in the run directory"
                )
        except BaseException as error:
            entry.state, entry.error = "failed", f"{type(error).__name__}: {error}"
            if isinstance(error, KeyboardInterrupt):
                entry.error = "interrupted"
            raise
        else:
            entry.state = "done"
            entry.outputs = [str(o.resolve().relative_to(self.path.resolve())) for o in outputs]
        finally:
            entry.seconds = round(time.monotonic() - started, 3)
            entry.figures = _as_json(record.figures)
            self._put(name, entry)

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Holds the run for one command at a time; the lock goes with the process, also when it is killed.

        Raises:
            TuneserveError: another command works in this run directory.
        """
        lock = FileLock(self.path / ".run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise TuneserveError(
                f"{self.path}: another tuneserve command is working in this run directory",
                "wait for it, stop it, or give this run another `name`",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _put(self, name: str, stage: Stage) -> None:
        with self._lock():
            manifest = self.read()
            manifest.stages[name] = stage
            self._write(manifest)

    def _write(self, manifest: Manifest) -> None:
        write_atomically(self.manifest_file, manifest.model_dump_json(indent=2) + "\n")

    def _lock(self) -> FileLock:
        return FileLock(self.path / ".manifest.lock", timeout=30)


def write_atomically(file: Path, text: str) -> None:
    """Writes a text file so that a reader, or a kill, finds the old content or the new one, never a part."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the values become on disk, so that comparing with what was read back is exact."""
    return json.loads(json.dumps(dict(values), default=str))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:12] + "…" + text[-8:]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
