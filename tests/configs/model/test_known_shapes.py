"""Shapes that are shipped, held against the numbers of parameters that the models' pages give."""

from __future__ import annotations

import pytest

from configs.model.known_shapes import known_config, shapes
from configs.model.mixed_shape import shape_of
from trainer.architectures import why_not


@pytest.mark.parametrize("entry", shapes(), ids=lambda entry: entry["names"])
def test_each_shape_comes_to_the_published_number_of_parameters(entry: dict) -> None:
    config = known_config("owner/" + sample(entry["names"]))
    assert config is not None
    # Qwen2's biases on queries, keys and values and Gemma's two further norms are no part of a shape.
    assert shape_of(config).parameters == pytest.approx(entry["parameters"], rel=2e-4)
    assert why_not(config) == ""


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("Qwen/Qwen3-0.6B", 28), ("unsloth/Qwen3-14B", 40), ("Qwen/Qwen3-32B", 64), ("Qwen/Qwen3-4B-Instruct-2507", 36),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", 28), ("meta-llama/Llama-3.1-8B-Instruct", 32), ("google/gemma-2-9b-it", 42),
    ],
)  # fmt: skip
def test_names_find_their_shape(name: str, layers: int) -> None:
    found = known_config(name)
    assert found is not None
    assert found["num_hidden_layers"] == layers


@pytest.mark.parametrize(
    "name",
    ["Qwen3-8B", "./Qwen/Qwen3-8B", "Qwen/Qwen3-235B-A22B", "Qwen/Qwen3-8B-FP8", "unsloth/Qwen3-8B-bnb-4bit", ""],
)
def test_what_has_another_shape_or_is_no_hub_id_is_not_known(name: str) -> None:
    assert known_config(name) is None


def sample(names: str) -> str:
    """A name that the expression of an entry matches: its optional parts left out."""
    import re

    first = names.replace("|DeepSeek", "\0").partition("\0")[0].partition("|QwQ")[0]
    return (
        re.sub(r"\(\?i:([^)]*)\)", r"\1", re.sub(r"\([^()?]*\)\?", "", first))
        .replace("\\", "")
        .replace("(-Instruct)?", "")
    )
