"""The loss on gathered tokens is the cross entropy of the whole rows, loss and gradient alike."""

from __future__ import annotations

import pytest
import torch

from trainer.data.template import IGNORED
from trainer.sft.answer_loss import answer_loss, gather_trained


def made(seed: int, tokens: int = 50) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 8, generator=generator, dtype=torch.float64)
    head = torch.randn(30, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 30, (tokens,), generator=generator)
    labels[torch.rand(tokens, generator=generator) < 0.6] = IGNORED
    labels[0] = IGNORED
    return hidden, head, labels


@pytest.mark.parametrize("chunk", [1, 7, 1024])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradient_are_those_of_all_tokens(seed: int, chunk: int) -> None:
    hidden, head, labels = made(seed)
    items = (labels != IGNORED).sum()
    whole = hidden.clone().requires_grad_()
    wanted = torch.nn.functional.cross_entropy(whole[:-1] @ head.T, labels[1:], ignore_index=IGNORED, reduction="sum")
    (wanted / items).backward()
    gathered = hidden.clone().requires_grad_()
    places, targets = gather_trained(labels, 40)
    loss = answer_loss(gathered.index_select(0, places), head, targets, items, chunk)
    (2 * loss).backward()
    assert loss.item() == pytest.approx((wanted / items).item(), rel=1e-5)
    assert whole.grad is not None
    assert gathered.grad is not None
    torch.testing.assert_close(gathered.grad, 2 * whole.grad, rtol=1e-4, atol=1e-7)


def test_places_that_are_not_needed_train_nothing() -> None:
    labels = torch.tensor([IGNORED, IGNORED, 5, 6, IGNORED, 7])
    places, targets = gather_trained(labels, 5)
    assert places.tolist() == [1, 2, 4, 0, 0]
    assert targets.tolist() == [5, 6, 7, IGNORED, IGNORED]
    # With exactly as many places as trained tokens none is lost.
    assert gather_trained(labels, 3)[1].tolist() == [5, 6, 7]
