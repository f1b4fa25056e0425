"""Recipes of other trainers become valid ones of ours, and nothing that they said is lost without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.errors import ConfigError
from configs.foreign.translate import Translation, translate
from configs.recipe.load import load_config
from scripts.cli import main

LLAMA_FACTORY = """
model_name_or_path: Qwen/Qwen3-8B
trust_remote_code: true
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: identity,alpaca_zh_demo
template: qwen3_nothink
cutoff_len: 2048
max_samples: 1000
overwrite_cache: true
output_dir: saves/shop/lora/sft
logging_steps: 10
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
mask_history: true
freeze_multi_modal_projector: true
"""
SWIFT = r"""
CUDA_VISIBLE_DEVICES=0 \
swift sft \
    --model Qwen/Qwen3-8B \
    --train_type lora \
    --dataset 'AI-ModelScope/alpaca-gpt4-data-zh#500' 'swift/self-cognition#500' my.jsonl \
    --torch_dtype bfloat16 \
    --num_train_epochs 1 \
    --per_device_train_batch_size 1 \
    --learning_rate 1e-4 \
    --lora_rank 8 --lora_alpha 32 \
    --target_modules all-linear \
    --gradient_accumulation_steps 16 \
    --max_length 2048 --output_dir output \
    --system 'You are a helpful assistant.' \
    --warmup_ratio 0.05 --loss_scale ignore_empty_think \
    --model_author swift --model_name swift-robot
"""
AXOLOTL = """
base_model: Qwen/Qwen3-8B
plugins: [axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin]
load_in_4bit: true
adapter: qlora
chat_template: qwen3
datasets:
  - path: mlabonne/FineTome-100k
    type: chat_template
    split: train[:20%]
    field_messages: conversations
    message_property_mappings: {role: from, content: value}
val_set_size: 0.0
output_dir: ./outputs/out
sequence_len: 2048
sample_packing: true
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, k_proj, v_proj, o_proj, down_proj, up_proj]
gradient_accumulation_steps: 2
micro_batch_size: 1
num_epochs: 1
optimizer: adamw_torch_4bit
lr_scheduler: cosine
learning_rate: 0.0002
bf16: auto
warmup_steps: 10
weight_decay: 0.0
"""
UNSLOTH = """
from unsloth import FastLanguageModel
import torch
max_seq_length = 2048
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name = "unsloth/Qwen3-14B-unsloth-bnb-4bit", max_seq_length = max_seq_length,
    load_in_4bit = True, full_finetuning = False)
model = FastLanguageModel.get_peft_model(model, r = 32, target_modules = ["q_proj", "k_proj"],
    lora_alpha = 32, lora_dropout = 0, bias = "none",
    use_gradient_checkpointing = "unsloth", random_state = 3407, use_rslora = False, loftq_config = None)
from datasets import load_dataset
dataset = load_dataset("mlabonne/FineTome-100k", split = "train")
from trl import SFTTrainer, SFTConfig
trainer = SFTTrainer(model = model, tokenizer = tokenizer, train_dataset = dataset, args = SFTConfig(
    dataset_text_field = 'text', per_device_train_batch_size = 2, gradient_accumulation_steps = 4, warmup_steps = 5,
    max_steps = 30, learning_rate = 2e-4, logging_steps = 1, optim = "adamw_8bit",
    weight_decay = 0.01, lr_scheduler_type = "linear", seed = 3407, report_to = "none"))
