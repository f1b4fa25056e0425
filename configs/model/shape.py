"""The sizes of a decoder, read from its config.json: what memory and time follow from. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from configs.errors import ConfigError
from configs.model.files import read_model_config, text_config

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")

_STATES = (
    "linear_conv_kernel_dim", "full_attention_interval", "linear_attn_config", "mamba_d_state", "mamba_num_heads",
    "ssm_state_size", "state_size", "conv_L_cache", "lru_width", "mamba_d_ssm", "attn_layer_period",
)  # fmt: skip
"""Keys that only configurations of models with linear attention, Mamba and their like have."""
_ATTENTION_KINDS = frozenset({"full_attention", "sliding_attention", "chunked_attention", "attention"})
"""Kinds of layers whose tokens see those of their own row only, where a mask says so."""


def is_mixture(text: Mapping[str, Any]) -> bool:
    """Whether a language model's configuration is one of a mixture of experts."""
    return bool(experts_of(text))


def experts_of(text: Mapping[str, Any]) -> Any:
    """How many experts a layer of a language model has, as its configuration says it; None for one that has none."""
    return next((n for key in ("num_experts", "num_local_experts", "n_routed_experts") if (n := text.get(key))), None)


def keeps_state(text: Mapping[str, Any]) -> bool:
    """Whether layers of a language model hand a state from token to token: linear attention, Mamba and their like."""
    kinds = text.get("layer_types") or text.get("layers_block_type")
    if isinstance(kinds, list):
        return not set(map(str, kinds)) <= _ATTENTION_KINDS
    return any(text.get(key) is not None for key in _STATES)


class UnknownShape(ConfigError):
    """A model whose memory and time are not predicted; it may train and be served all the same."""


@dataclass(frozen=True)
class DecoderShape:
    """What every decoder has, a mixture of experts too: embeddings, and attention in every layer."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    """Whether the output layer is the embedding."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From a model's config.json.

        Raises:
            UnknownShape: a configuration without these sizes.
        """
        try:
            return cls(**cls._fields({key: value for key, value in text_config(config).items() if value is not None}))
        except KeyError as missing:
            raise UnknownShape(
                f"config.json has no {missing}: not a decoder whose memory and time can be predicted",
                "take a dense decoder, such as Qwen/Qwen3-14B",
            ) from missing

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a model folder; raises `UnknownShape` like `of`, and ConfigError where config.json cannot be read."""
        return cls.of(read_model_config(folder))

    @staticmethod
    def _fields(text: Mapping[str, Any]) -> dict[str, Any]:
        heads = int(text["num_attention_heads"])
        return {
            "hidden": int(text["hidden_size"]),
            "layers": int(text["num_hidden_layers"]),
            "heads": heads,
            "kv_heads": int(text.get("num_key_value_heads") or heads),
            "head_dim": int(text.get("head_dim") or max(1, text["hidden_size"] // heads)),
            "vocabulary": int(text["vocab_size"]),
            "tied": bool(text.get("tie_word_embeddings", False)),
        }

    @property
    def kv_layers(self) -> int:
        """Layers that keep keys and values."""
        return self.layers

    @property
    def queries(self) -> int:
        """Width of all queries together."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all keys together; that of the values too."""
        return self.kv_heads * self.head_dim

    @property
    def embedding_parameters(self) -> int:
        """Parameters of embedding and output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)


@dataclass(frozen=True)
class ModelShape(DecoderShape):
    """A decoder of the Llama family (Llama, Qwen2, Qwen3, Gemma): attention and a gated MLP in every layer."""

    intermediate: int
    qk_norm: bool
    """Whether queries and keys are normalized, which keeps them twice for the backward pass."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From a model's config.json.

        Raises:
            UnknownShape: a mixture of experts, or a configuration without these sizes.
        """
        text = text_config(config)
        if is_mixture(text):
            raise UnknownShape(
                f"{text.get('model_type', 'this model')} is a mixture of experts: memory and time are not predicted",
                "take a dense model, such as Qwen/Qwen3-14B",
            )
        if keeps_state(text):
            raise UnknownShape(
                f"{text.get('model_type', 'this model')} has layers of linear attention or its like: memory and time "
                "are not predicted",
                "take a model whose layers all are attention, such as Qwen/Qwen3-14B",
            )
        return super().of(config)

    @staticmethod
    def _fields(text: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **DecoderShape._fields(text),
            "intermediate": int(text["intermediate_size"]),
            "qk_norm": str(text.get("model_type", "")).startswith(("qwen3", "gemma3")),
        }

    def widths(self, module: str) -> tuple[int, int]:
        """(in, out) of a linear layer, by its name in transformers."""
        return {
            "q_proj": (self.hidden, self.queries),
            "k_proj": (self.hidden, self.keys),
            "v_proj": (self.hidden, self.keys),
            "o_proj": (self.queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }[module]

    @property
    def linear_parameters(self) -> int:
        """Parameters of the layers' linear weights: what is quantized."""
        return self.layers * sum(a * b for a, b in map(self.widths, (*ATTENTION, *MLP)))

    @property
    def norm_parameters(self) -> int:
        """Parameters of all norms."""
        return self.layers * (2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)) + self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, norms included."""
        return self.linear_parameters + self.embedding_parameters + self.norm_parameters

    def adapter_parameters(self, rank: int, modules: Sequence[str]) -> int:
        """Parameters of a LoRA adapter; modules outside the layers' linear weights count nothing."""
        known = [m for m in modules if m in (*ATTENTION, *MLP)]
        return self.layers * rank * sum(sum(self.widths(m)) for m in known)

    def activation_bytes(self) -> int:
        """Bytes of one token that one layer keeps for the backward pass, in 16 bits, under Unsloth's fused kernels.

        The residual stream before each norm and the normalized input of attention and MLP (4 x hidden), queries and
        keys before their norm (where there is one), queries, keys, values and the output of attention, gate and up of
        the MLP; their product is computed anew.
        """
        normed = self.queries + self.keys if self.qk_norm else 0
        attention = 2 * self.queries + 2 * self.keys
        return 2 * (4 * self.hidden + normed + attention + 2 * self.intermediate)

    def forward_flops(self) -> int:
        """Operations of one token in one forward pass, attention's own left out: 2 a weight, output layer included."""
        return 2 * (self.linear_parameters + self.vocabulary * self.hidden)

    def attention_flops(self) -> int:
        """Operations of one (query, key) pair in one forward pass: scores and values, 2 each a unit of width."""
        return 4 * self.queries * self.layers


SMALLEST_PARAMETERS = 100_000_000
"""Smaller models answer nothing of the built-in suite: there is nothing that they could forget."""


def answers_the_suite(base: Path) -> bool:
    """Whether a model is large enough to answer the suite at all; one that is not here, or unknown, is taken to be."""
    try:
        return not base.is_dir() or ModelShape.load(base).parameters >= SMALLEST_PARAMETERS
    except UnknownShape:
        return True
