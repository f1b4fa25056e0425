"""An adapter of zeros: it changes no answer and costs what a trained one does, so that speed can be measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from configs.model_files import read_model_config
from serve.launch.target import Adapter


def write_blank_adapter(name: str, weights: Path, rank: int, folder: Path) -> Adapter:
    """Writes a PEFT adapter of zeros for every linear layer of a Qwen model.

    Args:
        name: model name of the adapter.
        weights: model folder; only its config.json is read.
        rank: rank of the adapter.
        folder: where it is written.
    """
    import numpy as np
    from safetensors.numpy import save_file

    model = read_model_config(weights)
    tensors = {}
    for layer in range(model["num_hidden_layers"]):
        for module, (outputs, inputs) in linear_shapes(model).items():
            part = "self_attn" if module in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"
            path = f"base_model.model.model.layers.{layer}.{part}.{module}"
            tensors[f"{path}.lora_A.weight"] = np.zeros((rank, inputs), np.float16)
            tensors[f"{path}.lora_B.weight"] = np.zeros((outputs, rank), np.float16)
    modules = tuple(sorted(linear_shapes(model)))
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank, "bias": "none"}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": modules}), encoding="utf-8")
    return Adapter(name, folder, rank, modules)


def linear_shapes(model: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of each linear layer of a transformer block, from its config.json."""
    width, inner, heads = model["hidden_size"], model["intermediate_size"], model["num_attention_heads"]
    head = model.get("head_dim") or width // heads
    keys = (model.get("num_key_value_heads") or heads) * head
    return {
        "q_proj": (heads * head, width),
        "k_proj": (keys, width),
        "v_proj": (keys, width),
        "o_proj": (width, heads * head),
        "gate_proj": (inner, width),
        "up_proj": (inner, width),
        "down_proj": (width, inner),
    }
