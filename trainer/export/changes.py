"""What an adapter does to each tensor of its base: matched and checked in full before a byte is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftConfig, PeftType
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError, safe_open

from configs.errors import ConfigError, TuneserveError
from configs.model.adapter_inits import require_plain_init
from configs.model.adapter_weights import ADAPTER_WEIGHTS, LORA_KEY, layer_path, refuse_empty, spellings
from configs.model.files import read_json, read_model_config, refuse_special_files, weight_files
from configs.run.adapter_scale import scaled_alphas, why_unscalable
from trainer.architectures import refuse_quantized
from trainer.export.targets import matched, require_agreement

_SAVED_MODULE = re.compile(r"\.modules_to_save(?:\.(?!weight$|bias$)[^.]+(?=\.(?:weight|bias)$))?\.")
"""Whole modules that were trained; a raw state dict names the adapter behind it."""
_VOCABULARY = re.compile(r"(?:embed_tokens|lm_head)\.weight$")

ITEM_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
              "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1}  # fmt: skip
"""Bytes of a number of each type that can be written."""
_ADDED_TO = ("F64", "F32", "F16", "BF16")
"""Types of weights that hold the sum with an update; the others round it away."""

# What PEFT can train and what is no single weight afterwards, or what no base tensor corresponds to.
UNMERGEABLE = (
    "fan_in_fan_out", "trainable_token_indices", "target_parameters", "layer_replication", "use_bdlora", "arrow_config",
    "alora_invocation_tokens", "monteclora_config", "kasa_config", "velora_config", "use_qalora", "megatron_config",
)  # fmt: skip


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies and what it is, from a safetensors header."""

    file: Path
    dtype: str
    """safetensors' name of the dtype: `BF16`, `F32`, ..."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class LoraUpdate:
    """A low-rank update of one base weight."""

    module: str
    """Path of the layer, as the adapter spells it."""
    a: str
    """Key of lora_A (rank, in); of lora_embedding_A (rank, vocabulary) for an embedding."""
    b: str
    """Key of lora_B (out, rank)."""
    magnitude: str | None
    """Key of DoRA's magnitude (out,)."""
    rank: int
    alpha: float
    embedding: bool


@dataclass(frozen=True)
class Change:
    """What one tensor of the merged model is made of; a tensor without a Change is copied."""

    source: str
    """Base tensor that it starts from."""
    replacement: str | None = None
    """Adapter tensor that takes the base tensor's place (`modules_to_save`, trained biases)."""
    lora: LoraUpdate | None = None
    bias: tuple[str, float] | None = None
    """Key of lora_B's bias, and the scaling that it counts with."""


@dataclass(frozen=True)
class MergePlan:
    """All changes of a merge."""

    base: Mapping[str, TensorInfo]
    """Tensors of the base, in the order of its files."""
    adapter: Mapping[str, TensorInfo]
    config: LoraConfig | None
    """None when every weight was trained."""
    changes: Mapping[str, Change]
    untied: bool
    """Embedding and output head were one tensor in the base and are two now."""


def index_weights(files: Iterable[Path]) -> dict[str, TensorInfo]:
    """Headers of safetensors files: name to file, dtype and shape, in file order.

    Raises:
        TuneserveError: a file is damaged, or two files hold the same tensor.
    """
    found: dict[str, TensorInfo] = {}
    for file in files:
        try:
            with safe_open(file, "pt") as tensors:
                for name in tensors.offset_keys():
                    if name in found:
                        raise TuneserveError(
                            f"{file.parent}: tensor {name} is in {found[name].file.name} and in {file.name}",
                            "remove the weight file that does not belong there, or download the model again",
                        )
                    part = tensors.get_slice(name)
                    if part.get_dtype() not in ITEM_BYTES:
                        raise TuneserveError(
                            f"{file}: tensor {name} is of type {part.get_dtype()}, which no weights have",
                            "download or write this file again",
                        )
                    found[name] = TensorInfo(file, part.get_dtype(), tuple(part.get_shape()))
        except SafetensorError as error:
            raise TuneserveError(
                f"{file}: damaged safetensors file: {error}", "download or write this file again"
            ) from error
    return found


