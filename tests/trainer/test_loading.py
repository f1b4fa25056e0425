"""Models of strangers, loaded: what does not fit is one sentence, and nothing is fetched for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from configs.errors import ConfigError
from configs.model.files import read_model_config
from trainer.foreign.stage import load
from trainer.loading import loading

DEMO = Path("configs/demo/model").resolve()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"hidden_act": "evil"}, "KeyError: 'evil'"),
        ({"hidden_size": 64}, "RuntimeError"),
        ({"num_hidden_layers": 3, "layer_types": ["full_attention"] * 5}, "layer"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_sentence(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))
    with pytest.raises(ConfigError, match=f"model: the model cannot be loaded: .*{said}"):
        load(folder)


@pytest.mark.parametrize("part", ["model.layers.1.", "model.norm.", "model.embed_tokens."])
def test_weights_that_lack_a_part_of_the_model_are_not_filled_up_with_random_ones(tmp_path: Path, part: str) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    whole = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in whole.items() if not name.startswith(part)}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=rf"its weights lack parts of the model .*{part}"):
        load(folder)


def test_too_little_memory_is_no_fault_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), loading(DEMO):
        raise MemoryError


@pytest.mark.parametrize(
    "keys",
    [
        {"_attn_implementation": "evil/attention"},
        {"attn_implementation": "paged|evil/attention@main:f"},
        {"experts_implementation": "evil/experts"},
        {"text_config": {"attn_implementation": "evil/attention"}},
        {"vision_config": {"_attn_implementation": "evil/attention"}},
        {"per_layer_config": [{"_attn_implementation": {"": "evil/attention"}}]},
    ],
)
def test_code_of_a_hub_is_neither_fetched_nor_run(tmp_path: Path, keys: dict[str, Any]) -> None:
    config = json.loads((DEMO / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | keys))
    with pytest.raises(ConfigError, match=r"names code of a hub \(.*evil/.*\), which is never run"):
        read_model_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"_attn_implementation": "eager"}))
    assert read_model_config(tmp_path)
