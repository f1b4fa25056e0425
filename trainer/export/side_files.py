"""The files beside the weights: copied from the base byte for byte, but for the few keys that must differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from configs.model_files import read_json, text_config

Diff = dict[str, list[Any]]
"""Changed keys: name to [before, after], None where there was nothing or is nothing now."""

# Weights in any form, what describes them, and the base's own model card: none of it is true of the merged model.
LEFT_OUT = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.pt", "*.pth", "*.gguf",
            "*.onnx", "*.h5", "*.msgpack", "README*", ".*")  # fmt: skip
COPIED_FOLDERS = ("additional_chat_templates",)


def side_files(base: Path) -> list[Path]:
    """Files of a model folder that go into the merged one, relative to it: tokenizer, templates, licence"""
    found = [f for f in base.iterdir() if f.is_file() and not any(f.match(pattern) for pattern in LEFT_OUT)]
    for folder in COPIED_FOLDERS:
        found += [f for f in (base / folder).glob("*") if f.is_file()]
    return sorted(f.relative_to(base) for f in found)


def copy_side_files(base: Path, out: Path) -> None:
    """Copies them byte for byte."""
    for name in side_files(base):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / name, out / name)


def write_generation_config(base: Path, out: Path, end_token_id: int | None) -> Diff:
    """Makes generation stop at the end-of-turn token that was trained, and drops the base's `max_new_tokens`.

    A file that needs no change stays as it was copied. A base without one gets one.

    Returns:
        What differs from the base's file.
    """
    file = base / "generation_config.json"
    before = _read(file) if file.is_file() else {}
    after = dict(before)
    if not file.is_file():
        model = _read(base / "config.json")
        model = text_config(model)
        after = {k: model[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id") if model.get(k) is not None}
    after.pop("max_new_tokens", None)
    ends = after.get("eos_token_id")
    listed = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if end_token_id is not None and end_token_id not in listed:
        after["eos_token_id"] = [*listed, end_token_id] if listed else end_token_id
    return _write_changes(out / "generation_config.json", before, after)


def write_untied_config(base: Path, out: Path) -> Diff:
    """Tells loaders that embedding and output head are two tensors now."""
    before = _read(base / "config.json")
    after = {**before, "tie_word_embeddings": False}
    if "text_config" in before:
        after["text_config"] = {**before["text_config"], "tie_word_embeddings": False}
    return _write_changes(out / "config.json", before, after)


def _write_changes(file: Path, before: dict[str, Any], after: dict[str, Any]) -> Diff:
    diff = {
        k: [before.get(k), after.get(k)] for k in sorted(before.keys() | after.keys()) if before.get(k) != after.get(k)
    }
    if diff:
        file.write_text(json.dumps(after, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return diff


def _read(file: Path) -> dict[str, Any]:
    return read_json(file)
