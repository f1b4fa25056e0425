"""The linear layers of a model that transformers implements, read from its source: what can take an adapter."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_OF_MLP = re.compile(r"(MLP|Mlp|FFN|FeedForward|Experts?|Router|Gate|MoeBlock|MoE)$")
"""Names of the classes that stand behind the mixing of tokens in a layer."""


def layers_of_class(file: Path, name: str) -> dict[str, list[str]]:
    """Names under which the classes that a model is built of hold linear layers.

    Layers that the class holds itself are left out: they are the output layer and its like. Experts that are one tensor
    of three dimensions are no linear layers, and not among them.

    Args:
        file: the module of the class.
        name: the class, such as `Qwen3ForCausalLM`.

    Returns:
        `mix`: layers of attention and its like; `mlp`: those of dense MLPs and of experts that every token takes.
    """
    module = _Module.read(file)
    found: dict[str, dict[str, None]] = {"mix": {}, "mlp": {}}
    waiting, seen = list(module.made_by(name)), {name}
    while waiting:
        at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        found["mlp" if _OF_MLP.search(at) else "mix"] |= dict.fromkeys(module.linears(at))
        waiting += module.made_by(at)
    return {kind: list(names) for kind, names in found.items()}


class _Module:
    """The classes of a source file."""

    def __init__(self, body: list[ast.stmt]) -> None:
        self.classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
        # A choice between classes that is written down, such as {"attention": JambaAttentionDecoderLayer, ...}.
        self.choices = {
            target.id: [n.id for n in ast.walk(node.value) if isinstance(n, ast.Name) and n.id in self.classes]
            for node in body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    @classmethod
    @cache
    def read(cls, file: Path) -> _Module:
        return cls(ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else [])

    def lineage(self, name: str) -> Iterator[ast.ClassDef]:
        """A class and those of its module that it inherits from."""
        if name in self.classes:
            yield self.classes[name]
            for base in self.classes[name].bases:
                yield from self.lineage(ast.unparse(base))

    def made_by(self, name: str) -> Iterator[str]:
        """Classes of the module that the constructor of a class names."""
        for line in self._constructors(name):
            for node in ast.walk(line):
                if isinstance(node, ast.Name):
                    yield from [node.id] if node.id in self.classes else self.choices.get(node.id, [])

    def linears(self, name: str) -> Iterator[str]:
        """Attributes that the constructor of a class fills with a linear layer."""
        for line in self._constructors(name):
            for node in ast.walk(line):
                if isinstance(node, ast.Assign) and self._is_linear(node.value):
                    yield from (target.attr for target in node.targets if isinstance(target, ast.Attribute))

    def _constructors(self, name: str) -> Iterator[ast.stmt]:
        for one in self.lineage(name):
            yield from (line for line in one.body if isinstance(line, ast.FunctionDef) and line.name == "__init__")

    def _is_linear(self, value: ast.expr) -> bool:
        """Whether an expression makes a linear layer, alone or as one of two that a condition chooses between."""
        if isinstance(value, ast.IfExp):
            return self._is_linear(value.body) or self._is_linear(value.orelse)
        if not isinstance(value, ast.Call):
            return False
        made = ast.unparse(value.func)
        return made == "nn.Linear" or any(
            ast.unparse(base) == "nn.Linear" for one in self.lineage(made) for base in one.bases
        )
