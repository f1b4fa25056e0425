"""What the calls of a Python script or notebook say that trains with Unsloth. Nothing of it is run.

Python is read as a syntax tree; a value that is not written out (a call, a computation) is kept as its source text, so
that it can be named.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from configs.errors import ConfigError

_CALLS = ("from_pretrained", "get_peft_model", "load_dataset", "SFTConfig", "TrainingArguments", "SFTTrainer")
"""Calls whose arguments mean something."""
_BY_POSITION = {
    "from_pretrained": ("model_name", "max_seq_length", "dtype", "load_in_4bit"),
    "get_peft_model": ("model", "r", "target_modules", "lora_alpha", "lora_dropout"),
    "load_dataset": ("dataset", "name"),
    "SFTConfig": ("output_dir",),
    "SFTTrainer": ("model", "args"),
}
"""What their arguments without a name are."""


def read_calls(file: Path, code: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The keyword arguments of the calls that train, names of constants resolved, and what was not read.

    Of several calls of one function the first counts: what comes after the training loads its result. Data sets are a
    list of what `load_dataset` was called with, but those that the trainer evaluates on.
    """
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        raise ConfigError(
            f"{file}: not Python that can be read: line {error.lineno}: {error.msg}", "mend it"
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:  # no text, or expressions in expressions without end
        why = str(error) or "nested too deeply"
        raise ConfigError(f"{file}: not Python that can be read: {why}", "give the script that trains") from error
    constants = _Constants(tree)
    found: dict[str, Any] = {}
    left: list[tuple[str, str]] = []
    loaded: list[tuple[str, dict[str, Any]]] = []
    seen: dict[str, ast.Call] = {}
    evaluated: set[str] = set()
    targets = {
        id(call): node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        for call in ast.walk(node.value)
        if isinstance(call, ast.Call)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        name = ast.unparse(call.func).rpartition(".")[2]
        if name not in _CALLS or (name == "from_pretrained" and "Tokenizer" in ast.unparse(call.func)):
            continue
        kind = {"TrainingArguments": "SFTConfig"}.get(name, name)
        given = _given(call, kind, constants, left)
        if name == "load_dataset":
            loaded.append(
                (targets.get(id(call), ""), {"dataset_split" if k == "split" else k: v for k, v in given.items()})
            )
            continue
        if kind in seen:
            if ast.dump(call) != ast.dump(seen[kind]):
                left.append((name, f"line {call.lineno}: the first call, in line {seen[kind].lineno}, is taken"))
            continue
        seen[kind] = call
        found |= given
        evaluated |= {
            node.id
            for argument in call.keywords
            if argument.arg == "eval_dataset"
            for node in ast.walk(argument.value)
            if isinstance(node, ast.Name)
        }
    found |= _set_afterwards(tree, seen.get("SFTConfig"), constants)
    found["load_dataset"] = [given for target, given in loaded if target not in evaluated]
    if found.get("eval_dataset") is not None:
        left.append(("eval_dataset", "set data.heldout to a file of it"))
    if len(found["load_dataset"]) > 1:
        left.append(("load_dataset", f"{len(found['load_dataset'])} are loaded; leave out what is not trained"))
    # TRL takes the loss on prompts too unless the script masks them.
    found["train_on_prompt"] = "train_on_responses_only" not in code and not found.get("completion_only_loss")
    if not {"model_name", "learning_rate", "r"} & set(found):
        raise ConfigError(
            f"{file}: no call of FastLanguageModel.from_pretrained, get_peft_model or SFTConfig is in it",
            "give the script or notebook that trains",
        )
    return found, left


def _given(call: ast.Call, kind: str, constants: _Constants, left: list[tuple[str, str]]) -> dict[str, Any]:
    """The arguments of a call by their names; what cannot be read is added to `left`."""
    given = dict(zip(_BY_POSITION[kind], (_literal(value, constants) for value in call.args), strict=False))
    for argument in call.keywords:
        value = _literal(argument.value, constants)
        if argument.arg:
            given[argument.arg] = value
        elif isinstance(value, dict):
            given |= {str(key): one for key, one in value.items()}
        else:
            left.append((kind, f"line {call.lineno}: `**{ast.unparse(argument.value)}` is not read"))
    given.pop("args", None)  # `args=SFTConfig(...)` is a call of its own
    return given


def _set_afterwards(tree: ast.Module, settings: ast.Call | None, constants: _Constants) -> dict[str, Any]:
    """What is written into the trainer's settings after they were made: `args.warmup_ratio = 0.2`."""
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    names = {ast.unparse(node.targets[0]) for node in assigned if node.value is settings}
    return {
        place.attr: _literal(node.value, constants)
        for node in assigned
        for place in node.targets
        if isinstance(place, ast.Attribute) and ((of := ast.unparse(place.value)) in names or of.endswith(".args"))
    }


class _Constants:
    """What a script calls its values: each name with the line that gives it one."""

    def __init__(self, tree: ast.Module) -> None:
        self._given: dict[str, list[tuple[int, ast.expr]]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                self._given.setdefault(node.targets[0].id, []).append((node.lineno, node.value))

    def get(self, name: ast.Name) -> Any:
        """The value that a name was last given above the line where it stands; the name itself without one."""
        above = [(line, value) for line, value in self._given.get(name.id, ()) if line < name.lineno]
        if not above:
            return name.id
        try:
            return _literal(max(above, key=lambda one: one[0])[1], self)
        except RecursionError:  # names that stand for names without end
            return name.id


def _literal(node: ast.expr, constants: _Constants) -> Any:
    if isinstance(node, ast.Name):
        return constants.get(node)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict" and not node.args:
        return {one.arg: _literal(one.value, constants) for one in node.keywords if one.arg}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return ast.unparse(node)
