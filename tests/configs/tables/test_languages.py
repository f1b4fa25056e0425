"""Rows are counted by language: by script, and by the commonest words of those in Latin letters."""

from __future__ import annotations

import pytest

from configs.tables.languages import language_of, language_shares

SAID = {
    "zh": ("请解释 self-attention 的含义。", "元素氩用什么符号表示？\nA. Sn\nB. Ar\nC. Zn\nD. Cr"),
    "en": ("What is the capital of Peru?", "print(x)", "Write a function that adds 你好 to a list of words."),
    "ja": ("日本の首都はどこですか。", "東京の天気を教えてください"),
    "ko": ("서울의 인구는 얼마입니까?",),
    "ru": ("Как работает двигатель?",),
    "es": ("¿Cuál es la capital de Perú?",),
    "fr": ("Quelle est la capitale du Pérou ?",),
    "de": ("Wie heißt die Hauptstadt von Peru?",),
    "pt": ("Qual é a capital do Peru e por que não é Cusco?",),
    "ar": ("ما هي عاصمة بيرو؟",),
}


@pytest.mark.parametrize(("language", "text"), [(name, text) for name, texts in SAID.items() for text in texts])
def test_a_text_is_known_by_its_script_or_its_commonest_words(language: str, text: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["12 + 3 = ?", "11×2=？", "6 ÷ 2"])
def test_a_text_without_letters_has_no_language(text: str) -> None:
    assert language_of(text) is None
    assert language_shares([text]) == {"en": 1.0}


def test_shares_are_in_tenths_and_leave_single_rows_out() -> None:
    assert language_shares(["你好吗"] * 68 + ["How are you?"] * 30 + ["Как дела"] * 2) == {"zh": 0.7, "en": 0.3}
