"""The stage `scale` of a run whose `merge.scale` is `auto`: how much the adapter counts.

The base serves the adapter at every scale beside itself, in one vLLM; each is asked the same held-out answers and the
same unseen general questions, and `eval.compare.scales` chooses. A kill loses the scale at hand.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.disk.files import file_bytes, write_atomically
from configs.errors import TuneserveError
from configs.handover.base import read_rows, what_is_wrong
from configs.handover.rows import ProofAnswer
from configs.handover.scale import MeasuredScale, ScaleFacts, ScalePoint
from configs.handover.selfmade import SelfMadeRow
from configs.handover.unseen import for_choice
from configs.model.fingerprint import files_fingerprint
from configs.recipe.schema import RunConfig
from configs.run.adapter_scale import SCALES, check_scale, write_scaled
from configs.run.rundir import RunDir
from configs.terminal.console import note, shell, skipped, starting
from eval.ask.completions import answer_logprobs, ends_within, read_answers
from eval.ask.endpoint import Endpoint, Settings
from eval.compare import scales
from scripts.run.inputs import model_inputs, serving_inputs
from scripts.run.serving import OnDemand, endpoint_of
from scripts.run.stages import forget_other_outputs, stage_done
from serve.launch.target import base_folder, scales_target
from trainer.data.answers import chosen_answers
from trainer.data.prepare import read_rows as read_token_rows

HELDOUT_ROWS = 256
"""At most this many held-out answers are scored at every scale."""
GENERAL_ROWS = 512
"""At most this many of the base's own answers to unseen questions are."""


@dataclass(frozen=True)
class Asked:
    """What every scale is asked."""

    heldout: Sequence[ProofAnswer]
    """Held-out answers."""
    general: Sequence[SelfMadeRow]
    """The base's own answers to unseen questions."""
    end_token_id: int
    """Token that ends an answer."""

    @property
    def heldout_tokens(self) -> list[int]:
        """Length of each held-out answer."""
        return [len(row.input_ids) - row.answer_start for row in self.heldout]

    @property
    def general_tokens(self) -> list[int]:
        """Length of each general answer."""
        return [len(row.answer_ids) for row in self.general]

    def measure(self, endpoint: Endpoint, scale: float, settings: Settings) -> MeasuredScale:
        """Asks one served name everything."""
        heldout = [(row.input_ids[: row.answer_start], row.input_ids[row.answer_start :]) for row in self.heldout]
        general = [(row.prompt_ids, row.answer_ids) for row in self.general]
        read = read_answers(endpoint, heldout, settings)
        limits = scales.compared_lengths(self.general_tokens)
        prompts = [(self.general[index].prompt_ids, tokens) for index, tokens in limits.items()]
        return MeasuredScale(
            scale=scale,
            heldout=[answer.logprob for answer in read],
            chosen=[answer.chosen for answer in read],
            general=answer_logprobs(endpoint, general, settings),
            early=ends_within(endpoint, prompts, self.end_token_id, settings),
        )


def choose_scale(run: RunDir, config: RunConfig) -> None:
    """The stage itself; nothing is done where the recipe names a number, or nothing changed.

    Raises:
        ConfigError: what was trained cannot be scaled.
        TuneserveError: there are no held-out rows or no unseen questions, or the server failed.
    """
    if config.merge.scale != "auto":
        return
    check_scale(config)
    if not run.adapter.is_dir():
        raise TuneserveError(f"{run.path}: has no adapter yet", shell("tuneserve", "train", run.config_file))
    inputs = scale_inputs(run, config)
    why = run.changed_since("scale", inputs)
    if why is None:
        skipped("scale")
        return
    asked = what_is_asked(run, config)
    forget_other_outputs(run, "scale", inputs, [run.scales])
    starting("scale", f"{why}; serving the base with the adapter at {len(SCALES)} scales")
    with run.stage("scale", inputs, [run.scales]) as record:
        base, *measured = _measured(run, config, asked)
        facts = scales.choose(measured, base, asked.heldout_tokens, asked.general_tokens)
        record.figures = facts.model_dump(mode="json")
    for point in facts.points:
        taken = point.scale == facts.scale
        note(f"{point.scale:<4g} {_figures(point)}", good=taken or None)
    stage_done(run, "scale", _sentence(facts))


def scale_inputs(run: RunDir, config: RunConfig) -> dict[str, Any]:
    """What the choice depends on."""
    files = {
        "adapter": sorted(f for f in run.adapter.iterdir() if f.suffix in (".json", ".safetensors")),
        "heldout": [run.data / "heldout" / "rows.parquet"],
        "unseen": [run.selfmade / "unseen.jsonl"],
    }
    return {
        **model_inputs("base", base_folder(run, config)),
        **{name: files_fingerprint([f for f in found if f.is_file()]) for name, found in files.items()},
        "seed": config.eval_seed,
        "scales": list(SCALES),
        "limits": [scales.LEAST_KEPT, scales.MOST_DRIFT, scales.MOST_SHORT_SHARE, scales.EARLY],
        **{f"serve.{key}": value for key, value in serving_inputs(config.serve).items()},
    }


