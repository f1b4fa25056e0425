"""The weights of decoders whose layers are not all alike: linear attention among attention, experts for an MLP.

Disk and the memory of a server follow from these; memory and time of a training are not predicted. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from configs.errors import ConfigError
from configs.model.shape import DecoderShape, ModelShape, UnknownShape, experts_of

Linears = Mapping[str, tuple[int, int, int]]
"""Name of a linear layer in transformers to its inputs, its outputs, and how many layers of the model have it."""


@dataclass(frozen=True)
class MixedShape(DecoderShape):
    """A mixture of experts like Qwen3's, or a hybrid like Qwen3.5."""

    linears: Linears
    """The linear layers that can take an adapter."""
    expert_parameters: int
    """Parameters of all experts."""
    norm_parameters: int
    """Parameters that stay in 16 bits beside the embeddings: norms, the choice of experts, convolutions."""
    image_parameters: int
    """Parameters of the part that reads images, which a server of text leaves out."""
    attention_layers: int
    """Layers with attention, which alone keep keys and values."""
    state_bytes: int
    """What the other layers keep of a conversation, however long it is, under vLLM: convolutions in 16 bits, states
    in 32."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From a model's config.json.

        Raises:
            UnknownShape: another kind of model, or a configuration without these sizes.
        """
        try:
            return super().of(config)
        except (TypeError, ValueError, AttributeError) as error:
            raise UnknownShape(
                f"config.json has sizes that are no numbers: {error}", "copy config.json from the model again"
            ) from error

    @staticmethod
    def _fields(text: Mapping[str, Any]) -> dict[str, Any]:
        of_kind = {"qwen3_moe": _mixture, "qwen3_5_text": _hybrid, "qwen3_5": _hybrid}.get(text.get("model_type", ""))
        if of_kind is None:
            raise KeyError(f"known layout of layers for model type {text.get('model_type')!r}")
        shape = DecoderShape._fields(text)
        return {**shape, **of_kind(text, shape), "image_parameters": _images(text.get("vision_config"))}

    @property
    def kv_layers(self) -> int:
        """Layers that keep keys and values."""
        return self.attention_layers

    @property
    def linear_parameters(self) -> int:
        """Parameters of the layers' linear weights, experts included: what is quantized."""
        return sum(a * b * count for a, b, count in self.linears.values()) + self.expert_parameters

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.linear_parameters + self.embedding_parameters + self.norm_parameters + self.image_parameters

    def adapter_parameters(self, rank: int, modules: Sequence[str]) -> int:
        """Parameters of a LoRA adapter; modules that are no linear layers of the model count nothing."""
        known = (self.linears[name] for name in modules if name in self.linears)
        return rank * sum((a + b) * count for a, b, count in known)


def shape_of(config: Mapping[str, Any]) -> ModelShape | MixedShape:
    """The shape of a model by its config.json.

    Raises:
        UnknownShape: neither kind of shape is known to fit it.
    """
    try:
        return ModelShape.of(config)
    except UnknownShape as unknown:
        try:
            return MixedShape.of(config)
        except ConfigError:
            raise unknown from None


def _attention(shape: Mapping[str, Any], layers: int, gates: bool = False) -> Linears:
    """`gates`: queries come with as many gates for the output."""
    queries, keys = shape["heads"] * shape["head_dim"], shape["kv_heads"] * shape["head_dim"]
    return {
        "q_proj": (shape["hidden"], queries * (2 if gates else 1), layers),
        "k_proj": (shape["hidden"], keys, layers),
        "v_proj": (shape["hidden"], keys, layers),
        "o_proj": (queries, shape["hidden"], layers),
    }


def _mixture(text: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """Qwen3's: attention, and experts in every layer."""
    hidden, layers, experts = shape["hidden"], shape["layers"], int(experts_of(text))
    if text.get("mlp_only_layers") or int(text.get("decoder_sparse_step", 1)) != 1:
        raise KeyError("known layout of layers: some have no experts")
    return {
        "linears": _attention(shape, layers),
        "expert_parameters": layers * experts * 3 * hidden * int(text["moe_intermediate_size"]),
        "norm_parameters": layers * (2 * hidden + 2 * shape["head_dim"] + experts * hidden) + hidden,
        "attention_layers": layers,
        "state_bytes": 0,
    }


def hybrid_kinds(text: Mapping[str, Any], layers: int) -> list[str]:
    """What each layer of Qwen3.5 is: `linear_attention` or `full_attention`."""
    every = int(text.get("full_attention_interval") or 4)
    return list(text.get("layer_types") or ()) or [
        "linear_attention" if (place + 1) % every else "full_attention" for place in range(layers)
    ]


def _hybrid(text: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """Qwen3.5's: a gated delta net in most layers, gated attention in the others, an MLP in all."""
    hidden, layers = shape["hidden"], shape["layers"]
    linear = hybrid_kinds(text, layers).count("linear_attention")
    heads, width = int(text["linear_num_value_heads"]), int(text["linear_value_head_dim"])
    keys, values = int(text["linear_num_key_heads"]) * int(text["linear_key_head_dim"]), heads * width
    mixed, kernel = 2 * keys + values, int(text.get("linear_conv_kernel_dim") or 4)
    mlp = int(text["intermediate_size"])
    return {
        "linears": {
            **_attention(shape, layers - linear, gates=True),
            "in_proj_qkv": (hidden, mixed, linear),
            "in_proj_z": (hidden, values, linear),
            "in_proj_b": (hidden, heads, linear),
            "in_proj_a": (hidden, heads, linear),
            "out_proj": (values, hidden, linear),
            "gate_proj": (hidden, mlp, layers),
            "up_proj": (hidden, mlp, layers),
            "down_proj": (mlp, hidden, layers),
        },
        "expert_parameters": 0,
        "norm_parameters": layers * 2 * hidden
        + (layers - linear) * 2 * shape["head_dim"]
        + linear * (mixed * kernel + 2 * heads + width)
        + hidden,
        "attention_layers": layers - linear,
        "state_bytes": linear * (2 * mixed * (kernel - 1) + 4 * values * int(text["linear_key_head_dim"])),
    }


def _images(vision: Mapping[str, Any] | None) -> int:
    """Parameters of Qwen3.5's part for images; 0 where there is none."""
    if vision is None:
        return 0
    width, mlp, out = int(vision["hidden_size"]), int(vision["intermediate_size"]), int(vision["out_hidden_size"])
    patch = int(vision.get("in_channels", 3)) * int(vision.get("temporal_patch_size", 2))
    patch *= int(vision["patch_size"]) ** 2
    merged = width * int(vision.get("spatial_merge_size", 2)) ** 2
    block = 4 * width * width + 4 * width + 2 * width * mlp + mlp + width + 4 * width
    return (
        (patch + 1) * width
        + int(vision["num_position_embeddings"]) * width
        + int(vision["depth"]) * block
        + 2 * width + (merged + 1) * merged + (merged + 1) * out
    )  # fmt: skip
