"""A tuned model is asked its first questions while the base still answers, and the others against all its answers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from configs.recipe.schema import GateConfig
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.mock_server import MODEL, MockServer
from eval.ask.results import TaskResult
from eval.compare.blocks import read_looks
from eval.tasks import Task
from eval.tasks.task import Item
from scripts.run.asking import ask, ask_in_blocks
from serve.api.adapters import served_models
from serve.process.server import EndedMeanwhile, VllmServer
from serve.process.supervisor import Supervisor
from tests.eval.conftest import serving
from tests.serve.fakes import fake_command, free_port

GATE = GateConfig(min_items=100, block_items=50)


def questions() -> list[Task]:
    def item(number: int, thing: str) -> Item:
        content = f"第{number}题：{thing}{number}"
        return Item(f"{number:03}", [{"role": "user", "content": content}], [f"{thing}{number}"])

    return [
        Task("kept", "qa", [item(n, "城市") for n in range(120)]),
        Task("mine", "qa", [item(n, "村庄") for n in range(9)], role="target"),
    ]


def test_the_first_block_does_not_wait_for_the_base(tmp_path: Path) -> None:
    base_server, tuned_server, asked_by_then = MockServer(), MockServer(), []
    with serving(base_server) as base, serving(tuned_server) as tuned:

        def answers() -> dict[str, TaskResult]:
            asked_by_then.append(len(tuned_server.asked))
            return ask(Endpoint(base.base_url, MODEL), questions(), tmp_path / "base", Settings())

        def judged() -> dict[str, TaskResult]:
            endpoint = Endpoint(tuned.base_url, MODEL)
            return ask_in_blocks(endpoint, questions(), tmp_path / "tuned", Settings(), answers, GATE)

        found = judged()
        looks = read_looks(tmp_path / "tuned")
        assert asked_by_then == [50 + 9]
        assert looks[0].items == {"kept": 50, "mine": 9}
        assert len(found["kept"].samples) == looks[-1].items["kept"]
        once = len(tuned_server.asked)
        # An answer to a look that was taken is asked again where it was lost.
        file = tmp_path / "tuned" / "kept.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[:-1]), encoding="utf-8")
        assert len(judged()["kept"].samples) == len(lines)
        assert len(tuned_server.asked) == once + 1
        assert [look.items for look in read_looks(tmp_path / "tuned")] == [look.items for look in looks]


@pytest.mark.parametrize("ask_it", ["the proof", "the tasks", "serve"])
def test_a_server_that_ends_while_it_is_asked_is_said_with_its_cause(tmp_path: Path, ask_it: str) -> None:
    def ends(server: VllmServer) -> None:
        os.kill(server.pid or 0, signal.SIGKILL)
        server.wait(10)
        if ask_it == "the tasks":
            ask(Endpoint(server.command.base_url, "fake"), questions(), tmp_path / "eval", Settings())
        served_models(server.client)

    def asked() -> None:
        command, log = fake_command(free_port(), str(tmp_path)), tmp_path / "serve.log"
        if ask_it == "serve":
            Supervisor(command, tmp_path, log, accept=ends).start()
        with VllmServer(command, log) as server:
            ends(server)

    with pytest.raises(EndedMeanwhile, match=r"killed \(SIGKILL\).*\n  log: .*serve\.log"):
        asked()


def test_answers_that_are_kept_for_a_name_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(MockServer()) as endpoint:
        ask(endpoint, questions(), tmp_path, Settings(), by_name=True)
        assert "from before" not in capsys.readouterr().out
        ask(endpoint, questions(), tmp_path, Settings(), by_name=True)
    assert "129 of 129 answers are from before" in " ".join(capsys.readouterr().out.split())
