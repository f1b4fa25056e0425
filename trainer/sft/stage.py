"""The train stage: token rows in; adapter, loss curve and proof rows out. `python -m trainer train RUN`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.cache.folder import cache_root
from configs.disk.files import file_bytes, read_jsonl
from configs.errors import ConfigError
from configs.handover.training import Plan, PreparedFacts, TrainedFacts, TrainFigures
from configs.machine.gpus import Device, device_at_hand
from configs.model.fingerprint import files_fingerprint, weights_fingerprint
from configs.recipe.schema import RunConfig, TrainConfig
from configs.run.merged import trained_recipe
from configs.run.rundir import RunDir
from configs.terminal.console import again, note, shell, warn
from trainer import environment
from trainer.architectures import paths_of, with_layers
from trainer.data.prepare import read_rows
from trainer.data.selfmade import has_soft_targets, training_files, training_rows
from trainer.gpus.job import Job, Outcome
from trainer.gpus.started import gpus_for, started_by_others
from trainer.plan.layout import (
    count_steps,
    does_not_fit_each,
    make_plan,
    no_fp8,
    precision_warning,
    predicted_layout,
)
from trainer.plan.rate import model_rate_warning
from trainer.requirements import cards_warning, check_cards, check_driver, check_model_needs, check_needs
from trainer.sft.checkpoints import find_checkpoint, full_disk_said, last_checkpoint
from trainer.sft.hardly import loss_warning

FEW_STEPS = 100
"""Below this many optimizer steps a LoRA run has hardly begun, and the user is told so."""

_CHANGES_NOTHING = {"report_to", "save_total_limit", "num_gpus", "continue_from"}
"""The run that is gone on from is known by its weights, wherever it lies."""
_PNG_END = b"IEND\xaeB`\x82"


def train_stage(run: RunDir, config: RunConfig, *, force: bool = False) -> TrainFigures | None:
    """Trains, or goes on from the last checkpoint of a run that was cut off; None when nothing changed.

    Returns:
        The stage's figures.

    Raises:
        TuneserveError: a checkpoint belongs to another recipe, data set or version, or the first batch is wrong.
    """
    facts = run.prepared()
    config = config.model_copy(update={"lora": with_layers(config.lora, facts.base_model)})
    inputs = train_inputs(run, config, facts)
    why = run.changed_since("train", inputs)
    if why is None and not force:
        _draw_loss_again(run)
        if (known := run.read().facts.trained) is not None:
            run.update(trained=known.model_copy(update={"recipe": trained_recipe(run.read())}))
        if started_by_others() > 1:
            from trainer.sft.rank import dismiss

            dismiss()
        return None
    again("train", why)
    check_driver()
    check_needs(config)
    if started_by_others() == 1:
        check_cards(config)
        if warning := cards_warning(config):
            warn(warning)
    check_model_needs(config, facts.base_model)
    run.require_no_own_files("train", run.adapter)
    checkpoint = find_checkpoint(run, inputs, force=force)
    if checkpoint:
        note(f"goes on from {checkpoint.name}")
    with run.stage("train", inputs, [run.adapter, run.data / "proof.jsonl"]) as record, full_disk_said(run):
        figures = _train(run, config, facts, checkpoint)
        record.figures |= figures.model_dump(mode="json")
    return figures


def _draw_loss_again(run: RunDir) -> None:
    """Draws the loss of a finished training again where the picture was deleted, or cut short."""
    log, picture = run.logs / "train.jsonl", run.report / "loss.png"
    if log.is_file() and not (picture.is_file() and file_bytes(picture).endswith(_PNG_END)):
        from trainer.sft.progress import plot_loss

        plot_loss(log, picture)


def train_inputs(run: RunDir, config: RunConfig, facts: PreparedFacts) -> dict[str, Any]:
    """What training depends on, for the manifest."""
    rows = [*training_files(run, config), run.data / "heldout" / "rows.parquet"]
    if gone := next((file for file in rows if not file.is_file()), None):
        raise ConfigError(f"{gone}: the rows are gone, or not made yet", shell("tuneserve", "train", run.config_file))
    named = {f"lora.{k}": v for k, v in config.lora.model_dump(mode="json").items()}
    named |= {f"train.{k}": v for k, v in config.train.model_dump(mode="json", exclude=_CHANGES_NOTHING).items()}
    return named | {
        "seed": config.seed,
        **({"data.selfmade.soft_targets": True} if has_soft_targets(run, config) else {}),
        "proof.rows": config.proof.rows,
        "base_model": weights_fingerprint(facts.base_model),
        "data": files_fingerprint(rows),
        **{f"versions.{name}": version for name, version in environment.versions().items()},
    }


def _train(run: RunDir, config: RunConfig, facts: PreparedFacts, checkpoint: Path | None) -> TrainFigures:
    environment.settle(cache_root())
    # Only their lengths: the process that trains reads them, and each of several does.
    lengths = training_rows(run, config, ["length"])["length"].to_pylist()
    heldout = read_rows(run.data / "heldout", ["length"])
    if not heldout.num_rows and (config.train.early_stopping or config.train.keep_best):
        raise ConfigError(
            "train.early_stopping and train.keep_best compare losses on held-out rows, and there are none",
            "set data.eval_split above 0, or data.heldout",
        )
    gpus = gpus_for(config)
    # Several processes share the GPUs; this one must take no memory of theirs.
    device = device_at_hand(gpus) if gpus > 1 else _device_of_this_process()
    if refused := no_fp8(config.train, device):
        raise refused
    before = run.read().facts.planned if checkpoint else None
    plan = _plan(config, facts, lengths, device, gpus, before)
    run.update(planned=plan)
    note(plan.summary())
    if warning := precision_warning(config.train, device):
        warn(warning)
    steps = count_steps(len(lengths), plan, config.train)
    if steps < FEW_STEPS:
        warn(few_steps_warning(steps, len(lengths), plan, config.train.max_steps))
    if warning := model_rate_warning(config.train, facts.base_model, plan.rows_per_step):
        warn(warning)
    for warning in idle_settings(config.train, steps, math.ceil(len(lengths) / plan.rows_per_step)):
        warn(warning)

    from trainer.sft.backoff import train_with_back_off

    def attempt(plan: Plan, checkpoint: Path | None) -> Outcome:
        return _attempt(run, config, Job(plan=plan, checkpoint=checkpoint))

    outcome, used = train_with_back_off(attempt, plan, checkpoint, lambda: last_checkpoint(run))
    log = [line for _, line in read_jsonl(run.logs / "train.jsonl", torn=True)]
    if warning := loss_warning(log, soft=has_soft_targets(run, config)):
        warn(warning)
    run.update(
        trained=TrainedFacts(
            lora_rank=config.lora.r,
            lora_modules=config.lora.named_modules,
            precision_asked=config.train.precision,
            unsloth=outcome.unsloth,
            plan=used,
            backed_off_from=None if used is plan else plan,
            recipe=trained_recipe(run.read()),
        ),
        versions=environment.versions(),
    )
    return TrainFigures(
        **dict(outcome.figures),
        gpus=used.gpus,
        device=device.name,
        planned_steps=steps,
        learning_rate=used.learning_rate,
        resumed_from=checkpoint.name if checkpoint else None,
        backed_off=used is not plan,
    )


def _device_of_this_process() -> Device:
    import trainer.sft.loop  # noqa: F401 - imports unsloth, whose settings must stand before CUDA is used

    # isort: split
    from trainer.sft.device import find_device

    return find_device()


def _plan(
    config: RunConfig, facts: PreparedFacts, lengths: list[int], device: Device, gpus: int, before: Plan | None
) -> Plan:
    """The layout; of a training that goes on, with the rows a step, the rate and the order of the rows it began with.

    Under `rows_per_step: auto` they depend on the GPUs, and there may be others now.
    """
    if before is not None and config.train.rows_per_step == "auto":
        kept = {"rows_per_step": before.rows_per_step, "learning_rate": before.learning_rate}
        config = config.model_copy(update={"train": config.train.model_copy(update=kept)})
    layout = predicted_layout(config, facts.base_model, lengths, device, gpus)
    if gpus > 1 and layout is not None and (refused := does_not_fit_each(layout[0], config.train, device)):
        raise refused
    plan = make_plan(config.train, config.lora, lengths, device, layout, gpus, paths_of(facts.base_model))
    if before is None:
        return plan
    if before.group_by_length and gpus > 1:
        raise ConfigError(
            f"the training was begun with rows of like length together, ordered for one GPU; on {gpus} it differs",
            "go on with train.num_gpus=1, or begin anew with --force",
        )
    return plan.model_copy(update={"group_by_length": before.group_by_length})


def _attempt(run: RunDir, config: RunConfig, job: Job) -> Outcome:
    """Trains here; or as rank 0 of processes that torchrun started; or in processes of its own, one a GPU."""
    if job.plan.gpus == 1:
        from trainer.sft.rank import train

        return train(run, config, job, None)
    from trainer.sft.rank import OUT_OF_MEMORY, lead

    if started_by_others() > 1:
        return lead(run, config, job)
    from trainer.gpus.launch import launch

    return launch(run, job, OUT_OF_MEMORY)


def idle_settings(train: TrainConfig, steps: int, steps_of_an_epoch: int) -> Iterator[str]:
    """What to say of settings that change nothing in a run of so many steps."""
    if train.max_steps > train.epochs * steps_of_an_epoch:
        yield (
            f"train.max_steps={train.max_steps} goes over the rows {steps / steps_of_an_epoch:.1f} times: it counts in "
            f"the place of train.epochs={train.epochs:g}. Set train.max_steps=0 to go by train.epochs"
        )
    if train.scheduler == "constant" and train.warmup_ratio not in (0, TrainConfig().warmup_ratio):
        yield (
            f"train.warmup_ratio={train.warmup_ratio:g} is not used: train.scheduler=constant has no warm-up. "
            "Set train.scheduler=constant_with_warmup"
        )
    for key in ("micro_batch", "gradient_checkpointing") if train.plan == "auto" else ():
        if (value := getattr(train, key)) != TrainConfig.model_fields[key].default:
            yield f"train.{key}={value} is not used: train.plan=auto picks it. Set train.plan=manual"
    every = train.eval_steps or 0.25
    if (train.keep_best or train.early_stopping) and train.save_steps not in (every, TrainConfig().save_steps):
        yield (
            f"train.save_steps={train.save_steps:g} is not used: to keep the best, a checkpoint is saved at each "
            f"evaluation. Set train.eval_steps={train.save_steps:g}"
        )
    evaluations = math.ceil(steps / max(1, math.ceil(every * steps) if every < 1 else every))
    # The first one is the best so far, and behind the last one nothing is left to stop.
    if train.early_stopping and train.early_stopping > evaluations - 2:
        more = f"{1 / (4 * train.early_stopping):.2g}"
        yield (
            f"train.early_stopping={train.early_stopping} stops nothing: the run has {evaluations} evaluations in "
            f"{steps} steps. Set train.eval_steps={more}"
        )
    if train.keep_best and evaluations == 1:
        yield (
            f"train.keep_best has nothing to choose from: train.eval_steps={every:g} in a run of {steps} steps. "
            "Set train.eval_steps=0.1"
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
