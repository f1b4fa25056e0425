"""What a recipe asks for and machine, data or model do not bring: trackers, llama.cpp's quantizer, layers, formats.

No torch, so that `tuneserve check` and the start of a run can tell before anything is downloaded or trained.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from configs.errors import ConfigError
from configs.machine import driver, pins
from configs.machine.gpus import Card, visible_cards
from configs.model.files import read_json, read_model_config, text_config
from configs.recipe.schema import GgufQuant, LoraConfig, MergeConfig, RunConfig
from configs.run.adapter_scale import check_scale
from trainer.architectures import Model, paths_of

K_QUANTS: tuple[str, ...] = tuple(name for name in get_args(GgufQuant) if "_k" in name)
"""Number formats of a GGUF file that only llama.cpp's `llama-quantize` writes."""

GGUF_MODEL_TYPES = ("qwen2", "qwen3", "qwen3_moe", "llama")
"""Architectures that are written as GGUF here."""

_CONVERT = "merge with --format vllm and convert that folder with llama.cpp's convert_hf_to_gguf.py"

# How a byte-level BPE cuts text before it merges, by the regular expression in tokenizer.json; llama.cpp knows each by
# a name of its own and tokenizes wrongly under any other.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PRE_TOKENIZERS = {_WORDS + r"\p{N}" + _REST: "qwen2", _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe"}

_YARN = {
    "attention_factor": None, "beta_fast": 32, "beta_slow": 1, "mscale": None, "mscale_all_dim": None, "truncate": True,
}  # fmt: skip
"""Keys of YaRN that a GGUF is written without, with the values that llama.cpp computes with."""

_TRACKER_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX")}


def check_needs(config: RunConfig) -> None:
    """Raises a ConfigError for the first thing that machine or recipe do not have."""
    if config.train.num_gpus > 1 and config.train.method == "full":
        raise ConfigError(
            f"train.num_gpus is {config.train.num_gpus}: several GPUs train an adapter, each with the whole model; "
            "train.method=full is for one",
            "set train.num_gpus=1, or train.method=lora",
        )
    if config.train.precision != "16bit" and config.train.method == "full":
        raise ConfigError(
            f"train.precision={config.train.precision}: weights in few bits are held for an adapter; train.method=full "
            "trains all of them in 16",
            "set train.precision=16bit, or train.method=lora",
        )
    check_trackers(config.train.report_to)
    check_quantizer(config.merge)
    check_scale(config)
    check_soft_targets(config)
    check_heldout(config)


def check_cards(config: RunConfig) -> None:
    """Raises a ConfigError where this machine shows fewer GPUs than are to train; without any, its CPU stands in."""
    count, cards = config.train.num_gpus, _training_together(config)
    if cards and len(cards) < count:
        raise ConfigError(
            f"train.num_gpus is {count}, and {len(cards)} GPU{'s' if len(cards) > 1 else ''} can be used here",
            f"set train.num_gpus={len(cards)}, or look at nvidia-smi and CUDA_VISIBLE_DEVICES",
        )


def cards_warning(config: RunConfig) -> str | None:
    """What to say of GPUs of different kinds that are to train together; None where they are alike."""
    count = config.train.num_gpus
    kinds = list(dict.fromkeys(card.device.name for card in _training_together(config)[:count]))
    if len(kinds) < 2:
        return None
    return (
        f"train.num_gpus is {count}, and the GPUs differ ({', '.join(kinds)}): the plan is for the one that can least, "
        "and the fastest waits for the slowest in every step; CUDA_VISIBLE_DEVICES chooses others"
    )


def _training_together(config: RunConfig) -> list[Card]:
    """The GPUs that several processes of training can take; none where one trains, or the CPU does."""
    return visible_cards() if config.train.num_gpus > 1 and pins.made_for() != "cpu" else []


def check_driver() -> None:
    """Raises a TuneserveError where this environment has CUDA builds and driver or cards are too old for them.

    torch would only warn, and train on the CPU.
    """
    if pins.made_for() == "cuda":
        driver.raise_what_blocks(driver.problems(driver.look()))


