"""PEFT itself tells which ways to start an adapter leave the base alone: each is tried on a model."""

from __future__ import annotations

import typing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoftQConfig, LoraConfig, get_peft_model
from peft.tuners.lora import LoraGAConfig, preprocess_loraga
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda
from torch import nn

from configs.errors import ConfigError
from configs.model.adapter_inits import PLAIN_INITS, require_plain_init

NAMED = {
    value
    for part in typing.get_args(typing.get_type_hints(LoraConfig)["init_lora_weights"])
    for value in typing.get_args(part)
}
"""The values that PEFT declares."""


class Model(nn.Module):
    """A base of one layer, as far as adapters are concerned."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def started(init: str | bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The base weight before and after PEFT started an adapter on it."""
    torch.manual_seed(0)
    model, rows = Model(), torch.randn(128, 64)
    before = model.layer.weight.detach().clone()
    options: dict[str, object] = {"r": 4, "lora_alpha": 4, "target_modules": ["layer"], "init_lora_weights": init}

    def run() -> None:
        model(rows)

    def step() -> None:
        model(rows.requires_grad_()).square().sum().backward()

    prepare: dict[str | bool, Callable[[LoraConfig], None]] = {
        "corda": lambda config: preprocess_corda(model, config, run_model=run),
        "lora_ga": lambda config: preprocess_loraga(model, config, step),
    }
    if init == "corda":
        options["corda_config"] = CordaConfig()
    if init == "lora_ga":
        options["lora_ga_config"] = LoraGAConfig()
    if init == "loftq":
        options["loftq_config"] = LoftQConfig()
    config = LoraConfig(**options)
    if init in prepare:
        prepare[init](config)
    tuned = get_peft_model(model, config)
    return before, tuned.base_model.model.layer.base_layer.weight.detach()


@pytest.mark.parametrize("init", sorted(NAMED - {"pissa_niter_[number of iters]"} | {"pissa_niter_4", "lora_ga"}))
def test_an_init_is_plain_where_peft_leaves_the_base_as_it_was(init: str, tmp_path: Path) -> None:
    if init == "loftq" and not torch.cuda.is_available():
        assert init not in PLAIN_INITS
        pytest.skip("PEFT starts LoftQ on a GPU only")
    before, after = started(init)
    unchanged = torch.equal(before, after)
    assert unchanged == (init in PLAIN_INITS)
    if unchanged:
        require_plain_init(tmp_path, init)
        return
    with pytest.raises(ConfigError, match=f"init_lora_weights is '{init}'") as error:
        require_plain_init(tmp_path, init)
    assert "path_initial_model_for_weight_conversion" in error.value.next_step


@pytest.mark.parametrize("init", [True, False])
def test_the_default_and_its_opposite_are_plain(init: bool, tmp_path: Path) -> None:
    before, after = started(init)
    assert torch.equal(before, after)
    require_plain_init(tmp_path, init)


def test_the_table_knows_no_init_that_peft_does_not() -> None:
    assert set(PLAIN_INITS) < NAMED
