"""What LLaMA-Factory's `dataset_info.json` says about the files beside it: their columns, roles and which are meant.

Its keys are documented in data/README.md of LLaMA-Factory; exports of Easy Dataset carry one too.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path
from typing import Any

from configs.disk.files import parse_json
from configs.errors import DataError
from configs.recipe.schema import SourceConfig
from configs.tables.file_bytes import whole_text

SIDE_FILES = {
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "configuration.json", "state.json", "config.json",
}  # fmt: skip
"""Files beside data that describe them."""


@dataclass(frozen=True)
class DataFile:
    """One file of a source, and what a `dataset_info.json` beside it says about its columns."""

    name: str
    """Its name in places: with as much of the folder as tells two files of one name apart; or the hub id."""
    columns: dict[str, str] = field(default_factory=dict)
    """Layout name to column, as `data.sources[].columns`; the recipe's own word goes before it."""
    roles: dict[str, str] = field(default_factory=dict)
    """A role's name in the file to system, user, assistant, tool or call, as `data.sources[].roles`."""
    ranking: bool = False
    """Whether answers are lists of a better and a worse one."""


_NAME = "dataset_info.json"
_SOURCES = {"file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"}
_COLUMNS = {
    "prompt": "instruction", "query": "input", "response": "output", "history": "history", "messages": "messages",
    "system": "system", "tools": "tools", "chosen": "chosen", "rejected": "rejected", "kto_tag": "label",
    "images": "images", "videos": "videos", "audios": "audios",
}  # fmt: skip
_ROLES = {
    "user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "function_tag": "call",
    "system_tag": "system",
}  # fmt: skip


def described_files(files: list[Path], path: str, source: SourceConfig) -> list[tuple[Path, DataFile]]:
    """Each file with its name and description; only the files of `source.subset` where it names an entry.

    Raises:
        DataError: a `dataset_info.json` is broken, has no entry of the name that `subset` gives, describes a file in
            two ways, or takes a part of its rows only.
    """
    names = _names(files)
    found = [(file, _entry_of(file, source.subset)) for file in files]
    for file, entry in found:
        wanted = entry[1].get("num_samples") if entry else None
        if entry and wanted and "#" not in source.path and source.subset in (None, entry[0]):
            raise DataError(
                f"{file}: dataset_info.json takes {str(wanted)[:20]} of its rows (num_samples of {entry[0]!r})",
                f"name it as a source of its own: {{path: {path}#{str(wanted)[:20]}, subset: {entry[0]}}}",
            )
    if source.subset:
        entries = {name: entry for folder in {f.parent for f in files} for name, entry in _info(folder).items()}
        if not entries:
            raise DataError(
                f"{path}: subset: {source.subset} picks nothing: no dataset_info.json describes these files",
                "leave `subset` out, and name the files that are meant",
            )
        if source.subset not in entries:
            near = difflib.get_close_matches(source.subset, entries, 1, 0)
            raise DataError(
                f"{path}: dataset_info.json has no entry {source.subset!r}; it has {', '.join(entries)}",
                f"did you mean subset: {near[0]}?",
            )
        found = [(file, entry) for file, entry in found if entry and entry[0] == source.subset]
        if not found:
            raise DataError(
                f"{path}: the file of dataset_info.json's entry {source.subset!r} is not here: "
                f"{entries[source.subset].get('file_name', 'no file_name')}",
                "put it into the folder, or give its hub id as the source's path",
            )
    return [(file, _describe(names[file], entry)) for file, entry in found]


def _names(files: list[Path]) -> dict[Path, str]:
    """File names as places show them: with as much of the folder as tells two files of one name apart."""
    if len({file.name for file in files}) == len(files):
        return {file: file.name for file in files}
    root = commonpath([file.parent for file in files])
    return {file: file.relative_to(root).as_posix() for file in files}


def _info(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of the `dataset_info.json` in a folder that describe its files; none where there is no such file."""
    file = folder / _NAME
    if not file.is_file():
        return {}
    if file.stat().st_uid not in (0, os.getuid(), folder.stat().st_uid):
        # In a shared folder anybody may lay one beside, or above, data of somebody else.
        raise DataError(
            f"{file}: it says what columns are, and is neither yours nor that of who owns the folder",
            "remove it, or copy the data into a folder of your own",
        )
    try:
        value = parse_json(whole_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}: not valid JSON: {error.msg}", "mend that line") from error
    except ValueError as error:
        raise DataError(f"{file}: not valid JSON: {error}", "write it again") from error
    # `datasets` leaves a file of this name with other contents.
    entries = value if isinstance(value, dict) else {}
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict) and _SOURCES & entry.keys()}


def info_files(files: list[Path]) -> list[Path]:
    """Every `dataset_info.json` that could describe one of these files, those of the folders above too; sorted."""
    return sorted({info for file in files for folder in _folders(file) if (info := folder / _NAME).is_file()})


def _folders(file: Path) -> list[Path]:
    """Where a description of a file may lie, the nearest first."""
    return list(file.parents)[:3]


def _entry_of(file: Path, subset: str | None) -> tuple[str, dict[str, Any]] | None:
    """(name, entry) that describes a file: by its own name, or by that of the folder it lies in.

    Args:
        subset: name of the entry that is meant where several describe the file.
    """
    for folder in _folders(file):
        entries = {
            name: entry
            for name, entry in _info(folder).items()
            if "file_name" in entry and folder / str(entry["file_name"]) in (file, file.parent)
        }
        if not entries:
            continue
        if subset in entries:
            return subset, entries[subset]
        first, *others = entries
        if other := next((name for name in others if _said(entries[name]) != _said(entries[first])), None):
            raise DataError(
                f"{file}: dataset_info.json describes it as {first!r} and, otherwise, as {other!r}",
                f"say which is meant on the source: subset: {first}",
            )
        return first, entries[first]
    return None


def _said(entry: dict[str, Any]) -> list[Any]:
    """What an entry says of the rows of its file."""
    return [entry.get(key) or None for key in ("columns", "tags", "ranking", "num_samples")]


def _describe(name: str, entry: tuple[str, dict[str, Any]] | None) -> DataFile:
    if entry is None:
        return DataFile(name)
    about = entry[1]
    columns, tags = about.get("columns") or {}, about.get("tags") or {}
    if not (isinstance(columns, dict) and isinstance(tags, dict)):
        raise DataError(f"{_NAME}: columns and tags of {entry[0]!r} are no objects", "write names to names")
    mapped = {_COLUMNS[key]: str(column) for key, column in columns.items() if key in _COLUMNS and column}
    for key, target in (("role_tag", "role"), ("content_tag", "content")):
        if tags.get(key):
            mapped[target] = str(tags[key])
    roles = {str(tags[key]): role for key, role in _ROLES.items() if tags.get(key)}
    return DataFile(name, mapped, roles, bool(about.get("ranking")))
