"""The data sets that another trainer's recipe names, as sources of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.foreign.arguments import Tool

_FORMATS = {
    "alpaca": "alpaca",
    "sharegpt": "sharegpt",
    "completion": "prompt_completion",
}
_AXOLOTL_ENTRY = {
    "path", "data_files", "type", "split", "name", "field_messages", "roles_to_train", "ds_type", "chat_template",
    "message_property_mappings", "message_field_role", "message_field_content", "trust_remote_code", "revision",
    "preprocess_shards", "train_on_eos",
}  # fmt: skip
"""Keys of an entry that are read, or change nothing here."""


@dataclass
class Found:
    """Sources, the keys that they came from, and what could not be said of them."""

    sources: list[dict[str, Any]]
    used: set[str]
    left: list[tuple[str, str]] = field(default_factory=list)


def sources_of(tool: Tool, arguments: Mapping[str, Any], file: Path) -> Found:
    """The sources of a recipe.

    Raises:
        ConfigError: it names no data.
    """
    found = {
        "LLaMA-Factory": _llama_factory,
        "ms-swift": _swift,
        "Axolotl": _axolotl,
        "Unsloth": _unsloth,
    }[tool](arguments)
    if not found.sources:
        raise ConfigError(f"{file}: no data set is named", "write it into the file; data.sources is made from it")
    return found


def _llama_factory(arguments: Mapping[str, Any]) -> Found:
    """Entries of `dataset_info.json` in `dataset_dir`, each the first `max_samples` rows."""
    folder = str(arguments.get("dataset_dir") or "data")
    found = Found([], {"dataset", "dataset_dir", "max_samples"})
    first = arguments.get("max_samples")
    if first is not None and not re.fullmatch(r"\d+(\.0*)?", str(first)):
        found.left.append(("max_samples", f"{str(first)[:60]}: write path#:COUNT for so many rows of a source"))
        first = None
    path = f"{folder}#:{int(float(first))}" if first else folder
    for name in _listed(arguments.get("dataset")):
        # `dataset_dir: ONLINE` names data sets of a hub.
        online = {"path": f"{name}#:{int(float(first))}" if first else name}
        found.sources.append(online if folder == "ONLINE" else {"path": _local(path), "subset": name})
    if arguments.get("eval_dataset"):
        found.used.add("eval_dataset")
        found.left.append(("eval_dataset", f"set data.heldout to a file: {arguments['eval_dataset']}"))
    return _with_weights(found, arguments, "interleave_probs")


def _swift(arguments: Mapping[str, Any]) -> Found:
    """Files or hub ids as `id:subset#rows`, rows sampled."""
    found = Found([], {"dataset", "train_dataset"})
    names = [name for key in ("dataset", "train_dataset") for name in _listed(arguments.get(key))]
    for name in names:
        name = re.sub(r"^(hf|ms)::", "", name)
        path, hash_sign, rows = name.partition("#")
        head, colon, subset = path.partition(":")
        source: dict[str, Any] = {"path": _local(head) + (f"#{rows}" if hash_sign else "")}
        if colon and subset:
            source["subset"], _, others = subset.partition("/")
            if others:
                found.left.append(("dataset", f"{head}: the subsets {others} beside {source['subset']}: a source each"))
        if "self-cognition" in head:
            found.left.append(
                (
                    "dataset",
                    f"{head}: its rows hold NAME and AUTHOR, which ms-swift fills in; make a file in which they are",
                )
            )
        found.sources.append(source)
    for key in ("val_dataset", "cached_dataset"):
        if arguments.get(key):
            found.used.add(key)
            found.left.append((key, f"set data.heldout to a file: {arguments[key]}"))
    return _with_weights(found, arguments, "interleave_prob")


def _axolotl(arguments: Mapping[str, Any]) -> Found:
    """A list of mappings: `path`, `type`, `split`, `name`, and names of fields."""
    found = Found([], {"datasets", "test_datasets"})
    for entry in arguments.get("datasets") or []:
        if not isinstance(entry, Mapping) or not entry.get("path"):
            found.left.append(("datasets", f"{str(entry)[:60]}: an entry without a path"))
            continue
        for key in entry.keys() - _AXOLOTL_ENTRY:
            found.left.append((f"datasets.{key}", f"{str(entry[key])[:60]} has no counterpart here"))
        files = _listed(entry.get("data_files")) or [str(entry["path"])]
        source: dict[str, Any] = {}
        kind = entry.get("type")
        if isinstance(kind, str) and (known := _FORMATS.get(kind.partition(".")[0].partition(":")[0])):
            source["format"] = known
        elif isinstance(kind, Mapping):
            columns = {"field_instruction": "instruction", "field_input": "input", "field_output": "output"}
            mapped = {ours: kind[theirs] for theirs, ours in columns.items() if kind.get(theirs)}
            source |= {"columns": {**mapped, **({"system": kind["field_system"]} if kind.get("field_system") else {})}}
            if kind.get("format") or kind.get("system_prompt"):
                found.left.append(("datasets.type", "prompt formats of its own: the model's own template is used"))
        elif kind and not str(kind).startswith("chat_template"):
            found.left.append(("datasets.type", f"{kind}: the layout is found by looking at the rows"))
        if entry.get("split"):
            source["split"] = str(entry["split"])
        if entry.get("name"):
            source["subset"] = str(entry["name"])
        if entry.get("field_messages") and entry["field_messages"] not in ("messages", "conversations"):
            source["columns"] = {"messages": str(entry["field_messages"])}
        if entry.get("roles_to_train") not in (None, ["assistant"], ["gpt"], ["assistant", "gpt"]):
            found.left.append(("datasets.roles_to_train", f"{entry['roles_to_train']}: assistant turns are trained"))
        found.sources += [{"path": _local(file), **source} for file in files]
    if arguments.get("test_datasets"):
        found.left.append(("test_datasets", "set data.heldout to a file of them"))
    return found


def _unsloth(arguments: Mapping[str, Any]) -> Found:
    """`load_dataset(name, split=...)`; `load_dataset("json", data_files=...)` names files."""
    found = Found([], {"load_dataset", "eval_dataset"})
    for loaded in arguments.get("load_dataset") or []:
        name = loaded.get("dataset") or loaded.get("path")
        split = str(loaded.get("dataset_split") or "train")
        if name in ("json", "csv", "parquet", "text"):
            files = loaded.get("data_files")
            if isinstance(files, Mapping):
                files = [
                    file for part, one in files.items() if part == "train" or len(files) == 1 for file in _listed(one)
                ]
            rows = re.fullmatch(r"train\[:(\d+)\]", split)
            suffix = f"#:{rows[1]}" if rows else ""
            found.sources += [{"path": _local(file) + suffix} for file in _listed(files)]
        elif isinstance(name, str):
            found.sources.append({"path": _local(name), **({"split": split} if split != "train" else {})})
            if loaded.get("name"):
                found.sources[-1]["subset"] = str(loaded["name"])
    found.left.append(("the data's preparation", "the script may map or filter rows; compare with `check`"))
    return found


def _with_weights(found: Found, arguments: Mapping[str, Any], key: str) -> Found:
    if arguments.get(key):
        found.used.add(key)
        found.left.append((key, f"{arguments[key]}: shares of a mix; set `weight` of each source instead"))
    return found


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return [part.strip() for part in str(value).split(",") if part.strip()]


def _local(path: str) -> str:
    """A file or folder with `./` before it, so that it is looked for here; a hub id as it is."""
    name, sep, rows = path.partition("#")
    plain = not name.startswith((".", "/", "~")) and (name.count("/") != 1 or Path(name).suffix != "")
    return f"{'./' if plain else ''}{name}{sep}{rows}"
