"""The run directory: where the parts of the project meet, and what each of them has finished.

`run.json` is the manifest. It is written atomically, and a stage is done only once its files are there. Every stage
records the inputs that it depended on; a later call skips it when they are the same, and says which one changed when
they are not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from configs.errors import ConfigError, TuneserveError
from configs.files import write_atomically
from configs.handover import Facts, PreparedFacts, ServedFigures, TrainedFacts
from configs.load import dump_config, validate
from configs.manifest import Manifest, Stage, read_manifest
from configs.schema import RunConfig
from configs.yaml_text import read_yaml

Inputs = Mapping[str, Any]
"""What a stage depended on: names to JSON values or hashes. Flat, so that a difference can be named."""


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
        with self._lock():
            if self.manifest_file.exists():
                manifest = self.read()
            else:
                manifest = Manifest(
                    name=config.name, created=_now(), seed=config.seed, thinking=config.thinking, config=config
                )
            manifest.config, manifest.seed, manifest.thinking = config, config.seed, config.thinking
            self._write(manifest)

    def config(self) -> RunConfig:
        """The resolved recipe of this run."""
        raw, lines = read_yaml(self.config_file)
        return validate(raw, self.config_file, {**lines})

    def read(self) -> Manifest:
        """The manifest as it stands; raises what `read_manifest` raises."""
        return read_manifest(self.manifest_file)

    def prepared(self) -> PreparedFacts:
        """What the data stage found out.

        Raises:
            ConfigError: it has not been run.
        """
        facts = self.read().facts.prepared
        if facts is None:
            raise ConfigError(f"{self.path}: the data are not prepared yet", f"tuneserve train {self.config_file}")
        return facts

    def update(
        self,
        *,
        prepared: PreparedFacts | None = None,
        trained: TrainedFacts | None = None,
        served: ServedFigures | None = None,
        exported: Mapping[str, ServedFigures] | None = None,
        hashes: Mapping[str, str] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Puts what was found out into the manifest; `exported`, `hashes` and `versions` are added to what is there."""
        with self._lock():
            manifest = self.read()
            known = manifest.facts
            manifest.facts = Facts(
                prepared=prepared or known.prepared,
                trained=trained or known.trained,
                served=served or known.served,
                exported={**known.exported, **(exported or {})},
            )
            manifest.hashes |= hashes or {}
            manifest.versions |= versions or {}
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


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the values become on disk, so that comparing with what was read back is exact."""
    return json.loads(json.dumps(dict(values), default=str))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:12] + "…" + text[-8:]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