def what_is_asked(run: RunDir, config: RunConfig, general: Sequence[SelfMadeRow] | None = None) -> Asked:
    """The rows that every scale is asked.

    Args:
        run: a trained run.
        config: its recipe.
        general: the base's answers to unseen questions, where they are not the run's own.

    Raises:
        TuneserveError: there are none of a kind.
    """
    table = read_token_rows(run.data / "heldout", ["id", "input_ids", "labels"])
    heldout = chosen_answers(table.to_pylist(), HELDOUT_ROWS, config.seed)
    unseen = run.selfmade / "unseen.jsonl"
    own = read_rows(unseen, SelfMadeRow, "selfmade") if general is None else general
    general = for_choice(own)[:GENERAL_ROWS]
    if not heldout:
        raise TuneserveError(
            f"{run.path}: merge.scale: auto chooses by held-out rows, and there are none",
            "set data.eval_split above 0 or data.heldout, or give a number for merge.scale",
        )
    if not general:
        raise TuneserveError(
            f"{unseen}: no rows in it, so what an adapter changes elsewhere cannot be measured",
            "give a number for merge.scale",
        )
    return Asked(heldout, general, run.prepared().end_token_id)


def measuring_settings(config: RunConfig) -> Settings:
    """How the rows are asked; nothing is sampled."""
    return Settings(seed=config.eval_seed, concurrency=config.eval.concurrency, timeout_s=config.eval.timeout_s)


def _measured(run: RunDir, config: RunConfig, asked: Asked) -> list[MeasuredScale]:
    """What base and scales gave, in rising order; what an earlier call measured is read."""
    files = {scale: run.scales / f"{scale:g}.json" for scale in (0.0, *SCALES)}
    missing = [scale for scale, file in files.items() if not file.is_file()]
    if missing:
        adapters = run.scales / "adapters"
        run.scales.mkdir(exist_ok=True)
        try:
            _ask(run, config, asked, {scale: files[scale] for scale in missing}, adapters)
        finally:
            shutil.rmtree(adapters, ignore_errors=True)
    return [_read(file) for file in files.values()]


def measured_once(asked: Asked, endpoint: Endpoint, scale: float, settings: Settings, file: Path) -> MeasuredScale:
    """What a served name gives at a scale; it is asked only where the file of an earlier call does not say it.

    Raises:
        TuneserveError: the file is damaged.
    """
    if not file.is_file():
        write_atomically(file, asked.measure(endpoint, scale, settings).model_dump_json() + "\n")
    return _read(file)


def _read(file: Path) -> MeasuredScale:
    try:
        return MeasuredScale.model_validate_json(file_bytes(file))
    except ValidationError as error:
        raise TuneserveError(f"{file}: {what_is_wrong(error)}", "delete it: that scale is measured again") from error


def _ask(run: RunDir, config: RunConfig, asked: Asked, files: dict[float, Path], adapters: Path) -> None:
    """Serves base and scales and writes what each gave into its file."""
    scaled = [scale for scale in files if scale] or [1.0]
    names = {scale: f"{config.served_name}-x{scale:g}" for scale in scaled}
    folders = {name: write_scaled(run.adapter, adapters / f"{scale:g}", scale) for scale, name in names.items()}
    target = scales_target(run, config, folders)
    settings = measuring_settings(config)
    with OnDemand(lambda: target, config.serve, run.logs / "serve-scales.log") as server:
        for scale, file in files.items():
            model = names[scale] if scale else target.names[0]
            measured_once(asked, endpoint_of(server.up(), model, model), scale, settings, file)


def _figures(point: ScalePoint) -> str:
    return (
        f"keeps {100 * point.kept:5.1f} % of the gain, drift {point.drift:.4f} nats a token, "
        f"{100 * point.short_share:.1f} % suddenly short"
    )


def _sentence(facts: ScaleFacts) -> str:
    """What was chosen and why, for the terminal."""
    limits = (
        f"{100 * facts.least_kept:g} % of the gain, drift of {facts.most_drift:g}, "
        f"{100 * facts.most_short_share:g} % suddenly short"
    )
    if facts.satisfied:
        return f"the adapter counts {facts.scale:g} times as much: the largest scale that keeps {limits}"
    if not facts.learned:
        why = "nothing was gained on held-out answers to weigh"
    else:
        why = "the smallest that keeps the gain" if facts.keeps_gain else "the one that keeps most of the gain"
    return f"no scale keeps {limits}; the adapter counts {facts.scale:g} times as much: {why}"
