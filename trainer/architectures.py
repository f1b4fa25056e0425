"""Which models can go the whole way (Unsloth, the merge, vLLM), told from config.json before weights are fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.model_files import read_json, read_model_config, text_config
from configs.model_shape import is_mixture
from configs.schema import LINEAR_LAYERS

FAST = {
    "Qwen3ForCausalLM": "qwen3",
    "Qwen2ForCausalLM": "qwen2",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "GemmaForCausalLM": "gemma",
    "Gemma2ForCausalLM": "gemma2",
}
"""Architectures that Unsloth 2026.10.9 has fused kernels for and vLLM 0.32 serves, with their `model_type`."""

GENERAL = {
    "Gemma3ForCausalLM": "gemma3_text",
    "Phi3ForCausalLM": "phi3",
    "GraniteForCausalLM": "granite",
    "CohereForCausalLM": "cohere",
    "Cohere2ForCausalLM": "cohere2",
    "Glm4ForCausalLM": "glm4",
    "Olmo2ForCausalLM": "olmo2",
    "Olmo3ForCausalLM": "olmo3",
    "SmolLM3ForCausalLM": "smollm3",
    "SeedOssForCausalLM": "seed_oss",
    "Ernie4_5ForCausalLM": "ernie4_5",
}
"""Dense decoders that Unsloth trains through its general path, without its fused layers; vLLM serves them."""

DROPPED_BY_VLLM = (
    "QWenLMHeadModel", "BaichuanForCausalLM", "BaiChuanForCausalLM", "InternLMForCausalLM", "InternLM2VEForCausalLM",
    "AquilaForCausalLM", "AquilaModel", "XverseForCausalLM", "TeleChatForCausalLM", "MptForCausalLM", "MPTForCausalLM",
    "PersimmonForCausalLM", "Plamo2ForCausalLM", "ArcticForCausalLM", "BambaForCausalLM", "MiniMaxText01ForCausalLM",
    "MllamaForConditionalGeneration", "Phi3SmallForCausalLM", "JAISLMHeadModel",
)  # fmt: skip
"""What earlier versions of vLLM served and 0.32 does not."""

OWN_CODE = (
    "ChatGLMModel", "ChatGLMForConditionalGeneration", "InternLM2ForCausalLM", "InternLM3ForCausalLM",
    "MiniCPMForCausalLM", "OrionForCausalLM", "TeleChat2ForCausalLM", "ExaoneForCausalLM",
)  # fmt: skip
"""Models whose code lies in their own repository; transformers has no class for them that Unsloth could patch."""

OTHER_LAYERS = {
    "Phi3ForCausalLM": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "Glm4ForCausalLM": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"),
}
"""The linear layers of architectures that have others than the usual seven."""

INSTEAD = "take a dense chat model, such as Qwen/Qwen3-14B, Qwen/Qwen2.5-7B-Instruct or google/gemma-3-1b-it"


def check_architecture(folder: Path) -> str | None:
    """Refuses a model that training, merge or server could not take.

    Args:
        folder: a model folder; config.json is enough.

    Returns:
        A warning for an architecture that only a tiny model was tested of; None for the others.

    Raises:
        ConfigError: names the architecture, the part that cannot take it, and what to use.
    """
    config = read_model_config(folder)
    refuse_quantized(folder, config)
    name = architecture_of(config)
    if why := why_not(name, config):
        raise ConfigError(f"{folder}: {name} cannot be taken: {why}", INSTEAD)
    if name in GENERAL:
        return f"{name} takes Unsloth's general path, not its fused layers; here only a tiny one was trained and merged"
    return None


def refuse_own_code(folder: Path) -> None:
    """Raises a ConfigError where a model or its tokenizer can only be read by running code that it brings.

    What transformers implements itself is read by transformers, whatever `auto_map` names beside it.
    """
    config = read_json(folder / "config.json")
    known = {*FAST.values(), *GENERAL.values()}
    if config.get("auto_map") and config.get("model_type") not in known and not _in_transformers(config):
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


def _in_transformers(config: Mapping[str, Any]) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return config.get("model_type") in CONFIG_MAPPING_NAMES


def _first_of(auto_map: Mapping[str, Any]) -> str:
    return str(next(iter(auto_map.values())))[:100]


def linear_layers(folder: Path) -> tuple[str, ...]:
    """Names of the layers that can take an adapter, by the model's config.json."""
    name = architecture_of(read_model_config(folder))
    return OTHER_LAYERS.get(name, tuple(LINEAR_LAYERS))


def architecture_of(config: Mapping[str, Any]) -> str:
    """The first of `architectures`, else the one that belongs to `model_type`, else the `model_type` itself."""
    named = config.get("architectures") or []
    model_type = str(config.get("model_type", "a model without `architectures` and `model_type`"))
    by_type = {kind: name for name, kind in (FAST | GENERAL).items()}
    return str(named[0]) if named else by_type.get(model_type, model_type)


def why_not(name: str, config: Mapping[str, Any]) -> str:
    """Why an architecture is refused, with the part that refuses it; empty when it is taken."""
    if name in FAST or name in GENERAL:
        return ""
    if name in DROPPED_BY_VLLM:
        return "vLLM 0.32 does not serve it any more"
    if name in OWN_CODE or "AutoModelForCausalLM" in (config.get("auto_map") or {}):
        return "Unsloth trains what transformers implements, and this model brings code of its own, which is never run"
    if "vision_config" in config or "audio_config" in config:
        return "it sees or hears; the trainer takes text models"
    if is_mixture(text_config(config)):
        return "the merge takes dense models, and this is a mixture of experts"
    if not name.endswith(("ForCausalLM", "LMHeadModel")):
        return "the trainer takes decoders that answer a chat"
    return f"it is none of those that Unsloth and vLLM are known to take ({', '.join((*FAST, *GENERAL))})"


def refuse_quantized(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises a ConfigError when a config.json is that of quantized weights, and names the 16-bit original's like."""
    found = config.get("quantization_config") or config.get("compression_config")
    if found is None:
        return
    method = found.get("quant_method", "unknown method")
    raise ConfigError(
        f"{folder}: the base is quantized ({method}); an adapter merges into 16-bit weights only",
        "set `model` (or --base) to the 16-bit original, for example Qwen/Qwen3-14B instead of a GPTQ, AWQ, FP8 or "
        "bnb-4bit version of it; an adapter that was trained on a 4-bit copy belongs to the same original",
    )
