"""Formulas of pages and Word files as one line of text, so that a sentence keeps its numbers.

MathML and Word's own markup (OMML) name the same things differently; `10^(-3)`, `x_i` and `(a+b)/2` are how they come
out. What is raised in running text becomes raised characters: `10⁻³`, and not 10-3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_RAISED = dict(zip("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ", strict=True))
_FRACTIONS = {"mfrac", "f"}
_UP, _DOWN, _BOTH = {"msup", "sSup", "mover"}, {"msub", "sSub", "munder"}, {"msubsup", "sSubSup", "munderover"}
_LEFT_OUT = {"annotation", "annotation-xml", "rPr", "fPr", "sSupPr", "sSubPr", "radPr", "dPr", "naryPr", "ctrlPr"}


@dataclass(frozen=True)
class Part:
    """An element of a formula by its local name, with its own text and what is in it."""

    name: str
    text: str = ""
    inside: Sequence[Part] = field(default=())


def raised(text: str) -> str:
    """What stands above the line: `²` for 2, `^(2k)` where there are no such characters, words as they are."""
    if all(char in _RAISED for char in text):
        return "".join(_RAISED[char] for char in text)
    return f"^({text})" if text.isalnum() and not text.isalpha() else text


def formula(part: Part) -> str:
    """A formula on one line."""
    inside = [one for one in part.inside if one.name not in _LEFT_OUT]
    read = [formula(one) for one in inside]
    if part.name in _FRACTIONS and len(read) == 2:
        return f"{_closed(read[0])}/{_closed(read[1])}"
    if part.name in _UP and len(read) == 2:
        return f"{_closed(read[0])}^{_closed(read[1])}"
    if part.name in _DOWN and len(read) == 2:
        return f"{_closed(read[0])}_{_closed(read[1])}"
    if part.name in _BOTH and len(read) == 3:
        return f"{_closed(read[0])}_{_closed(read[1])}^{_closed(read[2])}"
    if part.name == "msqrt":
        return f"√{_closed(''.join(read))}"
    if part.name == "mroot" and len(read) == 2:
        return f"{raised(read[1])}√{_closed(read[0])}"
    if part.name == "rad" and read:
        return f"{raised(read[0]) if len(read) > 1 else ''}√{_closed(read[-1])}"
    if part.name in ("d", "mfenced"):
        return f"({', '.join(read)})"
    return " ".join(part.text.split()) + "".join(read)


def _closed(text: str) -> str:
    """A part of several signs in brackets, so that it stays one."""
    return text if text.isalnum() or (text[:1] == "(" and text[-1:] == ")" and ")" not in text[:-1]) else f"({text})"
