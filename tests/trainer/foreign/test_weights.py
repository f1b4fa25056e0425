"""What merged weights tell of their training and of their merge, with each fault planted in real weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from safetensors.torch import load_file, save_file

from configs.errors import TuneserveError
from configs.handover.foreign import Finding
from tests.trainer.tiny_models import make_model
from trainer.foreign.weights import blocks_on_grid, config_findings, evenly, look, nf4_error, weight_findings

Weights = dict[str, torch.Tensor]
RANK = 4


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "base"
    return make_model(folder, "qwen3", torch.bfloat16, tied=True, hidden_size=128, intermediate_size=256, head_dim=32)


@pytest.fixture
def findings(base: Path, tmp_path: Path) -> Callable[[Callable[[Weights], None]], dict[str, Finding]]:
    """What is found in the base's weights after a change."""

    def found(change: Callable[[Weights], None]) -> dict[str, Finding]:
        folder = Path(shutil.copytree(base, tmp_path / "tuned"))
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return {finding.key: finding for finding in weight_findings(folder, base)}

    return found


def linear(weights: Weights) -> list[str]:
    return [name for name, weight in weights.items() if weight.dim() == 2 and "embed" not in name]


def nf4(weight: torch.Tensor) -> torch.Tensor:
    packed, state = quantize_4bit(weight.float().contiguous(), blocksize=64, quant_type="nf4")
    return dequantize_4bit(packed, state).reshape(weight.shape)


def update(weight: torch.Tensor, size: float) -> torch.Tensor:
    """A change of low rank, of a share of the weight's norm."""
    torch.manual_seed(weight.shape[0])
    change = torch.randn(weight.shape[0], RANK) @ torch.randn(RANK, weight.shape[1])
    return change * (size * weight.float().norm() / change.norm())


def add_adapter(weights: Weights, size: float = 0.02) -> None:
    for name in linear(weights):
        weights[name] = (weights[name].float() + update(weights[name], size)).bfloat16()


def test_a_clean_merge_has_the_adapters_rank_and_no_fault(findings) -> None:
    found = findings(add_adapter)
    assert list(found) == ["finding.change"]
    assert found["finding.change"].values["rank"] == str(RANK)
    assert found["finding.change"].values["percent"] == pytest.approx(2.0, abs=0.1)


def test_a_merge_that_was_rounded_to_four_bits_again_lies_on_a_grid(findings) -> None:
    def change(weights: Weights) -> None:
        add_adapter(weights)
        for name in linear(weights):
            weights[name] = nf4(weights[name]).bfloat16()

    found = findings(change)
    assert found["finding.four_bit_grid"].fault
    assert found["finding.four_bit_grid"].values["count"] == found["finding.four_bit_grid"].values["sample"]


def test_a_merge_into_a_four_bit_copy_holds_its_rounding_error(findings) -> None:
    def change(weights: Weights) -> None:
        for name in linear(weights):
            weights[name] = (nf4(weights[name]) + update(weights[name], 0.02)).bfloat16()

    found = findings(change)
    assert found["finding.four_bit_base"].fault
    assert found["finding.four_bit_base"].values["cosine"] > 0.9


def test_a_large_update_is_not_taken_for_four_bits(findings) -> None:
    assert list(findings(lambda weights: add_adapter(weights, 0.5))) == ["finding.change"]


def test_weights_without_any_training_are_a_fault(findings) -> None:
    assert list(findings(lambda weights: None)) == ["finding.untouched"]


def test_infinities_of_a_merge_in_half_precision_are_named(findings) -> None:
    def change(weights: Weights) -> None:
        weights["model.layers.0.mlp.up_proj.weight"][0, 0] = torch.inf

    assert findings(change)["finding.not_finite"].values["name"] == "model.layers.0.mlp.up_proj.weight"


def test_another_number_format_is_told(findings) -> None:
    def change(weights: Weights) -> None:
        add_adapter(weights)
        for name in weights:
            weights[name] = weights[name].half()

    found = findings(change)
    assert found["finding.other_dtype"].values == {"theirs": "F16", "ours": "BF16"}
    assert not found["finding.other_dtype"].fault


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("rms_norm_eps", 0.5, "rms_norm_eps 0.5"), ("hidden_act", "gelu", 'hidden_act "gelu"'), ("use_cache", False, "")],
)
def test_a_config_that_computes_otherwise_is_told(
    base: Path, tmp_path: Path, key: str, value: object, said: str
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "tuned"))
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")  # as transformers 4 writes it
    (folder / "config.json").write_text(json.dumps({**config, "rope_theta": rope["rope_theta"], key: value}))
    found = config_findings(folder, base)
    assert [str(one.values["keys"]).partition(",")[0] for one in found] == [said] * bool(said)


def test_weights_of_another_base_are_refused(base: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", "qwen3", torch.bfloat16, tied=True)
    with pytest.raises(TuneserveError, match=r"(?s)has shape \[.*give the base that it was trained on"):
        weight_findings(other, base)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_unrounded_weights_lie_on_no_grid(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    assert blocks_on_grid(torch.randn(64, 256).to(dtype)) < 0.01


def test_any_four_bit_format_is_a_grid() -> None:
    torch.manual_seed(1)
    weight = torch.randn(64, 256)
    steps = weight.unflatten(1, (-1, 32)).abs().amax(-1, keepdim=True) / 7
    int4 = ((weight.unflatten(1, (-1, 32)) / steps).round() * steps).flatten(1)
    assert blocks_on_grid(int4.bfloat16()) == 1.0
    assert blocks_on_grid(nf4(weight).bfloat16()) == 1.0


def test_the_mark_of_nf4_stands_out_of_an_update_ten_times_smaller() -> None:
    torch.manual_seed(2)
    weight = torch.randn(128, 256)
    spoiled = weight + nf4_error(weight) + update(weight, 0.01)
    assert look(spoiled.bfloat16(), weight.bfloat16(), "BF16").like_error > 0.9
    assert abs(look((weight + update(weight, 0.1)).bfloat16(), weight.bfloat16(), "BF16").like_error) < 0.1


def test_samples_reach_from_the_first_to_the_last() -> None:
    names = [str(number) for number in range(100)]
    assert evenly(names, 3) == ["0", "50", "99"]
    assert evenly(names[:2], 3) == ["0", "1"]