def read_adapter_config(adapter: Path) -> LoraConfig:
    """The PEFT configuration of an adapter folder.

    Raises:
        ConfigError: it is missing, unreadable, not LoRA, or uses something that cannot become plain weights.
    """
    file = adapter / "adapter_config.json"
    if not file.is_file():
        inner = sorted(folder.parent.name for folder in adapter.glob("*/adapter_config.json"))
        if inner:
            raise ConfigError(
                f"{adapter}: holds {len(inner)} adapter{'s' if len(inner) > 1 else ''} in subfolders: "
                f"{', '.join(inner[:8])}",
                f"name one of them, e.g. {adapter / inner[-1]}",
            )
        if (adapter / "config.json").is_file():
            raise ConfigError(
                f"{adapter}: holds whole weights and no adapter",
                "serve them whole: `tuneserve serve RUN`, in 8 bits with serve.precision=fp8",
            )
        raise ConfigError(
            f"{adapter}: adapter_config.json is missing, so this is not a PEFT adapter",
            "give the folder that training wrote (RUN/adapter, or what `save_pretrained` made)",
        )
    refuse_special_files(adapter)
    _refuse_by_name(file, read_json(file))
    try:
        config = PeftConfig.from_pretrained(str(adapter))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file}: PEFT cannot read it: {error}",
            "check that the adapter was made by this or an older version of PEFT",
        ) from error
    if not isinstance(config, LoraConfig):
        raise ConfigError(f"{file}: peft_type is {config.peft_type}; only LORA can be merged", "train a LoRA adapter")
    used = [name for name in UNMERGEABLE if getattr(config, name)]
    if used:
        raise ConfigError(
            f"{file}: {used[0]} is set ({getattr(config, used[0])!r}), which cannot become plain weights here",
            "train without it, or merge with PEFT's own merge_and_unload",
        )
    config.rank_pattern, config.alpha_pattern = config.rank_pattern or {}, config.alpha_pattern or {}
    return config


def _refuse_by_name(file: Path, keys: Mapping[str, Any]) -> None:
    """Raises for what cannot be merged and is known by name, before PEFT looks for keys that only a training needs."""
    kind = str(keys.get("peft_type") or "LORA").upper()
    if kind in PeftType.__members__ and kind != "LORA":
        raise ConfigError(f"{file}: peft_type is {kind}; only LORA can be merged", _other_kind(kind))
    require_plain_init(file, keys.get("init_lora_weights", True))


def _other_kind(kind: str) -> str:
    if "PROMPT" in kind or "PREFIX" in kind or kind in ("P_TUNING", "CPT", "ADAPTION_PROMPT"):
        return "it adds inputs and no weights, so nothing could take it over: train a LoRA adapter"
    return "merge it with PEFT (AutoPeftModelForCausalLM, merge_and_unload, save_pretrained), or train a LoRA adapter"


def plan_merge(base: Path, adapter: Path, scale: float = 1.0) -> MergePlan:
    """Matches every tensor of an adapter (or of fully trained weights) with the base tensor that it changes.

    Args:
        scale: the adapter counts so many times as much as it was trained to.

    Raises:
        ConfigError: base or adapter is of a kind that cannot be merged, or the adapter cannot be scaled.
        TuneserveError: a tensor matches nothing, a shape differs, or a part of an update is missing.
    """
    refuse_quantized(base, read_model_config(base))
    if (adapter / "config.json").is_file() and not (adapter / "adapter_config.json").is_file():
        if scale != 1:
            raise ConfigError(f"{adapter}: cannot be scaled: all weights were trained", "merge it as it was trained")
        return _plan_full(base, adapter)
    config = read_adapter_config(adapter)
    if scale != 1:
        if why := why_unscalable(config.to_dict()):
            raise ConfigError(f"{adapter}: cannot count {scale:g} times as much: {why}", "merge it as it was trained")
        config.lora_alpha, config.alpha_pattern = scaled_alphas(config.lora_alpha, config.alpha_pattern, scale)
    weights = adapter / ADAPTER_WEIGHTS
    if not weights.is_file():
        other = " (adapter_model.bin is there)" if (adapter / "adapter_model.bin").is_file() else ""
        raise ConfigError(
            f"{adapter}: {ADAPTER_WEIGHTS} is missing{other}",
            "save the adapter with PEFT's save_pretrained, or name the checkpoint folder that holds it",
        )
    base_tensors, adapter_tensors = index_weights(weight_files(base)), index_weights([weights])
    refuse_empty(adapter)
    if not base_tensors:
        raise ConfigError(f"{base}: its weight files hold no tensor", "download the base again")
    if not adapter_tensors:
        raise TuneserveError(f"{weights}: holds no tensor, so there is nothing to merge", "train the adapter again")
    head, tied = _tied_head(base, base_tensors)
    known = dict(base_tensors)
    if tied and head:
        known[head] = base_tensors[tied]

    changes = _collect(config, adapter_tensors, known)
    untied = bool(tied and head and {tied, head} & changes.keys())
    if tied and head and untied:  # whichever of the two was trained, the other one keeps the base's values
        changes[head] = replace(changes.get(head, Change(tied)), source=tied)
    _check_shapes(changes, known, adapter_tensors)
    for name, change in changes.items():
        if known[change.source].dtype not in _ADDED_TO:
            raise ConfigError(
                f"{base}: tensor {name} is of type {known[change.source].dtype}, to which nothing can be added",
                "give the 16-bit original of the base with --base",
            )
    layers = {name: change.lora.module for name, change in changes.items() if change.lora}
    trained = {name for name, change in changes.items() if change.replacement or change.bias}
    require_agreement(config, layers, trained, known, {head, tied} if head and tied else set())
    return MergePlan(base_tensors, adapter_tensors, config, changes, untied)


