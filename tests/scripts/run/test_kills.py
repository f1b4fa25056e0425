"""Kills at random moments, of leaders and children: nothing is left, nothing is twice, the next call goes on.

`TUNESERVE_KILLS=50 pytest tests/scripts/run/test_kills.py` kills more often; `TUNESERVE_KILLS_SEED` draws other
moments.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from configs.disk.files import read_jsonl
from configs.run.rundir import RunDir
from eval.ask.mock_server import MODEL, MockServer
from tests.eval.conftest import serving
from tests.scripts.conftest import CLI, ROOT, environment
from tests.scripts.forked import IN_LOADED
from tests.trainer.preloaded import Preloaded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("TUNESERVE_KILLS", "2"))
SEED = os.environ.get("TUNESERVE_KILLS_SEED", "1")
STEPS = 24


@dataclass(frozen=True)
class Workplace:
    """Where one run is made again and again."""

    folder: Path
    seconds: dict[str, float]
    """How long each stage took where nothing was killed."""

    @property
    def run(self) -> RunDir:
        return RunDir(self.folder / "runs" / "killed")

    def command(self, verb: str) -> list[str]:
        recipe = [
            "configs/demo.yaml", f"output_dir={self.folder / 'runs'}", "name=killed", f"train.max_steps={STEPS}",
            "train.save_steps=6", "train.eval_steps=0", "eval.drift=false",
            # Rows that are sampled are others each time they are made; what this compares is bit by bit the same.
            "data.replay={source: demo/data/replay.jsonl, ratio: 0.92}",
        ]  # fmt: skip
        return {
            "run": [*CLI, "run", *recipe, "--no-serve"],
            "train": [*CLI, "train", *recipe],
            "merge": [*CLI, "merge", str(self.run.path)],
        }[verb]

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=environment(self.folder), stdout=log, stderr=log, start_new_session=True
            )

    def finish(self, loaded: Preloaded, *verbs: str) -> str:
        """Runs commands to their end; each must work. Returns what they said."""
        said = ""
        for verb in verbs:
            done = loaded.run(self.command(verb)[len(CLI) :], ROOT, environment(self.folder), IN_LOADED)
            assert done.returncode == 0, done.stderr
            said += done.stdout + done.stderr
        return said

    def left(self) -> list[psutil.Process]:
        """Processes that have anything to do with this place, zombies left out."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = " ".join(process.info["cmdline"] or [])
            if str(self.folder) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found


def hashes(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir() if f.suffix != ".md"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, dict[str, str], dict[str, str]]:
    """A run that nobody kills: how long it takes, and what comes of it."""
    place = Workplace(tmp_path_factory.mktemp("undisturbed"), {})
    for verb in ("train", "merge"):
        began = time.monotonic()
        assert place.start(place.command(verb)).wait(600) == 0, (place.folder / "log").read_text(encoding="utf-8")
        place.seconds[verb] = time.monotonic() - began
    return place, hashes(place.run.adapter), hashes(place.run.merged)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """Where nobody is killed, commands and stages may be forks of a process that has imported everything."""
    process = Preloaded(environment(tmp_path_factory.mktemp("loaded")))
    yield process
    process.close()


def kill(place: Workplace, command: list[str], whom: str, after_s: float, draw: random.Random) -> None:
    """Kills the leader or one of its children after so many seconds, and waits for the leader's end."""
    leader = place.start(command)
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline and leader.poll() is None:
        time.sleep(0.01)
    if leader.poll() is None:
        # What compiles or looks at the machine for a moment is no stage: its end changes nothing.
        stages = [process for process in place.left() if process.pid != leader.pid] if whom == "child" else []
        (draw.choice(stages) if stages else psutil.Process(leader.pid)).kill()
    try:
        leader.wait(60)
    except subprocess.TimeoutExpired:  # the victim had just finished
        leader.kill()
        leader.wait()


