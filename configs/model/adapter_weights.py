"""What is wrong with an adapter's weights, found in its files before anyone loads them. Imports no torch."""

from __future__ import annotations

import mmap
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.disk.unfinished import refuse_holes
from configs.errors import ConfigError
from configs.model.files import read_json, safetensors_shapes, safetensors_spans, weight_files

ADAPTER_WEIGHTS = "adapter_model.safetensors"
LORA_KEY = re.compile(
    r"\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.(?!weight$|bias$)(?P<adapter>[^.]+))?(?P<kind>\.weight|\.bias)?$"
)
"""The end of a LoRA tensor's key; a state dict that was not saved by PEFT's save_pretrained names the adapter too."""
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod|_fsdp_wrapped_module|base_model\.model)\.)+")
_INNER_WRAPPERS = re.compile(r"(?<=\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_EXPONENT = {"BF16": ("<u2", 0x7F80), "F16": ("<u2", 0x7C00), "F32": ("<u4", 0x7F800000)}
"""Integer of a number's size, and the bits that are all set in NaN and infinity."""


@contextmanager
def _mapped(file: Path) -> Iterator[mmap.mmap]:
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def layer_path(key: str) -> str:
    """A tensor's key without what PEFT, DDP, FSDP and torch.compile put around the model.

    >>> layer_path("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight")
    'model.layers.0.mlp.up_proj.lora_A.weight'
    """
    return _INNER_WRAPPERS.sub("", _WRAPPERS.sub("", key))


def spellings(name: str) -> list[str]:
    """A tensor's name, then what checkpoints call it whose text model lies deeper or less deep."""
    found = [name]
    roots = ("model.language_model.", "language_model.model.", "model.model.", "model.")
    root = next((root for root in roots if name.startswith(root)), None)
    if root is None and name.startswith(("layers.", "embed_tokens.", "norm.")):
        root = ""  # trained on the model inside the one with a head
    if root is not None:
        found += [other + name.removeprefix(root) for other in roots if other != root]
    return found


def refuse_empty(folder: Path) -> None:
    """Raises a ConfigError for an adapter that was saved while its tensors lay elsewhere, or fetched in part."""
    file = folder / ADAPTER_WEIGHTS
    # One matrix of a layer alone may be zero, of whatever size: three in a row are not.
    refuse_holes(file, {key: span.place for key, span in safetensors_spans(file).items()}, least=1)
    shapes = safetensors_shapes(file)
    empty = [key for key, shape in shapes.items() if 0 in shape]
    if empty:
        raise ConfigError(
            f"{file}: {len(empty)} of {len(shapes)} tensors are empty, the first is {empty[0]}: it "
            "was saved under DeepSpeed ZeRO-3 without gathering its weights",
            "write it again from the checkpoint with zero_to_fp32.py, or train with "
            "stage3_gather_16bit_weights_on_model_save: true",
        )


def why_without_effect(folder: Path) -> str | None:
    """Why an adapter leaves every weight of its base as it is; None where one layer at least has an update.

    Whole modules that were trained beside it (`modules_to_save`) are not looked into.
    """
    config = read_json(folder / "adapter_config.json")
    spans = safetensors_spans(folder / ADAPTER_WEIGHTS)
    if config.get("lora_alpha") == 0 and not any((config.get("alpha_pattern") or {}).values()):
        return "lora_alpha is 0 in adapter_config.json"
    if not spans:
        return f"{ADAPTER_WEIGHTS} holds no tensor"
    layers: dict[str, dict[str, str]] = {}
    for key in spans:
        match = LORA_KEY.search(key)
        if match is None or match["part"] == "lora_magnitude_vector" or match["kind"] == ".bias":
            return None
        layers.setdefault(key[: match.start()], {})[match["part"][-1]] = key
    zero: set[str] = set()
    with _mapped(folder / ADAPTER_WEIGHTS) as data:
        for parts in layers.values():
            # A number whose bytes are 0, and 0x80 for the sign, is zero.
            of_layer = {part for part, key in parts.items() if not data[slice(*spans[key].place)].strip(b"\0\x80")}
            if not of_layer:
                return None
            zero |= of_layer
    names = " and ".join(f"lora_{part}" for part in sorted(zero))
    return f"{names} is zero in all of its {len(layers)} layers, as before the first step of a training"


def refuse_unservable(folder: Path, base: Path | None) -> None:
    """Raises a ConfigError for an adapter that a server would load and that answers as its base does, or nonsense.

    Args:
        folder: of a LoRA adapter.
        base: model folder that it is served beside; None where it is on another machine.
    """
    file = folder / ADAPTER_WEIGHTS
    if not file.is_file():
        return  # a pickle, which only the server reads
    refuse_empty(folder)
    if why := why_without_effect(folder):
        raise ConfigError(
            f"{folder}: this adapter changes nothing: {why}; it would answer as its base does",
            "train it, or take it from the checkpoint in which it was saved",
        )
    refuse_not_finite(folder)
    modules = {layer_path(key[: match.start()]) for key in safetensors_shapes(file) if (match := LORA_KEY.search(key))}
    known = {name for weights in weight_files(base) for name in safetensors_shapes(weights)} if base else set()
    inside = [name for module in modules for name in spellings(f"{module}.weight")[1:] if name in known]
    if inside and "model.language_model." in inside[0] and not any(f"{module}.weight" in known for module in modules):
        raise ConfigError(
            f"{folder}: this adapter would change nothing: {base} has layers such as "
            f"{inside[0].removesuffix('.weight')}, the adapter {sorted(modules)[0]}, and vLLM adds it to none of them",
            "merge it: `tuneserve merge --model ADAPTER --save-as DIR`, then `tuneserve serve DIR`",
        )
    if known and modules and not any(is_layer(module, known) for module in modules):
        raise ConfigError(
            f"{folder}: this adapter changes nothing: none of its {len(modules)} layers is in {base}; the first is "
            f"{sorted(modules)[0]}",
            "serve it beside the base that it was trained on",
        )


def is_layer(module: str, tensors: Collection[str]) -> bool:
    """Whether a model with these tensors has a layer, under any of the names that checkpoints give it."""
    tied = module.endswith("lm_head")  # shares the embedding's tensor, so that no file need hold it
    return tied or any(name in tensors for name in spellings(f"{module}.weight"))


def refuse_not_finite(folder: Path) -> None:
    """Raises a ConfigError where an adapter holds NaN or infinity."""
    import numpy as np

    file = folder / ADAPTER_WEIGHTS
    with _mapped(file) as data:
        for key, span in safetensors_spans(file).items():
            if span.dtype not in _EXPONENT:
                continue
            kind, bits = _EXPONENT[span.dtype]
            if bool(np.any((np.frombuffer(data[slice(*span.place)], kind) & bits) == bits)):
                raise ConfigError(
                    f"{file}: tensor {key} holds NaN or infinity",
                    "training diverged: lower train.learning_rate and train again, or take an earlier checkpoint",
                )
