"""Measurements for a GPU: what would run is runnable, a failure stops nothing, and what is done stays done."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from configs.recipe.load import load_config
from configs.recipe.schema import RunConfig
from scripts.bench.child import ROOT
from scripts.bench.measure_gpu import Job, filled_in, jobs, measure


@pytest.fixture
def options(tmp_path: Path) -> argparse.Namespace:
    folders = {name: tmp_path / name for name in ("tokenizer", "real", "models", "data", "out")}
    (tmp_path / "out").mkdir()
    return argparse.Namespace(**folders, rows=tmp_path / "rows of mine.json", gpus="0,1")


def test_every_command_is_complete_and_its_module_exists(options: argparse.Namespace) -> None:
    for job in jobs():
        command = filled_in(job, options)
        assert "{" not in command, job.name
        assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0, job.name
        for module in re.findall(r"-m (scripts[.\w]+)", command):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
        if "rows of mine" in command:
            assert str(options.rows) in shlex.split(command)


def test_runs_differ_in_what_they_are_to_show(options: argparse.Namespace) -> None:
    runs = [filled_in(job, options) for job in jobs() if job.name.startswith("quality")]
    recipes = []
    for command in runs:
        words = shlex.split(command.partition(" run ")[2])
        recipes.append(load_config(Path(words[0]), [word for word in words[1:] if not word.startswith("--")]))
    assert len({recipe.name for recipe in recipes}) == len(recipes) == 13
    # The base is asked once for all of them.
    assert {recipe.eval_seed for recipe in recipes} == {42}

    def arm(recipe: RunConfig) -> str:
        return Path(recipe.data.replay.source.path).name if recipe.data.replay else "nothing"

    arms = ("nothing", "replay.json", "replay_answered.jsonl", "self")
    assert {(recipe.seed, arm(recipe)) for recipe in recipes} == {(seed, one) for seed in (42, 43, 44) for one in arms}


def job(name: str, lane: str, command: str, limit_s: int = 20) -> Job:
    return Job(name, lane, command, limit_s, "a test")


def test_lanes_have_a_gpu_each_and_the_processors_wait(
    options: argparse.Namespace, capsys: pytest.CaptureFixture
) -> None:
    note = "echo $CUDA_VISIBLE_DEVICES {mark} >> {out}/seen"
    wanted = [
        job("one", "train", note.replace("{mark}", "one") + "; sleep 0.4; echo end >> {out}/seen"),
        job("two", "serve", note.replace("{mark}", "two") + "; exit 3"),
        job("three", "serve", "sleep 30", limit_s=1),
        job("four", "after", note.replace("{mark}", "four")),
    ]
    measure(wanted, options)
    seen = (options.out / "seen").read_text().splitlines()
    assert set(seen) == {"0 one", "1 two", "end", "0 four"}
    assert seen[-1] == "0 four"
    lines = [json.loads(line) for line in (options.out / "timeline.jsonl").read_text().splitlines()]
    assert {line["job"]: line["code"] for line in lines} == {"one": 0, "two": 3, "three": 124, "four": 0}
    assert "two: exit 3" in capsys.readouterr().out
    # A second call does what is missing and nothing else.
    measure(wanted[:2], options)
    assert (options.out / "seen").read_text().splitlines().count("0 one") == 1
    assert (options.out / "seen").read_text().splitlines().count("1 two") == 2


def test_a_job_that_takes_too_long_may_still_stop_its_server(options: argparse.Namespace) -> None:
    measure([job("slow", "serve", 'trap "echo stopped > {out}/seen" EXIT; sleep 30', limit_s=1)], options)
    assert (options.out / "seen").read_text() == "stopped\n"
    (line,) = map(json.loads, (options.out / "timeline.jsonl").read_text().splitlines())
    assert line["code"] == 124
    assert line["seconds"] < 20
