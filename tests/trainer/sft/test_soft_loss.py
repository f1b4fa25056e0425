"""The loss on soft targets is torch's cross entropy to probabilities, loss and gradient alike."""

from __future__ import annotations

import pytest
import torch

from trainer.sft.answer_loss import answer_loss
from trainer.sft.soft_loss import soft_loss

TOKENS, VOCABULARY, WIDTH, TOP = 50, 30, 8, 5


def made(seed: int) -> tuple[torch.Tensor, ...]:
    """Hidden states, output layer, token ids and probabilities; every third token trains nothing."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator, dtype=torch.float64)
    head = torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=torch.float64)
    ids = torch.rand(TOKENS, VOCABULARY, generator=generator).topk(TOP).indices
    probabilities = torch.rand(TOKENS, TOP, generator=generator).softmax(1)
    probabilities[::3] = 0
    return hidden, head, ids, probabilities


@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradient_are_those_of_probabilities_for_all_tokens(seed: int, chunk: int) -> None:
    hidden, head, ids, probabilities = made(seed)
    items = torch.tensor(33)
    whole = hidden.clone().requires_grad_()
    targets = torch.zeros(TOKENS, VOCABULARY, dtype=torch.float64).scatter_(1, ids, probabilities.double())
    wanted = torch.nn.functional.cross_entropy(whole @ head.T, targets, reduction="sum") / items
    wanted.backward()
    softly = hidden.clone().requires_grad_()
    loss = soft_loss(softly, head, ids, probabilities, items, chunk)
    (2 * loss).backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert whole.grad is not None
    assert softly.grad is not None
    torch.testing.assert_close(softly.grad, 2 * whole.grad, rtol=1e-4, atol=1e-7)
    assert not softly.grad[::3].any()


def test_certain_targets_are_those_of_the_written_tokens() -> None:
    hidden, head, ids, _ = made(4)
    certain, items = torch.zeros(TOKENS, TOP), torch.tensor(TOKENS)
    certain[:, 0] = 1
    found = []
    for function, targets in ((soft_loss, (ids, certain)), (answer_loss, (ids[:, 0],))):
        given = hidden.clone().requires_grad_()
        loss = function(given, head, *targets, items)
        loss.backward()
        found.append((loss.item(), given.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-7)


def test_a_gradient_in_fp16_does_not_vanish_behind_many_items() -> None:
    hidden, head, ids, probabilities = made(5)
    hidden, head = hidden.half(), head.half()
    scale, items = 65536.0, torch.tensor(2_000_000)
    given = hidden.clone().requires_grad_()
    (scale * soft_loss(given, head, ids, probabilities, items)).backward()
    exact = hidden.double().requires_grad_()
    soft_loss(exact, head.double(), ids, probabilities, items).backward()
    assert given.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(given.grad.double() / scale, exact.grad, rtol=0.02, atol=2e-8)
