"""The board in a browser: runs, live loss, two models side by side, and a blind vote that gives nothing away."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from configs.run.rundir import RunDir
from eval.ask.mock_server import reply_of
from eval.compare.votes import read_votes
from scripts.board.app import Board
from scripts.cli import main
from serve.state.servers import state_file, write_state
from tests.browser import Tab
from tests.eval.conftest import serving
from tests.scripts.board.conftest import QUESTIONS, make_run
from tests.serve.fakes import free_port
from tests.serve.state.test_servers import known

NAMES = ("secret", "tuned", "base", "heldout", "微调", "基座")


def given_away(page: str) -> list[str]:
    """Names that a page's source holds, its own styles, scripts and policy aside."""
    page = re.sub(r"<style.*?</style>|<script nonce.*?</script>", "", page, flags=re.DOTALL)
    return [name for name in NAMES if name in page.lower().replace("base-uri", "")]


def vote_on(tab: Tab, choose: str = "乙") -> None:
    """Votes for the side whose answer begins with a word, until there are no questions left."""
    while tab.run("!document.getElementById('ballot').hidden"):
        before = tab.run("document.getElementById('progress').textContent")
        left = tab.run("document.getElementById('left').textContent")
        tab.run(f"document.querySelector('[data-choice={'left' if left.startswith(choose) else 'right'}]').click()")
        now = f"document.getElementById('progress').textContent !== {before!r}"
        tab.until(f"document.getElementById('ballot').hidden || {now}")


def begin(tab: Tab, name: str) -> None:
    tab.run(f"document.getElementById('voter').value = {name!r}; document.getElementById('begin').click()")
    tab.until("!document.getElementById('ballot').hidden || !document.getElementById('end').hidden")


