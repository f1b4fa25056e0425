"""Who may talk to the board."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from configs.run.rundir import RunDir
from scripts.board.app import Board
from scripts.board.ballots import answered_pairs, make_ballot
from scripts.cli import main
from serve.launch import ports
from serve.state.port_lock import PortLock
from tests.serve.fakes import free_port

PORT, TOKEN = 7860, "t" * 32
OWN = {"origin": f"http://127.0.0.1:{PORT}", "x-board-token": TOKEN}


@pytest.fixture
def client(run: RunDir) -> Iterator[TestClient]:
    board = Board(run.path.parent, PORT, "en", TOKEN)
    with TestClient(board.app(), base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False) as client:
        yield client


@pytest.fixture
def known(client: TestClient) -> TestClient:
    assert client.get(f"/?token={TOKEN}").status_code == 303
    return client


def test_a_taken_port_is_said_before_an_address_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ports, "BEGINNING_WAIT_S", 0)
    port = free_port()
    other = PortLock.take(port)  # a board that starts at the same moment
    assert other
    with pytest.raises(SystemExit) as ended:
        main(["board", "--folder", str(tmp_path), "--port", str(port)])
    other.release()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert re.search(r"choose another port: --port \d+\n", said.err)


def test_the_printed_address_hands_out_a_cookie_that_no_script_reads(client: TestClient) -> None:
    handed = client.get(f"/?token={TOKEN}")
    assert handed.headers["location"] == "/"
    assert "HttpOnly" in handed.headers["set-cookie"]
    assert "SameSite=strict" in handed.headers["set-cookie"]
    assert client.get("/").status_code == 200
    assert TOKEN not in str(client.get("/").url)


def test_cookies_of_other_servers_here_are_in_nobodys_way(client: TestClient) -> None:
    cookies = f'other={{"a": 1}}; od[d]=1; tuneserve_board_{PORT}={TOKEN}'
    assert client.get("/", headers={"cookie": cookies}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/runs/secret-run", "/vote/0123456789abcdef", "/ask", "/events", "/tally/x"])
def test_nothing_is_shown_without_the_cookie(client: TestClient, path: str) -> None:
    said = client.get(path)
    assert said.status_code == 403
    assert "secret" not in said.text
    assert client.get("/?token=wrong").status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1", "127.0.0.1:80", "localhost.evil:7860", ""]
)
def test_another_host_name_is_refused_whatever_cookie_it_has(known: TestClient, host: str) -> None:
    assert known.get("/", headers={"host": host}).status_code == 421
    assert known.get(f"/?token={TOKEN}", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-board-token": TOKEN},
        {"origin": f"http://127.0.0.1:{PORT}"},
        {"origin": "http://evil.example", "x-board-token": TOKEN},
        {"origin": "null", "x-board-token": TOKEN},
        {"origin": f"https://127.0.0.1:{PORT}", "x-board-token": TOKEN},
        {"origin": f"http://127.0.0.1:{PORT + 1}", "x-board-token": TOKEN},
        {**OWN, "x-board-token": "wrong"},
    ],
)
def test_other_pages_can_change_nothing(known: TestClient, run: RunDir, headers: dict[str, str]) -> None:
    before = sorted((run.path / "votes").glob("*")) if (run.path / "votes").is_dir() else []
    assert known.post("/api/runs/secret-run/ballot", json={}, headers=headers).status_code == 403
    after = sorted((run.path / "votes").glob("*")) if (run.path / "votes").is_dir() else []
    assert before == after


def test_own_pages_can(known: TestClient) -> None:
    assert known.post("/api/runs/secret-run/ballot", json={}, headers=OWN).status_code == 200


def test_headers_forbid_frames_sniffing_and_foreign_scripts(known: TestClient) -> None:
    headers = known.get("/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["..%2f..%2fetc", "secret-run%2f..", "nothing"])
def test_only_runs_of_the_folder_are_shown(known: TestClient, name: str) -> None:
    assert known.get(f"/runs/{name}").status_code == 404
    assert known.get(f"/runs/secret-run/report/{name}").status_code == 404


def test_too_much_and_nonsense_are_refused(known: TestClient, run: RunDir) -> None:
    assert known.post("/api/votes", content=b"x" * 2_000_001, headers=OWN).status_code == 413
    ballot = make_ballot(run, answered_pairs(run))
    strange = (
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b'{"voter": "a", "votes": [1]}',
        b'{"votes": [{"choice": "tuned"}]}',
    )
    for body in strange:
        assert known.post(f"/api/vote/{ballot.id}", content=body, headers=OWN).status_code == 400
    endless = known.post(f"/api/runs/{run.path.name}/ballot", content=b'{"count": 1e999}', headers=OWN)
    assert endless.status_code == 400
    mark = {"item": "nothing", "choice": "x", "left": "x"}
    assert known.post(f"/api/vote/{ballot.id}", json={"voter": "a", "votes": [mark]}, headers=OWN).status_code == 400
    nameless = {"voter": " ", "votes": [{**mark, "item": ballot.items[0].id}]}
    assert "name" in known.post(f"/api/vote/{ballot.id}", json=nameless, headers=OWN).json()["error"]


def test_a_pipe_in_the_place_of_the_votes_is_said(known: TestClient, run: RunDir) -> None:
    ballot = make_ballot(run, answered_pairs(run), 1)
    votes = {"voter": "a", "votes": [{"item": ballot.items[0].id, "choice": "tie", "left": "x"}]}
    os.mkfifo(run.votes_file)
    try:
        said = known.post(f"/api/vote/{ballot.id}", json=votes, headers=OWN)
    finally:
        run.votes_file.unlink()
    assert said.status_code == 400
    assert "a pipe" in said.json()["error"]
    assert known.post(f"/api/vote/{ballot.id}", json=votes, headers=OWN).json() == {"counted": 1}


def test_who_hangs_up_in_the_middle_of_a_vote_leaves_no_traceback(run: RunDir) -> None:
    board, sent = Board(run.path.parent, PORT, "en", TOKEN), []
    cookie = {"host": f"127.0.0.1:{PORT}", "cookie": f"tuneserve_board_{PORT}={TOKEN}"}
    headers = [(name.encode(), value.encode()) for name, value in (OWN | cookie).items()]
    scope = {"type": "http", "method": "POST", "path": "/api/votes", "query_string": b"", "headers": headers}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(board.app()(scope, receive, send))
    assert sent[0]["status"] == 400


def test_votes_of_saved_files_are_counted_through_the_page(known: TestClient, run: RunDir) -> None:
    ballot = make_ballot(run, answered_pairs(run), 2)
    marks = [{"item": item.id, "choice": "tie", "left": "x", "comment": ""} for item in ballot.items]
    saved = {"ballot": ballot.id, "voter": "Li", "votes": marks}
    assert known.post("/api/votes", json={"file": saved}, headers=OWN).json() == {"counted": 2}
    said = known.post("/api/votes", json={"file": {"hello": 1}}, headers=OWN)
    assert said.status_code == 400
    assert "no votes of a blind vote" in said.json()["error"]
    gone = known.post("/api/votes", json={"file": {**saved, "ballot": "0" * 16}}, headers=OWN)
    assert "no ballot" in gone.json()["error"]