def _plan_full(base: Path, trained: Path) -> MergePlan:
    """Fully trained weights: every base tensor is replaced by the trained one of the same name."""
    base_tensors, trained_tensors = index_weights(weight_files(base)), index_weights(weight_files(trained))
    head, tied = _tied_head(base, base_tensors)
    spare = {head} if tied else set()  # a saver may or may not write the second name of a tied tensor
    for name in sorted((base_tensors.keys() ^ trained_tensors.keys()) - spare):
        where = trained if name in base_tensors else base
        raise TuneserveError(f"{where}: tensor {name} is missing there", "give the base that was trained")
    changes = {n: Change(n, replacement=n) for n in base_tensors if n in trained_tensors}
    _check_shapes(changes, base_tensors, trained_tensors)
    return MergePlan(base_tensors, trained_tensors, None, changes, untied=False)


def _collect(
    config: LoraConfig, adapter: Mapping[str, TensorInfo], base: Mapping[str, TensorInfo]
) -> dict[str, Change]:
    """Sorts the adapter's tensors into Changes; each key is taken once, and one that fits nowhere is an error."""
    parts: dict[str, dict[str, str]] = {}
    replaced: dict[str, str] = {}
    for key in adapter:
        path = layer_path(key)
        match = LORA_KEY.search(path)
        if match:
            part = match["part"] + (".bias" if match["kind"] == ".bias" else "")
            of_layer = parts.setdefault(path[: match.start()], {})
            if part in of_layer:
                raise TuneserveError(
                    f"adapter tensors {of_layer[part]} and {key} are both the {part} of one layer: two adapters",
                    "save each adapter on its own with PEFT's save_pretrained",
                )
            of_layer[part] = key
            continue
        plain = _SAVED_MODULE.sub(".", path).replace(".base_layer.", ".").replace(".original_module.", ".")
        name = next((n for n in spellings(plain) if n in base), None)
        if name and ".original_module." in path and adapter[key].shape == base[name].shape:
            continue  # the base's own weights, which some savers write beside the trained ones
        if name is None or name in replaced:
            raise _unused(key, "is no LoRA tensor, and the base has no tensor of that name", base)
        replaced[name] = key

    changes = {name: Change(name, replacement=key) for name, key in replaced.items()}
    for module, keys in parts.items():
        name = next((n for n in spellings(module + ".weight") if n in base), None)
        if name is None:
            none = not any(n in base for other in parts for n in spellings(other + ".weight"))
            every = f" nor any of the adapter's {len(parts)} layers: it is for another architecture" if none else ""
            raise _unused(next(iter(keys.values())), f"the base has no layer {module}{every}", base)
        update = _lora_update(config, module, keys, adapter)
        before = changes.get(name, Change(name))
        rival = before.lora.a if before.lora else before.replacement
        if rival and ".base_layer." not in rival:
            raise TuneserveError(
                f"adapter tensors {rival} and {update.a} are both for the base's {name}: two adapters",
                "save each adapter on its own with PEFT's save_pretrained",
            )
        changes[name] = replace(before, lora=update)
        if "lora_B.bias" in keys:
            bias = name.removesuffix("weight") + "bias"
            if bias not in base:
                raise _unused(keys["lora_B.bias"], f"layer {module} of the base has no bias to add it to", base)
            scaling = update.alpha / (update.rank**0.5 if config.use_rslora else update.rank)
            changes[bias] = replace(changes.get(bias, Change(bias)), bias=(keys["lora_B.bias"], scaling))
    return changes


