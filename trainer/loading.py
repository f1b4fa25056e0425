"""Weights that anybody may have made, loaded by libraries: what they do not fit is one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from configs.errors import ConfigError, TuneserveError, first_line


@contextmanager
def loading(folder: Path, *, weights: bool = True) -> Iterator[None]:
    """Inside, a model is loaded; what its files lead to, which is whatever its architecture's code raises, is said.

    Args:
        weights: whether they are looked at first; False where config.json alone is loaded.

    Raises:
        ConfigError: it cannot be loaded, or is not whole. Too little memory is let through as it is.
    """
    try:
        if weights:
            _refuse_incomplete(folder)
        yield
    except (TuneserveError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ConfigError(
            f"{folder}: the model cannot be loaded: {type(error).__name__}: {first_line(error)[:300]}",
            "see that config.json and weights are of one model and whole; --debug shows where it failed",
        ) from error


def _refuse_incomplete(folder: Path) -> None:
    """Raises a ConfigError for weights that lack a part of the model, which transformers fills with random numbers."""
    from transformers import AutoModelForCausalLM

    _, found = AutoModelForCausalLM.from_pretrained(
        str(folder), device_map="meta", output_loading_info=True, local_files_only=True, trust_remote_code=False
    )
    if missing := sorted(found["missing_keys"]):
        raise ConfigError(
            f"{folder}: its weights lack parts of the model that config.json describes: {', '.join(missing[:3])} "
            f"({len(missing)} in all)",
            "take config.json and weights of one model, or download it again",
        )
