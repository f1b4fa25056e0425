"""Our LoRA functions give what PEFT's layers give, forward and backward, with weights in 16 bits and in FP8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.helpers import rescale_adapter_scale

from trainer.sft.base_products import product_of
from trainer.sft.fp8 import round_rows
from trainer.sft.fp8_linear import Fp8Linear
from trainer.sft.graphs import cosine
from trainer.sft.lora_functions import Copies, LoraGroup, Mlp, Projections, swiglu, swiglu_back
from trainer.sft.own_lora import is_plain

HIDDEN, KEYS, WIDTH, TOKENS = 48, 16, 80, 21
LINEAR = ["q", "k", "v", "o", "gate", "up", "down"]


class Layer(torch.nn.Module):
    """The linear layers of a decoder layer, one after the other; q, k and v with a bias, as Qwen2 has it."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.o = torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.k, self.v = torch.nn.Linear(HIDDEN, KEYS), torch.nn.Linear(HIDDEN, KEYS)
        self.gate, self.up = (torch.nn.Linear(HIDDEN, WIDTH, bias=False) for _ in range(2))
        self.down = torch.nn.Linear(WIDTH, HIDDEN, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.o(mixed(self.q(x), self.k(x), self.v(x))))

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.nn.functional.silu(self.gate(x)) * self.up(x))


def mixed(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Something of the queries' width that all three have a share in."""
    return q + torch.cat([k * v, v, k.tanh()], dim=-1)


def adapted(alpha: float = 16, fp8: bool = False, **options: Any) -> Any:
    torch.manual_seed(3)
    layer = Layer()
    if fp8:
        for name in LINEAR:
            linear = getattr(layer, name)
            rounded, scales = round_rows([linear.weight.data])
            Fp8Linear.take_over(linear)
            linear.weight, linear.weight_scale = torch.nn.Parameter(rounded, requires_grad=False), scales
    model = get_peft_model(layer, LoraConfig(r=4, lora_alpha=alpha, target_modules=LINEAR, **options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return model


def groups_of(model: Any, turned_copy: bool = False) -> list[LoraGroup]:
    layer = model.get_base_model()
    sets: Sequence[Sequence[Any]] = [(layer.q, layer.k, layer.v), (layer.o,), (layer.gate, layer.up), (layer.down,)]
    groups = []
    for projections in sets:
        bases = [p.get_base_layer() for p in projections]
        groups.append(LoraGroup(projections, "default", product_of(bases, lambda weight, state: weight, turned_copy)))
    Copies(groups).refresh()
    return groups


def by_functions(groups: Sequence[LoraGroup], x: torch.Tensor) -> torch.Tensor:
    qkv, o, gate_up, down = groups
    (out,) = Projections.apply(mixed(*Projections.apply(x, qkv, *qkv.parameters)), o, *o.parameters)
    return Mlp.apply(out, gate_up, down, swiglu, swiglu_back, *gate_up.parameters, *down.parameters)


def gradients(model: Any, run: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Output, then the gradients of input and adapters, added up over two inputs."""
    model.zero_grad()
    torch.manual_seed(7)
    inputs = [torch.randn(1, n, HIDDEN, requires_grad=True) for n in (TOKENS, 5)]
    outs = [run(x) for x in inputs]
    sum((out.square() * torch.linspace(0.1, 1, HIDDEN)).sum() for out in outs).backward()
    return outs[0], [x.grad for x in inputs] + [p.grad for p in model.parameters() if p.requires_grad]  # type: ignore[misc]


@pytest.mark.parametrize("alpha", [4, 8, 3], ids=["plain", "doubled", "not a power of two"])
def test_the_functions_are_pefts_layers(alpha: float) -> None:
    model = adapted(alpha)
    groups = groups_of(model)
    wanted, theirs = gradients(model, model)
    found, ours = gradients(model, lambda x: by_functions(groups, x))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert len(ours) == 2 + 2 * len(LINEAR)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("turned_copy", [False, True])
def test_a_base_in_fp8_is_near_the_exact_one_and_its_functions_are_its_layers(turned_copy: bool) -> None:
    exact, model = adapted(), adapted(fp8=True)
    _, truth = gradients(exact, exact)
    wanted, theirs = gradients(model, model)
    groups = groups_of(model, turned_copy)
    found, ours = gradients(model, lambda x: by_functions(groups, x))
    # The outputs see the same roundings; gradients that are rounded together have other scales.
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert cosine(ours, theirs) > 0.999
    assert 0.99 < cosine(ours, truth) < 0.99999


def test_both_ways_of_holding_the_turned_weight_give_the_same() -> None:
    model = adapted(fp8=True)
    found = []
    for turned_copy in (False, True):
        groups = groups_of(model, turned_copy)
        found.append(gradients(model, lambda x, groups=groups: by_functions(groups, x))[1])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_the_copies_follow_the_trained_weights() -> None:
    model = adapted()
    groups = groups_of(model)
    before = by_functions(groups, torch.ones(1, 3, HIDDEN))
    with torch.no_grad():
        for group in groups:
            for parameter in group.parameters:
                parameter.mul_(0.5)
    assert torch.equal(by_functions(groups, torch.ones(1, 3, HIDDEN)), before)
    Copies(groups).refresh()
    torch.testing.assert_close(by_functions(groups, torch.ones(1, 3, HIDDEN)), model(torch.ones(1, 3, HIDDEN)))


def test_an_adapter_may_come_to_count_another_share() -> None:
    model, x = adapted(8), torch.ones(1, 3, HIDDEN)
    groups = groups_of(model)
    copies = Copies(groups)
    with rescale_adapter_scale(model, 0.4):
        copies.refresh()
        torch.testing.assert_close(by_functions(groups, x), model(x))
    assert not torch.allclose(by_functions(groups, x), model(x), rtol=1e-3)
    copies.refresh()
    torch.testing.assert_close(by_functions(groups, x), model(x))


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_what_is_no_plain_adapter_is_left_to_the_library(options: dict[str, Any]) -> None:
    assert not any(is_plain(getattr(adapted(**options).get_base_model(), name)) for name in LINEAR)
    assert all(is_plain(getattr(adapted().get_base_model(), name)) for name in LINEAR)
    assert not is_plain(torch.nn.Linear(3, 3))
