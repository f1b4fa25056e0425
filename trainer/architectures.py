"""Which models can go the whole way, told from config.json before weights are fetched.

What transformers, Unsloth, PEFT and vLLM take is read from them (`configs.model.libraries`). Kept here is what they
cannot say: what was taken the whole way here, and what the merge and the quicker ways of training cannot do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.model import libraries
from configs.model.files import QUANTIZED, read_json, read_model_config, text_config
from configs.model.shape import is_mixture, keeps_state
from configs.recipe.schema import LINEAR_LAYERS, LoraConfig, TrainConfig

PROVED = (
    "Qwen3ForCausalLM", "Qwen2ForCausalLM", "LlamaForCausalLM", "Gemma3ForCausalLM",
    "Qwen3MoeForCausalLM", "Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration",
)  # fmt: skip
"""Architectures of which a tiny model goes the whole way in the tests (train, merge, serve, parity, proof), or a real
one did: docs/models.md says which was run where."""

INSTEAD = "take a chat model whose way is proved here, such as Qwen/Qwen3-14B, Qwen/Qwen3.5-9B or google/gemma-3-1b-it"


@dataclass(frozen=True)
class Model:
    """What config.json says of a model, and what transformers makes of it."""

    name: str
    """Its architecture: the first of `architectures`, else what `model_type` stands for."""
    kind: str
    """Its `model_type`; empty where neither config.json nor transformers knows one."""
    decoder: str
    """The class that answers text with text, which Unsloth trains; empty where transformers has none."""
    mixture: bool
    """Whether it is a mixture of experts."""
    sees: bool
    """Whether it takes images, audio or video beside text; its text part is what is trained."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Model:
        """From a model's config.json."""
        known = libraries.transformers()
        named = str((config.get("architectures") or [""])[0])
        kind = str(config.get("model_type") or _kind_of(named))
        decoder = known.decoders.get(kind, "")
        # A model that sees is trained by its text part, where transformers has a class for that.
        sees = known.several.get(kind)
        if decoder and named not in ("", decoder, sees):
            decoder = ""
        name = named or sees or decoder or kind or "a model without `architectures` and `model_type`"
        # The class for both is no class for the text alone.
        text = "" if decoder == sees else decoder
        return cls(name, kind, text, is_mixture(text_config(config)), sees is not None and name == sees)

    @property
    def fused(self) -> bool:
        """Whether Unsloth has fused layers for it."""
        return self.kind in libraries.unsloth().fused

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the linear layers that can take an adapter; of a mixture, those before its experts."""
        found = libraries.transformers().layers.get(self.decoder, {"mix": (), "mlp": ()})
        names = (*found["mix"], *(() if self.mixture else found["mlp"]))
        return tuple(LINEAR_LAYERS) if set(names) == set(LINEAR_LAYERS) else tuple(dict.fromkeys(names))


def _kind_of(name: str) -> str:
    """The `model_type` that an architecture belongs to; empty for one that transformers does not have."""
    known = libraries.transformers()
    return next((kind for table in (known.decoders, known.several) for kind, made in table.items() if made == name), "")


def check_architecture(folder: Path) -> str | None:
    """Refuses a model that training, merge or server could not take.

    Args:
        folder: a model folder; config.json is enough.

    Returns:
        What the user should know of an architecture that is not Unsloth's first; None for the others.

    Raises:
        ConfigError: names the architecture, the library that cannot take it, and what to use.
    """
    config = read_model_config(folder)
    refuse_quantized(folder, config)
    model = Model.of(config)
    if why := why_not(config):
        raise ConfigError(f"{folder}: {model.name} cannot be taken: {why}", INSTEAD)
    if model.fused:
        return None
    ways = f"{model.name} takes Unsloth's general path, not its fused layers"
    if model.name in PROVED:
        return f"{ways}; here only a tiny one went the whole way"
    return (
        f"{ways}; transformers, Unsloth, PEFT and vLLM have it, and nothing of it was tried here: parity and proof "
        "of the run tell whether what is served is what was trained"
    )


def why_not(config: Mapping[str, Any]) -> str:
    """Why a model is refused, with the library that refuses it; empty when it is taken."""
    model, takes, server = Model.of(config), libraries.transformers(), libraries.vllm()
    theirs = f"transformers {takes.version}"
    if model.name in server.dropped:
        return f"vLLM {server.version} does not serve it any more ({server.dropped[model.name]} was the last that did)"
    if model.kind not in takes.types:
        if "AutoModelForCausalLM" in (config.get("auto_map") or {}):
            return f"{theirs} does not implement it, and the code that the model brings is never run"
        if model.kind:
            return f"{theirs} has no model type {model.kind!r}"
        return f"its config.json has no model_type, and {theirs} no decoder of that name"
    if not model.decoder:
        return _no_decoder(model, takes, theirs)
    if not model.layers:
        return (
            f"PEFT {libraries.peft_version()} finds no linear layer in {model.decoder} of {theirs} whose adapter could "
            "be merged"
        )
    if model.name not in server.text and model.name not in server.several:
        return f"vLLM {server.version} has no {model.name}"
    return ""


def _no_decoder(model: Model, takes: libraries.Transformers, theirs: str) -> str:
    """What transformers lacks to train a model of a type that it knows."""
    if model.kind in takes.several:
        several = takes.several[model.kind]
        return f"{theirs} has no class for the text part of {several} alone, and the trainer takes text"
    if made := takes.decoders.get(model.kind):
        return f"{theirs} makes {made} of model type {model.kind!r}, and the trainer takes decoders that answer a chat"
    return f"{theirs} has no decoder for model type {model.kind!r}, and the trainer takes decoders that answer a chat"


def refuse_own_code(folder: Path) -> None:
    """Raises a ConfigError where a model or its tokenizer can only be read by running code that it brings.

    What transformers implements itself is read by transformers, whatever `auto_map` names beside it.
    """
    config = read_json(folder / "config.json")
    if config.get("auto_map") and config.get("model_type") not in libraries.transformers().types:
        raise ConfigError(
            f"{folder}: a model of type {config.get('model_type')!r} is read by code of its own "
            f"({_first_of(config['auto_map'])}), which is never run",
            INSTEAD,
        )
    tokenizer = read_json(folder / "tokenizer_config.json")
    own = (tokenizer.get("auto_map") or {}).get("AutoTokenizer")
    if own and not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"{folder}: its tokenizer is code of its own ({own}), which is never run",
            "take a version of the model with tokenizer.json",
        )


def _first_of(auto_map: Mapping[str, Any]) -> str:
    return str(next(iter(auto_map.values())))[:100]


def with_layers(lora: LoraConfig, folder: Path) -> LoraConfig:
    """The adapter's section with the layers by name that `auto` stands for in this model."""
    if lora.target_modules != "auto":
        return lora
    return lora.model_copy(update={"target_modules": list(Model.of(read_model_config(folder)).layers)})


