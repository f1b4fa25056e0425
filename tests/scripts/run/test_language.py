"""Reports come in the user's language, or in the one that was asked for."""

import pytest

from configs.errors import ConfigError
from scripts.run.language import report_language


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_TW", "LANG": "en_US"}, "zh"),
        ({}, "en"),
    ],
)
def test_language_follows_the_locale_unless_told(environ, language, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, environ.get(name, ""))
    assert report_language(None) == language
    assert (report_language("zh"), report_language("en")) == ("zh", "en")


def test_a_language_without_texts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--lang fr: no such language\n.*one of: en, zh"):
        report_language("fr")
