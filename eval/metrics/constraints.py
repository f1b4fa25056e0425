"""Checkable constraints on an answer: the checkers behind instruction-following tasks.

A row of an instruction task lists what its prompt demands, and a program decides whether the answer obeys:

    {"id": "if-001", "messages": [{"role": "user", "content": "用不超过50字介绍长城，须提到“明朝”，以句号结尾。"}],
     "constraints": [{"type": "max_chars", "value": 50}, {"type": "contains", "value": "明朝"},
                     {"type": "ends_with", "value": "。"}]}

Every constraint is an object with a `type`; all but the bare ones need a `value`; options are keyword fields beside it.

Length (`count`: `all`, the default: every character but white space; `han`: Chinese characters only; `no_punct`:
letters, digits and Chinese characters)
    max_chars, min_chars, exact_chars   value: int           {"type": "exact_chars", "value": 20, "count": "han"}
    max_words, min_words, exact_words   value: int; words of a text in Latin script, `it's` is one
    clause_chars                        value: int; every clause between punctuation or line ends has so many `count`
                                        (default `han`) characters: five- or seven-character verse
Shape
    max_lines, min_lines, exact_lines                 value: int; lines that are not blank
    exact_paragraphs                                  value: int; blocks between blank lines
    max_sentences, min_sentences, exact_sentences     value: int; runs closed by 。！？!?… or a full stop, or the end
    max_items, min_items, exact_items                 value: int; list lines; `style`: numbered, bulleted, any (default)
    exact_parts       value: int; parts after splitting at `separator` (default 、), none of them empty
    json              bare; the whole answer is one JSON value. `kind`: object or array; `keys`: exactly these keys;
                      `length`: so many members. A code fence around it counts as a break of the rule
    wrapped_in        value: [opening, closing]; the whole answer stands between them   {"value": ["《", "》"]}
    no_markdown       bare; no headings, bold, code, list bullets, tables or links
Words
    contains          value: str or list; every one of them appears
    contains_any      value: list; at least one appears
    not_contains      value: str or list; none appears
    occurrences       value: str; it appears at least `min` and at most `max` times (one of both is enough)
    in_order          value: list; all appear, each after the one before
    starts_with, ends_with    value: str or list of choices; outer white space ignored
    one_of            value: list; the answer is exactly one of them, closing punctuation aside unless `ignore_punct` is
                      false
    regex             value: pattern that must be found anywhere (anchor it with ^ and $)
Characters
    language          value: zh, zh-Hant, en; the share of letters in that script is at least `min_share` (default 0.9)
    no_punctuation, no_digits, no_latin, no_whitespace       bare
    uppercase, lowercase      bare; every Latin letter, and there is one
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from configs.disk.files import parse_json
from configs.errors import DataError
from eval.metrics.text import han_count, is_han, is_punctuation, latin_words, traditional_share

Constraint = Mapping[str, Any]
Checker = Callable[[str, Constraint], bool]

_ITEM = {
    "numbered": re.compile(
        r"^\s*(?:\(?\d+[.)、．:：）](?!\d)|（\d+）|[①-⑳]|[一二三四五六七八九十]+[、．.]|第[一二三四五六七八九十\d]+[、，：:])"
    ),
    "bulleted": re.compile(r"^\s*[-*•·▪●○–—]\s*\S"),
}
_SENTENCE_END = re.compile(r"[。！？!?…]+[”’」』）)\"']*|(?<!\d)\.(?=\s|$)|(?<=\d)\.(?=\s|$)")
_MARKDOWN = re.compile(r"(?m)^\s{0,3}#{1,6}\s|\*\*|__|`|^[^\S\n]*[-*+]\s+|^[^\S\n]*\|.*\|\s*$|\[[^\[\]]+\]\([^()]+\)")
_CLAUSE = re.compile(r"[\s\W_]+")


def _count(text: str, how: str) -> int:
    if how == "han":
        return han_count(text)
    if how == "no_punct":
        return sum(1 for char in text if char.isalnum())
    return sum(1 for char in text if not char.isspace())


def _chars(text: str, constraint: Constraint) -> int:
    return _count(text, constraint.get("count", "all"))


def _words(text: str, constraint: Constraint) -> int:
    return len(latin_words(text))


def _lines(text: str, constraint: Constraint) -> int:
    return sum(1 for line in text.splitlines() if line.strip())


def _paragraphs(text: str, constraint: Constraint) -> int:
    return sum(1 for block in re.split(r"\n\s*\n", text) if block.strip())


def _sentences(text: str, constraint: Constraint) -> int:
    return sum(1 for part in _SENTENCE_END.split(text) if any(char.isalnum() for char in part))


def _items(text: str, constraint: Constraint) -> int:
    style = constraint.get("style", "any")
    patterns = list(_ITEM.values()) if style == "any" else [_ITEM[style]]
    return sum(1 for line in text.splitlines() if any(pattern.match(line) for pattern in patterns))


def _at_most(measure: Callable[[str, Constraint], int], text: str, constraint: Constraint) -> bool:
    return measure(text, constraint) <= constraint["value"]


def _at_least(measure: Callable[[str, Constraint], int], text: str, constraint: Constraint) -> bool:
    return measure(text, constraint) >= constraint["value"]


def _exactly(measure: Callable[[str, Constraint], int], text: str, constraint: Constraint) -> bool:
    return measure(text, constraint) == constraint["value"]


def _each(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _clause_chars(text: str, constraint: Constraint) -> bool:
    clauses = [clause for clause in _CLAUSE.split(text) if clause]
    how = constraint.get("count", "han")
    return bool(clauses) and all(_count(clause, how) == constraint["value"] for clause in clauses)


def _exact_parts(text: str, constraint: Constraint) -> bool:
    parts = [part.strip() for part in text.strip().rstrip("。.！!").split(constraint.get("separator", "、"))]
    return len(parts) == constraint["value"] and all(parts)


def _json(text: str, constraint: Constraint) -> bool:
    try:
        value = parse_json(text.strip())
    except ValueError:
        return False
    kind = constraint.get("kind", "any")
    if kind != "any" and not isinstance(value, dict if kind == "object" else list):
        return False
    if "keys" in constraint and not (isinstance(value, dict) and set(value) == set(constraint["keys"])):
        return False
    return "length" not in constraint or (isinstance(value, dict | list) and len(value) == constraint["length"])


def _wrapped_in(text: str, constraint: Constraint) -> bool:
    opening, closing = constraint["value"]
    inner = text.strip()
    return len(inner) > len(opening) + len(closing) and inner.startswith(opening) and inner.endswith(closing)


def _occurrences(text: str, constraint: Constraint) -> bool:
    found = text.count(constraint["value"])
    return constraint.get("min", 0) <= found <= constraint.get("max", found)


def _in_order(text: str, constraint: Constraint) -> bool:
    position = 0
    for piece in constraint["value"]:
        found = text.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def _one_of(text: str, constraint: Constraint) -> bool:
    closing = "。.！!？?，,；; " if constraint.get("ignore_punct", True) else ""
    return text.strip().rstrip(closing) in [choice.rstrip(closing) for choice in constraint["value"]]


def _language(text: str, constraint: Constraint) -> bool:
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return False
    wanted = constraint["value"]
    if wanted == "en":
        share = sum(char.isascii() for char in letters) / len(letters)
    elif wanted in {"zh", "zh-Hant"}:
        share = sum(map(is_han, letters)) / len(letters)
        # A handful of characters look the same in both scripts: what is changed by conversion decides.
        if wanted == "zh-Hant" and traditional_share(text) < 0.5:
            return False
    else:
        raise DataError(f"constraint `language` has the value {wanted!r}", "Use zh, zh-Hant or en.")
    return share >= constraint.get("min_share", 0.9)


def _cased(text: str, test: Callable[[str], bool]) -> bool:
    letters = [char for char in text if char.isascii() and char.isalpha()]
    return bool(letters) and all(test(char) for char in letters)


def _free_of(test: Callable[[str], bool]) -> Checker:
    return lambda text, constraint: not any(map(test, text.strip()))


_MEASURES = {"chars": _chars, "words": _words, "lines": _lines, "sentences": _sentences, "items": _items}

_CHECKERS: dict[str, Checker] = {
    **{f"max_{name}": functools.partial(_at_most, measure) for name, measure in _MEASURES.items()},
    **{f"min_{name}": functools.partial(_at_least, measure) for name, measure in _MEASURES.items()},
    **{f"exact_{name}": functools.partial(_exactly, measure) for name, measure in _MEASURES.items()},
    "exact_paragraphs": functools.partial(_exactly, _paragraphs),
    "clause_chars": _clause_chars,
    "exact_parts": _exact_parts,
    "json": _json,
    "wrapped_in": _wrapped_in,
    "no_markdown": lambda text, constraint: not _MARKDOWN.search(text),
    "contains": lambda text, constraint: all(piece in text for piece in _each(constraint["value"])),
    "contains_any": lambda text, constraint: any(piece in text for piece in _each(constraint["value"])),
    "not_contains": lambda text, constraint: not any(piece in text for piece in _each(constraint["value"])),
    "occurrences": _occurrences,
    "in_order": _in_order,
    "starts_with": lambda text, constraint: text.strip().startswith(tuple(_each(constraint["value"]))),
    "ends_with": lambda text, constraint: text.strip().endswith(tuple(_each(constraint["value"]))),
    "one_of": _one_of,
    "regex": lambda text, constraint: re.search(constraint["value"], text.strip()) is not None,
    "language": _language,
    "no_punctuation": _free_of(is_punctuation),
    "no_digits": _free_of(str.isdigit),
    "no_latin": _free_of(lambda char: char.isascii() and char.isalpha()),
    "no_whitespace": _free_of(str.isspace),
    "uppercase": lambda text, constraint: _cased(text, str.isupper),
    "lowercase": lambda text, constraint: _cased(text, str.islower),
}

_GUIDE = "the list at the top of eval/metrics/constraints.py"
TYPES = tuple(sorted(_CHECKERS))
_BARE = {"json", "no_markdown", "no_punctuation", "no_digits", "no_latin", "no_whitespace", "uppercase", "lowercase"}
_NUMERIC = {name for name in _CHECKERS if name.startswith(("max_", "min_", "exact_"))} | {"clause_chars"}
_LISTS = {"contains_any", "in_order", "one_of", "wrapped_in"}
_OPTIONS = {
    "count": {"max_chars", "min_chars", "exact_chars", "clause_chars"},
    "style": {"max_items", "min_items", "exact_items"},
    "separator": {"exact_parts"},
    "kind": {"json"},
    "keys": {"json"},
    "length": {"json"},
    "min": {"occurrences"},
    "max": {"occurrences"},
    "ignore_punct": {"one_of"},
    "min_share": {"language"},
}
_OPTION_VALUES: dict[str, Callable[[Any], bool]] = {
    "count": lambda value: value in ("all", "han", "no_punct"),
    "style": lambda value: value in ("any", *_ITEM),
    "separator": lambda value: isinstance(value, str),
    "kind": lambda value: value in ("any", "object", "array"),
    "keys": lambda value: isinstance(value, list) and all(isinstance(key, str) for key in value),
    **dict.fromkeys(("length", "min", "max"), lambda value: type(value) is int),
    "ignore_punct": lambda value: isinstance(value, bool),
    "min_share": lambda value: type(value) in (int, float) and 0 <= value <= 1,
}


def validate(constraint: Constraint) -> None:
    """Raise `DataError` for an unknown type or option, a missing value, or a value of the wrong kind."""
    name = constraint.get("type")
    if not isinstance(name, str) or name not in _CHECKERS:
        near = difflib.get_close_matches(str(name), TYPES, n=1)
        next_step = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(TYPES)}."
        raise DataError(f"constraint type {name!r} is unknown", next_step)
    for option in sorted(constraint.keys() - {"type", "value"}):
        if name not in _OPTIONS.get(option, set()):
            raise DataError(f"constraint {name!r} has no option {option!r}", f"See {_GUIDE}.")
        if not _OPTION_VALUES[option](constraint[option]):
            raise DataError(f"constraint option `{option}` is {constraint[option]!r}", f"See {_GUIDE}.")
    value = constraint.get("value")
    if name in _BARE:
        wrong = "value" in constraint
    elif name in _NUMERIC:
        wrong = not isinstance(value, int) or isinstance(value, bool)
    elif name in _LISTS:
        wrong = not isinstance(value, list) or not value
    else:
        wrong = not value
    if name == "wrapped_in" and not wrong:
        wrong = not isinstance(value, list) or len(value) != 2
    if name == "occurrences" and not wrong:
        wrong = not ({"min", "max"} & set(constraint))
    if wrong:
        raise DataError(f"constraint {dict(constraint)!r} has a wrong or missing value", f"See {_GUIDE}.")


def try_out(constraint: Constraint) -> None:
    """Raise `DataError` for a constraint that could not be checked on an answer, a broken pattern for example."""
    validate(constraint)
    try:
        _CHECKERS[constraint["type"]]("一个词 and 2.", constraint)
        json.dumps(constraint, ensure_ascii=False).encode()
    except (TypeError, ValueError, AttributeError, re.error) as error:
        raise DataError(f"constraint {dict(constraint)!r} cannot be checked: {error}", f"See {_GUIDE}.") from error


def check(constraint: Constraint, answer: str) -> bool:
    """Whether `answer` obeys one constraint; raises `DataError` where the constraint itself is malformed.

    An empty answer obeys none: it would otherwise keep within every upper bound and hold no forbidden word.
    """
    validate(constraint)
    return bool(answer.strip()) and _CHECKERS[constraint["type"]](answer, constraint)


def _loose_variants(answer: str) -> list[str]:
    """The answer, then without its first line, its last line, both; all of these also without bold marks."""
    lines = answer.strip().split("\n")
    cuts = [answer, "\n".join(lines[1:]), "\n".join(lines[:-1]), "\n".join(lines[1:-1])]
    cuts = [cut.strip() for cut in cuts]
    return cuts + [cut.replace("*", "") for cut in cuts]


def score(constraints: Sequence[Constraint], answer: str) -> dict[str, float]:
    """Scores after IFEval (Zhou et al. 2023, arXiv 2311.07911), each in 0..1.

    `if_strict`: 1 when every constraint holds. `if_instruction`: the share that hold. `if_loose`: 1 when one of the
    answer's loosened variants (greeting or closing line removed, bold marks removed) obeys them all.
    """
    held = [check(constraint, answer) for constraint in constraints]
    loose = any(all(check(constraint, variant) for constraint in constraints) for variant in _loose_variants(answer))
    return {
        "if_strict": float(all(held)),
        "if_instruction": sum(held) / len(held) if held else 0.0,
        "if_loose": float(loose),
    }