@dataclass(frozen=True)
class Paths:
    """Why a model cannot take the quicker ways of training; empty where it can."""

    padding_free: str = ""
    """Rows laid end to end."""
    own_functions: str = ""
    """Recorded steps and products in FP8, which stand in Unsloth's fused layers."""

    def possible(self, train: TrainConfig) -> TrainConfig:
        """The recipe's section without the ways that the model cannot take."""
        off: dict[str, Any] = {"padding_free": False} if self.padding_free else {}
        return train.model_copy(update=off | ({"cuda_graphs": "off"} if self.own_functions else {}))


def paths_of(folder: Path) -> Paths:
    """Which of the quicker ways of training a model can take, by its config.json."""
    config = read_model_config(folder)
    model = Model.of(config)
    return Paths(
        padding_free=(
            f"{model.name} carries a state from token to token, which would reach from one row into the next"
            if keeps_state(text_config(config))
            else ""
        ),
        own_functions=""
        if model.fused
        else f"Unsloth {libraries.unsloth().version} has no fused layers for {model.name}",
    )


def refuse_quantized(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises a ConfigError when a config.json is that of quantized weights, and names the 16-bit original's like."""
    found = config.get("quantization_config") or config.get("compression_config")
    if found is None and (folder / QUANTIZED).is_file():
        found = {"quant_method": QUANTIZED}
    if found is None:
        return
    method = found.get("quant_method", "unknown method")
    raise ConfigError(
        f"{folder}: the base is quantized ({method}); an adapter merges into 16-bit weights only",
        "set `model` (or --base) to the 16-bit original, for example Qwen/Qwen3-14B instead of a GPTQ, AWQ, FP8 or "
        "bnb-4bit version of it; an adapter that was trained on a 4-bit copy belongs to the same original",
    )
