"""Faults of the tuned model beside what it scored: any of them makes the verdict `fail`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eval.compare.comparison import Comparison, Sentence


def with_faults(comparison: Comparison, faults: Sequence[Sentence]) -> Comparison:
    """The comparison with its verdict failed for these reasons, before those of its own that fail; itself without."""
    if not faults:
        return comparison
    failed = [check.reason for check in comparison.gate.checks if check.state == "fail"]
    return replace(comparison, gate=replace(comparison.gate, verdict="fail", reasons=(*faults, *failed)))
