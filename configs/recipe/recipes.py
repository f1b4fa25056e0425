"""The recipes that come with the project, in the order in which they are met, and how one is written elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from configs.terminal.messages import translated
from configs.terminal.nearest import did_you_mean

FOLDER = Path(__file__).parents[1]
_COMMENT = re.compile(r"(^|\s)(#[ ]*)([^\s#].*)$", re.MULTILINE)
ORDER = {
    "see it work": ("demo", "tutorial", "demo-forgets"),
    "a model on a card": (
        "qwen3-0.6b",
        "qwen3-4b",
        "qwen3-8b-16gb",
        "qwen3-8b",
        "qwen3-14b-12gb",
        "qwen3-14b-24gb",
        "qwen3-14b-a100",
        "qwen3-14b-h100",
        "qwen3.5-9b",
        "qwen3-30b-a3b",
        "qwen3-14b-sharegpt-zh",
    ),
    "a task": ("knowledge-qa", "summarization", "customer-service", "tool-calls", "thinking", "continued"),
}
"""Names by what they are for; a recipe that stands in none of the groups is not listed."""


def recipes() -> dict[str, Path]:
    """The files of the recipes by name, in their order."""
    return {name: FOLDER / f"{name}.yaml" for names in ORDER.values() for name in names}


def did_you_mean_recipe(name: str) -> str:
    """`did you mean a or b?`, empty where no recipe is near."""
    return did_you_mean(name, recipes())


def summary(recipe: Path) -> str:
    """The first comment line of a recipe: what it is for."""
    return recipe.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def comments(text: str) -> Iterator[str]:
    """The comments of a recipe, line by line."""
    return (found[3] for found in _COMMENT.finditer(text))


def in_the_users_language(text: str) -> str:
    """A recipe with its comments in the user's language; keys, values and layout stay as they are."""
    return _COMMENT.sub(lambda found: found[1] + found[2] + translated(found[3], ours=True), text)


def standing_alone(recipe: Path) -> str:
    """The recipe's text for any other folder: what it names beside itself is named by its whole path.

    Comments and layout stay as they are.
    """
    text = recipe.read_text(encoding="utf-8")
    places = sorted(_places(yaml.compose(text, Loader=yaml.SafeLoader), recipe.parent), reverse=True)
    for start, end, path in places:
        text = text[:start] + _quoted(path) + text[end:]
    return text


def _places(node: yaml.Node | None, beside: Path) -> Iterator[tuple[int, int, str]]:
    """(start, end, whole path) of every value that names a file or folder beside the recipe."""
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _places(value, beside)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _places(item, beside)
    # A plain word, such as the run's name, is no path although a folder may be called like it.
    elif isinstance(node, yaml.ScalarNode) and "/" in node.value:
        path, hash_sign, sample = node.value.partition("#")
        if (beside / path).exists():
            yield node.start_mark.index, node.end_mark.index, f"{(beside / path).resolve()}{hash_sign}{sample}"


def _quoted(path: str) -> str:
    """A path as a YAML value, in quotes only where it needs them."""
    return path if path.isascii() and not set(path) & set(" #:{}[],&*!|>'\"%@`\\") else json.dumps(path)