"""


def translated(folder: Path, name: str, text: str) -> Translation:
    (folder / name).write_text(text, encoding="utf-8")
    return translate(folder / name)


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        return {k: v for key, value in tree.items() for k, v in flat(value, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): tree}


@pytest.mark.parametrize(
    ("name", "text", "tool", "expected", "left"),
    [
        (
            "sft.yaml", LLAMA_FACTORY, "LLaMA-Factory",
            {
                "model": "Qwen/Qwen3-8B", "lora.r": 8, "lora.alpha": 16, "train.rows_per_step": 8, "data.turns": "last",
                "train.learning_rate": 1e-4, "train.epochs": 3, "data.max_length": 2048, "thinking": False,
                "data.sources": [{"path": "./data#:1000", "subset": name} for name in ("identity", "alpaca_zh_demo")],
            },
            {"freeze_multi_modal_projector"},
        ),
        (
            "run.sh", SWIFT, "ms-swift",
            {
                "hub": "modelscope", "train.rows_per_step": 16, "lora.alpha": 32, "lora.dropout": 0.05,
                "data.system": "You are a helpful assistant.", "train.weight_decay": 0.1, "train.warmup_ratio": 0.05,
                "data.sources": [
                    {"path": "AI-ModelScope/alpaca-gpt4-data-zh#500"}, {"path": "swift/self-cognition#500"},
                    {"path": "./my.jsonl"},
                ],
            },
            {"loss_scale", "model_name", "dataset"},
        ),
        (
            "axolotl.yml", AXOLOTL, "Axolotl",
            {
                "train.precision": "4bit", "train.rows_per_step": 2, "train.optimizer": "adamw_torch_4bit",
                "data.sources": [{"path": "mlabonne/FineTome-100k", "split": "train[:20%]"}], "train.epochs": 1,
            },
            {"warmup_steps", "val_set_size", "sample_packing"},
        ),
        (
            "train.py", UNSLOTH, "Unsloth",
            {
                "model": "unsloth/Qwen3-14B", "train.precision": "4bit", "lora.r": 32, "train.max_steps": 30,
                "train.warmup_ratio": 0.1667, "lora.target_modules": ["q_proj", "k_proj"], "seed": 3407,
                "train.optimizer": "adamw_8bit", "train.scheduler": "linear",
            },
            {"model", "the data's preparation", "train_on_prompt"},
        ),
    ],
    ids=["LLaMA-Factory", "ms-swift", "Axolotl", "Unsloth"],
)  # fmt: skip
def test_each_trainers_recipe_says_the_same_here(
    name: str, text: str, tool: str, expected: dict[str, Any], left: set[str], tmp_path: Path
) -> None:
    found = translated(tmp_path, name, text)
    assert found.tool == tool
    recipe = flat(found.recipe)
    assert {key: recipe.get(key) for key in expected} == expected
    assert {key for key, _ in found.left} == left
    (tmp_path / "ours.yaml").write_text(found.text(tmp_path / name), encoding="utf-8")
    assert load_config(tmp_path / "ours.yaml").train.rows_per_step == expected.get("train.rows_per_step", 8)


def test_no_key_of_a_file_is_lost_without_a_word(tmp_path: Path) -> None:
    found = translated(tmp_path, "sft.yaml", LLAMA_FACTORY)
    told = {key for pairs in (found.taken, found.not_needed, found.left) for key, _ in pairs}
    assert set(yaml.safe_load(LLAMA_FACTORY)) <= told | {"output_dir"}


def test_a_notebook_is_read_without_its_shell_commands(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Fine-tune"]},
        {"cell_type": "code", "source": ["%%capture\n", "!pip install unsloth"]},
        {"cell_type": "code", "source": ["!nvidia-smi\n", *UNSLOTH.splitlines(keepends=True)]},
    ]
    file = tmp_path / "Qwen3_(14B).ipynb"
    file.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert translate(file).recipe["lora"]["r"] == 32


def test_a_script_that_masks_prompts_and_names_a_subset(tmp_path: Path) -> None:
    text = (
        UNSLOTH.replace('"mlabonne/FineTome-100k", split', '"owner/rows", "zh", split')
        + "train_on_responses_only(trainer)\n"
    )
    found = translated(tmp_path, "train.py", text)
    assert found.recipe["data"]["sources"] == [{"path": "owner/rows", "subset": "zh"}]
    assert "train_on_prompt" not in {key for key, _ in found.left}


def test_data_sets_of_a_hub_in_llama_factory(tmp_path: Path) -> None:
    text = LLAMA_FACTORY.replace("dataset: identity,alpaca_zh_demo", "dataset: owner/rows\ndataset_dir: ONLINE")
    text += "quantization_bit: 4\nquantization_method: bnb\nlora_target: q_proj,v_proj\n"
    text = text.replace("lora_target: all\n", "")
    found = translated(tmp_path, "sft.yaml", text)
    assert found.recipe["data"]["sources"] == [{"path": "owner/rows#:1000"}]
    assert found.recipe["train"]["precision"] == "4bit"
    assert found.recipe["lora"]["target_modules"] == ["q_proj", "v_proj"]
    assert "quantization_method" in {key for key, _ in found.not_needed}


def test_nothing_of_a_script_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    text = UNSLOTH.replace("max_seq_length = 2048", f"max_seq_length = open({str(mark)!r}, 'w').write('x')")
    found = translated(tmp_path, "train.py", text)
    assert not mark.exists()
    assert "max_seq_length" in {key for key, _ in found.left}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("dpo.yaml", LLAMA_FACTORY.replace("stage: sft", "stage: dpo"), "no supervised fine-tuning"),
        ("other.yaml", "a: 1\nb: 2\n", "neither of LLaMA-Factory nor of ms-swift"),
        ("no_data.yaml", LLAMA_FACTORY.replace("dataset: identity,alpaca_zh_demo", ""), "no data set is named"),
        ("plain.py", "print('hello')\n", "no call of FastLanguageModel"),
        ("broken.py", "def f(:\n", "not Python"),
        ("broken.ipynb", "{", "not a notebook"),
        ("null.ipynb", '{"cells":[null]}', "not a notebook"),
        ("list.yaml", "- a\n", "a recipe is a mapping"),
        ("nul.py", "a\0b", "not Python"),
        ("deep.py", f"x = {'-' * 100_000}1", "not Python"),
        ("sums.py", f"x = {'1 + ' * 100_000}1", "not Python"),
        ("deep.ipynb", '{"cells":' + "[" * 100_000, "not a notebook"),
    ],
)
def test_what_is_no_recipe_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        translated(tmp_path, name, text)
    assert refused.value.next_step


@pytest.mark.parametrize("line_break", ["\n", "\r", "\x85", "\u2028", "\u2029"])
def test_no_key_or_value_ends_the_comment_that_it_stands_in(line_break: str, tmp_path: Path) -> None:
    harm = line_break + "output_dir: /elsewhere"
    raw = yaml.safe_load(LLAMA_FACTORY) | {f"odd{harm}": f"value{harm}", "template": f"qwen3{harm}"}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    found = translate(tmp_path / "a.yaml")
    assert any("elsewhere" in key for key, _ in found.left)
    assert yaml.safe_load(found.text(Path(f"a{harm}.yaml"))) == found.recipe


def test_init_writes_it_and_names_what_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.sh").write_text(SWIFT, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["init", "--from", "run.sh"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "wrote run.yaml" in shown
    assert "not translated: loss_scale" in shown
    assert "# Could not be translated" in (tmp_path / "run.yaml").read_text(encoding="utf-8")


def test_what_comes_after_the_training_and_what_it_is_evaluated_on_is_not_trained(tmp_path: Path) -> None:
    text = UNSLOTH.replace("train_dataset = dataset", "train_dataset = dataset, eval_dataset = dev").replace(
        "from trl", 'dev = load_dataset("owner/dev", split = "test")\nfrom trl'
    )
    text += 'if False:\n    model, t = FastLanguageModel.from_pretrained("lora_model", max_seq_length = 512)\n'
    text += "max_seq_length = 9\n"
    found = translated(tmp_path, "train.py", text)
    assert (found.recipe["model"], found.recipe["data"]["max_length"]) == ("unsloth/Qwen3-14B", 2048)
    assert found.recipe["data"]["sources"] == [{"path": "mlabonne/FineTome-100k"}]
    assert {"from_pretrained", "eval_dataset"} <= {key for key, _ in found.left}


def test_settings_without_a_name_in_their_call_and_those_set_afterwards_are_read(tmp_path: Path) -> None:
    text = """
