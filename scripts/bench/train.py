"""Training speed and memory on the same rows: TRL + PEFT, Unsloth as its tutorials write it, and ours.

    python -m scripts.bench.train --model DIR --data rows.json --out DIR [--only NAMES] [--precision 8bit] [--long 2048]
    python -m scripts.bench.train --tiny --out DIR

The rows are a JSON list of `instruction` (and `input`) with `output`. Every contestant runs in a process of its own,
on the same model folder, with the same LoRA (r=16 on the seven linear layers; ours on those that the model has):

    trl          TRL + PEFT: text rows, 2 a micro-batch, 4 micro-batches a step, gradient checkpointing
    unsloth      Unsloth: the same, checkpointing "unsloth"; what it made of padding and packing is read back
    ours-8       this project's trainer, `plan: auto`, 8 rows a step
    ours-8-live  the same with `cuda_graphs: off`
    ours-8-recomputed  the same without layers that are kept from recomputation
    ours-padded  the same with `padding_free: false`
    ours-auto    `rows_per_step: auto`

`--then-long 2048` measures ours once more on the same loaded base, with rows laid together.

`--memory-gb 12.6` takes all but so much of the GPU away, as if the card had no more (GB of 1e9 bytes, CUDA's own share
included): what then trains, trains on such a card.

`--profile` adds torch.profiler's tables and the host's and the GPU's share of a step. `--tiny` runs on the embedded
model, on a CPU too, so that the script itself can be tried.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.bench.child import ROOT, run_child
from scripts.bench.training_rows import Rows, conversations, joined, tiny_rows

DEMO_MODEL = ROOT / "configs" / "demo" / "model"
CONTESTANTS = ("trl", "unsloth", "ours-8", "ours-8-live", "ours-8-recomputed", "ours-auto", "ours-padded")
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, BATCH, ACCUMULATION, LEARNING_RATE, MAX_LENGTH = 16, 2, 4, 2e-5, 4096

THEN_WARMUP = 2
"""Optimizer steps left out where the loaded base is measured once more."""
RECORDED_STEPS, RECORDED_WARMUP = 250, 50
"""Optimizer steps where they are recorded as CUDA graphs, and those of them left out of the figures."""
ROWS_IN_ALL = 20_000
"""Rows of the whole run that `rows_per_step: auto` chooses for: two epochs of 10,000, as in the article."""


def main() -> None:
    """Runs the contestants one after the other and prints the table."""
    options = arguments()
    if options.child:
        child(options)
        return
    console = Console()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        options.model, options.steps, options.warmup = options.model or DEMO_MODEL, 4, 1
        options.data = options.out / "tiny_rows.json"
        options.data.write_text(json.dumps(tiny_rows(), ensure_ascii=False), encoding="utf-8")
    results: dict[str, dict[str, Any]] = {}
    for name in options.only.split(","):
        result = options.out / f"{name}.json"
        passed = [
            "--child",
            name,
            "--model",
            str(options.model),
            "--data",
            str(options.data),
            "--out",
            str(options.out),
        ]
        passed += ["--steps", str(options.steps), "--warmup", str(options.warmup), "--precision", options.precision]
        passed += ["--long", str(options.long), "--rows-per-micro-batch", str(options.rows_per_micro_batch)]
        then = ["--then-long", str(options.then_long), "--then-steps", str(options.then_steps)]
        passed += then if name.startswith("ours") else []
        passed += ["--memory-gb", str(options.memory_gb)]
        passed += ["--rows-per-step", str(options.rows_per_step), "--micro-batch", str(options.micro_batch)]
        passed += ["--lora", options.lora] if options.lora else []
        passed += ["--turned-copy", options.turned_copy] if options.turned_copy else []
        passed += ["--profile"] if options.profile else []
        results[name] = run_child("scripts.bench.train", passed, result, limit_s=options.limit_s)
        console.print(name, results[name], soft_wrap=True)
        (options.out / "train.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    console.print(table(results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model folder")
    parser.add_argument("--data", type=Path, help="JSON list of instruction/output rows")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--only", default=",".join(CONTESTANTS), help="contestants, with commas")
    parser.add_argument("--steps", type=int, default=16, help="optimizer steps, warm-up included")
    parser.add_argument("--warmup", type=int, default=4, help="of them, left out of the figures")
    parser.add_argument(
        "--precision",
        choices=["16bit", "8bit", "4bit"],
        default="16bit",
        help="how the base is held; 8bit is ours alone",
    )
    parser.add_argument(
        "--lora", choices=["own", "library"], help="whose LoRA functions ours runs by; as the trainer does if not given"
    )
    parser.add_argument("--long", type=int, default=0, help="lay rows together until they have about this many tokens")
    parser.add_argument("--then-long", type=int, default=0, help="of ours: measure once more, with rows of so many")
    parser.add_argument("--then-steps", type=int, default=6, help="optimizer steps of that, two of warm-up included")
    parser.add_argument("--rows-per-micro-batch", type=int, default=BATCH, help="of trl and unsloth")
    parser.add_argument("--rows-per-step", type=int, default=BATCH * ACCUMULATION, help="of ours")
    parser.add_argument("--micro-batch", type=int, default=0, help="of ours, without recomputation; 0: as planned")
    parser.add_argument("--memory-gb", type=float, default=0, help="train as on a card with this much; 0: all there is")
    parser.add_argument("--turned-copy", choices=["yes", "no"], help="of weights in FP8, whatever is planned")
    parser.add_argument("--limit-s", type=float, default=240, help="time for each contestant")
    parser.add_argument("--profile", action="store_true", help="profile three steps of each; spoils its own figures")
    parser.add_argument("--tiny", action="store_true", help="embedded model, few steps, CPU or GPU")
    parser.add_argument("--child", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.tiny and not (options.model and options.data):
        parser.error("--model and --data are needed, or --tiny")
    return options


def child(options: argparse.Namespace) -> None:
    """Measures one contestant in this process and leaves its result in OUT/NAME.json."""
    from trainer import environment

    environment.settle(Path(tempfile.gettempdir()) / "tuneserve_bench")
    name = options.child
    if name != "trl":
        import unsloth  # noqa: F401 - first, so that it can patch what follows
    import torch

    if name == "trl" and not torch.cuda.is_available():
        # TRL's loss is a Triton kernel; without a GPU only Triton's interpreter runs it.
        os.environ["TRITON_INTERPRET"] = "1"
    from scripts.bench.training_run import ceiling_tflops, out_of_memory_as_result, share_base

    rows = json.loads(options.data.read_text(encoding="utf-8"))
    result: dict[str, Any] = {"ceiling_tflops": round(ceiling_tflops(), 2)}
    if options.memory_gb:
        result["memory_gb"] = options.memory_gb
        take_away(options.memory_gb)
    if options.then_long:
        share_base(MAX_LENGTH)
    with tempfile.TemporaryDirectory() as scratch:
        options.scratch = Path(scratch)
        with out_of_memory_as_result(result):
            result |= ours(options, rows) if name.startswith("ours") else theirs(options, rows)
        if options.then_long:
            save(options, result)  # what was measured stays, whatever comes of the next
            result["then"] = {"long": options.then_long}
            with out_of_memory_as_result(result["then"]):
                again = {"long": options.then_long, "steps": options.then_steps, "warmup": THEN_WARMUP}
                result["then"] |= ours(argparse.Namespace(**vars(options) | again), rows)
    result["device"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    if rate := result.get("useful_tokens_per_s"):
        operations = operations_a_token(options.model, result)
        if operations:
            result["share_of_ceiling"] = round(rate * operations / 1e12 / result["ceiling_tflops"], 4)
    save(options, result)
    # Threads of the training stack can hold the interpreter for seconds after the work is done.
    os._exit(0)


def save(options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Leaves a contestant's result in OUT/NAME.json."""
    (options.out / f"{options.child}.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


def take_away(all_but_gb: float) -> None:
    """Leaves the allocator what a card of so many GB has, less CUDA's share; asked for more, it is out of memory."""
    import torch

    from trainer.plan.estimate import CONTEXT_GB

    there = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((all_but_gb - CONTEXT_GB) * 1e9 / there)


def theirs(options: argparse.Namespace, rows: Rows) -> dict[str, Any]:
    """TRL + PEFT, or Unsloth, from text rows, with the trainer's own tokenizing and collating."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from scripts.bench.training_run import measure

    on_gpu = torch.cuda.is_available()
    fast = options.child == "unsloth"
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    texts = [tokenizer.apply_chat_template(m, tokenize=False, enable_thinking=False) for m in conversations(rows)]
    texts = joined(texts, tokenizer, options.long) if options.long else texts
    model, tokenizer, peft = (unsloth_model if fast else trl_model)(options, tokenizer)
    batch = options.rows_per_micro_batch
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        peft_config=peft,
        args=SFTConfig(
            output_dir=str(options.scratch), dataset_text_field="text", max_length=MAX_LENGTH,
            per_device_train_batch_size=batch, gradient_accumulation_steps=ACCUMULATION, max_steps=options.steps,
            learning_rate=LEARNING_RATE, optim="adamw_8bit" if on_gpu else "adamw_torch", bf16=on_gpu,
            use_cpu=not on_gpu, gradient_checkpointing=True, logging_steps=1, save_strategy="no", report_to="none",
            seed=42, disable_tqdm=True,
        ),
    )  # fmt: skip
    did = {
        "padding_free_set": bool(trainer.args.padding_free),
        "packing_set": bool(trainer.args.packing),
        "collator": type(trainer.data_collator).__name__,
        "rows_a_step": batch * ACCUMULATION,
    }
    return did | measure(trainer, warmup=options.warmup, micro_batches=ACCUMULATION, profile=profile_file(options))


def trl_model(options: argparse.Namespace, tokenizer: Any) -> tuple[Any, Any, Any]:
    """(model, tokenizer, LoRA configuration for the trainer) with transformers and PEFT alone."""
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    on_gpu = torch.cuda.is_available()
    quantized = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(
        options.model,
        dtype=torch.bfloat16 if on_gpu else torch.float32,
        device_map={"": 0} if on_gpu else "cpu",
        quantization_config=quantized if options.precision == "4bit" and on_gpu else None,
    )
    return model, tokenizer, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LINEAR, task_type="CAUSAL_LM")


def unsloth_model(options: argparse.Namespace, tokenizer: Any) -> tuple[Any, Any, None]:
    """(model with LoRA, tokenizer, None) as Unsloth's tutorials load it."""
    import torch
    from unsloth import FastLanguageModel

    on_gpu = torch.cuda.is_available()
    four = options.precision == "4bit" and on_gpu
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(options.model), max_seq_length=MAX_LENGTH, load_in_4bit=four, load_in_16bit=not four,
        dtype=None if on_gpu else torch.float32, local_files_only=True,
    )  # fmt: skip
    model = FastLanguageModel.get_peft_model(
        model, r=RANK, lora_alpha=RANK, lora_dropout=0, bias="none", target_modules=LINEAR,
        use_gradient_checkpointing="unsloth", random_state=42,
    )  # fmt: skip
    return model, tokenizer, None


