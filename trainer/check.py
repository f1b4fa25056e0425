"""Looks at a recipe before anything is trained: `python -m trainer.check CONFIG [--rows N] [--gpu NAME] [--all]`.

Config, data with the mask preview, template, versions, disk, the plan with memory and time, and whether the result can
be served. Needs no GPU, no weights, no torch. What would end badly is refused with exit code 2 and the key to change.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.disk.temporary import temporary_folder
from configs.errors import ConfigError, TuneserveError
from configs.handover.training import Plan
from configs.machine import driver, pins
from configs.machine.gpus import Device, device_at_hand, named_gpu
from configs.machine.pins import cuda_version
from configs.model.files import read_model_config
from configs.model.known_shapes import known_config
from configs.model.mixed_shape import MixedShape, shape_of
from configs.model.serving_memory import served_precision
from configs.model.shape import ModelShape, UnknownShape, answers_the_suite
from configs.process.child import end_with_parent
from configs.recipe.load import load_config
from configs.recipe.schema import RunConfig
from configs.run.adapter_scale import SCALES
from configs.run.predecessor import trained_base
from configs.terminal.console import console, guarded, note, tables, warn
from trainer import environment
from trainer.architectures import check_architecture, paths_of, with_layers
from trainer.data.corpus import gather
from trainer.data.guess import guess_lengths
from trainer.data.past import past_warning
from trainer.data.prepare import prepare, read_rows
from trainer.data.preview import render_report, short_path, tokenizing_progress
from trainer.data.report import DataReport, data_warnings, preview_row
from trainer.data.selfmade import ASSUMED_TOKENS, plan_in_words, planned
from trainer.data.tally import Tally
from trainer.data.template import ChatCodec
from trainer.plan.candidates import Candidate, candidates, choose
from trainer.plan.layout import count_steps, make_plan, no_fp8, precision_warning, predicted_layout
from trainer.plan.optimizers import choose_optimizer, state_bytes
from trainer.plan.rate import rate_warning
from trainer.plan.serving import gguf_gb, servable
from trainer.plan.view import render_plan, render_serving, render_table
from trainer.requirements import (
    K_QUANTS,
    cards_warning,
    check_cards,
    check_driver,
    check_model_needs,
    check_needs,
    hinders_soft_targets,
)
from trainer.sft.stage import FEW_STEPS, few_steps_warning, idle_settings


@dataclass(frozen=True)
class Refusal:
    """Something that would end badly."""

    message: str
    next_step: str


def check(file: Path, rows: int, gpu_name: str | None, every_layout: bool = False) -> None:
    """Prints everything that can be known before training.

    Args:
        file: the recipe.
        rows: training rows to show with their masks.
        gpu_name: key of `configs.machine.gpus.GPUS`; None plans for the GPU of this machine, or its CPU.
        every_layout: show every layout of training, not only those that tell something.

    Raises:
        ConfigError: the recipe, the data or the plan would not end in a model that can be served.
    """
    config = load_config(file)
    check_needs(config)
    if gpu_name is None:
        _look_at_driver()
        check_cards(config)
        if warning := cards_warning(config):
            warn(warning)
        device = device_at_hand(config.train.num_gpus)
    else:
        device = named_gpu(gpu_name)
        _refuse_too_old(device)
    try:
        model = trained_base(config, weights=False)
    except ConfigError:
        raise
    except TuneserveError as unreachable:
        if (known := known_config(config.model)) is None:
            raise
        _check_without_model(config, known, device, unreachable, every_layout)
        return
    if warning := check_architecture(model):
        warn(warning)
    check_model_needs(config, model)
    config = config.model_copy(update={"lora": with_layers(config.lora, model)})
    with tokenizing_progress(console) as progress:
        prepared = prepare(config, model, progress)
    report = with_rows(prepared.report, rows, model, prepared.folder)
    tables.print(render_report(report, rows))
    note(_template_line(report, config))
    if line := _scale_line(config.merge.scale):
        note(line)
    for warning in filter(None, (*data_warnings(report, config), past_warning(config))):
        warn(warning)
    differing = pins.disagreements(pins.made_for() or "cuda")
    found = ", ".join(f"{name} {version}" for name, version in environment.versions().items())
    note(f"versions: {found}" + ("" if differing else "; all as pinned"))
    for package in differing:
        warn(str(package))
    lengths = read_rows(prepared.folder / "train", ["length"])["length"].to_pylist()
    written = planned(config, prepared.folder, model)
    if written.rows:
        note(plan_in_words(written, config))
    if written.train and not written.soft_targets and (why := hinders_soft_targets(config, model)):
        note(f"those rows are trained by the written tokens alone (data.selfmade.soft_targets): {why}")
    lengths += [min(ASSUMED_TOKENS, config.data.max_length)] * written.train
    refusals = _evaluation(config, model, prepared.folder)
    refusals += _precision(config, device)
    try:
        shape = shape_of(read_model_config(model))
    except UnknownShape as unknown:
        warn(f"{unknown.message}; the plan, disk and serving are not predicted")
        _raise(refusals)
        return
    refusals += _plan_if_known(config, model, shape, lengths, device, every_layout)
    refusals += _serving(config, shape, report.longest_row, device)
    refusals += _disk(config, shape, has_weights=any(model.glob("*.safetensors")))
    _raise(refusals)
    note("this recipe can be trained and served", good=True)


def _check_without_model(
    config: RunConfig, known: Mapping[str, Any], device: Device, why: TuneserveError, every_layout: bool
) -> None:
    """Plans from the published shape of a model that cannot be had now; masks and template stay unseen."""
    warn(
        f"{why.message}. Its shape is known, so memory, time and disk are planned from it; row lengths are told from "
        f"their characters, and masks and template are not looked at. To see them: {why.next_step}"
    )
    shape = shape_of(known)
    tally = Tally()
    corpus = gather(config, tally)
    lengths = guess_lengths(corpus, config)
    if not lengths:
        raise ConfigError(
            f"all {len(corpus.train):,} rows seem longer than data.max_length={config.data.max_length} tokens",
            "raise data.max_length",
        )
    note(
        f"{len(lengths):,} rows to train, {len(corpus.heldout):,} conversations held out; about "
        f"{sum(lengths) / len(lengths):,.0f} tokens a row, the longest {max(lengths):,}"
    )
    with temporary_folder() as folder:
        (folder / "config.json").write_text(json.dumps(known), encoding="utf-8")
        config = config.model_copy(update={"lora": with_layers(config.lora, folder)})
        refusals = _precision(config, device)
        refusals += _plan_if_known(config, folder, shape, lengths, device, every_layout)
    refusals += _serving(config, shape, max(lengths), device)
    refusals += _disk(config, shape, has_weights=False)
    _raise(refusals)
    note("this recipe is planned to train and to be served; check it again once the model can be reached", good=True)


def _precision(config: RunConfig, device: Device) -> list[Refusal]:
    """A refusal where the GPU cannot hold the base as the recipe asks."""
    refused = no_fp8(config.train, device)
    return [Refusal(refused.message, refused.next_step)] if refused else []


def _raise(refusals: Sequence[Refusal]) -> None:
    if refusals:
        raise ConfigError("; ".join(r.message for r in refusals), "; ".join(r.next_step for r in refusals))


def _refuse_too_old(device: Device) -> None:
    """Raises a ConfigError for a named card that the pinned packages have no code for."""
    needs = driver.NEEDS[cuda_version()[0]]
    if device.capability is not None and device.capability < needs.capability:
        raise ConfigError(
            f"{device.name} (compute capability {'.'.join(map(str, device.capability))}) is too old: the pinned "
            f"packages have code for {'.'.join(map(str, needs.capability))} ({needs.generation}) and newer",
            "take another card; bf16 and most kernels begin with Ampere (RTX 30, A10, A100)",
        )


def _look_at_driver() -> None:
    """Says what is wrong with driver and cards; raises where nothing could be trained on them."""
    check_driver()
    for problem in driver.advice(driver.look(), pins.made_for()):
        warn(f"{problem.message}; next: {problem.next_step}")


def with_rows(report: DataReport, rows: int, model: Path, folder: Path) -> DataReport:
    """The report with as many rows decoded as are asked for: it keeps a few, more come from the prepared data."""
    if rows <= len(report.preview) or report.train_rows == len(report.preview):
        return report
    codec = ChatCodec.load(model)
    found = read_rows(folder / "train", ["conversation", "input_ids", "labels"]).slice(0, rows).to_pylist()
    preview = [
        preview_row(codec, row["conversation"], np.array(row["input_ids"]), np.array(row["labels"])) for row in found
    ]
    return replace(report, preview=preview)


def _evaluation(config: RunConfig, model: Path, folder: Path) -> list[Refusal]:
    """A refusal when `run` would train and merge, and then have nothing to ask."""
    asked = config.eval.heldout and (folder / "heldout.jsonl").stat().st_size > 0
    if asked or config.eval.tasks or (config.eval.suite and answers_the_suite(model)):
        return []
    return [
        Refusal(
            "a run would end after the merge with nothing to evaluate: no held-out question whose answer is text, and "
            "no tasks",
            "set eval.heldout=true and data.eval_split, or eval.tasks; `tuneserve train` and `merge` need none of them",
        )
    ]


def _scale_line(scale: float | str) -> str | None:
    """What becomes of the adapter after training; None where it counts whole."""
    if scale == 1:
        return None
    if scale == "auto":
        tried = ", ".join(f"{one:g}" for one in SCALES)
        return (
            f"after training the adapter is served at {tried} beside the base, and as much of it is taken as leaves "
            "general answers alone (merge.scale: auto)"
        )
    return f"the adapter counts {scale:g} times as much once it is merged or served (merge.scale)"


def _template_line(report: DataReport, config: RunConfig) -> str:
    family = report.template.family
    mode = "on" if config.thinking else "off"
    trained = {
        "none": "no think block: thinking is left out",
        "always": "always thinks: answers are trained after a reasoning block",
        "switchable": f"thinking is switched {mode} by `thinking: {str(config.thinking).lower()}`",
    }
    return f"template family {family}; {trained[family]}, in training and by default on the server"


def _plan_if_known(
    config: RunConfig,
    model: Path,
    shape: ModelShape | MixedShape,
    lengths: Sequence[int],
    device: Device,
    every_layout: bool,
) -> list[Refusal]:
    """The plan, where memory and time can be predicted; else what is known of the memory: the weights."""
    if isinstance(shape, ModelShape):
        return _plan(config, model, shape, lengths, device, every_layout)
    held_gb = 2 * (shape.parameters - shape.image_parameters) / 1e9
    warn(
        "memory and time of the training are not predicted: not all layers are alike. The weights take "
        f"{held_gb:.1f} GB in 16 bits; what rows add is found while training, which takes fewer rows at once where it "
        "does not fit"
    )
    plan = make_plan(config.train, config.lora, lengths, device, None, config.train.num_gpus, paths_of(model))
    if warning := rate_warning(config.train, shape, plan.rows_per_step):
        warn(warning)
    if config.train.precision == "16bit" and device.kind != "cpu" and held_gb > device.memory_gb:
        message = f"the weights of {held_gb:.1f} GB do not fit {device.name} ({device.memory_gb:.0f} GB)"
        # Experts are no linear layers, which alone are held in 4 bits.
        step = "take a larger GPU" if shape.expert_parameters else "set train.precision=4bit, or take a larger GPU"
        return [Refusal(message, step)]
    return []


def _plan(
    config: RunConfig, model: Path, shape: ModelShape, lengths: Sequence[int], device: Device, every_layout: bool
) -> list[Refusal]:
    """Prints the plan and, on a GPU, the table of what else could be taken."""
    train = config.train
    gpus = train.num_gpus
    layout = predicted_layout(config, model, lengths, device, gpus)
    plan = make_plan(train, config.lora, lengths, device, layout, gpus, paths_of(model))
    if warning := precision_warning(train, device):
        warn(warning)
    steps = count_steps(len(lengths), plan, train)
    tables.print(render_plan(plan, steps, device.name))
    if steps < FEW_STEPS:
        warn(few_steps_warning(steps, len(lengths), plan, train.max_steps))
    if warning := rate_warning(train, shape, plan.rows_per_step):
        warn(warning)
    for warning in idle_settings(train, steps, math.ceil(len(lengths) / plan.rows_per_step)):
        warn(warning)
    if not device.tflops:
        why = "no GPU here: this is the CPU's plan" if device.kind == "cpu" else "this GPU does not tell its rates"
        note(f"{why}; `--gpu h100-80gb` plans for another machine")
        return []
    precisions = ["16bit"] if train.method == "full" else ["16bit", *(["8bit"] if device.fp8 else []), "4bit"]
    can = paths_of(model).possible(train)
    table = candidates(can, config.lora, shape, lengths, device, precisions, plan.rows_per_step, gpus)  # type: ignore[arg-type]
    taken = next((c for c in table if _is(c, plan, config)), None)
    tables.print(render_table(table, taken, device, every_layout))
    if gpus > 1 and taken is not None and taken.fits:
        alone, _ = choose(train, config.lora, shape, lengths, device)
        if alone.fits:
            ratio = taken.useful_tokens_per_s / alone.useful_tokens_per_s
            rows = "" if alone.rows_per_step == taken.rows_per_step else f" with {alone.rows_per_step} rows a step"
            note(f"{gpus} GPUs are predicted to be {ratio:.2f} times as fast as one{rows}")
    return [] if taken is None or taken.fits else [_does_not_fit(table, taken, device)]


def _is(candidate: Candidate, plan: Plan, config: RunConfig) -> bool:
    precision = "16bit" if config.train.method == "full" else config.train.precision
    asked = (precision, plan.checkpointing, plan.micro_batch, plan.kept_layers, plan.turned_copy)
    found = (candidate.precision, candidate.checkpointing, candidate.micro_batch)
    return (*found, candidate.kept_layers, candidate.turned_copy) == asked


def _does_not_fit(table: Sequence[Candidate], taken: Candidate, device: Device) -> Refusal:
    each = f"each of {taken.gpus} {device.name}, which hold the whole model" if taken.gpus > 1 else device.name
    message = f"training in {taken.precision} is predicted not to fit {each}: it {taken.why_not}"
    fitting = [c for c in table if c.fits]
    if same := [c for c in fitting if c.precision == taken.precision]:
        best = min(same, key=lambda c: c.step_s)
        return Refusal(
            message,
            f"set train.plan=auto, or train.micro_batch={best.micro_batch} with "
            f"train.gradient_checkpointing={best.checkpointing}",
        )
    if fitting:
        return Refusal(message, f"set train.precision={fitting[0].precision}")
    return Refusal(message, "set a lower data.max_length, or take a smaller model or a larger GPU")


def _serving(config: RunConfig, shape: ModelShape | MixedShape, longest: int, gpu: Device) -> list[Refusal]:
    """Prints what the card can serve; a refusal when it is not what the recipe asks for."""
    if gpu.kind == "cpu":
        return []
    options = servable(shape, config.serve, gpu, longest)
    asked = served_precision(config.serve.precision, gpu)
    tables.print(render_serving(options, asked, gpu))
    if config.measures_unseen and options[asked].why_not:
        return [
            Refusal(
                f"the base is to write rows itself before training, and {gpu.name} cannot serve it in {asked}: "
                f"{options[asked].why_not}",
                "set serve.precision=fp8 where that fits, or bring general rows: "
                "data.replay='{source: ./general.jsonl, ratio: 0.25}' (and merge.scale to a number)",
            )
        ]
    if "vllm" not in config.merge.formats or not options[asked].why_not:
        return []
    possible = [name for name, option in options.items() if not option.why_not]
    message = f"{gpu.name} could not serve the merged model in {asked}: {options[asked].why_not}"
    if possible:
        return [Refusal(message, f"set serve.precision={possible[0]}")]
    size = gguf_gb(shape, config.merge.gguf_quant)
    if "gguf" in config.merge.formats:
        warn(f"{message}; the GGUF file of {size:.1f} GB is for llama.cpp, vLLM needs a larger card")
        return []
    return [
        Refusal(
            message,
            f"set merge.formats=[vllm,gguf] to get a GGUF file of {size:.1f} GB for llama.cpp, or "
            "serve.tensor_parallel_size to the number of such cards",
        )
    ]


def _disk(config: RunConfig, shape: ModelShape | MixedShape, *, has_weights: bool) -> list[Refusal]:
    """Prints the disk that the run needs where it is written, against what is free there."""
    parts = disk_gb(config, shape)
    folder = Path(config.output_dir)
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    needed_gb = sum(parts.values())
    listed = ", ".join(f"{name} {size:.2f}" for name, size in parts.items())
    note(
        f"disk: {needed_gb:.2f} GB of {free_gb:.0f} GB free for {short_path(config.output_dir)} ({listed})",
        good=needed_gb < free_gb,
    )
    if not has_weights:
        note(f"the base weights are not here yet: {2 * shape.parameters / 1e9:.1f} GB to download before training")
    if needed_gb < free_gb:
        return []
    return [Refusal(f"the run needs {needed_gb:.1f} GB, {there} has {free_gb:.1f} GB free", "set output_dir elsewhere")]


def disk_gb(config: RunConfig, shape: ModelShape | MixedShape) -> dict[str, float]:
    """What a run writes, in GB of 1e9 bytes, by part."""
    train, lora = config.train, config.lora
    if train.method == "full":
        trained, weight_bytes = shape.parameters, 2
    else:
        whole = shape.vocabulary * shape.hidden * len({"lm_head", "embed_tokens"} & set(lora.modules_to_save))
        trained, weight_bytes = shape.adapter_parameters(lora.r, lora.named_modules) + whole, 4
    saved = trained * weight_bytes / 1e9
    state = trained * state_bytes(choose_optimizer(train, "cuda")[0]) / 1e9
    # One checkpoint more than are kept: the new one is written before the oldest goes.
    kept = train.save_total_limit + 1 if train.save_steps or train.keep_best else 0
    merged = 2 * shape.parameters / 1e9
    gguf = {}
    if "gguf" in config.merge.formats:
        # A K-quant is made from a bf16 file, which goes when it is done.
        source = merged if config.merge.gguf_quant in K_QUANTS else 0.0
        gguf = {"gguf": gguf_gb(shape, config.merge.gguf_quant) + source}
    return {
        "checkpoints": kept * (saved + state),
        "adapter": saved,
        "merged": merged,
        **gguf,
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the check and returns the exit code; errors of the user's go to stderr without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m trainer.check", description=__doc__)
    parser.add_argument("config", type=Path, help="the recipe")
    parser.add_argument("--rows", type=int, default=3, help="rows to show with their trained tokens")
    parser.add_argument("--gpu", help="plan for another GPU, such as a100-80gb")
    parser.add_argument("--all", action="store_true", help="show every layout of training")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(arguments)
    environment.quiet()
    return guarded(lambda: check(options.config, options.rows, options.gpu, options.all), options.debug)


if __name__ == "__main__":
    end_with_parent()
    environment.without_torch()
    sys.exit(main())
