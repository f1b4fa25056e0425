"""An adapter of zeros: it changes no answer and costs what a trained one does, so that speed can be measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from configs.model.files import read_model_config, text_config
from configs.model.mixed_shape import hybrid_kinds, shape_of
from configs.model.shape import ATTENTION, MLP, ModelShape
from serve.launch.target import Adapter


def write_blank_adapter(name: str, weights: Path, rank: int, folder: Path) -> Adapter:
    """Writes a PEFT adapter of zeros for every linear layer of a Qwen model, of a mixture for those before the experts.

    Args:
        name: model name of the adapter.
        weights: model folder; only its config.json is read.
        rank: rank of the adapter.
        folder: where it is written.

    Raises:
        UnknownShape: neither a dense decoder, nor a mixture or hybrid like Qwen's.
    """
    import numpy as np
    from safetensors.numpy import save_file

    tensors, modules = {}, set()
    for path, inputs, outputs in _layers(weights):
        tensors[f"base_model.model.{path}.lora_A.weight"] = np.zeros((rank, inputs), np.float16)
        tensors[f"base_model.model.{path}.lora_B.weight"] = np.zeros((outputs, rank), np.float16)
        modules.add(path.rpartition(".")[2])
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank, "bias": "none"}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    text = json.dumps({**config, "target_modules": sorted(modules)})
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
    return Adapter(name, folder, rank, tuple(sorted(modules)))


def _layers(weights: Path) -> Iterator[tuple[str, int, int]]:
    """Name, inputs and outputs of every linear layer that can take an adapter."""
    config = read_model_config(weights)
    shape, text = shape_of(config), text_config(config)
    if isinstance(shape, ModelShape):
        widths = {module: shape.widths(module) for module in (*ATTENTION, *MLP)}
        kinds = ["full_attention"] * shape.layers
    else:
        widths = {module: (inputs, outputs) for module, (inputs, outputs, _) in shape.linears.items()}
        hybrid = shape.attention_layers < shape.layers
        kinds = hybrid_kinds(text, shape.layers) if hybrid else ["full_attention"] * shape.layers
    # A model that also sees gives its text part a name of its own.
    above = "model.language_model" if "vision_config" in config else "model"
    for place, kind in enumerate(kinds):
        for module, (inputs, outputs) in widths.items():
            part = "mlp" if module in MLP else "self_attn" if module in ATTENTION else "linear_attn"
            if part == "mlp" or (part == "linear_attn") == (kind == "linear_attention"):
                yield f"{above}.layers.{place}.{part}.{module}", inputs, outputs
