r"""Which letter an answer to a multiple-choice question names.

Only for endpoints that cannot restrict the output to the letters. An answer that names none, or several without
deciding (`A or B`, `AB`), gives None: it is wrong and counted as unparsed. A letter is never drawn at random.

In this order: `\boxed{}`; an answer that is a letter and nothing else; the last letter or option text behind what
announces the answer (答案, 选, answer, choose, ...); the letter that is called right; the letter that the answer begins
with; an answer that is an option's text; the only letter in it, and without any the only option's text. Small letters
(`b)`, 选b) and circled digits (`④` is the fourth option) count where something announces them or nothing else stands.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

from configs.tables.spelling import nfkc
from eval.metrics.text import is_han

_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{)?\s*([^{}]*?)\s*\}")
_DECORATION = re.compile(r"[*_`$\"'“”‘’【】\[\]「」]")
# What leads to the chosen letter, most decisive first. Nothing may stand between it and the letter but filler.
_STRONG = (
    r"(?:答案|(?:(?:不正确|错误|有误|不对|不符合|不恰当)的?|正确(?:的)?)(?:选项|选择|一项|的是|是)|正确的是|最佳选项"
    r"|(?:correct |best |final |right )?(?:answer|option|choice))"
)
_WEAK = r"(?:(?:应该|应当|应|故|我|只能|最终)?选择?(?!项)|应该是|应为|而是|故为|choose|select|pick)"
_FILLER = r"(?:选项|应该|应当|应|就是|是|为|选择|选|option|choice|is|be|would|should|[\s:=：,，(])*"
_NEGATED = re.compile(r"(?:[不非未别勿没]|\bnot|n't)\s*(?:应该|应当|应|该|能|会|可以|可|要|是|有)?\s*$")
_CIRCLED = {chr(ord("①") + place): chr(0xE000 + place) for place in range(20)}
"""Circled digits, kept apart from plain ones, which NFKC makes of them."""


_HEAD, _TAIL = 1000, 2000
_AFTER_A_NAME = "是为的在作和与或及还"


@functools.lru_cache(maxsize=64)
def _patterns(letters: str) -> dict[str, re.Pattern[str]]:
    circled = "".join(list(_CIRCLED.values())[: len(letters)])
    any_form = f"{letters}{letters.lower()}{circled}"
    one = f"([{any_form}])"
    # "AB", "A和B", "A or B": several letters are no decision; "选B，C选项有误" decides, a comma lists letters only.
    listed = rf"\(?[{any_form}](?![A-Za-z0-9])"
    ruled_out = (
        rf"[{letters}](?:\s*[、和与及/]\s*[{letters}])*\s*(?:选?项)?(?:说法|表述)?[都均皆]?是?"
        r"(?:错误|错|有误|不正确|不对|不符|不选|不是|排除|\s(?:is|are)\s(?:wrong|incorrect|false|not\b))"
    )
    comma = (
        rf"\s*,(?!\s*{ruled_out})\s*(?:or\b|and\b)?\s*{listed}"
        r"\s*\)?\s*(?:[。.,、;!和或与及都均皆]|or\b|and\b|$)"
    )
    several = (
        rf"(?![A-Za-z0-9]|\s*\)?\s*(?:[和或与及、/&+]|or\b|and\b)\s*{listed}"
        rf"|\s*\)?{comma})"
    )
    # "the answer is a matter of taste" names no option.
    article = r"(?!(?<=a)\s+(?!because|since|as\b)[A-Za-z])"
    return {
        "bare": re.compile(rf"^[(<]?{one}[)>]?[\s.。,，:;、!)]*$"),
        "strong": re.compile(rf"(?i:{_STRONG})(?i:{_FILLER}){one}{several}{article}"),
        "weak": re.compile(rf"(?i:{_WEAK})(?i:{_FILLER}){one}{several}{article}"),
        "strong lead": re.compile(rf"(?i:{_STRONG})(?i:{_FILLER})"),
        "weak lead": re.compile(rf"(?i:{_WEAK})(?i:{_FILLER})"),
        "called right": re.compile(
            rf"(?<![A-Za-z])([{letters}{circled}])\)?\s*(?:选?项)?(?:是|为)?"
            r"(?:正确|对的|符合题意|is (?:the )?(?:correct|right|best))"
        ),
        "leading": re.compile(
            rf"^\(?([{letters}{circled}])(?:\)|\s*[.。:;]|\s*、(?!\s*[{letters}](?![A-Za-z]))|(?!{comma})\s*,"
            rf"|\s+(?![a-z]|和|或|[{letters}](?![A-Za-z]))|(?=[\u4e00-\u9fff])(?![和或与及]))|^\(?([{letters.lower()}])[).、:]"
        ),
        "echoed": re.compile(rf"(?m)^\s*\(?([{letters}])\s*[.、):]"),
        "listed": re.compile(rf"(?:^|\s)\(?([{letters}])\s*[.、):]"),
        "ruled out": re.compile(rf"(?<![A-Za-z]){ruled_out}"),
        "anywhere": re.compile(rf"(?<![A-Za-z])([{letters}])(?![A-Za-z])(?!(?<=A)\s+(?!or\b|and\b|is\b|are\b)[a-z])"),
    }


def extract_choice(answer: str, choices: Mapping[str, str] | Sequence[str] = ("A", "B", "C", "D")) -> str | None:
    """The letter that an answer decides for, or None.

    Args:
        answer: the model's text, thinking removed.
        choices: letter to the option's text, or the letters alone. An answer that is one option's text counts too.

    >>> extract_choice("因为B错误，所以答案为C")
    'C'
    """
    letters = "".join(choices)
    options = _options(choices)
    written = "".join(choices.values()) if isinstance(choices, Mapping) else ""
    if not _CIRCLED.keys() & set(written):  # statements ①②③ are what such options are about
        answer = answer.translate({ord(char): kept for char, kept in _CIRCLED.items()})
    text = nfkc(answer).strip()
    if len(text) > _HEAD + _TAIL:  # where answers are given; a model that repeats itself would take minutes
        text = f"{text[:_HEAD]}\n{text[-_TAIL:]}"
    patterns = _patterns(letters)
    for boxed in reversed(_BOXED.findall(text)):
        if match := patterns["bare"].match(boxed):
            return _letter(match[1], letters)
        if letter := options.get(_plain(boxed)):
            return letter
    text = _named(_DECORATION.sub("", text).strip(), choices)
    if match := patterns["bare"].match(text):
        return _letter(match[1], letters)
    return (
        _announced(text, patterns, letters, options)
        or _opening(text, patterns, letters)
        or options.get(_plain(text))
        or _only_one(text, patterns, options)
    )


def _announced(
    text: str, patterns: Mapping[str, re.Pattern[str]], letters: str, options: Mapping[str, str]
) -> str | None:
    """The last letter or option text behind a cue, strong cues first; then the last letter that is called right."""
    for cue in ("strong", "weak"):
        found = {m.end(1): _letter(m[1], letters) for m in patterns[cue].finditer(text) if not _negated(text, m)}
        for lead in patterns[f"{cue} lead"].finditer(text):
            option = _option_at(text, lead.end(), options)
            if option and not _negated(text, lead):
                found.setdefault(lead.end(), option)
        if found:
            return found[max(found)]
    right = [_letter(m[1], letters) for m in patterns["called right"].finditer(text) if not _negated(text, m)]
    return right[-1] if right else None


def _opening(text: str, patterns: Mapping[str, re.Pattern[str]], letters: str) -> str | None:
    """`B. 上海`, `b) 上海`; not the first of the options where they are only repeated, nor one that is ruled out."""
    match = patterns["leading"].match(text)
    if match is None or patterns["ruled out"].match(text):
        return None
    listed = patterns["listed"].findall(text)
    repeated = len(set(patterns["echoed"].findall(text))) > 1 or set(listed) == set(letters)
    return None if repeated and listed[0] == letters[0] else _letter(match[1] or match[2], letters)


def _only_one(text: str, patterns: Mapping[str, re.Pattern[str]], options: Mapping[str, str]) -> str | None:
    """The only letter of an answer; without any letter, the only option whose text stands in it."""
    letters = list(patterns["anywhere"].finditer(text))
    if letters:
        decided = len({match[1] for match in letters}) == 1 and not patterns["ruled out"].search(text)
        return letters[0][1] if decided and not any(_negated(text, match) for match in letters) else None
    rest, found = _plain(text), set()
    for option in sorted(options, key=len, reverse=True):
        place = rest.find(option) if len(option) > 1 and not option.isascii() else -1
        if place >= 0:
            after = rest[place + len(option) :][:1]
            part_of_a_word = is_han(after or " ") and after not in _AFTER_A_NAME
            if not part_of_a_word and not _NEGATED.search(rest[:place]):
                found.add(options[option])
            rest = rest.replace(option, "\n")
    return found.pop() if len(found) == 1 else None


def _option_at(text: str, place: int, options: Mapping[str, str]) -> str | None:
    """The option whose text begins at a place of an answer and ends a clause there; of two, the longer one."""
    rest = text[place:].casefold()
    for option in sorted(options, key=len, reverse=True):
        if rest.startswith(option) and re.match(r"\s*(?:$|[。.,，;；:!！?？、)(\n]|的|\s)", rest[len(option) :]):
            return options[option]
    return None


def _named(text: str, choices: Mapping[str, str] | Sequence[str]) -> str:
    """A text in which the options that hold a letter by themselves (C语言, 维生素B) go by the letter that they have."""
    if not isinstance(choices, Mapping):
        return text
    letter = re.compile(rf"(?<![A-Za-z])[{''.join(choices)}](?![A-Za-z])")
    shown = {_undecorated(option): key for key, option in choices.items()}
    holding = sorted((option for option in shown if len(option) > 1 and letter.search(option)), key=len, reverse=True)
    if not holding:
        return text
    any_of = "|".join(map(re.escape, holding))
    return re.sub(rf"(?<![A-Za-z0-9])(?:{any_of})(?![A-Za-z0-9])", lambda found: shown[found[0]], text)


def _options(choices: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Text to letter, for the texts that name one option."""
    if not isinstance(choices, Mapping):
        return {}
    texts = [_plain(option) for option in choices.values()]
    return {text: letter for text, letter in zip(texts, choices, strict=True) if text and texts.count(text) == 1}


def _negated(text: str, match: re.Match[str]) -> bool:
    return bool(_NEGATED.search(text[max(0, match.start() - 12) : match.start()]))


def _letter(found: str, letters: str) -> str:
    """A letter, a small one or a circled digit as the letter that it stands for."""
    return letters[ord(found) - 0xE000] if found >= "\ue000" else found if found in letters else found.upper()


def _plain(text: str) -> str:
    return _undecorated(text).rstrip("。.").casefold()


def _undecorated(text: str) -> str:
    return _DECORATION.sub("", nfkc(text)).strip()