def ours(options: argparse.Namespace, rows: Rows) -> dict[str, Any]:
    """This project's data stage, plan and trainer."""
    from trainer.sft.loop import TrainingRun  # isort: skip - imports unsloth
    import trainer.sft.model as model_of
    from configs.handover.training import Plan
    from configs.recipe.schema import RunConfig
    from configs.run.rundir import RunDir
    from scripts.bench.training_run import measure
    from trainer.architectures import paths_of, with_layers
    from trainer.data.prepare import prepare, prepared_facts, read_rows
    from trainer.plan.layout import make_plan, predicted_layout
    from trainer.sft.backoff import train_with_back_off
    from trainer.sft.device import find_device

    if options.long:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(options.model)
        # Ten tokens and the question for the chat template around it.
        rows = [
            {"instruction": f"{i}：续写。", "output": text}
            for i, text in enumerate(joined([r["output"] for r in rows], tokenizer, options.long - 24))
        ]
    data = options.scratch / "rows.json"
    data.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    config = RunConfig.model_validate(
        {
            "name": "bench",
            "model": str(options.model),
            "output_dir": str(options.scratch),
            "data": {"sources": str(data), "eval_split": 0.0, "max_length": MAX_LENGTH, "max_dropped": 1.0},
            "lora": {"r": RANK, "alpha": RANK},
            "train": {
                "precision": options.precision,
                "rows_per_step": "auto" if options.child == "ours-auto" else options.rows_per_step,
                **(
                    {"plan": "manual", "micro_batch": options.micro_batch, "gradient_checkpointing": "off"}
                    if options.micro_batch
                    else {}
                ),
                "padding_free": options.child != "ours-padded",
                "cuda_graphs": "off" if options.child == "ours-8-live" else "auto",
                "learning_rate": LEARNING_RATE,
                "epochs": math.ceil(ROWS_IN_ALL / len(rows)),
                "save_steps": 0,
            },
        }
    )
    config = config.model_copy(update={"lora": with_layers(config.lora, options.model)})
    prepared = prepare(config, options.model)
    table = read_rows(prepared.folder / "train")
    lengths, device = table["length"].to_pylist(), find_device()
    if options.memory_gb:
        device = replace(device, memory_gb=options.memory_gb)
    layout = predicted_layout(config, options.model, lengths, device)
    plan = make_plan(config.train, config.lora, lengths, device, layout, paths=paths_of(options.model))
    if options.lora:
        model_of.OWN_LORA = dict.fromkeys(model_of.OWN_LORA, options.lora == "own")
    if options.turned_copy:
        plan = plan.model_copy(update={"turned_copy": options.turned_copy == "yes"})
    if options.child == "ours-8-recomputed":
        plan = plan.model_copy(update={"kept_layers": 0})
    # Sizes are recorded one by one: the first steps of a run are not like the rest.
    many = plan.graphs and not options.long
    steps, warmup = (RECORDED_STEPS, RECORDED_WARMUP) if many else (options.steps, options.warmup)
    config = config.model_copy(update={"train": config.train.model_copy(update={"max_steps": steps})})
    facts = prepared_facts(config, options.model, prepared.report)
    predicted = (
        {"predicted_gb": round(layout[0].peak_gb, 2), "predicted_step_s": round(layout[0].step_s, 4)} if layout else {}
    )

    def attempt(plan: Plan, _: Path | None) -> dict[str, Any]:
        training = TrainingRun(RunDir.create(config), config, plan, facts, table, table.slice(0, 0))
        chosen = {"plan": plan.summary(), "rows_a_step": plan.rows_per_step, "unsloth": training.did.model_dump()}
        count, profile = plan.accumulation, profile_file(options)
        measured = measure(training.trainer, warmup=warmup, micro_batches=count, profile=profile)
        recorded = training.recorded()
        if plan.graphs and (recorded is None or recorded.off or recorded.updates_off):
            why = (recorded.off or recorded.updates_off) if recorded else "too few steps"
            return chosen | predicted | {"error": f"steps were to be recorded and are not: {why}"}
        return chosen | predicted | measured | {"recorded": recorded.model_dump() if recorded else None}

    # A plan that was not predicted is halved where it does not fit, as in a run; else that is a finding.
    return attempt(plan, None) if layout else train_with_back_off(attempt, plan, None, lambda: None)[0]


