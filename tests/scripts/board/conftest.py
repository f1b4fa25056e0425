"""A run whose base and tuned model have answered, and a board that shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from configs.recipe.load import load_config
from configs.run.rundir import RunDir
from eval.ask.results import sample_line, write_meta
from scripts.board.app import Board
from tests.browser import Tab, chromium
from tests.eval.synthetic import result, sample
from tests.serve.fakes import free_port

QUESTIONS = 6
HOSTILE = '</script><img src=x onerror="document.title=1"><b>粗</b>'


def make_run(folder: Path, name: str = "secret-run") -> RunDir:
    """A run with answers to six questions; one has the same answer twice, one is hostile."""
    run = RunDir.create(load_config("demo", [f"name={name}", f"output_dir={folder}", "serve.name=secret-served"]))
    for side, word in (("base", "甲"), ("tuned", "乙")):
        samples = [
            replace(
                sample(
                    n,
                    {"zh_f1": 0.5},
                    question=f"第{n}题怎么办？" + (HOSTILE if n == 2 else ""),
                    answer="一样" if n == 0 else f"{word}的回答{n}" + (HOSTILE if n == 3 else ""),
                ),
                id=f"q{n}",
                cluster=f"passage {n // 2}",
            )
            for n in range(QUESTIONS)
        ]
        made = result("heldout", samples, role="target", group="target", type="qa", primary="zh_f1", metrics=["zh_f1"])
        target = run.eval / side
        target.mkdir(parents=True)
        write_meta(made.meta, target / "heldout.meta.json")
        (target / "heldout.jsonl").write_text("".join(sample_line(s) + "\n" for s in samples), encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return make_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def board(run: RunDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """The board, listening."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        made = Board(run.path.parent, free_port(), "en", "t" * 32)
        server = uvicorn.Server(uvicorn.Config(made.app(), "127.0.0.1", made.port, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield made
        server.should_exit = server.force_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def tab(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser that was given the board's address."""
    with chromium(tmp_path_factory.mktemp("browser")) as found:
        found.open(board.address)
        yield found