def _lora_update(
    config: LoraConfig, module: str, keys: Mapping[str, str], adapter: Mapping[str, TensorInfo]
) -> LoraUpdate:
    """The update of one layer, with rank and alpha as PEFT's patterns give them for it."""
    embedding = "lora_embedding_A" in keys or "lora_embedding_B" in keys
    a, b = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A", "lora_B")
    needed = {a, b} | ({"lora_magnitude_vector"} if config.use_dora else set())
    if config.lora_bias and not embedding:
        needed.add("lora_B.bias")
    odd = needed ^ keys.keys()
    if odd:
        part = sorted(odd)[0]
        state = "misses" if part in needed else "has an unexpected"
        raise TuneserveError(
            f"adapter layer {module} {state} {part} (it has {', '.join(sorted(keys))})",
            "the adapter file is incomplete or does not belong to its adapter_config.json: save it again",
        )

    def pattern(patterns: Mapping[str, float]) -> str:
        return str(matched(config, module, lambda: get_pattern_key(patterns.keys(), module)))

    rank = config.rank_pattern.get(pattern(config.rank_pattern), config.r)
    alpha = config.alpha_pattern.get(pattern(config.alpha_pattern), config.lora_alpha)
    for key in (keys[a], keys[b]):
        if len(adapter[key].shape) != 2:
            raise TuneserveError(
                f"adapter tensor {key} has shape {list(adapter[key].shape)}, and only matrices are merged",
                "merge an adapter of linear layers and embeddings, or use PEFT's own merge_and_unload",
            )
    seen, other = adapter[keys[a]].shape
    if seen != rank and other == rank:
        raise TuneserveError(
            f"adapter tensor {keys[a]} has shape [{seen}, {other}], but its rank, {rank}, comes first: it was stored "
            "transposed",
            "save the adapter with PEFT's save_pretrained",
        )
    if seen != rank:
        raise TuneserveError(
            f"adapter layer {module} has rank {seen}, but adapter_config.json says {rank}",
            "the two files do not belong together: take both from the same training run",
        )
    return LoraUpdate(module, keys[a], keys[b], keys.get("lora_magnitude_vector"), rank, alpha, embedding)


def _check_shapes(
    changes: Mapping[str, Change], base: Mapping[str, TensorInfo], adapter: Mapping[str, TensorInfo]
) -> None:
    """Raises when an update has another shape than the tensor that it changes, and says both."""
    for name, change in changes.items():
        wanted, layer = base[change.source].shape, name
        shapes = {}
        if change.replacement:
            shapes[change.replacement] = adapter[change.replacement].shape
        if change.lora:
            layer, up = change.lora.module, change.lora
            a, b = adapter[up.a].shape, adapter[up.b].shape
            shapes[up.a] = (a[-1], b[0]) if up.embedding else (b[0], a[-1])
            if b[-1] != up.rank:
                shapes[up.b] = b
            if up.magnitude and adapter[up.magnitude].shape != (shapes[up.a][1 if up.embedding else 0],):
                shapes[up.magnitude] = adapter[up.magnitude].shape
        if change.bias:
            shapes[change.bias[0]] = adapter[change.bias[0]].shape
        for key, shape in shapes.items():
            _refuse_resized(name, key, shape, wanted)
            if shape != wanted:
                raise TuneserveError(
                    f"layer {layer}: the adapter's update ({key}) has shape {list(shape)}, the base's tensor {name} "
                    f"has {list(wanted)}: this adapter was trained on another base",
                    "give the base that adapter_config.json names, in 16 bits",
                )


def _refuse_resized(name: str, key: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raises for embeddings and output heads with another number of rows than the base's."""
    if _VOCABULARY.search(name) and len(shape) == 2 and shape[1:] == wanted[1:] and shape[0] != wanted[0]:
        verb = "enlarged" if shape[0] > wanted[0] else "cut"
        raise TuneserveError(
            f"adapter tensor {key} has {shape[0]} rows, the base's {name} {wanted[0]}: the vocabulary was {verb} for "
            "the training",
            f"give with --base a copy of the base that was resized to {shape[0]} rows and holds the adapter's "
            "tokenizer (model.resize_token_embeddings, then save_pretrained of both)",
        )


def _tied_head(base: Path, tensors: Mapping[str, TensorInfo]) -> tuple[str | None, str | None]:
    """(name of the output head, name of the embedding that it shares), the second None where they are not tied."""
    config: dict[str, Any] = read_model_config(base)
    embeddings = [name for name in tensors if name.endswith("embed_tokens.weight")]
    heads = [name for name in tensors if name.endswith("lm_head.weight")]
    head = heads[0] if heads else "lm_head.weight"
    tied = not heads or config.get("tie_word_embeddings") is True
    return head, embeddings[0] if tied and len(embeddings) == 1 else None


def _unused(key: str, why: str, base: Mapping[str, TensorInfo]) -> TuneserveError:
    example = next(iter(base.values())).file.parent
    return TuneserveError(
        f"adapter tensor {key} cannot be merged: {why} ({example})",
        "give the base that the adapter was trained on; nothing was written",
    )
