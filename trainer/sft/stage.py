"""The train stage: token rows in; adapter, loss curve and proof rows out. `python -m trainer train RUN`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from configs.cache_folder import cache_root
from configs.console import again, note, warn
from configs.errors import ConfigError
from configs.files import read_jsonl
from configs.fingerprint import files_fingerprint, weights_fingerprint
from configs.handover import Plan, PreparedFacts, TrainedFacts, TrainFigures, UnslothFacts
from configs.rundir import RunDir
from configs.schema import RunConfig
from trainer import environment
from trainer.data.prepare import read_rows
from trainer.data.selfmade import training_files, training_rows
from trainer.plan.layout import count_steps, make_plan, no_fp8, precision_warning, predicted_layout
from trainer.plan.rate import model_rate_warning
from trainer.requirements import check_driver, check_model_needs, check_needs
from trainer.sft.checkpoints import find_checkpoint, full_disk_said, last_checkpoint
from trainer.sft.hardly import loss_warning
from trainer.sft.trackers import tracked

FEW_STEPS = 100
"""Below this many optimizer steps a LoRA run has hardly begun, and the user is told so."""

_CHANGES_NOTHING = {"report_to", "save_total_limit"}


def train_stage(run: RunDir, config: RunConfig, *, force: bool = False) -> TrainFigures | None:
    """Trains, or goes on from the last checkpoint of a run that was cut off; None when nothing changed.

    Returns:
        The stage's figures.

    Raises:
        TuneserveError: a checkpoint belongs to another recipe, data set or version, or the first batch is wrong.
    """
    facts = run.prepared()
    inputs = train_inputs(run, config, facts)
    why = run.changed_since("train", inputs)
    if why is None and not force:
        _draw_loss_again(run)
        return None
    again("train", why)
    check_driver()
    check_needs(config)
    check_model_needs(config, facts.base_model)
    checkpoint = find_checkpoint(run, inputs, force=force)
    if checkpoint:
        note(f"goes on from {checkpoint.name}")
    with run.stage("train", inputs, [run.adapter, run.data / "proof.jsonl"]) as record, full_disk_said(run):
        figures = _train(run, config, facts, checkpoint)
        record.figures |= figures.model_dump(mode="json")
    return figures


def _draw_loss_again(run: RunDir) -> None:
    """Draws the loss of a finished training again where the picture was deleted."""
    log, picture = run.logs / "train.jsonl", run.report / "loss.png"
    if log.is_file() and not picture.is_file():
        from trainer.sft.progress import plot_loss

        plot_loss(log, picture)


def train_inputs(run: RunDir, config: RunConfig, facts: PreparedFacts) -> dict[str, Any]:
    """What training depends on, for the manifest."""
    rows = [*training_files(run, config), run.data / "heldout" / "rows.parquet"]
    if gone := next((file for file in rows if not file.is_file()), None):
        raise ConfigError(f"{gone}: the rows are gone, or not made yet", f"tuneserve train {run.config_file}")
    named = {f"lora.{k}": v for k, v in config.lora.model_dump(mode="json").items()}
    named |= {f"train.{k}": v for k, v in config.train.model_dump(mode="json", exclude=_CHANGES_NOTHING).items()}
    return named | {
        "seed": config.seed,
        "proof.rows": config.proof.rows,
        "base_model": weights_fingerprint(facts.base_model),
        "data": files_fingerprint(rows),
        **{f"versions.{name}": version for name, version in environment.versions().items()},
    }


def _train(run: RunDir, config: RunConfig, facts: PreparedFacts, checkpoint: Path | None) -> TrainFigures:
    environment.settle(cache_root())
    from trainer.sft.loop import TrainingRun  # imports unsloth, so the environment stands first

    # isort: split
    from trainer.sft.backoff import train_with_back_off
    from trainer.sft.device import find_device

    train, heldout = training_rows(run, config), read_rows(run.data / "heldout")
    if not heldout.num_rows and (config.train.early_stopping or config.train.keep_best):
        raise ConfigError(
            "train.early_stopping and train.keep_best compare losses on held-out rows, and there are none",
            "set data.eval_split above 0, or data.heldout",
        )
    device = find_device()
    if refused := no_fp8(config.train, device):
        raise refused
    lengths = train["length"].to_pylist()
    facts = facts.model_copy(update={"longest_row": max(facts.longest_row, *lengths)})
    layout = predicted_layout(config, facts.base_model, lengths, device)
    plan = make_plan(config.train, config.lora, lengths, device, layout)
    note(plan.summary())
    if warning := precision_warning(config.train, device):
        warn(warning)
    steps = count_steps(train.num_rows, plan, config.train)
    if steps < FEW_STEPS:
        warn(few_steps_warning(steps, train.num_rows, plan, config.train.max_steps))
    if warning := model_rate_warning(config.train, facts.base_model, plan.rows_per_step):
        warn(warning)
    did: list[UnslothFacts] = []

    def attempt(plan: Plan, checkpoint: Path | None) -> dict[str, Any]:
        training = TrainingRun(run, config, plan, facts, train, heldout)
        did.append(training.did)
        return training.go(checkpoint)

    with tracked(config.train.report_to, run, config.name, resumed=checkpoint is not None):
        figures, used = train_with_back_off(attempt, plan, checkpoint, lambda: last_checkpoint(run))
    if warning := loss_warning([line for _, line in read_jsonl(run.logs / "train.jsonl", torn=True)]):
        warn(warning)
    run.update(
        trained=TrainedFacts(
            lora_rank=config.lora.r,
            lora_modules=config.lora.target_modules,
            precision_asked=config.train.precision,
            unsloth=did[-1],
            plan=used,
            backed_off_from=None if used is plan else plan,
        ),
        versions=environment.versions(),
    )
    return TrainFigures(
        **figures,
        device=device.name,
        planned_steps=steps,
        learning_rate=used.learning_rate,
        resumed_from=checkpoint.name if checkpoint else None,
        backed_off=used is not plan,
    )


def few_steps_warning(steps: int, rows: int, plan: Plan, max_steps: int) -> str:
    """What to change when a run is too short to learn much."""
    if max_steps:
        return (
            f"only {steps} optimizer steps (train.max_steps); a run this short learns little. "
            f"Give train.max_steps={FEW_STEPS}, or train.max_steps=0 to go by train.epochs"
        )
    epochs_needed = math.ceil(FEW_STEPS * plan.rows_per_step / rows)
    return (
        f"only {steps} optimizer steps ({rows} rows, {plan.rows_per_step} a step); a run this short learns little. "
        f"Give train.epochs={epochs_needed}, or a smaller train.rows_per_step, or more data"
    )
