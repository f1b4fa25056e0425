"""The run directory: where the parts of the project meet, and what each of them has finished.

`run.json` is the manifest. It is written atomically, and only by who holds the run. A stage is done once its files are
there, and for as long as they are what it wrote: each is recorded with size and hash. Every stage records the inputs
that it depended on too; a later call skips it when they are the same, and says what changed when they are not.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from configs.disk.files import SET_ASIDE, file_text, remove_folder, remove_left, write_atomically
from configs.disk.locks import is_locked, locked
from configs.errors import ConfigError, TuneserveError
from configs.handover.facts import Facts
from configs.handover.foreign import ForeignFacts
from configs.handover.serving import ServedFigures
from configs.handover.training import Plan, PreparedFacts, TrainedFacts
from configs.model.fingerprint import content_hash
from configs.recipe.load import dump_config, load_config
from configs.recipe.schema import RunConfig
from configs.run.manifest import SCHEMA_VERSION, Damaged, Manifest, Output, Stage, read_manifest
from configs.run.one_run import require_its_own
from configs.terminal.console import NOT_DONE, shell, warn

Inputs = Mapping[str, Any]
"""What a stage depended on: names to JSON values or hashes. Flat, so that a difference can be named."""
CARD = "README.md"
"""A card beside weights, which whoever owns the run may write."""


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
    def selfmade(self) -> Path:
        """What the base wrote itself: train.jsonl, unseen.jsonl (`handover.SelfMadeRow`) and report.json."""
        return self.data / "selfmade"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def scaled_adapter(self) -> Path:
        return self.path / "adapter-scaled"

    @property
    def scales(self) -> Path:
        return self.path / "scales"

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

    @property
    def votes(self) -> Path:
        return self.path / "votes"

    @property
    def votes_file(self) -> Path:
        """What people preferred who did not know which model was which (`eval.compare.votes.Vote`)."""
        return self.votes / "votes.jsonl"

    @classmethod
    @contextmanager
    def claim(cls, config: RunConfig) -> Iterator[RunDir]:
        """Makes or reopens the directory of a recipe, holds it, and writes the resolved recipe into it.

        Nothing but the folder itself is touched before it is held.

        Raises:
            ConfigError: what the recipe names lies in it, or it holds files that are no run's, or another kind of run.
            TuneserveError: another command works in it, or it cannot be made.
        """
        run = cls(Path(config.output_dir) / config.name)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            run._require_no_others()
        except OSError as error:
            raise TuneserveError(
                f"{run.path}: cannot be created: {error.strerror}", "set output_dir to a folder that you can write to"
            ) from error
        with run.exclusively():
            require_its_own(run.path, run.read().config if run.manifest_file.exists() else None, config)
            run.configure(config)
            yield run

    @classmethod
    def create(cls, config: RunConfig) -> RunDir:
        """The directory of a recipe, made or reopened, with the resolved recipe in it; nobody holds it afterwards."""
        with cls.claim(config) as run:
            return run

    @classmethod
    def open(cls, path: str | Path) -> RunDir:
        """Opens an existing run directory.

        Raises:
            ConfigError: there is no `run.json` in it.
        """
        run = cls(Path(path).resolve())
        if not cls.is_run(run.path):
            raise ConfigError(
                f"{path}: not a run directory (no run.json in it)", "give a folder made by `tuneserve train` or `run`"
            )
        return run

    @classmethod
    def is_run(cls, path: str | Path) -> bool:
        """Whether a folder is a run's: its manifest is there, or the copy that takes its place."""
        run = cls(Path(path))
        return run.manifest_file.is_file() or run.manifest_before.is_file()

    def configure(self, config: RunConfig) -> None:
        """Writes the resolved recipe into this directory, which may have moved since `output_dir` was written."""
        write_atomically(self.config_file, dump_config(config))
        with self._lock():
            if self.manifest_file.exists():
                manifest = self.read()
            else:
                manifest = Manifest(
                    schema_version=SCHEMA_VERSION,
                    name=config.name,
                    created=_now(),
                    seed=config.seed,
                    thinking=config.thinking,
                    config=config,
                )
            manifest.config, manifest.seed, manifest.thinking = config, config.seed, config.thinking
            self._write(manifest)

    def config(self) -> RunConfig:
        """The resolved recipe of this run, as its owner may have edited it: a stage goes by the one in the manifest."""
        return load_config(self.config_file)

    def read(self) -> Manifest:
        """The manifest as it stands.

        Raises:
            Damaged: it is gone, or not what was written; where its copy holds, what takes that in its place.
            TuneserveError: it is of another version.
        """
        try:
            return read_manifest(self.manifest_file)
        except FileNotFoundError:
            fault = Damaged(f"{self.manifest_file}: gone", "give another `name` to the run, or move its folder away")
        except Damaged as error:
            fault = error
        if self._copy_holds():
            fault.next_step = "the next `run`, `merge` or `judge` of it takes the copy from before its last change"
        raise fault

    def prepared(self) -> PreparedFacts:
        """What the data stage found out.

        Raises:
            ConfigError: it has not been run.
        """
        facts = self.read().facts.prepared
        if facts is None:
            raise ConfigError(
                f"{self.path}: the data are not prepared yet", shell("tuneserve", "train", self.config_file)
            )
        return facts

    def scale(self) -> float:
        """How much the adapter counts in everything that is merged, proved and served.

        Raises:
            ConfigError: `merge.scale: auto` has not chosen yet.
        """
        manifest = self.read()
        asked = manifest.config.merge.scale
        if asked != "auto":
            return asked
        chosen = manifest.scaled()
        if chosen is None:
            raise ConfigError(
                f"{self.path}: merge.scale is auto, and how much the adapter counts is not chosen yet",
                f"`{shell('tuneserve', 'merge', self.path)}` serves the scales and chooses",
            )
        return chosen.scale

    def update(
        self,
        *,
        prepared: PreparedFacts | None = None,
        planned: Plan | None = None,
        trained: TrainedFacts | None = None,
        foreign: ForeignFacts | None = None,
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
                planned=planned or known.planned,
                trained=trained or known.trained,
                foreign=foreign or known.foreign,
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
            return NOT_DONE
        if record.state != "done":
            error = (record.error or "").partition("\n")[0]
            return "did not finish" if record.state == "running" else f"failed before: {error}"
        wanted = as_json(inputs)
        for key in sorted(wanted.keys() | record.inputs.keys()):
            if wanted.get(key) != record.inputs.get(key):
                return f"{key} changed ({_short(record.inputs.get(key))} -> {_short(wanted.get(key))})"
        return next((f"{path} {why}" for path, why in self.changed_outputs(stage)), None)

    def changed_outputs(self, stage: str, *, contents: bool = True) -> Iterator[tuple[str, str]]:
        """(path, what became of it) of every file of a stage that is not what the stage wrote.

        A card beside weights is left out: it is its owner's to write.

        Args:
            contents: compare hashes too, not only presence and size; a file is read again only when the file system
                says that it changed.
        """
        record = self.read().stages.get(stage)
        for path, output in record.outputs.items() if record else ():
            file = self.path / path
            if file.name == CARD:
                continue
            if not file.is_file():
                yield path, "is gone"
            elif (size := file.stat().st_size) != output.size:
                yield path, f"has {size} bytes, {output.size} were written"
            elif contents and content_hash(file) != output.blake3:
                yield path, "is not what was written: its content changed"

    def remove_outputs(self, stage: str, folder: Path) -> None:
        """Removes a folder that a stage wrote, or refuses as `require_no_own_files` does."""
        self.require_no_own_files(stage, folder)
        remove_folder(folder)

    def require_no_own_files(self, stage: str, folder: Path) -> None:
        """Refuses to replace the folder of a finished stage while files lie in it that the stage did not write.

        Hidden ones are a library's, and a card is looked at for itself. A link to other files goes first.

        Raises:
            ConfigError: names the first of them.
        """
        record = self.read().stages.get(stage)
        self._let_go_of_link(stage, folder)
        written = record.outputs if record and record.state == "done" else {}
        if not any((self.path / path).is_relative_to(folder) for path in written):
            return
        for file in sorted(folder.rglob("[!.]*")):
            path = file.relative_to(self.path)
            hidden = any(part.startswith(".") for part in path.parts)
            ours = hidden or file.name == CARD or SET_ASIDE.sub("", str(path)) in written
            if file.is_file() and not ours:
                raise ConfigError(
                    f"{file}: is not of this run, and would be removed with {folder.name}/", "move it to another folder"
                )

    def _let_go_of_link(self, stage: str, folder: Path) -> None:
        """Removes a link to a folder with anything in it but what the stage wrote: all that lies there would go."""
        if not (folder.is_symlink() and folder.is_dir() and any(folder.iterdir())):
            return
        record = self.read().stages.get(stage)
        written = record.outputs if record and record.state == "done" else {}
        there = {str(f.relative_to(self.path)) for f in folder.rglob("*") if not f.is_dir() and f.name != CARD}
        if not written or there - written.keys() or any(self.changed_outputs(stage)):
            warn(f"{folder}: led to {folder.resolve()}, where other files lie, too; they stay, and the link goes")
            folder.unlink()

    @contextmanager
    def stage(self, name: str, inputs: Inputs, outputs: Sequence[Path] = ()) -> Iterator[StageRecord]:
        """Records a stage: running, then done with its figures once `outputs` exist, or failed with the error.

        Args:
            name: the stage.
            inputs: what it depends on.
            outputs: files and folders that it writes; every file in them is part of what makes it done.

        Raises:
            TuneserveError: the stage ended without one of its outputs.
        """
        record, started = StageRecord(), time.monotonic()
        entry = Stage(state="running", started=_now(), inputs=as_json(inputs))
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
            # A full disk, a folder that is gone: what went wrong is the message, not that it cannot be written down.
            with suppress(OSError, Damaged):
                self._finish(name, entry, record, started)
            raise
        else:
            entry.state = "done"
            entry.outputs = self._seen(outputs)
            self._finish(name, entry, record, started)

    def amend(self, stage: str, inputs: Inputs, outputs: Sequence[Path], figures: Mapping[str, Any]) -> None:
        """Records that files of a finished stage were made over for other inputs, without doing it again."""
        entry = self.read().stages[stage]
        entry.inputs, entry.outputs = as_json(inputs), self._seen(outputs)
        entry.figures = {**entry.figures, **as_json(figures)}
        self._put(stage, entry)

    @contextmanager
    def exclusively(self, *, mend: bool = True) -> Iterator[None]:
        """Holds the run for one command at a time, its child processes included; clears up what a kill left.

        Args:
            mend: False where nothing of it is read: its manifest may be damaged then, or another version's.

        Raises:
            ConfigError: a link lies in the place of one of its files.
            TuneserveError: another command works in this run directory, or its manifest is damaged beyond repair.
        """
        refusal = TuneserveError(
            f"{self.path}: another tuneserve command is working in this run directory",
            "wait for it, stop it, or give this run another `name`",
        )
        if mend:
            self._require_no_links()
        with locked(self.lock_file, refusal):
            if mend:
                with self._lock():
                    self._mend()
            yield

    @property
    def is_writable(self) -> bool:
        """Whether this user may write into it; a run of another user or on a read-only disk is served all the same."""
        return os.access(self.path, os.W_OK)

    @property
    def is_held(self) -> bool:
        """Whether a command, or a child of it, works in the run now."""
        return is_locked(self.lock_file)

    def _require_no_others(self) -> None:
        """Refuses a folder of somebody's own files: a run clears away what has the names of its parts.

        Raises:
            ConfigError: it holds files, and nothing of a run, whose first thing is the lock; or it is the folder of
                another name on a disk that does not tell them apart.
        """
        beside = [entry.name for entry in self.path.parent.iterdir()]
        if self.path.name not in beside:
            other = next((name for name in beside if name.casefold() == self.path.name.casefold()), "?")
            raise ConfigError(
                f"{self.path}: is {other} on this disk, which does not tell the two names apart",
                "give the run another `name`",
            )
        # A command whose run was removed under it leaves the manifest's lock.
        here = sorted(entry.name for entry in self.path.iterdir() if entry != self._manifest_held_by)
        if here and not {self.manifest_file.name, self.manifest_before.name, self.lock_file.name} & {*here}:
            raise ConfigError(
                f"{self.path}: holds files that are no run's ({', '.join(here[:3])}{', …' if len(here) > 3 else ''})",
                "give the run another `name`, or set output_dir to another folder",
            )

    def _require_no_links(self) -> None:
        """Refuses what somebody else may have put there for your files to be written to.

        A part of a run may be a link, to another disk and not into another run; in it nothing leads out of the run but
        the weights that we link ourselves.

        Raises:
            ConfigError: names the first one.
        """
        home = self.path.resolve()
        ours = {"base", *(place.name for place in (self.adapter, self.scaled_adapter, self.scales, self.merged))}
        for root, link in self._links():
            part = link.relative_to(self.path).parts[:-1]
            leads_to = Path(os.path.realpath(link))
            inside = leads_to.is_relative_to(home) or leads_to.is_relative_to(root.resolve())  # as W&B's latest-run
            if inside or ours.intersection(part[:1]):
                continue
            another = any(map(self.is_run, (leads_to, *leads_to.parents)))
            if part or another or not leads_to.is_dir():
                raise ConfigError(
                    f"{link}: is a link to {os.readlink(link)}, which would be written to",
                    "remove the link, or put a copy in its place",
                )

    def _links(self) -> Iterator[tuple[Path, Path]]:
        """(the run, or a part of it that is a link itself; a link in that), for every link there is."""
        parts = (entry for entry in self.path.iterdir() if entry.is_symlink() and entry.is_dir())
        for root in (self.path, *parts):
            for folder, folders, files in os.walk(root):
                places = (Path(folder, name) for name in (*files, *folders))
                yield from ((root, place) for place in places if place.is_symlink())

    @property
    def lock_file(self) -> Path:
        """What a command that works in the run holds locked."""
        return self.path / ".run.lock"

    @property
    def _manifest_held_by(self) -> Path:
        return self.path / ".manifest.lock"

    @property
    def manifest_before(self) -> Path:
        """The manifest as it was before its last change."""
        return self.path / ".run.json.before"

    def _mend(self) -> None:
        """Removes what killed writers left, and takes the last copy in the place of a damaged manifest."""
        remove_left(self.path.rglob(".*.[0-9]*.partial"))
        if not self.is_run(self.path):
            return  # a new one
        try:
            self.read()
            return
        except Damaged as error:
            if not self._copy_holds():
                raise
            fault = error
        if self.manifest_file.exists():
            self.manifest_file.replace(self.path / "run.json.damaged")
        shutil.copyfile(self.manifest_before, self.manifest_file)
        warn(f"{fault.message}; the copy before its last change takes its place")

    def _copy_holds(self) -> bool:
        try:
            read_manifest(self.manifest_before)
        except (OSError, TuneserveError):
            return False
        return True

    def _seen(self, outputs: Sequence[Path]) -> dict[str, Output]:
        found = {}
        for output in outputs:
            files = sorted(f for f in output.rglob("*") if f.is_file()) if output.is_dir() else [output]
            # What was set aside is kept for the user, who may remove it.
            for file in (f for f in files if f.suffix != ".old"):
                found[str(file.relative_to(self.path))] = Output(size=file.stat().st_size, blake3=content_hash(file))
        return found

    def _finish(self, name: str, entry: Stage, record: StageRecord, started: float) -> None:
        entry.seconds = round(time.monotonic() - started, 3)
        entry.figures = as_json(record.figures)
        self._put(name, entry)

    def _put(self, name: str, stage: Stage) -> None:
        with self._lock():
            manifest = self.read()
            manifest.stages[name] = stage
            self._write(manifest)

    def _write(self, manifest: Manifest) -> None:
        if self.manifest_file.exists():
            write_atomically(self.manifest_before, file_text(self.manifest_file))
        write_atomically(self.manifest_file, manifest.model_dump_json(indent=2) + "\n")

    def _lock(self) -> FileLock:
        return FileLock(self._manifest_held_by, timeout=30)


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the values become on disk, so that comparing with what was read back is exact."""
    return json.loads(json.dumps(dict(values), default=str))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:12] + "…" + text[-8:]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
