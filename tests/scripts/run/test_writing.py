"""Who wants it quiet sees no progress; without a terminal there is a line now and then."""

from __future__ import annotations

import pytest

from configs.terminal.console import OUTPUT
from scripts.run import writing


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_PLAIN_EVERY_S", 0.0)
    for asked, said in (("", "writing answers: 1/2"), ("quiet", "")):
        monkeypatch.setenv(OUTPUT, asked)
        with writing.writing_progress("selfmade") as show:
            show("answers", 1, 2)
        assert capsys.readouterr().out.strip() == said
