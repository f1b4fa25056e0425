"""What another trainer's file says: YAML, the command line of a shell script, or the calls of a script or notebook.

Nothing of the file is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from configs.disk.files import parse_json
from configs.disk.yaml_text import read_text, read_yaml
from configs.errors import ConfigError
from configs.foreign.calls import read_calls
from configs.foreign.shell import read_command

Tool = Literal["LLaMA-Factory", "ms-swift", "Axolotl", "Unsloth"]
_SIGNS: dict[Tool, tuple[str, ...]] = {
    "LLaMA-Factory": ("model_name_or_path", "finetuning_type", "cutoff_len", "stage", "dataset_dir"),
    "Axolotl": ("base_model", "datasets", "sequence_len", "micro_batch_size", "lora_r"),
    "ms-swift": (
        "train_type",
        "tuner_type",
        "target_modules",
        "split_dataset_ratio",
        "torch_dtype",
        "lora_rank",
        "model",
    ),
}
"""Keys by which a file is told; the tool with most of them is taken."""


@dataclass(frozen=True)
class Source:
    """Another trainer's recipe."""

    tool: Tool
    arguments: dict[str, Any]
    """By the trainer's own names; those of Unsloth's calls all together."""
    processes: int = 1
    """That train together, as far as the file says."""
    left: tuple[tuple[str, str], ...] = ()
    """(what, why) of what in the file was not read."""


def read_foreign(file: Path) -> Source:
    """Reads another trainer's recipe.

    Args:
        file: YAML or JSON, a shell script that calls `swift sft` or `llamafactory-cli`, or an Unsloth script (`.py`) or
            notebook (`.ipynb`).

    Raises:
        ConfigError: there is no such file, or it is none of these.
    """
    command = None
    if not file.is_file():
        raise ConfigError(f"{file}: no such file", "give a recipe, a shell script, a Python script or a notebook")
    match file.suffix.lower():
        case ".py":
            arguments, left = read_calls(file, read_text(file))
            return Source("Unsloth", arguments, left=tuple(left))
        case ".ipynb":
            arguments, left = read_calls(file, _cells(file))
            return Source("Unsloth", arguments, left=tuple(left))
        case ".sh" | ".bash":
            command = read_command(read_text(file))
            arguments = command.arguments
        case _:
            raw, _ = read_yaml(file)
            if not isinstance(raw, Mapping):
                raise ConfigError(f"{file}: a recipe is a mapping of keys", "give the trainer's own file")
            arguments = {str(key): value for key, value in raw.items()}
    counts = {tool: sum(sign in arguments for sign in signs) for tool, signs in _SIGNS.items()}
    tool = max(counts, key=lambda name: counts[name])
    if not counts[tool]:
        raise ConfigError(
            f"{file}: neither of LLaMA-Factory nor of ms-swift, Axolotl or Unsloth: its keys are "
            f"{', '.join(sorted(arguments)[:8])}",
            "give a training recipe of one of them; a recipe of tuneserve needs no translation",
        )
    if command is None:
        return Source(tool, arguments)
    # LLaMA-Factory's own command starts a process a GPU; ms-swift shares the model's layers out then.
    processes = command.processes or (command.gpus if tool == "LLaMA-Factory" else 0)
    return Source(tool, arguments, max(1, processes), tuple(command.left))


def _cells(file: Path) -> str:
    """The code of a notebook, without its shell commands."""
    try:
        notebook = parse_json(read_text(file))
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell.get("cell_type") == "code"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: not a notebook: {error}", "save it again, or give a .py script") from error
    kept = [cell for cell in cells if not cell.lstrip().startswith("%%")]
    return "\n".join(re.sub(r"^[^\S\n]*[!%].*$", "pass", cell, flags=re.MULTILINE) for cell in kept)
