"""The board: runs, the loss of the one that trains, reports, two models side by side, and blind votes.

Reads run directories and asks servers that run here; it trains, serves and changes nothing but RUN/votes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from configs.disk.files import parse_json, read_jsonl
from configs.errors import DataError, TuneserveError
from configs.run.rundir import RunDir
from configs.terminal.language import LANGUAGES, Language
from configs.terminal.messages import translated
from eval.compare.votes import Tally, read_votes, tally
from scripts.board.asking import ask_all_both, ask_both, served_as, served_here
from scripts.board.ballots import (
    QUESTIONS,
    Ballot,
    Marked,
    Pair,
    answered_pairs,
    ballots_of,
    count_votes,
    find_ballot,
    make_ballot,
    voted_on,
)
from scripts.board.guard import Guard
from scripts.board.pages import Pages, alone_policy, in_json, policy, source
from scripts.run.listing import RunSummary, find_runs, ordered, shown_size, summarize
from scripts.run.votes import current_votes

EVERY_S = 1.0
"""How often a page is told what is new."""
MOST_POINTS = 600
"""Steps of a curve that are sent at first; more are thinned out."""
MOST_PASTED = 200
"""Questions of a ballot that are pasted."""


@dataclass
class Board:
    """One start of the board.

    Args:
        folder: of the runs.
        port: that it listens on, for the guard.
        language: of pages whose address does not say another.
        token: of this start.
    """

    folder: Path
    port: int
    language: Language
    token: str

    @property
    def address(self) -> str:
        """What opens it in a browser."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def app(self) -> Starlette:
        """The application, guarded."""
        routes = [
            Route("/", self.index),
            Route("/events", self.all_events),
            Route("/events/{name}", self.run_events),
            Route("/runs/{name}", self.run),
            Route("/runs/{name}/report/{file}", self.report),
            Route("/ask", self.ask),
            Route("/api/ask", _answered(self.api_ask), methods=["POST"]),
            Route("/api/runs/{name}/ballot", _answered(self.api_ballot), methods=["POST"]),
            Route("/vote/{ballot}", self.vote),
            Route("/vote/{ballot}/file", self.vote_file),
            Route("/api/vote/{ballot}", _answered(self.api_vote), methods=["POST"]),
            Route("/api/voted/{ballot}", _answered(self.api_voted), methods=["POST"]),
            Route("/api/votes", _answered(self.api_votes), methods=["POST"]),
            Route("/tally/{ballot}", self.tally),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(Guard, port=self.port, token=self.token)],
            exception_handlers={TuneserveError: self._failed, OSError: self._failed},  # type: ignore[dict-item]
        )

    async def index(self, request: Request) -> Response:
        return self._page(request, "index", {"runs": await run_in_threadpool(self._rows)})

    async def run(self, request: Request) -> Response:
        run = self._run(request)
        seen = await run_in_threadpool(summarize, run)
        reports = sorted(file.name for file in run.report.glob("report*.html")) if run.report.is_dir() else []
        answered = (run.eval / "base").is_dir() and (run.eval / "tuned").is_dir()
        return self._page(
            request,
            "run",
            {"run": _row(seen), "models": _models()},
            run=seen,
            # A hub id as it is; of a folder what tells it apart.
            model="/".join(Path(seen.model).parts[-2:]),
            reports=reports,
            ballots=ballots_of(run),
            answered=answered,
            tally=self._pages(request).sentence(_tally_of(run)),
        )

    async def report(self, request: Request) -> Response:
        file = self._run(request).report / request.path_params["file"]
        if file.parent != self._run(request).report or file.suffix != ".html" or not file.is_file():
            raise DataError("no such report", "open the run's page")
        # Whatever a model wrote into it stays a picture of text: no script, no request, an origin of its own.
        headers = {"content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
        return FileResponse(file, media_type="text/html", headers=headers)

    async def ask(self, request: Request) -> Response:
        return self._page(request, "ask", {"models": await run_in_threadpool(_models)})

    async def vote(self, request: Request) -> Response:
        _, ballot = self._ballot(request)
        return self._page(request, "vote", {"ballot": ballot.as_json(), "alone": False}, ballot=ballot.id, alone="")

    async def vote_file(self, request: Request) -> Response:
        _, ballot = self._ballot(request)
        name = f"vote-{ballot.id}.html"
        page = vote_file(ballot, self._pages(request))
        headers = {"content-disposition": f'attachment; filename="{name}"', "content-security-policy": "sandbox"}
        return HTMLResponse(page, headers=headers)

    async def tally(self, request: Request) -> Response:
        run, ballot = self._ballot(request)
        votes = [vote for vote in read_votes(run.votes_file) if vote.ballot == ballot.id]
        words = self._pages(request).words
        counted = tally(votes)
        comments = [vote for vote in votes if vote.comment.strip()]
        return self._page(
            request, "tally", {}, run=run.path.name, tally=self._pages(request).sentence(counted), comments=comments,
            counts=_counts(words, counted),
        )  # fmt: skip

    async def api_ask(self, request: Request) -> Any:
        asked = await _said(request)
        question = str(asked.get("question") or "").strip()
        if not question:
            raise DataError("nothing was asked", "write a question")
        first, second = served_as(str(asked.get("first"))), served_as(str(asked.get("second")))
        system = str(asked.get("system") or "").strip()
        turns = [{"role": "system", "content": system}] if system else []
        texts = await ask_both(first, second, [*turns, {"role": "user", "content": question}])
        pairs = zip((first, second), texts, strict=True)
        return {"question": question, "answers": [{"name": served.name, "text": text} for served, text in pairs]}

    async def api_ballot(self, request: Request) -> Any:
        run, asked = self._run(request), await _said(request)
        questions = [text.strip() for text in asked.get("questions") or [] if str(text).strip()][:MOST_PASTED]
        if "questions" in asked:
            if not questions:
                raise DataError("no questions were pasted", "write one a line")
            base, tuned = served_as(str(asked.get("base"))), served_as(str(asked.get("tuned")))
            if base.id == tuned.id:
                raise DataError("both sides are the same model", "choose two")
            answers = await ask_all_both(base, tuned, questions)
            pairs = [Pair(q, one, other, f"pasted/{q}") for q, (one, other) in zip(questions, answers, strict=True)]
            pairs = [pair for pair in pairs if pair.base != pair.tuned]
            if not pairs:
                raise DataError("both models answered every question in the same words", "ask others")
        else:
            pairs = await run_in_threadpool(answered_pairs, run)
        count = min(max(1, int(asked.get("count") or QUESTIONS)), 500)
        return {"ballot": make_ballot(run, pairs, count if not questions else len(pairs)).id}

    async def api_vote(self, request: Request) -> Any:
        run, ballot = self._ballot(request)
        said = await _said(request)
        marks = [Marked.read(raw) for raw in said.get("votes") or []]
        return {"counted": await run_in_threadpool(count_votes, run, ballot, str(said.get("voter") or ""), marks)}

    async def api_voted(self, request: Request) -> Any:
        run, ballot = self._ballot(request)
        voter = str((await _said(request)).get("voter") or "")
        return {"items": await run_in_threadpool(voted_on, run, ballot, voter)}

    async def api_votes(self, request: Request) -> Any:
        file = (await _said(request)).get("file")
        return {"counted": await run_in_threadpool(read_back, file, find_runs(self.folder))}

    async def all_events(self, request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            before = None
            while not await request.is_disconnected():
                rows = await run_in_threadpool(self._rows)
                if rows != before:
                    yield _event("runs", rows)
                    before = rows
                await asyncio.sleep(3 * EVERY_S)

        return StreamingResponse(events(), media_type="text/event-stream")

    async def run_events(self, request: Request) -> Response:
        run = self._run(request)

        async def events() -> AsyncIterator[str]:
            known, state = 0, None
            while not await request.is_disconnected():
                lines = await run_in_threadpool(_log, run)
                if len(lines) < known or (lines and not known):
                    yield _event("lines", {"reset": True, "fresh": _thinned(lines)})
                elif len(lines) > known:
                    yield _event("lines", {"reset": False, "fresh": lines[known:]})
                known = len(lines)
                row = _row(await run_in_threadpool(summarize, run))
                if row != state:
                    yield _event("state", row)
                    state = row
                await asyncio.sleep(EVERY_S)

        return StreamingResponse(events(), media_type="text/event-stream")

    def _rows(self) -> list[dict[str, Any]]:
        return [_row(seen) for seen in ordered([summarize(run) for run in find_runs(self.folder)], "created")]

    def _run(self, request: Request) -> RunDir:
        name = request.path_params["name"]
        for run in find_runs(self.folder):
            if run.path.name == name:
                return run
        raise DataError(f"no run {name!r} here", "open the list of runs")

    def _ballot(self, request: Request) -> tuple[RunDir, Ballot]:
        return find_ballot(find_runs(self.folder), request.path_params["ballot"])

    def _pages(self, request: Request) -> Pages:
        wanted = request.query_params.get("lang") or request.cookies.get("lang") or self.language
        return Pages(next((language for language in LANGUAGES if language == wanted), self.language))

    def _page(self, request: Request, name: str, data: Any, **values: Any) -> HTMLResponse:
        nonce, pages = secrets.token_urlsafe(16), self._pages(request)
        text = pages.render(name, nonce=nonce, token=self.token, data=data, **values)
        page = HTMLResponse(text, headers={"content-security-policy": policy(nonce)})
        page.set_cookie("lang", pages.words.language, samesite="strict")
        return page

    def _failed(self, request: Request, error: TuneserveError | OSError) -> Response:
        return _refused(error, 404)


def vote_file(ballot: Ballot, pages: Pages) -> str:
    """A ballot as one HTML file for people without access; it keeps votes in the browser and hands them out as JSON."""
    scripts = (source("common.js"), source("vote.js"))
    return pages.render(
        "vote",
        nonce="",
        data={"ballot": ballot.as_json(), "alone": True},
        ballot=ballot.id,
        alone=alone_policy(source("board.css"), *scripts),
    )


def read_back(said: Any, runs: list[RunDir]) -> int:
    """Counts the votes of a file that `vote_file` handed out, and returns how many.

    Raises:
        DataError: it is none, or of a ballot that is not here.
    """
    if not isinstance(said, dict) or not isinstance(said.get("votes"), list):
        raise DataError(f"{str(said)[:80]}: no votes of a blind vote", "take the file that the page saved")
    run, ballot = find_ballot(runs, str(said.get("ballot")))
    return count_votes(run, ballot, str(said.get("voter") or ""), [Marked.read(raw) for raw in said["votes"]])


class _Json(JSONResponse):
    """JSON for a page."""

    def render(self, content: Any) -> bytes:
        return in_json(content).encode()


def _answered(work: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """A POST that answers with JSON; what the user can mend is an error with its next step."""

    async def answer(request: Request) -> Response:
        try:
            return _Json(await work(request))
        except (TuneserveError, OSError) as error:
            return _refused(error, 400)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody hears it
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            return _refused(DataError(f"not what was expected: {error}", "reload the page"), 400)

    return answer


async def _said(request: Request) -> Any:
    return parse_json(await request.body())


def _refused(error: TuneserveError | OSError, status: int) -> JSONResponse:
    if isinstance(error, OSError):  # a full disk, a file that may not be read
        where = f"{error.filename}: " if error.filename else ""
        error = TuneserveError(f"{where}{error.strerror or error}", "mend that, and try again")
    said = (translated(text, ours=True) for text in (error.message, error.next_step))
    return _Json(dict(zip(("error", "next"), said, strict=True)), status)


def _row(seen: RunSummary) -> dict[str, Any]:
    return {
        "name": seen.name,
        "state": seen.state,
        "stage": seen.stage,
        "stage_shown": seen.state in ("working", "failed", "stopped") and bool(seen.stage),
        "verdict": seen.verdict,
        "reserved": bool(seen.reservations),
        "gain": f"{seen.gain_points:+.1f}" if seen.gain_points is not None else "",
        "kept": f"{seen.kept_percent:.1f} %" if seen.kept_percent is not None else "",
        "size": shown_size(seen.size_bytes),
        "served_as": list(seen.served_as),
    }


def _models() -> list[dict[str, str]]:
    return [{"id": served.id, "name": served.name} for served in served_here()]


def _log(run: RunDir) -> list[dict[str, Any]]:
    """The lines of a training; none where they are damaged, as the training itself would say."""
    file = run.logs / "train.jsonl"
    try:
        return [line for _, line in read_jsonl(file, torn=True)]
    except (TuneserveError, OSError):
        return []


def _thinned(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step = max(1, len(lines) // MOST_POINTS)
    return [line for n, line in enumerate(lines) if n % step == 0 or "eval_loss" in line or n == len(lines) - 1]


def _event(name: str, value: Any) -> str:
    return f"event: {name}\ndata: {in_json(value)}\n\n"


def _tally_of(run: RunDir) -> Tally | None:
    return tally(current_votes(run))


def _counts(words: Any, counted: Tally | None) -> list[tuple[str, str]]:
    if counted is None:
        return []
    return [
        (words.say("board.count.tuned"), str(counted.wins)),
        (words.say("board.count.base"), str(counted.losses)),
        (words.say("board.count.tie"), str(counted.ties)),
        (words.say("board.count.neither"), str(counted.neither)),
        (words.say("board.count.left"), f"{counted.left_percent:.0f} %"),
    ]
