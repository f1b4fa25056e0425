"""A base that answers nothing is said to be no baseline before anything is compared with it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from configs.disk.files import write_jsonl
from configs.errors import DataError
from configs.recipe.schema import GateConfig
from eval.ask.endpoint import Settings
from eval.ask.evaluate import evaluate
from eval.ask.mock_server import MockServer, reply_of
from eval.compare.compare import compare
from eval.report.write import write_reports
from eval.tasks.task import Item, Task, conversation
from scripts.run.comparing import compare_endpoints
from scripts.verbs.tasks import endpoints_config
from tests.eval.conftest import serving

QUICK = Settings(timeout_s=5.0, first_pause_s=0.01)
TASK = Task("qa", "qa", [Item(f"{n:03d}", conversation(f"第{n}题：城市{n}"), [f"城市{n}"]) for n in range(40)])


class Silent(MockServer):
    """Answers `every`-th question only."""

    def __init__(self, every: int = 0, thinking: bool = False, answer: str = "") -> None:
        super().__init__()
        self.every, self.thinking, self.answer = every, thinking, answer

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        number = int(re.search(r"第(\d+)题", body["messages"][-1]["content"])[1])  # type: ignore[index]
        if self.every and number % self.every == 0:
            return await super()._answer(request, body)
        if self.thinking:
            return web.json_response(reply_of(None, "length", reasoning="想"))
        return web.json_response(reply_of(self.answer))


@pytest.mark.parametrize(
    ("base", "why"),
    [
        (Silent(), "ended by themselves at once"),
        (Silent(answer="\u200b\ufeff"), "ended by themselves at once"),
        (Silent(thinking=True), "cut while the model was"),
    ],
)
def test_a_silent_base_is_refused_before_the_tuned_is_asked(base: Silent, why: str, tmp_path: Path) -> None:
    tuned = MockServer()
    rows = [{"id": item.id, "question": f"第{n}题", "answer": "城市"} for n, item in enumerate(TASK.items)]
    write_jsonl(tmp_path / "qa.jsonl", rows)
    config = endpoints_config([], [f"qa={tmp_path / 'qa.jsonl'}"])
    with serving(base) as before, serving(tuned) as after:
        endpoints = [replace(before, label="base"), replace(after, label="tuned")]
        with pytest.raises(DataError) as refused:
            compare_endpoints(endpoints, config, tmp_path / "out")
    assert "no baseline: 40 of 40 answers are empty" in refused.value.message
    assert why in refused.value.message
    assert refused.value.next_step
    assert tuned.bodies == []


def test_a_base_that_answers_some_is_compared_and_its_silence_counted(tmp_path: Path) -> None:
    with serving(Silent(every=2)) as before, serving(MockServer()) as after:
        base, tuned = (evaluate(one, [TASK], tmp_path / n, settings=QUICK) for n, one in (("b", before), ("t", after)))
    assert len(base["qa"].empty) == 20
    files = write_reports([compare(base, tuned, GateConfig())], tmp_path / "report")
    for name in ("report.html", "report.md"):
        assert "Empty answers" in files[name].read_text(encoding="utf-8")
        assert "20 → 0" in files[name].read_text(encoding="utf-8")


def test_answers_on_disk_are_no_baseline_either(tmp_path: Path) -> None:
    with serving(Silent()) as silent, serving(MockServer()) as after:
        base, tuned = (evaluate(one, [TASK], tmp_path / n, settings=QUICK) for n, one in (("b", silent), ("t", after)))
    with pytest.raises(DataError, match="base is no baseline"):
        compare(base, tuned, GateConfig())