def check_model_needs(config: RunConfig, model: Path) -> None:
    """Raises a ConfigError for what the model cannot do; config.json and tokenizer.json are enough."""
    if config.train.method == "lora":
        check_layers(config.lora, model)
    found = Model.of(read_model_config(model))
    if config.train.method == "full" and (found.sees or found.mixture):
        what = "has more than a text part" if found.sees else "is a mixture of experts"
        raise ConfigError(
            f"train.method=full: {model.name} {what}, whose weights the merge takes from an adapter only",
            "set train.method=lora",
        )
    if config.merge.scale == "auto" and found.mixture and pins.server_device() == "cpu":
        raise ConfigError(
            f"merge.scale is auto: it serves adapters beside the base, which vLLM's CPU build cannot for {model.name}, "
            "a mixture of experts",
            "give a number for merge.scale, or let a machine with a GPU choose",
        )
    if config.train.method == "lora" and config.train.precision == "8bit" and (why := paths_of(model).own_functions):
        raise ConfigError(
            f"train.precision=8bit: the FP8 functions stand in Unsloth's fused layers, and {why}",
            "set train.precision=16bit, or 4bit where that does not fit",
        )
    if config.data.selfmade.soft_targets is True and (why := hinders_soft_targets(config, model)):
        raise ConfigError(f"data.selfmade.soft_targets: {why}", "set data.selfmade.soft_targets=auto")
    if "gguf" in config.merge.formats:
        check_gguf_model(model)


def check_soft_targets(config: RunConfig) -> None:
    """Raises a ConfigError where soft targets are asked for, and nothing is trained that they could belong to."""
    if config.data.selfmade.soft_targets is True and not config.replays_itself:
        raise ConfigError(
            "data.selfmade.soft_targets: they belong to rows that the base writes, and data.replay is not self",
            "set data.replay=self, or leave data.selfmade.soft_targets out",
        )


def hinders_soft_targets(config: RunConfig, model: Path) -> str:
    """Why rows that this base writes cannot be trained by its probabilities; empty where they can."""
    if config.train.method == "full" or config.lora.modules_to_save:
        what = ", ".join(config.lora.modules_to_save) or "train.method=full"
        return f"they are trained through an output layer that stays as it is ({what})"
    if why := paths_of(model).own_functions:
        return f"the loss stands behind Unsloth's fused layers, and {why}"
    if text_config(read_model_config(model)).get("final_logit_softcapping"):
        return f"the loss takes logits as they are, and {model.name} caps them"
    return ""


def trains_soft_targets(config: RunConfig, model: Path) -> bool:
    """Whether rows that the base writes are trained by its probabilities, not by the tokens that it wrote."""
    return config.wants_soft_targets and not hinders_soft_targets(config, model)


def check_heldout(config: RunConfig) -> None:
    """Raises a ConfigError where held-out rows decide something and none are held out."""
    if config.data.eval_split or config.data.heldout:
        return
    step = "set data.eval_split above 0, or data.heldout"
    if config.train.early_stopping or config.train.keep_best:
        raise ConfigError(
            "train.early_stopping and train.keep_best compare losses on held-out rows, and data.eval_split is 0", step
        )
    if config.merge.scale == "auto":
        raise ConfigError("merge.scale: auto chooses by held-out rows, and data.eval_split is 0", step)


def check_layers(lora: LoraConfig, model: Path) -> None:
    """Raises a ConfigError for layers that cannot take an adapter."""
    if lora.target_modules == "auto":
        return
    whole = [name for name in lora.target_modules if name in ("lm_head", "embed_tokens")]
    if whole:
        raise ConfigError(
            f"lora.target_modules: {', '.join(whole)} cannot take an adapter: TRL computes the loss from "
            "the weights of the output layer, past any adapter on it",
            f"leave it out of lora.target_modules; lora.modules_to_save=[{', '.join(whole)}] trains the whole layer",
        )
    found = Model.of(read_model_config(model))
    if missing := [name for name in lora.target_modules if name not in found.layers]:
        why = f"{model.name} has no layers named {', '.join(missing)}"
        if found.mixture:
            why += (
                " outside its experts, which transformers holds as one tensor: "
                "neither PEFT's names nor the merge reach into it"
            )
        raise ConfigError(
            f"lora.target_modules: {why}", f"set lora.target_modules=auto, or name some of {', '.join(found.layers)}"
        )


