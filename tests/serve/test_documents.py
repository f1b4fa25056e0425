"""A real vLLM writes about passages: held to the shape of the reply, whatever the model is worth, and then judged."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from configs.errors import DataError
from configs.recipe.load import config_without_recipe
from eval.documents.make import Settings
from eval.report.words import ReportWords
from scripts.run.documents import Writer, from_docs
from serve.process.server import VllmServer


@pytest.mark.slow
def test_replies_of_a_served_model_are_held_to_their_shape_and_judged(
    adapter_server: VllmServer, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    for number in range(3):
        said = f"第 {number} 号台灯重 {number + 300} 克，充电约需 {number + 2} 小时，质保 {number + 1} 年。"
        text = f"# 灯 {number}\n\n{said}\n"
        (tmp_path / "docs" / f"{number}.md").write_text(text, encoding="utf-8")
    base = adapter_server.command.names[0]
    writer = Writer(base, adapter_server.command.base_url, None)
    settings = Settings(per_passage=1, style="short", passage_tokens=64)
    config = config_without_recipe([], ("serve", "eval"), "documents")
    with suppress(DataError):  # a model of two million parameters writes nothing that stands in a passage
        from_docs(tmp_path / "docs", tmp_path / "out", writer, settings, config, ReportWords("zh"))
    lines = (tmp_path / "out" / "asked" / "replies.jsonl").read_text(encoding="utf-8").splitlines()
    replies = [json.loads(line) for line in lines]
    assert [reply["model"] for reply in replies] == [base] * 3
    for reply in replies:
        # vLLM may put spaces between the parts; what it may not do is write anything else.
        assert "".join(reply["content"].split())[:9] == '{"pairs":'[: len("".join(reply["content"].split()))]
        assert not reply["ended"] or isinstance(json.loads(reply["content"])["pairs"], list)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert sum(document["answered"] for document in report["documents"]) == 3
