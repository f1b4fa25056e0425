"""Which language a text is in, by its script and, among those in Latin letters, by its commonest words.

For counting rows by language, not for telling related languages apart: a text without any common word is English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_SCRIPTS = (
    ("ja", "\u3040-\u30ff"),
    ("zh", "\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af"),
    ("ko", "\uac00-\ud7af\u1100-\u11ff"),
    ("ru", "\u0400-\u04ff"),
    ("ar", "\u0600-\u06ff"),
    ("hi", "\u0900-\u097f"),
    ("th", "\u0e00-\u0e7f"),
    ("he", "\u0590-\u05ff"),
    ("el", "\u0370-\u03ff"),
)
_CHARACTERS = {language: re.compile(f"[{span}]") for language, span in _SCRIPTS}
_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏẠ-ỹ]+")  # × and ÷ stand among them and are no letters
_LETTERS = 4
"""So many Latin letters count as much as a character of another script: a Chinese question may name English terms."""
_KANA_SHARE = 0.1
"""Japanese is written in Chinese characters for the most part, and never without kana."""
_COMMON = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to in is that it for was with as on are this what how you be at by from have which can not",
        "es": "el la los las de que en un una es por con para del se no como cuál qué su más lo al está son",
        "fr": "le la les de des et en un une est que qui dans pour du au avec ce sur il vous je quel quelle pas sont",
        "de": "der die das und ist von zu in den mit ein eine für auf wie ich sie nicht es im dem des was werden sind",
        "pt": "os as de que em um uma é por com para do da se não como qual no na mais dos das são você",
        "it": "il lo la gli le di che in un una è per con del della si non come quale sono nel più dei alla",
        "nl": "de het een en van is in dat op te met voor zijn niet wat hoe aan er die om naar ook als bij wordt",
        "vi": "và là của có không cho được trong một các người với này những từ như thế nào bạn khi để đã về tôi",
        "tr": "ve bir bu için ile ne da de nasıl olarak mi mı olan en daha çok gibi var kadar ben sonra hangi",
        "id": "yang dan di dari untuk dengan ini itu adalah tidak pada dalam apa bagaimana saya ke akan atau anda",
    }.items()
}


def language_of(text: str) -> str | None:
    """The language of a text by its two letters (ISO 639-1), None where it has no letters.

    Example: `language_of("请解释 attention 的含义")` is `zh`.
    """
    words = _LATIN.findall(text)
    letters = sum(map(len, words))
    counts = {language: len(pattern.findall(text)) for language, pattern in _CHARACTERS.items()}
    if counts["ja"] >= _KANA_SHARE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts["zh"]
    language = max(counts, key=counts.__getitem__)
    if _LETTERS * counts[language] > letters:
        return language
    if not words:
        return language if counts[language] else None
    said = Counter(word.lower() for word in words if len(word) > 1)  # A, B and C are options in every language
    hits = {name: sum(said[word] for word in common) for name, common in _COMMON.items()}
    return max(hits, key=hits.__getitem__) if any(hits.values()) else "en"


def language_shares(texts: Iterable[str], at_least: float = 0.05) -> dict[str, float]:
    """The languages of some texts with their shares in tenths; those below `at_least` are left out.

    English where no text has letters.
    """
    counts = Counter(language for text in texts if (language := language_of(text)))
    total = counts.total()
    kept = {name: count for name, count in counts.most_common() if count >= at_least * total}
    return {name: max(0.1, round(count / sum(kept.values()), 1)) for name, count in kept.items()} or {"en": 1.0}