def test_runs_are_listed_and_their_loss_comes_live(tab: Tab, board: Board, run: RunDir) -> None:
    tab.open(f"http://127.0.0.1:{board.port}/")
    tab.until("document.querySelector('#runs a') !== null")
    assert "secret-run" in tab.text()
    tab.run("document.querySelector('#runs a').click()")
    tab.until("location.pathname === '/runs/secret-run' && typeof lines !== 'undefined'")
    assert tab.run("document.getElementById('training').hidden")
    run.logs.mkdir(exist_ok=True)
    with (run.logs / "train.jsonl").open("a", encoding="utf-8") as log:
        for step in range(1, 4):
            row = {"step": step, "loss": 3.0 / step, "tokens_per_s": 100.0, "peak_gb": 1.0}
            log.write(json.dumps(row) + "\n")
    tab.until("document.getElementById('now').textContent.includes('step 3')")
    with (run.logs / "train.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"step": 4, "loss": 0.5, "tokens_per_s": 100.0, "peak_gb": 1.0}) + "\n")
    tab.until("document.getElementById('now').textContent.includes('step 4')")
    assert tab.run("document.querySelector('.curve').points.length") == 4
    assert tab.logged == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_vote_is_blind_survives_a_reload_and_is_counted(tab: Tab, board: Board, run: RunDir, language: str) -> None:
    tab.open(f"http://127.0.0.1:{board.port}/runs/secret-run?lang={language}")
    tab.run("document.getElementById('draw').click()")
    tab.until("location.pathname.startsWith('/vote/') && document.readyState === 'complete'")
    assert given_away(tab.run("document.documentElement.outerHTML")) == []
    assert given_away(tab.run("fetch(location.href).then(a => a.text())")) == []
    assert given_away(tab.run("JSON.stringify([document.cookie, Object.entries(localStorage)])")) == []
    begin(tab, f"Anna {language}")
    tab.run("document.getElementById('comment').value = '<b>clear</b>'; 0")
    left = tab.run("document.getElementById('left').textContent")
    tab.run(f"document.querySelector('[data-choice={'left' if left.startswith('乙') else 'right'}]').click()")
    tab.until("document.getElementById('progress').textContent.startsWith('2')")
    tab.open(tab.run("location.href"))  # reload
    tab.until("document.getElementById('progress').textContent.startsWith('2')")
    assert given_away(tab.run("document.documentElement.outerHTML")) == []
    vote_on(tab)
    votes = [vote for vote in read_votes(run.votes_file) if vote.voter == f"Anna {language}"]
    assert [vote.winner for vote in votes] == ["tuned"] * (QUESTIONS - 1)
    assert [vote.comment for vote in votes].count("<b>clear</b>") == 1
    tab.run("document.getElementById('result').click()")
    tab.until("location.pathname.startsWith('/tally/') && document.readyState === 'complete'")
    said = "偏好微调后 5 次" if language == "zh" else "Tuned preferred 5 times, base 0"
    assert said in tab.text()
    assert "<b>clear</b>" in tab.text()
    assert tab.logged == []


def test_a_vote_in_one_file_is_blind_and_read_back(
    tab: Tab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, page = make_run(tmp_path), tmp_path / "vote.html"

    def tuneserve(*args: str | Path) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        said = capsys.readouterr()
        assert ended.value.code == 0, said.err
        return said.out

    tuneserve("board", "export", run.path, "--out", page)
    assert given_away(page.read_text(encoding="utf-8")) == []
    tab.open(page.as_uri())
    begin(tab, "老李")
    vote_on(tab, "甲")
    saved = tab.run("document.getElementById('votes').value")
    assert given_away(saved) == []
    (tmp_path / "votes-li.json").write_text(saved, encoding="utf-8")
    tab.open(page.as_uri())  # nothing is lost by closing the page
    tab.until("!document.getElementById('end').hidden")
    shown = tuneserve("board", "count", run.path, tmp_path / "votes-li.json", tmp_path / "votes-li.json")
    assert "Tuned preferred 0 times, base 5" in shown
    assert {vote.voter for vote in read_votes(run.votes_file)} == {"老李"}
    assert tab.logged == []


def test_a_report_is_shown_without_scripts(tab: Tab, board: Board, run: RunDir) -> None:
    run.report.mkdir(exist_ok=True)
    (run.report / "report.html").write_text("<p>report</p><script>document.title = 'ran'</script>", encoding="utf-8")
    tab.open(f"http://127.0.0.1:{board.port}/runs/secret-run/report/report.html")
    assert "report" in tab.text()
    assert tab.run("document.title") != "ran"
    assert "Blocked script execution" in tab.logged.pop()


@pytest.fixture
def two_models(board: Board, run: RunDir) -> Iterator[None]:
    """A server here that answers as two models."""

    async def chat(request: web.Request) -> web.Response:
        asked = await request.json()
        word = "甲" if asked["model"] == "secret-base" else "乙"
        return web.json_response(reply_of(f"{word}：{asked['messages'][-1]['content']}<b>"))

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "secret-base"}, {"id": "secret-tuned"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    with serving(SimpleNamespace(app=app)) as endpoint:  # type: ignore[arg-type]
        port = int(endpoint.base_url.rpartition(":")[2].partition("/")[0])
        write_state(known(port, run.path, names=["secret-base", "secret-tuned"]))
        yield
        state_file(port).unlink()


@pytest.mark.usefixtures("two_models")
def test_two_models_answer_side_by_side(tab: Tab, board: Board) -> None:
    tab.open(f"http://127.0.0.1:{board.port}/ask?lang=zh")
    tab.run("document.getElementById('question').value = '怎么退货？'; document.getElementById('send').click()")
    tab.until("document.querySelectorAll('#answers .pair > div').length === 2")
    assert tab.run("[...document.querySelectorAll('#answers .pair > div')].map(d => d.innerText)") == [
        "secret-base\n甲：怎么退货？<b>", "secret-tuned\n乙：怎么退货？<b>",
    ]  # fmt: skip
    assert tab.logged == []


@pytest.mark.usefixtures("two_models")
def test_pasted_questions_become_a_blind_ballot(tab: Tab, board: Board, run: RunDir) -> None:
    tab.open(f"http://127.0.0.1:{board.port}/runs/secret-run?lang=en")
    tab.run("document.getElementById('questions').value = '一？\\n\\n二？'; document.getElementById('pasted').click()")
    tab.until("location.pathname.startsWith('/vote/') && document.readyState === 'complete'")
    page = tab.run("fetch(location.href).then(a => a.text())")
    assert given_away(page) == []
    assert all(text in page for text in ("甲：一？", "乙：一？", "甲：二？", "乙：二？"))
    begin(tab, "Paste")
    vote_on(tab)
    votes = [vote for vote in read_votes(run.votes_file) if vote.voter == "Paste"]
    assert [(vote.winner, vote.cluster) for vote in votes] in (
        [("tuned", "pasted/一？"), ("tuned", "pasted/二？")], [("tuned", "pasted/二？"), ("tuned", "pasted/一？")],
    )  # fmt: skip


def test_the_end_of_its_terminal_is_left_to_uvicorn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signal raises while a request is answered is logged as its fault, and the board would go on."""
    heard: list[int] = []

    def serve(*_: object, **__: object) -> None:
        before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
        signal.raise_signal(signal.SIGHUP)
        signal.signal(signal.SIGTERM, before)

    monkeypatch.setattr("uvicorn.run", serve)
    with pytest.raises(SystemExit, match="0"):
        main(["board", "--folder", str(tmp_path), "--port", str(free_port())])
    assert heard == [signal.SIGTERM]
