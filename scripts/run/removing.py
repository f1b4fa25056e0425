"""Removing runs, or what of them can be made again, without ever touching what a server answers with."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.errors import ConfigError, TuneserveError
from configs.run.merged import has_adapter, require_trained
from configs.run.rundir import RunDir
from scripts.run.listing import RunSummary, age_days, needed_by, served_from, size_of

REMADE = {"checkpoints": "only of use to a training that goes on", "merged": "`tuneserve merge RUN` makes it again"}
"""Folders of a run that can be done without, and what that costs."""


@dataclass(frozen=True)
class Removal:
    """Something that would be removed."""

    run: RunDir
    path: Path
    """The run itself, or a folder of it."""
    size_bytes: int
    why: str

    @property
    def whole(self) -> bool:
        """Whether the run goes as a whole."""
        return self.path == self.run.path


def why_kept(run: RunDir, others: Sequence[RunDir] = ()) -> str:
    """Why nothing of a run may be removed now; empty where it may."""
    if run.path.is_symlink() or not run.is_run(run.path):
        return "is not a run directory"
    if names := served_from(run.path):
        return f"is served as {', '.join(names)}; stop that server first: tuneserve serve stop {names[0]}"
    if run.is_held:
        return "is worked in by another tuneserve command; wait for it, or stop it"
    if needers := needed_by(run, others):
        return f"is named by the recipe of {', '.join(needers)}; remove that first, or give --force"
    return ""


def removals(
    runs: Sequence[tuple[RunDir, RunSummary]], *, weights: bool, failed: bool, older_than_days: float | None
) -> list[Removal]:
    """What `runs prune` would remove: checkpoints of finished trainings and, asked for, more.

    Args:
        runs: each with its summary.
        weights: merged weights too, where the adapter is there to make them from.
        failed: whole runs that failed or were stopped before there was an adapter, or merged weights to judge.
        older_than_days: leave out what is younger.
    """
    found = []
    everything = [run for run, _ in runs]
    for run, seen in runs:
        young = older_than_days is not None and (not seen.created or age_days(seen.created) < older_than_days)
        if young or seen.state in ("working", "damaged") or why_kept(run, everything):
            continue
        has_weights = has_adapter(run) or _trained(run) or (run.merged / "config.json").is_file()
        if failed and seen.state in ("failed", "stopped") and not has_weights:
            found.append(
                Removal(run, run.path, seen.size_bytes, f"the run {seen.state} at {seen.stage or 'its beginning'}")
            )
            continue
        try:
            require_trained(run)
        except TuneserveError:
            continue  # its adapter is damaged, or of an earlier recipe: what lies beside it may be all that is left
        names = ["checkpoints"] if _trained(run) else []
        names += ["merged"] if weights and has_adapter(run) and _has_base(run) else []
        for name in names:
            folder = run.path / name
            # Links alone are the weights that a judgement was given: a merge would not make these.
            if folder.is_dir() and not folder.is_symlink() and (size := size_of(folder)):
                found.append(Removal(run, folder, size, REMADE[name]))
    return found


def remove(removal: Removal, others: Sequence[RunDir] = (), *, force: bool = False) -> None:
    """Removes it while nobody else can work in the run.

    Raises:
        ConfigError: it is served, needed, or not a run.
        TuneserveError: another command works in it.
    """
    run = removal.run
    kept = why_kept(run, () if force else others)
    if kept:
        raise ConfigError(f"{run.path} {kept}", "nothing of it was removed")
    if not removal.path.resolve().is_relative_to(run.path.resolve()):
        raise TuneserveError(f"{removal.path} lies outside {run.path}", "remove it by hand if you mean it")
    with run.exclusively(mend=not removal.whole):
        if names := served_from(run.path):  # a server may have come up meanwhile
            raise ConfigError(f"{run.path} began to be served as {', '.join(names)}", "nothing of it was removed")
        if removal.whole:
            _remove_run(run)
        else:
            shutil.rmtree(removal.path)


def _remove_run(run: RunDir) -> None:
    """Removes a whole run, its manifest late: until then it is known as a run, and after a kill the rest can go too.

    Its lock goes last: who made one of that name anew would work in the run while it is removed.
    """
    last = (run.manifest_before, run.manifest_file, run.lock_file)
    for entry in (*(entry for entry in run.path.iterdir() if entry not in last), *last):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    run.path.rmdir()


def _trained(run: RunDir) -> bool:
    stage = run.read().stages.get("train")
    return stage is not None and stage.state == "done"


def _has_base(run: RunDir) -> bool:
    known = run.read().facts.prepared
    return known is None or known.base_model.is_dir()
