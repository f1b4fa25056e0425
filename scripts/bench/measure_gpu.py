"""Measures on a GPU machine what the documentation says of GPUs: each job with its log, none disturbing another.

    python -m scripts.bench.measure_gpu --tokenizer DIR --rows rows.json --out OUT [--real DIR] [--data results-data]
    python -m scripts.bench.measure_gpu --list

Lanes run side by side, a GPU each (with one GPU one after the other); within a lane one job follows the other. What
needs the processors (`after`) waits until no GPU is measured any more. A job that is done is skipped; one that fails
stops none of the others, and the exit code says so.

`--tokenizer` is a folder with Qwen3's tokenizer, `--rows` a JSON list of instructions, `--real` a model with real
weights (without it the jobs that need one are left out), `--data` what `scripts.bench.results_data` wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.bench.child import ROOT, environment

LANES = ("train", "serve", "after")
SEEDS = (42, 43, 44)
GRACE_S = 60
"""Time to end in order for a job that took too long."""


@dataclass(frozen=True)
class Job:
    """One measurement."""

    name: str
    lane: str
    """`train` and `serve` have a GPU each, `after` comes when both are through."""
    command: str
    """For a shell, with {model}, {models}, {tokenizer}, {rows}, {real}, {data}, {recipe} and {out}
    to fill in."""
    limit_s: int
    measures: str
    """What the figures are for."""

    @property
    def real(self) -> bool:
        """Whether it needs a model with real weights."""
        return "{real}" in self.command


_PYTHON, _TUNESERVE = "{python} -m scripts.bench.", "{python} -m scripts.cli "
_TRAIN = _PYTHON + "train --model {model} --data {rows} "
_SHAPE = _PYTHON + "calibrate shape {shape} --size 14b --tokenizer {tokenizer} --no-weights && "
_SHAPE += _TUNESERVE + "bench {shape} --start --out {out}/serve --concurrency 1 --concurrency 16 --concurrency 128 "
_SHAPE += "--prompts 512 serve.ready_timeout_s=400"
_RUN = "cd {data}/.. && " + _TUNESERVE + "run {recipe} model={real} output_dir={out}/runs eval.repeat_base=true "
_RUN += "--no-serve"


ARMS = {
    "plain": "data.replay=null",
    "replay": "",
    "answered": "data.replay.source={data}/replay_answered.jsonl",
    "self": "data.replay=self",
}
"""What each run replays: nothing, a given data set, its questions answered by the base, or what the base writes."""


def jobs() -> list[Job]:
    """All of them, in order."""
    quality = [
        Job(f"quality-{name}-{seed}", "serve", f"{_RUN} name={name}-{seed} seed={seed} {more}", 600, "docs/results.md")
        for seed in SEEDS
        for name, more in ARMS.items()
    ]
    rows_auto = "name=auto-42 seed=42 data.replay=null train.rows_per_step=auto"
    return [
        Job("shape", "train", _PYTHON + "calibrate shape {model} --size 14b --tokenizer {tokenizer}", 180,
            "the 14B shape that the next ones train"),
        Job("train-ours", "train", _TRAIN + "--out {out}/short --only ours-8,ours-auto", 400,
            "short rows, 250 steps, recordings counted"),
        Job("train-theirs", "train", _TRAIN + "--out {out}/short-theirs --only trl,unsloth --steps 8 --warmup 2", 300,
            "the same rows with TRL + PEFT and with Unsloth as the article writes it"),
        Job("train-long", "train", _TRAIN + "--out {out}/long --long 2048 --only unsloth,ours-8 --steps 10 --warmup 4",
            500, "rows of 2,048 tokens beside Unsloth's default"),
        Job("train-24gb", "train", _TRAIN + "--out {out}/24gb --precision 4bit --long 1024 --memory-gb 24 "
            "--only ours-8,ours-8-recomputed --steps 8 --warmup 3", 300, "layers kept from recomputation on 24 GB"),
        Job("train-4b-4bit", "train", _PYTHON + "calibrate shape {models}/4b --size 4b --tokenizer {tokenizer} && " +
            _PYTHON + "train --model {models}/4b --data {rows} --out {out}/4b --precision 4bit --only ours-8", 240,
            "4B in 4 bits, short rows"),
        Job("calibrate", "train", _PYTHON + "calibrate measure --tokenizer {tokenizer} --models {models} "
            "--rows {out}/rows.jsonl --minutes 12", 780, "trainer/plan/calibration.json"),
        Job("train-4bit", "train", _TRAIN + "--out {out}/4bit --precision 4bit --only unsloth,ours-8", 400,
            "short rows in 4 bits"),
        Job("train-8bit", "train", _TRAIN + "--out {out}/8bit --precision 8bit --only ours-8,ours-auto && " +
            _TRAIN + "--out {out}/8bit-long --precision 8bit --long 2048 --only ours-8 --steps 10 --warmup 4", 500,
            "short and long rows in 8 bits"),
        Job("train-24gb-8bit", "train", _TRAIN + "--out {out}/24gb-8bit --precision 8bit --long 1024 --memory-gb 24 "
            "--only ours-8 --steps 8 --warmup 3", 240, "the recipe of 14B for 24 GB"),
        Job("train-12gb", "train", _TRAIN + "--out {out}/12gb --precision 4bit --long 2048 --memory-gb 12.6 "
            "--only ours-8 --steps 6 --warmup 2", 240, "the recipe for 12 GB"),
        Job("profile", "train", _TRAIN + "--out {out}/profile --only ours-8 --profile", 240, "where a short step goes"),
        Job("same-step", "serve", _PYTHON + "same_step --model {real} --data {rows} --out {out}/same-step && " +
            _PYTHON + "same_step --model {real} --data {rows} --out {out}/same-step-8bit --precision 8bit && " +
            _PYTHON + "same_step --model {real} --data {rows} --out {out}/same-step-4bit --precision 4bit", 400,
            "loss and gradient of a step, and that forgotten boundaries are caught"),
        Job("gpu-tests", "serve", "TUNESERVE_PYTHON={python} bash scripts/test_gpu.sh {real} -rA", 600,
            "what only a GPU can show"),
        Job("serve-merged", "serve", f"{_SHAPE} --cold -- --load-format dummy", 700, "cold and warm start, load"),
        Job("serve-adapter", "serve", f"{_SHAPE} --adapter --rank 16 -- --load-format dummy", 600,
            "base and adapter beside merged weights"),
        Job("evaluation", "serve", _TUNESERVE + "serve {real} --name m --no-thinking --detach serve.port=8101 && "
            'trap "' + _TUNESERVE + 'serve stop 8101" EXIT && ' + _PYTHON + "against_vllm --model m "
            "--base-url http://127.0.0.1:8101 --prompts 1000 --input-tokens 512 --output-tokens 64 --in-flight 64 "
            "--rounds 3", 500, "the evaluation beside `vllm bench serve`"),
        Job("answered", "serve", _PYTHON + "answered {real} {data}/replay.json --out {data}/replay_answered.jsonl", 300,
            "given questions, answered by the base: what the arm `answered` replays"),
        *quality[: len(ARMS)],
        Job("quality-auto-42", "serve", f"{_RUN} {rows_auto}", 600, "docs/results.md"),
        *quality[len(ARMS) :],
        Job("selfmade", "serve", _PYTHON + "selfmade {real} --rows 1000", 300, "what a base's own rows cost and hold"),
        Job("merge", "after", _PYTHON + "merge --size 14b --base {model} --repeat 1 --json {out}/merge.json", 900,
            "the merge beside `merge_and_unload`"),
    ]  # fmt: skip


def main() -> int:
    """Runs what is not done yet; 1 where a job failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="show the jobs and stop")
    parser.add_argument("--tokenizer", type=Path, help="folder with Qwen3's tokenizer")
    parser.add_argument("--rows", type=Path, help="JSON list of instruction/output rows")
    parser.add_argument("--real", type=Path, help="model folder with real weights")
    parser.add_argument("--data", type=Path, default=Path("results-data"), help="what scripts.bench.results_data wrote")
    parser.add_argument("--models", type=Path, default=Path("/dev/shm/models"), help="where made-up models are written")
    parser.add_argument("--out", type=Path, default=Path("measured"), help="logs and figures")
    parser.add_argument("--only", default="", help="jobs by name, with commas")
    parser.add_argument("--gpus", default="0", help="numbers of the GPUs, with commas: 0,1 has two lanes at a time")
    options = parser.parse_args()
    wanted = [job for job in jobs() if not options.only or job.name in options.only.split(",")]
    if options.list:
        show(wanted)
        return 0
    if not (options.tokenizer and options.rows):
        parser.error("--tokenizer and --rows are needed, or --list")
    if unknown := set(filter(None, options.only.split(","))) - {job.name for job in wanted}:
        parser.error(f"no such job: {', '.join(sorted(unknown))}; --list shows them")
    if options.real is None:
        wanted = [job for job in wanted if not job.real]
    options.out.mkdir(parents=True, exist_ok=True)
    measure(wanted, options)
    failed = [job.name for job in wanted if not done(options.out, job)]
    print(f"not done: {', '.join(failed)}" if failed else "all done", flush=True)
    return int(bool(failed))


