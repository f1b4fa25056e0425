"""The language is what was asked for, else the locale's; one without texts is refused."""

import pytest

from configs.errors import ConfigError
from configs.terminal.language import LANG, choose, language
from configs.terminal.words import Words


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_TW", "LANG": "en_US"}, "zh"),
        ({LANG: "en", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        ({LANG: "zh", "LANG": "de_DE.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_language_follows_what_was_asked_for_and_then_the_locale(environ, expected, monkeypatch: pytest.MonkeyPatch):
    for name in (LANG, "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, environ.get(name, ""))
    assert language() == Words.chosen().language == expected


def test_a_chosen_language_goes_to_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LANG, "en")
    choose("zh", "--lang ")
    assert language() == "zh"


def test_a_language_without_texts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--lang fr: no such language\n.*one of: en, zh"):
        choose("fr", "--lang ")
