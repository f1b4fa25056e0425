"""The shapes of published models, for a plan where neither the model nor a hub can be reached."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_COLUMNS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "tie_word_embeddings",
)  # fmt: skip


def known_config(model: str) -> dict[str, Any] | None:
    """What a plan needs of the config.json of a hub model, such as `Qwen/Qwen3-14B`; None for one that is not known.

    The owner does not count: copies of a model have its shape.
    """
    owner, slash, name = model.partition("/")
    if not owner or not slash or "/" in name:
        return None
    for entry in shapes():
        if re.fullmatch(entry["names"], name):
            sizes = dict(zip(_COLUMNS, entry["sizes"], strict=True))
            return {"model_type": entry["type"], **sizes, **entry.get("more", {})}
    return None


@cache
def shapes() -> list[dict[str, Any]]:
    """The entries of `known/shapes.yaml`."""
    return yaml.safe_load(files("configs").joinpath("known", "shapes.yaml").read_text(encoding="utf-8"))