def nothing_left(place: Workplace, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while (left := place.left()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, [process.pid for process in left]


def test_training_and_merging_come_out_the_same_bit_by_bit(
    undisturbed: tuple[Workplace, dict[str, str], dict[str, str]], loaded: Preloaded, tmp_path: Path
) -> None:
    reference, adapter, merged = undisturbed
    draw = random.Random(f"kills {SEED}")
    place = Workplace(tmp_path, reference.seconds)
    counts: dict[str, int] = {}
    for _ in range(KILLS):
        verb = draw.choice(["run", "train", "merge"]) if place.run.adapter.is_dir() else draw.choice(["run", "train"])
        whom = draw.choice(["leader", "child"])
        after_s = draw.uniform(0, reference.seconds["merge" if verb == "merge" else "train"])
        kill(place, place.command(verb), whom, after_s, draw)
        nothing_left(place)
        counts[f"{verb} {whom}"] = counts.get(f"{verb} {whom}", 0) + 1
        if place.run.merged.is_dir():  # what is finished is only skipped: from the start again
            assert hashes(place.run.adapter) == adapter
            assert hashes(place.run.merged) == merged
            shutil.rmtree(place.run.path)
    print(f"killed: {counts}")
    place.finish(loaded, "train", "merge")
    nothing_left(place)
    assert hashes(place.run.adapter) == adapter
    assert hashes(place.run.merged) == merged
    steps = [line["step"] for _, line in read_jsonl(place.run.logs / "train.jsonl")]
    assert steps == list(range(1, STEPS + 1))
    loss = [r.read().stages["train"].figures["loss"] for r in (place.run, reference.run)]
    assert loss[0] == pytest.approx(loss[1], rel=1e-9)
    strangers = [f for f in place.run.path.rglob("*") if "partial" in f.name or f.name.endswith(".old")]
    assert not strangers


def test_an_evaluation_asks_everything_once(tmp_path: Path) -> None:
    draw = random.Random(f"evaluations {SEED}")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"question": f"第{i}题？", "answer": str(i)}, ensure_ascii=False) + "\n" for i in range(60)),
        encoding="utf-8",
    )
    place, out = Workplace(tmp_path, {}), tmp_path / "scores"
    with serving(MockServer(latency_ms=200)) as endpoint:
        command = [
            *CLI, "eval", "--base-url", endpoint.base_url, "--model", MODEL, "--tasks", f"mine:qa={rows}",
            "--out", str(out), "eval.concurrency=2",
        ]  # fmt: skip
        for _ in range(KILLS):
            kill(place, command, "leader", draw.uniform(0.5, 6), draw)
            nothing_left(place)
        last = place.start(command)
        assert last.wait(120) == 0, (tmp_path / "log").read_text(encoding="utf-8", errors="replace")[-3000:]
    ids = [row["id"] for _, row in read_jsonl(out / "mine.jsonl")]
    assert sorted(ids) == sorted(set(ids))
    assert len(ids) == 60


WAYS: dict[str, Callable[[Path], object]] = {
    "merged shard flipped": lambda run: _flip(run / "merged" / "model.safetensors"),
    "merged shard gone": lambda run: (run / "merged" / "model.safetensors").unlink(),
    "adapter's weights gone": lambda run: (run / "adapter" / "adapter_model.safetensors").unlink(),
    "token rows gone": lambda run: (run / "data" / "train" / "rows.parquet").unlink(),
    "proof rows gone": lambda run: (run / "data" / "proof.jsonl").unlink(),
    "picture cut short": lambda run: os.truncate(run / "report" / "loss.png", 5000),
}
SAID = {
    "merged shard flipped": "merged/model.safetensors is not what was written",
    "merged shard gone": "merged/model.safetensors is gone",
    "adapter's weights gone": "adapter/adapter_model.safetensors is gone",
    "token rows gone": "data/train/rows.parquet is gone",
    "proof rows gone": "data/proof.jsonl is gone",
    "picture cut short": "✓ train    skipped",
}
TOGETHER = (
    ("token rows gone", "merged shard flipped"),
    ("picture cut short", "merged shard gone"),
    ("proof rows gone",),
    ("adapter's weights gone",),
)
"""Those of one line are seen by stages of their own, and no stage gives the next one anything new."""


def _flip(file: Path) -> None:
    """One bit in the middle, and the times as they were."""
    times, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_what_is_lost_from_a_finished_run_is_made_again(
    undisturbed: tuple[Workplace, dict[str, str], dict[str, str]], loaded: Preloaded
) -> None:
    place, adapter, merged = undisturbed
    assert sorted(itertools.chain(*TOGETHER)) == sorted(WAYS)
    for what in TOGETHER:
        for harm in what:
            WAYS[harm](place.run.path)
        said = place.finish(loaded, "train", "merge")
        assert [harm for harm in what if SAID[harm] not in said] == []
        assert hashes(place.run.adapter) == adapter, what
        assert hashes(place.run.merged) == merged, what
        assert (place.run.report / "loss.png").stat().st_size > 5000
