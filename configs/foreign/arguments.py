"""What another trainer's file says: YAML, the command line of a shell script, or the calls of a script or notebook.

Nothing of the file is run. Python is read as a syntax tree; a value that is not written out (a call, a computation) is
kept as its source text, so that it can be named.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from configs.errors import ConfigError
from configs.files import parse_json
from configs.yaml_text import parse_yaml, read_text, read_yaml

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
_CALLS = ("from_pretrained", "get_peft_model", "load_dataset", "SFTConfig", "TrainingArguments", "SFTTrainer")
"""Calls of an Unsloth script whose arguments mean something."""


@dataclass(frozen=True)
class Source:
    """Another trainer's recipe."""

    tool: Tool
    arguments: dict[str, Any]
    """By the trainer's own names; those of Unsloth's calls all together."""


def read_foreign(file: Path) -> Source:
    """Reads another trainer's recipe.

    Args:
        file: YAML or JSON, a shell script that calls `swift sft` or `llamafactory-cli`, or an Unsloth script (`.py`) or
            notebook (`.ipynb`).

    Raises:
        ConfigError: there is no such file, or it is none of these.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: no such file", "give a recipe, a shell script, a Python script or a notebook")
    match file.suffix.lower():
        case ".py":
            return Source("Unsloth", _calls(file, read_text(file)))
        case ".ipynb":
            return Source("Unsloth", _calls(file, _cells(file)))
        case ".sh" | ".bash":
            arguments = _command_line(file)
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
    return Source(tool, arguments)


def _command_line(file: Path) -> dict[str, Any]:
    """The options of the last command of a shell script that has some; `--flag` alone is true."""
    text = re.sub(r"\\\s*\n", " ", read_text(file))
    arguments: dict[str, Any] = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # an unfinished quote: no line of options
        if not any(word.startswith("--") for word in words):
            continue
        key = ""
        for word in words:
            if word.startswith("--"):
                key, equals, value = word[2:].partition("=")
                arguments[key] = _value(value) if equals else True
            elif key:
                before = arguments[key]
                several = [*(before if isinstance(before, list) else [before]), _value(word)]
                arguments[key] = _value(word) if before is True else several
    return arguments


def _value(text: str) -> Any:
    if re.fullmatch(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+", text):
        return float(text)  # YAML 1.1 reads 1e-4 as text
    try:
        return parse_yaml(text)
    except ValueError:
        return text


def _cells(file: Path) -> str:
    """The code of a notebook, without its shell commands."""
    try:
        notebook = parse_json(read_text(file))
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell.get("cell_type") == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: not a notebook: {error}", "save it again, or give a .py script") from error
    kept = [cell for cell in cells if not cell.lstrip().startswith("%%")]
    return "\n".join(re.sub(r"^\s*[!%].*$", "pass", cell, flags=re.MULTILINE) for cell in kept)


def _calls(file: Path, code: str) -> dict[str, Any]:
    """The keyword arguments of the calls that train, names of constants resolved."""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        raise ConfigError(
            f"{file}: not Python that can be read: line {error.lineno}: {error.msg}", "mend it"
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:  # no text, or expressions in expressions without end
        why = str(error) or "nested too deeply"
        raise ConfigError(f"{file}: not Python that can be read: {why}", "give the script that trains") from error
    constants: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = _literal(node.value, constants)
    found: dict[str, Any] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        name = ast.unparse(call.func).rpartition(".")[2]
        if name not in _CALLS or (name == "from_pretrained" and "Tokenizer" in ast.unparse(call.func)):
            continue
        if call.args and name in ("from_pretrained", "load_dataset"):
            found["model_name" if name == "from_pretrained" else "dataset"] = _literal(call.args[0], constants)
        if len(call.args) > 1 and name == "load_dataset":
            found["name"] = _literal(call.args[1], constants)
        for argument in call.keywords:
            # `args=SFTConfig(...)` is a call of its own, `**options` has no name.
            if argument.arg and argument.arg != "args":
                key = {"split": "dataset_split"}.get(argument.arg, argument.arg)
                found[key] = _literal(argument.value, constants)
    # TRL takes the loss on prompts too unless the script masks them.
    found["train_on_prompt"] = "train_on_responses_only" not in code and not found.get("completion_only_loss")
    if not {"model_name", "learning_rate", "r"} & set(found):
        raise ConfigError(
            f"{file}: no call of FastLanguageModel.from_pretrained, get_peft_model or SFTConfig is in it",
            "give the script or notebook that trains",
        )
    return found


def _literal(node: ast.expr, constants: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return constants.get(node.id, node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return ast.unparse(node)
