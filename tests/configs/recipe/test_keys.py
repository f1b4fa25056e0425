"""Every key of a recipe, as `init --keys` and the reference show it."""

from __future__ import annotations

import pytest
import yaml

from configs.recipe.keys import keys_of
from configs.recipe.load import load_config
from configs.recipe.recipes import recipes
from configs.recipe.schema import RunConfig

KEYS = {key.name: key for key in keys_of(RunConfig)}


def test_every_key_has_a_type_and_a_meaning() -> None:
    assert [key.name for key in KEYS.values() if not key.meaning.strip() or not key.kind or "<class" in key.kind] == []


@pytest.mark.parametrize(
    ("name", "kind", "default"),
    [
        ("name", "text", "required"),
        ("train", "section", ""),
        ("train.learning_rate", "number > 0, < 1", "2e-05"),
        ("train.precision", "16bit, 8bit, 4bit", "16bit"),
        ("train.rows_per_step", "whole number > 0 or auto", "8"),
        ("train.keep_best", "true or false", "false"),
        ("data.replay", "section", "null"),
        ("data.eval_split", "number >= 0, <= 1", "0.05"),
        ("data.sources.*.columns", "mapping of text to text", "{}"),
        ("eval.tasks", "list of sections", "[]"),
        ("eval.tasks.*.limit", "whole number > 0 or null", "null"),
        ("serve.port", "whole number >= 1, <= 65535", "8000"),
        ("serve.max_model_len", "whole number > 0 or auto", "auto"),
        ("merge.formats", "list of: vllm, gguf", "[vllm]"),
    ],
)
def test_types_bounds_and_defaults_are_the_schemas(name: str, kind: str, default: str) -> None:
    assert (KEYS[name].kind, KEYS[name].default) == (kind, default)


def test_the_defaults_shown_are_what_a_recipe_without_the_key_gets() -> None:
    config = load_config(recipes()["qwen3-8b"]).model_dump(mode="json")
    for key in KEYS.values():
        if key.name.startswith("proof.") or key.name in ("offline", "output_dir", "seed", "data.turns", "lora.dropout"):
            value = config
            for part in key.name.split("."):
                value = value[part]
            shown = yaml.safe_load(key.default)
            assert value == shown or str(value).endswith(f"/{shown}")
