"""`tuneserve data from-docs` as a user runs it: rows, refusals, kills, and a recipe that `check` takes."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from configs.disk import locks
from configs.disk.files import write_atomically
from configs.disk.locks import locked
from configs.errors import TuneserveError
from configs.recipe.load import load_config
from configs.recipe.schema import TaskConfig
from configs.terminal.console import Terminal
from eval.tasks import load_task
from scripts.cli import main
from scripts.run import documents
from tests.eval.conftest import free_port
from tests.eval.documents.files import pdf, word
from tests.scripts.conftest import CLI, ROOT

MODEL = ROOT / "configs" / "demo" / "model"
TOPICS = ("charging", "warranty", "cleaning", "storage", "repair", "delivery")


@contextmanager
def scribe(latency_ms: int = 0) -> Iterator[str]:
    """The fake endpoint in a process of its own; gives its address."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tests.eval.documents.scribe",
        "--port",
        str(port),
        "--latency-ms",
        str(latency_ms),
    ]
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            try:
                asked(url)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield url
    finally:
        server.kill()
        server.wait()


def asked(url: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/asked") as reply:
        return list(json.load(reply))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with scribe() as url:
        yield url


@pytest.fixture
def manuals(tmp_path: Path) -> Path:
    """Nine documents of all kinds; each says something that no other says."""
    folder = tmp_path / "manuals"
    (folder / "zh").mkdir(parents=True)
    for number, topic in enumerate(TOPICS):
        text = f"# About {topic}\n\nFor {topic} of lamp K{number} the firm asks {number + 20} yuan in every season. "
        text += f"Questions about {topic} go to desk D{number} on the second floor.\n"
        (folder / f"{topic}.md").write_text(text, encoding="utf-8")
    (folder / "zh" / "质保.txt").write_bytes(
        "台灯的电池质保一年，灯体质保两年。送修时请带上发票和包装盒。".encode("gbk")
    )
    (folder / "notes.html").write_text(
        "<main><h1>Colours</h1><p>The lamp is sold in seven colours of the firm Pantone this year.</p></main>"
        "<nav>Home</nav>",
        encoding="utf-8",
    )
    word(folder / "zh" / "手册.docx")
    pdf(folder / "guide.pdf", [["Bulbs", "A bulb of the lamp lasts for nine thousand hours of light or more."]])
    (folder / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0")
    return folder


def from_docs(folder: Path, out: Path, *more: str, code: int = 0) -> str:
    """Runs the command in this process; gives what it printed."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
        main(["data", "from-docs", str(folder), "--out", str(out), *more])
    assert (ended.value.code or 0) == code, said.getvalue()
    return said.getvalue()


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_rows_of_every_kind_of_document_with_a_report_and_a_recipe(
    endpoint: str, manuals: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rows"
    given = ("--endpoint", endpoint, "--model", "scribe", "--held-out", "0.25")
    said = from_docs(manuals, out, *given)
    assert "warning: not read: old.doc: an old Word file; save it as DOCX" in said
    assert "zh/质保.txt: read as gb18030" in said
    train, held_out = rows(out / "train.jsonl"), rows(out / "held_out.jsonl")
    documents = {row["metadata"]["document"] for row in (*train, *held_out)}
    assert {"charging.md", "notes.html", "guide.pdf", "zh/手册.docx", "zh/质保.txt"} <= documents
    assert held_out
    assert not {row["cluster"] for row in train} & {row["cluster"] for row in held_out}
    page = next(row for row in (*train, *held_out) if row["metadata"]["document"] == "guide.pdf")
    assert (page["metadata"]["page"], page["metadata"]["heading"]) == (1, "Bulbs")
    assert (out / "texts" / "zh" / "质保.txt.txt").read_text(encoding="utf-8").startswith("台灯的电池质保一年")
    assert "Rows from documents" in (out / "report.html").read_text(encoding="utf-8")
    # Nothing is asked twice, and nothing changes where nothing changed.
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    already = len(asked(endpoint))
    assert "0 passages to ask about" in from_docs(manuals, out, *given)
    assert len(asked(endpoint)) == already
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    # A document that changed is asked about anew, the others are not; one that is gone takes its rows along.
    (manuals / "repair.md").write_text("# About repair\n\nRepair of lamp K9 is free of charge in each of the shops.\n")
    (manuals / "notes.html").unlink()
    from_docs(manuals, out, *given)
    assert asked(endpoint)[already:] == ["About repair\n\nRepair of lamp K9 is free of charge in each of the shops."]
    documents = {row["metadata"]["document"] for name in ("train", "held_out") for row in rows(out / f"{name}.jsonl")}
    assert "notes.html" not in documents
    assert not (out / "texts" / "notes.html.txt").exists()
    _check_takes_the_rows(out)


def _check_takes_the_rows(out: Path) -> None:
    """The recipe is one of ours, and the rows pass the data stage without a further line, by it and without it."""
    from trainer.data.prepare import prepare

    config = load_config(out / "recipe.yaml", [f"model={MODEL}", "data.replay=null"])
    report = prepare(config, MODEL).report
    train, held_out = rows(out / "train.jsonl"), rows(out / "held_out.jsonl")
    assert (report.train_conversations, report.heldout_conversations) == (len(train), len(held_out))
    assert report.reasons == {}
    task = TaskConfig(name="manuals", type="qa", path=str(out / "held_out.jsonl"), role="target")
    items = [item for one in load_task(task) for item in one.items]
    assert [item.references for item in items] == [[row["answer"]] for row in held_out]
    assert {item.cluster for item in items} == {row["cluster"] for row in held_out}
    alone = load_config(out / "recipe.yaml", [f"model={MODEL}", "data.replay=null", "data.ignore_columns=[]"])
    columns = prepare(alone, MODEL).report.columns
    assert all(file.used == ["question", "answer"] for file in columns)
    assert all("metadata" in file.unread for file in columns)


def test_what_is_not_ours_is_never_written_over(endpoint: str, manuals: Path, tmp_path: Path) -> None:
    given = ("--endpoint", endpoint, "--model", "scribe")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "train.jsonl").write_text("mine", encoding="utf-8")
    assert "holds files already (train.jsonl)" in from_docs(manuals, theirs, *given, code=2)
    assert (theirs / "train.jsonl").read_text(encoding="utf-8") == "mine"
    assert "lies inside" in from_docs(manuals, manuals / "rows", *given, code=2)

    out = tmp_path / "rows"
    from_docs(manuals, out, *given, "--limit", "4")
    (out / "recipe.yaml").write_text((out / "recipe.yaml").read_text(encoding="utf-8") + "seed: 7\n", encoding="utf-8")
    said = from_docs(manuals, out, *given)
    assert "limit was 4, now None" in said
    assert "recipe.yaml was changed by you, and stays as it is" in said
    assert "seed: 7" in (out / "recipe.yaml").read_text(encoding="utf-8")
    assert "per_passage was 3, now 2" in from_docs(manuals, out, *given, "--per-passage", "2", code=2)
    (out / "train.jsonl").write_text((out / "train.jsonl").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "train.jsonl was changed since it was written" in from_docs(manuals, out, *given, code=2)


def test_the_name_of_a_document_is_shown_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a[").mkdir()
    (tmp_path / "a[" / "b].txt").write_text("A sentence.", encoding="utf-8")
    terminal = Terminal(file=io.StringIO(), force_terminal=True, width=200)
    monkeypatch.setattr(documents, "console", terminal)
    assert len(documents._read(tmp_path).documents) == 1


@pytest.mark.parametrize(
    "settings",
    [
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"asked": 5, "chosen": {}}',
        '{"asked": {}, "chosen": {}, "written": []}',
        '{"asked": {}, "chosen": {}, "written": {"texts/../../manuals/notes.html": []}}',
    ],
)
def test_settings_that_are_damaged_are_said(settings: str, manuals: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows" / "asked" / "settings.json"
    file.parent.mkdir(parents=True)
    file.write_text(settings, encoding="utf-8")
    said = from_docs(manuals, tmp_path / "rows", "--endpoint", "http://127.0.0.1:9/v1", "--model", "x", code=2)
    assert "settings.json: damaged" in " ".join(said.split())
    assert file.read_text(encoding="utf-8") == settings


def test_files_that_were_written_before_a_kill_are_still_ours(
    endpoint: str, manuals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "rows"
    given = ("--endpoint", endpoint, "--model", "scribe")
    from_docs(manuals, out, *given)
    (manuals / "more.md").write_text("# More\n\nThe blue lamp of the firm has the number 77 and weighs nine kilos.\n")
    (manuals / "more.md.txt").mkdir()
    (manuals / "more.md.txt" / "in.md").write_text("# In\n\nThe grey lamp of the firm has the number 79 below it.\n")
    (manuals / f"{'很长的名字' * 15}.md").write_text("# Long\n\nThe green lamp of the firm has the number 78 on it.\n")

    def killed(file: Path, text: str) -> None:
        if file.name == "report.json":
            raise OSError(28, "No space left on device", str(file))
        write_atomically(file, text)

    with monkeypatch.context() as patch:
        patch.setattr("scripts.run.documents.write_atomically", killed)
        assert "No space left on device" in from_docs(manuals, out, *given, code=1)
    from_docs(manuals, out, *given)
    (long,) = (out / "texts").glob("很长的名字*")
    assert long.read_text(encoding="utf-8").startswith("Long")
    documents = {row["metadata"]["document"] for name in ("train", "held_out") for row in rows(out / f"{name}.jsonl")}
    assert {"more.md", "more.md.txt/in.md", f"{'很长的名字' * 15}.md"} <= documents


def test_a_command_that_is_killed_goes_on_and_asks_nothing_twice(manuals: Path, tmp_path: Path) -> None:
    out, journal = tmp_path / "rows", tmp_path / "rows" / "asked" / "replies.jsonl"
    with scribe(latency_ms=150) as url:
        given = ("--endpoint", url, "--model", "scribe", "eval.concurrency=1")
        for number, how in ((2, signal.SIGKILL), (4, signal.SIGINT)):
            command = [*CLI, "data", "from-docs", str(manuals), "--out", str(out), *given]
            running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            deadline = time.monotonic() + 60
            while not (journal.is_file() and journal.read_bytes().count(b"\n") >= number):
                assert running.poll() is None, running.stdout and running.stdout.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            running.send_signal(how)
            text, _ = running.communicate(timeout=30)
            assert running.returncode == (-9 if how == signal.SIGKILL else 130), text
            assert not (out / "train.jsonl").exists()
        from_docs(manuals, out, *given)
        answered = [line["passage"] for line in rows(journal)]
        assert len(answered) == len(set(answered)) == 11
        # What was under way when it was killed may have reached the server; nothing that was kept is asked again.
        assert len(asked(url)) <= 11 + 2
    whole = tmp_path / "whole"
    with scribe() as url:
        from_docs(manuals, whole, "--endpoint", url, "--model", "scribe")
    for name in ("train.jsonl", "held_out.jsonl", "rejected.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_one_command_at_a_time_writes_into_a_folder(
    endpoint: str, manuals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "rows"
    out.mkdir()
    monkeypatch.setattr(locks, "WAIT_S", 0.1)
    with locked(out, TuneserveError("taken")):
        said = from_docs(manuals, out, "--endpoint", endpoint, "--model", "scribe", code=1)
    assert "another command is writing there" in said


def test_who_writes_is_said_or_asked_for(endpoint: str, manuals: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    assert "nobody is named who writes" in from_docs(manuals, out, code=2)
    assert "without --model" in from_docs(manuals, out, "--endpoint", endpoint, code=2)
    assert "without --endpoint" in from_docs(manuals, out, "--model", "scribe", code=2)
    assert "does not serve 'other'" in from_docs(manuals, out, "--endpoint", endpoint, "--model", "other", code=5)
    nobody = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    assert "cannot be asked" in from_docs(manuals, out, "--endpoint", nobody, "--model", "scribe", code=5)
    assert time.monotonic() - began < 30
    assert "override 'train.epochs=3'" in from_docs(manuals, out, "train.epochs=3", code=2)


def test_where_no_pair_can_be_used_the_reasons_are_said(endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The lamp has a cable of 90 cm and no switch at all. [reply:unreadable]")
    said = from_docs(tmp_path / "a.txt", tmp_path / "rows", "--endpoint", endpoint, "--model", "scribe", code=2)
    assert "no row to train came out of 0 pairs: 1 replies that are no JSON" in said
    assert (tmp_path / "rows" / "report.html").is_file()
