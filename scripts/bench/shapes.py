"""Model folders of published sizes with random weights: speed and memory do not depend on the values.

Such a folder loads as a published one does. The numbers are drawn once and used again and again.

Rounding does depend on the values, and so does which experts a mixture's tokens choose: the embedding brings numbers of
size 1, and what a layer adds is drawn so small that all layers together add about as much, as in trained weights.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from configs.model.known_shapes import known_config

PUBLISHED = {
    **{size: f"Qwen/Qwen3-{size.upper()}" for size in ("0.6b", "4b", "8b", "14b")},
    "qwen3.5-9b": "Qwen/Qwen3.5-9B",
    "30b-a3b": "Qwen/Qwen3-30B-A3B",
}
"""Size, as it is named on the command line, to the model that has it."""

_TINY: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True,
}  # fmt: skip
_TINY_IMAGES = {
    "depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 4, "out_hidden_size": 64,
    "num_position_embeddings": 64,
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "tiny": {"model_type": "qwen3", **_TINY},
    # vLLM's CPU kernel takes heads of 128 in linear attention, the real size.
    "tiny-hybrid": {
        "model_type": "qwen3_5", **_TINY, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
        "linear_num_key_heads": 1, "linear_num_value_heads": 2, "vision_config": _TINY_IMAGES,
    },
    "tiny-mixture": {
        "model_type": "qwen3_moe", **_TINY, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32
    },
}  # fmt: skip
"""One of each architecture, with the tokenizer's vocabulary, for trying the scripts without a GPU."""
SIZES = (*PUBLISHED, *TINY)

_DRAWN = (1 << 24) + 1
"""Random numbers in all; odd, so that they do not repeat row by row."""
_SIZE = 0.02
"""Standard deviation of most matrices."""
_RESIDUAL = ("o_proj", "down_proj", "linear_attn.out_proj")
"""The matrices that write to the residual stream, two in a layer; of a mixture, one of each expert."""
_SHARD_GB = 5.0


def write_shape(folder: Path, tokenizer: Path, size: str, *, layers: int = 0, weights: bool = True) -> None:
    """Writes a model of this size in bf16, with the tokenizer's files.

    Args:
        folder: where to; made where it is missing.
        tokenizer: folder whose tokenizer is copied; of a published size it must have no more tokens than that.
        size: one of `SIZES`.
        layers: this many instead of the model's own; 0 for those.
        weights: without them the folder is enough for a server that makes them up (`--load-format dummy`).
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
    from transformers.core_model_loading import revert_weight_conversion

    from trainer.export.safetensors import write_weights

    folder.mkdir(parents=True, exist_ok=True)
    for file in tokenizer.iterdir():
        if "token" in file.name or file.suffix == ".jinja" or file.name in ("vocab.json", "merges.txt"):
            shutil.copyfile(file, folder / file.name)
    words = AutoTokenizer.from_pretrained(tokenizer)
    ends = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id, "bos_token_id": None}
    sizes = TINY[size] | {"vocab_size": len(words)} if size in TINY else known_config(PUBLISHED[size]) or {}
    if len(words) > sizes["vocab_size"]:
        raise SystemExit(f"{tokenizer}: {len(words)} tokens, more than the {sizes['vocab_size']} of {size}")
    config = _config(sizes | ends | ({"num_hidden_layers": layers} if layers else {}))
    with torch.device("meta"):
        kind = AutoModelForImageTextToText if "vision_config" in sizes else AutoModelForCausalLM
        model = kind.from_config(config, dtype=torch.bfloat16)
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    if not weights:
        return
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and all(parameter.dim() == 1 for parameter in own):
            module.to_empty(device="cpu", recurse=False)
    # Norms and decays are no random numbers: an architecture's own beginning of each.
    torch.manual_seed(0)
    model.initialize_weights()
    text = config.get_text_config()
    if text.tie_word_embeddings:
        # The embedding is the output layer too: this makes it as small as another, and keeps a token from predicting
        # itself. What norms multiply with changes from 1 to the size, up and down by turns.
        last = model.get_decoder().norm.weight.data
        last[::2] += _SIZE - 1
        last[1::2] -= _SIZE + 1
    tensors = revert_weight_conversion(model, model.state_dict())
    if text.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    write_weights(_Drawn(tensors, text.num_hidden_layers), folder, _SHARD_GB)


def _config(sizes: Mapping[str, Any]) -> Any:
    """transformers' configuration; of a model with an images part, the sizes are those of its text part."""
    from transformers import AutoConfig

    own = {key: value for key, value in sizes.items() if key not in ("model_type", "architectures", "vision_config")}
    own |= {"max_position_embeddings": 40960, "dtype": "bfloat16"}
    if "vision_config" in sizes:
        own = {
            "text_config": own,
            "vision_config": sizes["vision_config"],
            "tie_word_embeddings": own["tie_word_embeddings"],
            "dtype": "bfloat16",
        }
    return AutoConfig.for_model(sizes["model_type"], **own)


class _Drawn:
    """Random bf16 matrices beside the vectors that are given; other vectors, all of them biases, are zeros.

    Args:
        tensors: by name, on the meta device where there are shapes only.
        layers: of the model.
    """

    def __init__(self, tensors: Mapping[str, Any], layers: int) -> None:
        import torch

        self._tensors, self._layers = tensors, layers
        self._places = torch.Generator().manual_seed(0)
        numbers = torch.randn(_DRAWN, generator=self._places)
        self._numbers = cache(lambda size: (size * numbers).to(torch.bfloat16))

    def specs(self) -> list[Any]:
        """All of them."""
        from trainer.export.safetensors import TensorSpec

        return [TensorSpec(name, "BF16", tuple(tensor.shape)) for name, tensor in self._tensors.items()]

    def tensor(self, name: str) -> Any:
        """One of them."""
        import torch

        found = self._tensors[name]
        if not found.is_meta:
            return found.to(torch.bfloat16)
        if found.dim() == 1:
            return torch.zeros(found.shape, dtype=torch.bfloat16)
        numbers, count = self._numbers(self._size(name, found.shape)), found.numel()
        begin = int(torch.randint(_DRAWN, (1,), generator=self._places))
        if begin + count <= _DRAWN:
            return numbers[begin : begin + count].view(found.shape)
        times = -(-(begin + count) // _DRAWN)
        return numbers.repeat(times)[begin : begin + count].view(found.shape)

    def _size(self, name: str, shape: Any) -> float:
        """Standard deviation of a matrix's numbers."""
        if name.removesuffix(".weight").endswith(_RESIDUAL):
            # The sum over the inputs makes it sqrt(inputs) times as large, that over the layers sqrt(2 layers) times.
            return 1 / math.sqrt(2 * self._layers * shape[1])
        if name.endswith("conv1d.weight"):
            # Of a few inputs each: what goes through keeps its size.
            return 1 / math.sqrt(shape[-1])
        return 1.0 if name.endswith("embed_tokens.weight") else _SIZE