few = dict(learning_rate = 3e-4, num_train_epochs = 5)
model, tokenizer = FastLanguageModel.from_pretrained("a/b", 4096, load_in_4bit = False)
model = FastLanguageModel.get_peft_model(model, 64, **{"lora_dropout": 0.1}, **more)
args = TrainingArguments("out", **few)
args.warmup_ratio = 0.2
trainer = SFTTrainer(model, args, train_dataset = load_dataset("owner/name"))
"""
    found = translated(tmp_path, "train.py", text)
    train, lora = found.recipe["train"], found.recipe["lora"]
    assert (train["learning_rate"], train["epochs"], train["warmup_ratio"], train["precision"]) == (
        3e-4,
        5,
        0.2,
        "16bit",
    )
    assert (lora["r"], lora["dropout"], found.recipe["data"]["max_length"], found.recipe["name"]) == (
        64,
        0.1,
        4096,
        "train",
    )
    assert ("get_peft_model", "line 4: `**more` is not read") in found.left


def test_every_data_set_that_is_loaded_is_a_source(tmp_path: Path) -> None:
    text = UNSLOTH.replace("from trl", 'more = load_dataset("owner/more", split = "cot")\nfrom trl')
    found = translated(tmp_path, "train.py", text)
    assert found.recipe["data"]["sources"] == [
        {"path": "mlabonne/FineTome-100k"}, {"path": "owner/more", "split": "cot"}
    ]  # fmt: skip
    assert ("load_dataset", "2 are loaded; leave out what is not trained") in found.left


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        ("NPROC_PER_NODE=4 swift sft --model a/b --dataset x.jsonl#9 --lora_rank 8 --gradient_accumulation_steps 2", 8),
        ("export NPROC_PER_NODE=2\nNNODES=3 swift sft --model a/b --dataset x.jsonl#9 --lora_rank 8", 18),
        ("swift sft --model a/b --dataset x.jsonl --lora_rank 8 --per_device_train_batch_size 6", 18),
        ("M=a/b\ntorchrun --nproc_per_node 4 src/train.py --stage sft --model_name_or_path $M --dataset x "
         "--per_device_train_batch_size 2  # four\nswift infer --model c/d --lora_rank 99", 8),
        ("CUDA_VISIBLE_DEVICES=0,1 llamafactory-cli train --stage sft --model_name_or_path ${M:-a/b} --dataset x", 16),
        ("CUDA_VISIBLE_DEVICES=0,1 swift sft --model a/b --dataset x.jsonl --lora_rank 8 \\\n --system 'one\ntwo'", 16),
    ],
)  # fmt: skip
def test_the_command_that_trains_is_read_with_its_processes(script: str, rows: int, tmp_path: Path) -> None:
    found = translated(tmp_path, "run.sh", script)
    assert (found.recipe["model"], found.recipe["lora"]["r"]) == ("a/b", 8)
    assert found.recipe["train"]["rows_per_step"] == rows
    assert {("train.rows_per_step", f"{rows}")} >= {one for one in found.assumed if one[0] == "train.rows_per_step"}
    assert not found.left


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("max_grad_norm: 0", "max_grad_norm"),
        ("max_samples: many", "max_samples"),
        ("roles_to_train: [user]", "roles_to_train"),
        ("neat_packing: true", "neat_packing"),
        ("deepspeed: ds_z3_config.json", "deepspeed"),
    ],
)
def test_what_would_train_otherwise_is_named(line: str, key: str, tmp_path: Path) -> None:
    assert key in {
        name
        for name, _ in translated(
            tmp_path,
            "sft.yaml",
            f"{LLAMA_FACTORY}{line}\n".replace(
                "max_samples: 1000\n", "" if key == "max_samples" else "max_samples: 1000\n"
            ),
        ).left
    }


@pytest.mark.parametrize(("kind", "rate"), [("lora", 1e-4), ("full", 1e-5)])
def test_the_rate_that_ms_swift_takes_by_itself(kind: str, rate: float, tmp_path: Path) -> None:
    found = translated(tmp_path, "run.sh", f"swift sft --model a/b --dataset x.jsonl --train_type {kind}")
    assert found.recipe["train"]["learning_rate"] == rate
    assert ("train.learning_rate", f"{rate:g}") in found.assumed


def test_the_best_checkpoint_is_kept_here_too(tmp_path: Path) -> None:
    found = translated(
        tmp_path, "sft.yaml", f"{LLAMA_FACTORY}load_best_model_at_end: true\nmax_steps: 5\nwarmup_steps: 9\n"
    )
    assert found.recipe["train"]["keep_best"] is True


def test_no_warm_up_there_is_none_here(tmp_path: Path) -> None:
    found = translated(tmp_path, "axolotl.yml", AXOLOTL.replace("warmup_steps: 10", "warmup_steps: 0"))
    assert found.recipe["train"]["warmup_ratio"] == 0


def test_keys_of_an_entry_of_axolotl_are_named(tmp_path: Path) -> None:
    entries = "datasets:\n  - {path: a.jsonl, shards: 10}\n  - b.jsonl\n"
    found = translated(tmp_path, "axolotl.yml", AXOLOTL.partition("datasets:")[0] + entries + "sequence_len: 9\n")
    assert {"datasets.shards", "datasets"} <= {key for key, _ in found.left}


@pytest.mark.parametrize(
    "script", ["A=$A$A\n" * 40 + "swift sft --model $A --lora_rank 8", "'a\n" * 20001, "swift sft --model '\n" * 9999]
)
def test_a_script_that_grows_without_end_is_read_to_a_bound(script: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        translated(tmp_path, "run.sh", script)


def test_a_character_that_no_recipe_can_hold_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"U\+0000"):
        translated(tmp_path, "run.sh", "swift sft --model a\0b --dataset a.jsonl")


def test_names_for_names_without_end_are_names(tmp_path: Path) -> None:
    text = UNSLOTH.replace("r = 32", "r = rank").replace("import torch\n", "a = b\nb = a\n" * 3000 + "rank = a\n")
    assert translated(tmp_path, "train.py", text).recipe["lora"]["r"] == 16