def operations_a_token(model: Path, result: dict[str, Any]) -> float | None:
    """Operations that LoRA needs for a useful token without recomputation: two passes over the weights, attention.

    None for mixtures and linear attention, whose operations are not counted here.
    """
    from configs.model.shape import ModelShape, UnknownShape

    try:
        shape = ModelShape.load(model)
    except UnknownShape:
        return None
    return 2 * shape.forward_flops() + 3.5 * shape.attention_flops() * result["pairs"] / result["tokens"]


def profile_file(options: argparse.Namespace) -> Path | None:
    """Where the profile goes; None without `--profile`."""
    return options.out / f"profile-{options.child}.txt" if options.profile else None


def table(results: dict[str, dict[str, Any]]) -> Table:
    """What is compared."""
    shown = Table(title="Training on the same rows", title_justify="left", box=None)
    for column in (
        "",
        "rows/step",
        "layout",
        "useful tokens/s",
        "s/step",
        "peak GB",
        "of ceiling",
        "x trl",
        "x unsloth",
    ):
        shown.add_column(column, justify="left" if column in ("", "layout") else "right")
    then = {f"{name}, rows of {r['then']['long']}": r["then"] for name, r in results.items() if "then" in r}
    for name, r in (results | then).items():
        if "step_s" not in r:
            shown.add_row(name, "", r.get("error", "failed"))
            continue
        rate = r["useful_tokens_per_s"]
        ratios = [
            f"{rate / base:.2f}" if (base := results.get(n, {}).get("useful_tokens_per_s")) else ""
            for n in ("trl", "unsloth")
        ]
        peak = f"{r['reserved_gb']:.1f}" if r["reserved_gb"] is not None else ""
        layout = f"{r['batches']}, {r['count']} a step"
        shown.add_row(
            name,
            str(r["rows_a_step"]),
            layout,
            f"{rate:,.0f}",
            f"{r['step_s']:.3f}",
            peak,
            f"{r['share_of_ceiling']:.1%}" if "share_of_ceiling" in r else "",
            *ratios,
        )
    return shown


if __name__ == "__main__":
    main()
