"""What a recipe asks for and the environment does not bring: packages of trackers, llama.cpp's quantizer.

No torch, so that `tuneserve check` and the start of a run can tell before anything is downloaded or trained.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from configs.errors import ConfigError
from configs.schema import GgufQuant, MergeConfig, RunConfig

K_QUANTS: tuple[str, ...] = tuple(name for name in get_args(GgufQuant) if "_k" in name)
"""Number formats of a GGUF file that only llama.cpp's `llama-quantize` writes."""

_TRACKER_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX")}


def check_needs(config: RunConfig) -> None:
    """Raises a ConfigError for the first thing that this machine does not have."""
    check_trackers(config.train.report_to)
    check_quantizer(config.merge)


def check_trackers(names: Sequence[str]) -> None:
    """Raises a ConfigError for the first tracker whose package is not installed."""
    for name in names:
        packages = _TRACKER_PACKAGES.get(name, (name,))
        if not any(importlib.util.find_spec(package) for package in packages):
            raise ConfigError(
                f"train.report_to: {name} needs the package {packages[0]}, which is not installed",
                f"pip install {packages[0]}, or take {name} out of train.report_to",
            )


def check_quantizer(merge: MergeConfig) -> None:
    """Raises a ConfigError where a K-quant is asked for and `llama-quantize` is not there."""
    if "gguf" in merge.formats and merge.gguf_quant in K_QUANTS:
        find_quantizer(merge.gguf_quant)


def find_quantizer(quant: str) -> Path:
    """llama.cpp's `llama-quantize`.

    Args:
        quant: the K-quant that it is wanted for.

    Raises:
        ConfigError: it is not on the PATH.
    """
    program = shutil.which("llama-quantize")
    if program is None:
        raise ConfigError(
            f"GGUF in {quant}: K-quants are made by llama.cpp's llama-quantize, which is not on the PATH",
            "install llama.cpp, or take q8_0 (merge.gguf_quant, or --quant), or quantize a bf16 file elsewhere",
        )
    return Path(program)