def check_trackers(names: Sequence[str]) -> None:
    """Raises a ConfigError for the first tracker whose package is not installed."""
    for name in names:
        packages = _TRACKER_PACKAGES.get(name, (name,))
        if not any(importlib.util.find_spec(package) for package in packages):
            raise ConfigError(
                f"train.report_to: {name} needs the package {packages[0]}, which is not installed",
                f"run `pip install {packages[0]}`, or take {name} out of train.report_to",
            )


def check_quantizer(merge: MergeConfig) -> None:
    """Raises a ConfigError where a K-quant is asked for and `llama-quantize` is not there."""
    if "gguf" in merge.formats and merge.gguf_quant in K_QUANTS:
        find_quantizer(merge.gguf_quant)


def find_quantizer(quant: str) -> Path:
    """llama.cpp's `llama-quantize`.

    Args:
        quant: the K-quant that it is wanted for.

    Raises:
        ConfigError: it is not on the PATH.
    """
    program = shutil.which("llama-quantize")
    if program is None:
        raise ConfigError(
            f"GGUF in {quant}: K-quants are made by llama.cpp's llama-quantize, which is not on the PATH",
            "install llama.cpp, or take q8_0 (merge.gguf_quant, or --quant), or quantize a bf16 file elsewhere",
        )
    return Path(program)


def check_gguf_model(model: Path) -> str:
    """llama.cpp's name for the way the model's tokenizer cuts text.

    Raises:
        ConfigError: the architecture or the tokenizer cannot be written.
    """
    kind = read_model_config(model).get("model_type")
    if kind not in GGUF_MODEL_TYPES:
        raise ConfigError(
            f"{model}: architecture {kind!r} is not among those written as GGUF here ({', '.join(GGUF_MODEL_TYPES)}), "
            "which are those that transformers reads back, so that the file can be checked",
            _CONVERT,
        )
    for key, value in _lost_in_gguf(read_model_config(model)):
        raise ConfigError(
            f"{model}: {key} in config.json is {value!r}, which no GGUF of {kind} says: llama.cpp would compute "
            "another model",
            "leave gguf out of merge.formats",
        )
    return pre_tokenizer_name(model)


def _lost_in_gguf(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys with which a model computes otherwise than llama.cpp takes for granted of its architecture."""
    kind, rope = config.get("model_type"), config.get("rope_parameters") or config.get("rope_scaling") or {}
    if (act := config.get("hidden_act", "silu")) != "silu":
        yield "hidden_act", act
    if kind == "qwen3_moe" and not config.get("norm_topk_prob"):
        yield "norm_topk_prob", False
    if kind in ("qwen3", "qwen3_moe") and config.get("attention_bias"):
        yield "attention_bias", True
    yield from ((key, rope[key]) for key, usual in _YARN.items() if rope.get(key) not in (None, usual))


def pre_tokenizer_name(model: Path) -> str:
    """llama.cpp's name for the way this tokenizer cuts text.

    Raises:
        ConfigError: it is not a byte-level BPE, or cuts in a way that has no known name.
    """
    file = model / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(f"{model}: tokenizer.json is missing", "save the tokenizer once with transformers")
    spec = read_json(file)
    pre = spec.get("pre_tokenizer") or {}
    parts = pre.get("pretokenizers", [pre])
    splits = [part["pattern"].get("Regex") for part in parts if part.get("type") == "Split"]
    kind = spec["model"].get("type")
    name = _PRE_TOKENIZERS.get(splits[0]) if len(splits) == 1 and kind == "BPE" else None
    if name is None:
        raise ConfigError(
            f"{file}: this tokenizer ({kind}) cuts text in a way that has no known GGUF name",
            _CONVERT,
        )
    return name