def show(wanted: Sequence[Job]) -> None:
    """The jobs, a line each."""
    table = Table("job", "lane", "minutes at most", "what for", box=None)
    for job in wanted:
        table.add_row(job.name, job.lane, f"{job.limit_s / 60:.0f}", job.measures)
    Console().print(table)


def measure(wanted: Sequence[Job], options: argparse.Namespace) -> None:
    """Runs the lanes: those with a GPU first, side by side where there are two; then the processors' own."""
    gpus = options.gpus.split(",")
    lanes = [[job for job in wanted if job.lane == name] for name in LANES[:2]]
    if len(gpus) == 1:
        lanes = [lanes[0] + lanes[1]]
    threads = [
        threading.Thread(target=run_lane, args=(lane, gpu, options)) for lane, gpu in zip(lanes, gpus, strict=False)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run_lane([job for job in wanted if job.lane == "after"], gpus[0], options)


def run_lane(lane: Sequence[Job], gpu: str, options: argparse.Namespace) -> None:
    """One job after the other; each leaves LOG, and NAME.done where it succeeded."""
    for job in lane:
        if done(options.out, job):
            continue
        started = time.monotonic()
        command = filled_in(job, options)
        with (options.out / f"{job.name}.log").open("w", encoding="utf-8") as log:
            log.write(f"$ {command}\n")
            log.flush()
            child = subprocess.Popen(
                ["bash", "-c", command], cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
                env={**environment(), "CUDA_VISIBLE_DEVICES": gpu, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
            try:
                code = child.wait(job.limit_s)
            except subprocess.TimeoutExpired:
                end(child)
                code = 124
        seconds = time.monotonic() - started
        line = {"job": job.name, "gpu": gpu, "code": code, "seconds": round(seconds, 1)}
        with (options.out / "timeline.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        print(f"{job.name}: exit {code} after {seconds:.0f} s", flush=True)
        if code == 0:
            (options.out / f"{job.name}.done").touch()


def end(child: subprocess.Popen[bytes]) -> None:
    """Ends a job that took too long, and what it started; its own last words, such as stopping a server, are heard."""
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def done(out: Path, job: Job) -> bool:
    """Whether it succeeded before."""
    return (out / f"{job.name}.done").is_file()


def filled_in(job: Job, options: argparse.Namespace) -> str:
    """The job's command line."""
    out = options.out.resolve()
    values = {
        "python": sys.executable,
        "model": options.models.resolve() / "14b",
        "models": options.models.resolve(),
        "shape": out / "shape-14b",
        "out": out,
        "tokenizer": options.tokenizer.resolve(),
        "rows": options.rows.resolve(),
        "real": options.real and options.real.resolve(),
        "data": options.data.resolve(),
        "recipe": ROOT / "configs" / "results" / "cmrc-csl.yaml",
    }
    return job.command.format(**{name: shlex.quote(str(value)) for name, value in values.items()})


if __name__ == "__main__":
    sys.exit(main())
