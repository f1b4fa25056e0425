"""Which question is drawn next: its kind and its language. The same for every run with the same seed and settings."""

from __future__ import annotations

import random
from collections.abc import Mapping, Set
from dataclasses import dataclass

from eval.selfmade.steering import KINDS, OTHERS

BLOCK = 256
"""Questions that are drawn at once; what a block showed decides about the next."""
STEERED = 0.5
"""Share of the draws that a prompt steers."""


@dataclass(frozen=True)
class Draw:
    """One question to be written."""

    number: int
    kind: str | None
    """Name in KINDS, None where nothing but the language is said."""
    language: str
    """Language that is asked for; the model may write another one."""


def draw_block(
    block: int, seed: int, yours: Mapping[str, float], others: float, given_up: Set[str] = frozenset()
) -> list[Draw]:
    """The draws of a block.

    Args:
        block: its number from 0.
        seed: of the run.
        yours: languages of the user's rows with their shares.
        others: share of the draws in other languages.
        given_up: languages that the model was asked for and does not write; they are not asked for again, as long as
            any is left.
    """
    rest = {language: weight for language, weight in OTHERS.items() if language not in yours}
    weights = {language: (1 - others) * share / sum(yours.values()) for language, share in yours.items()}
    weights |= {language: others * weight / sum(rest.values()) for language, weight in rest.items()}
    left = {language: weight for language, weight in weights.items() if language not in given_up and weight > 0}
    languages = left or weights
    names = list(languages)
    draws = []
    for number in range(block * BLOCK, (block + 1) * BLOCK):
        pick = random.Random(f"{seed} draw {number}")
        kind = pick.choice(list(KINDS)) if pick.random() < STEERED else None
        language = pick.choices(names, [languages[name] for name in names])[0]
        draws.append(Draw(number, kind, language))
    return draws
