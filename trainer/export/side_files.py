"""The files beside the weights: copied from the base byte for byte, but for the few keys that must differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.model.files import as_list, read_json, text_config
from configs.model.fingerprint import files_fingerprint

Diff = dict[str, list[Any]]
"""Changed keys: name to [before, after], None where there was nothing or is nothing now."""

# Weights in any form, what describes them, and the base's own model card: none of it is true of the merged model.
LEFT_OUT = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.pt", "*.pth", "*.gguf",
            "*.onnx", "*.h5", "*.msgpack", "README*", ".*")  # fmt: skip
_ROPE_BY_LAYER = ("gemma3_text", "gemma3n_text", "olmo3")
"""Models whose two sets of rotary settings, for each kind of layer, older programs know under other names."""
_OLDER_NAMES = dict.fromkeys(("gpt_neox", "gpt_neox_japanese"), ("rotary_emb_base", "rotary_pct"))
"""Models that older programs know base and part of the rotations of under other names than most."""
_THREE_FIELDS = ("phi3", "phi4_multimodal")
"""Models whose `rope_scaling` older programs refuse where it has more than type, short_factor and long_factor."""
_LONG_ROPE = frozenset({"rope_type", "type", "short_factor", "long_factor", "original_max_position_embeddings"})
"""What these three say; newer programs believe `rope_scaling` first, so that nothing else may stand beside them."""
COPIED_FOLDERS = ("additional_chat_templates",)


def check_sources(base: Path, adapter: Path) -> None:
    """Raises a ConfigError when the base or the adapter is not where it should be."""
    if not (base / "config.json").is_file():
        raise ConfigError(f"base model {base}: no config.json there", "give the folder of the 16-bit base model")
    if not adapter.is_dir():
        raise ConfigError(f"adapter {adapter}: no such folder", "train first, or give the folder of the adapter")


def side_files(base: Path) -> list[Path]:
    """Files of a model folder that go into the merged one, relative to it: tokenizer, templates, licence.

    Raises:
        ConfigError: one is a link to a file that is no model's, which nobody wants to hand on.
    """
    found = [f for f in base.iterdir() if f.is_file() and not any(f.match(pattern) for pattern in LEFT_OUT)]
    for folder in COPIED_FOLDERS:
        found += [f for f in (base / folder).glob("*") if f.is_file()]
    for file in found:
        refuse_elsewhere(file, base)
    return sorted(f.relative_to(base) for f in found)


def refuse_elsewhere(file: Path, base: Path) -> None:
    """Raises a ConfigError for a link in a model's or an adapter's folder that leads to a file that is no model's.

    What lies in the folder, in the store of a hub's cache, or under the same name in another model's folder may pass.
    """
    place = file.resolve()
    of_a_model = place.name == file.name and (place.parent / "tokenizer_config.json").is_file()
    if place.is_relative_to(base.resolve()) or "blobs" in place.parts or of_a_model:
        return
    raise ConfigError(
        f"{file}: a link that leads out of the model, to {place}",
        "put the file itself in its place, or remove the link",
    )


def side_files_fingerprint(model: Path) -> str:
    """A hash of their names and contents."""
    return files_fingerprint([model / name for name in side_files(model)])


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
    listed = as_list(after.get("eos_token_id"))
    if end_token_id is not None and end_token_id not in listed:
        after["eos_token_id"] = [*listed, end_token_id] if listed else end_token_id
    return _write_changes(out / "generation_config.json", before, after)


def write_model_config(base: Path, out: Path, untied: bool) -> Diff:
    """Says what is new about the merged model, and repeats the rotary settings under their older names.

    A file that needs no change stays as it was copied.

    Args:
        base: model folder that was merged into.
        out: the merged one.
        untied: whether embedding and output head are two tensors now.

    Returns:
        What differs from the base's file.
    """
    before = _read(base / "config.json")
    after = with_older_rope_names(before)
    if untied:
        after["tie_word_embeddings"] = False
        if "text_config" in after:
            after["text_config"] = {**after["text_config"], "tie_word_embeddings": False}
    return _write_changes(out / "config.json", before, after)


def with_older_rope_names(config: dict[str, Any]) -> dict[str, Any]:
    """A config.json in which `rope_parameters` also stands under its older names, such as `rope_theta`.

    transformers 5 writes only the first. Servers and converters built on transformers 4 do not know it: they take their
    default base of 10,000 for the rotations, and the model answers nonsense without an error.
    """
    after = dict(config)
    if isinstance(after.get("text_config"), dict):
        after["text_config"] = with_older_rope_names(after["text_config"])
    rope = after.get("rope_parameters")
    if isinstance(rope, dict) and after.get("model_type") in _ROPE_BY_LAYER:
        local = rope.get("sliding_attention")
        if after["model_type"] != "olmo3" and isinstance(local, dict) and "rope_theta" in local:
            after.setdefault("rope_local_base_freq", local["rope_theta"])
        rope = rope.get("full_attention")
    if not isinstance(rope, dict) or "rope_theta" not in rope:
        return after  # none, or sets for kinds of layers that older programs never knew
    theta, part = _OLDER_NAMES.get(str(after.get("model_type")), ("rope_theta", "partial_rotary_factor"))
    after.setdefault(theta, rope["rope_theta"])
    if "partial_rotary_factor" in rope:
        after.setdefault(part, rope["partial_rotary_factor"])
    scaling = {key: value for key, value in rope.items() if key not in ("rope_theta", "partial_rotary_factor")}
    factors = ("short_factor", "long_factor")
    if after.get("model_type") in _THREE_FIELDS and {*factors} <= scaling.keys() <= _LONG_ROPE:
        if "original_max_position_embeddings" in scaling:
            after.setdefault("original_max_position_embeddings", scaling["original_max_position_embeddings"])
        scaling = {"type": "longrope", **{key: scaling[key] for key in factors}}
    if scaling.get("rope_type", scaling.get("type", "default")) != "default":
        after.setdefault("rope_scaling", scaling)
    return after


def _write_changes(file: Path, before: dict[str, Any], after: dict[str, Any]) -> Diff:
    diff = {
        k: [before.get(k), after.get(k)] for k in sorted(before.keys() | after.keys()) if before.get(k) != after.get(k)
    }
    if diff:
        file.write_text(json.dumps(after, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return diff


def _read(file: Path) -> dict[str, Any]:
    return read_json(file)
