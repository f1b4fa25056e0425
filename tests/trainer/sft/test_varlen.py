"""What torch's variable-length attention is asked for is what the layer does."""

from __future__ import annotations

import pytest

from trainer.sft.varlen import kernel_arguments


def test_all_tokens_before_are_seen_without_a_window() -> None:
    assert kernel_arguments({}, None) == {"window_size": (-1, 0)}
    assert kernel_arguments({}, 0) == {"window_size": (-1, 0)}


def test_a_window_counts_the_token_itself() -> None:
    assert kernel_arguments({}, 4096) == {"window_size": (4095, 0)}


def test_a_scale_of_the_layers_own_is_kept() -> None:
    assert kernel_arguments({"softmax_scale": 0.0625}, None) == {"window_size": (-1, 0), "scale": 0.0625}


def test_capped_logits_are_refused_because_the_kernel_would_leave_them_uncapped() -> None:
    with pytest.raises(ValueError, match="cap their logits at 50"):
        kernel_arguments({"softcap": 50.0}, None)
