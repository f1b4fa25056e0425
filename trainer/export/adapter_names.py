"""An adapter's tensors under the names that its base's files give their layers.

The text part of a model that also sees is trained as a model of its own, whose layers have shorter names than in the
whole. vLLM loads an adapter with those names beside the whole without a word, and finds no layer to add it to.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from configs.model.adapter_weights import ADAPTER_WEIGHTS, LORA_KEY, layer_path, spellings
from configs.model.files import safetensors_shapes, weight_files

_PREFIX = "base_model.model."


def name_as_base(adapter: Path, base: Path) -> None:
    """Renames the tensors of a LoRA adapter that PEFT saved; whole modules beside it keep their names.

    Args:
        adapter: its folder, which is written to.
        base: the model folder that it was trained on.
    """
    file = adapter / ADAPTER_WEIGHTS
    known = {name for weights in weight_files(base) for name in safetensors_shapes(weights)}
    names = {key: _named(key, known) for key in safetensors_shapes(file)}
    if all(key == name for key, name in names.items()):
        return
    with safe_open(file, "pt") as tensors:
        renamed = {name: tensors.get_tensor(key).clone() for key, name in names.items()}
        about = tensors.metadata()
    save_file(renamed, file, metadata=about)


def _named(key: str, known: set[str]) -> str:
    match = LORA_KEY.search(key)
    if match is None:
        return key
    layer = layer_path(key[: match.start()])
    found = next((name for name in spellings(f"{layer}.weight") if name in known), None)
    return key if found is None else f"{_PREFIX}{found.removesuffix('.weight')}{match.group()}"
