"""`run.json`: what a run is, and what each of its stages has finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from configs.disk.files import file_bytes, parse_json
from configs.errors import TuneserveError
from configs.handover.base import what_is_wrong
from configs.handover.facts import Facts
from configs.handover.scale import ScaleFacts
from configs.handover.serving import ServedFigures
from configs.handover.training import TrainFigures
from configs.recipe.schema import RunConfig

SCHEMA_VERSION: Final = 2
"""Version of the manifest's layout; another one is refused, not guessed at."""

OTHER: Final = "go on with the version that made the run, or give the run another `name`"
Figures = TypeVar("Figures", bound=BaseModel)


class Damaged(TuneserveError):
    """`run.json` is not what was written; a copy of the manifest before its last change may stand beside it."""


class Output(BaseModel):
    """A file that a stage wrote, as it was when the stage ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    """Bytes."""
    blake3: str
    """Hash of its content."""


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
    outputs: dict[str, Output] = {}
    """Files that it wrote, by their path relative to the run directory."""
    figures: dict[str, Any] = {}
    """What it measured."""
    error: str | None = None
    """Why it failed."""


class Manifest(BaseModel):
    """`run.json`."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[2]
    """Version of this layout."""
    name: str
    """The run's name."""
    created: str
    """UTC, ISO 8601."""
    seed: int
    """Seed of the run."""
    thinking: bool
    """Thinking mode that was trained."""
    config: RunConfig
    """The resolved recipe."""
    versions: dict[str, str] = {}
    """Versions of the packages that took part."""
    hashes: dict[str, str] = {}
    """Hashes of config, data, base weights, chat template."""
    facts: Facts = Facts()
    """What one part learned and another needs."""
    stages: dict[str, Stage] = {}
    """Stages by name."""

    def trained(self) -> TrainFigures | None:
        """What training measured; None before it is done."""
        stage = self.stages.get("train")
        return _known(TrainFigures, stage.figures, "train") if stage and stage.figures else None

    def scaled(self) -> ScaleFacts | None:
        """What `merge.scale: auto` chose, and from what; None before it did."""
        stage = self.stages.get("scale")
        return _known(ScaleFacts, stage.figures, "scale") if stage and stage.state == "done" else None

    def served(self) -> ServedFigures | None:
        """What the server that answered for the tuned model was found to be; None before it was checked."""
        figures = self.stages["tuned"].figures if "tuned" in self.stages else {}
        known = {name: value for name, value in figures.items() if name in ServedFigures.model_fields}
        return _known(ServedFigures, known, "tuned") if known else None


def _known(kind: type[Figures], figures: dict[str, Any], stage: str) -> Figures:
    try:
        return kind.model_validate(figures)
    except ValidationError as error:
        raise TuneserveError(
            f"run.json: the figures of {stage} are not of this version: {what_is_wrong(error)}", OTHER
        ) from error


def read_manifest(file: Path) -> Manifest:
    """The manifest as it stands.

    Raises:
        Damaged: it is no JSON, or a field is wrong; the field and the value are said.
        TuneserveError: it is of another version, of which no copy takes its place.
    """
    aside = "move it away and run the recipe again: the stages are then done anew"
    try:
        raw = parse_json(file_bytes(file))
    except ValueError as error:
        raise Damaged(f"{file}: damaged: not JSON ({error})", aside) from error
    if not isinstance(raw, dict):
        raise Damaged(f"{file}: damaged: {str(raw)[:60]!r} is no manifest", aside)
    version = raw.get("schema_version")
    if isinstance(version, int) and version != SCHEMA_VERSION:
        raise TuneserveError(
            f"{file}: schema_version is {version!r}, this tuneserve reads {SCHEMA_VERSION}",
            OTHER,
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        if all(fault["type"] == "extra_forbidden" for fault in error.errors()):  # no damage only adds what is sound
            raise TuneserveError(f"{file}: written by another version: {what_is_wrong(error)}", OTHER) from error
        raise Damaged(f"{file}: damaged: {what_is_wrong(error)}", aside) from error
