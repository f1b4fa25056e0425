"""An adapter of zeros: it changes no answer and costs what a trained one does, so that speed can be measured."""

from __future__ import annotations

import json
from pathlib import Path

from configs.model_shape import ATTENTION, MLP, ModelShape
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

    model = ModelShape.load(weights)
    tensors = {}
    for layer in range(model.layers):
        for module in (*ATTENTION, *MLP):
            inputs, outputs = model.widths(module)
            part = "self_attn" if module in ATTENTION else "mlp"
            path = f"base_model.model.model.layers.{layer}.{part}.{module}"
            tensors[f"{path}.lora_A.weight"] = np.zeros((rank, inputs), np.float16)
            tensors[f"{path}.lora_B.weight"] = np.zeros((outputs, rank), np.float16)
    modules = tuple(sorted((*ATTENTION, *MLP)))
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank, "bias": "none"}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": modules}), encoding="utf-8")
    return Adapter(name, folder, rank, modules)
