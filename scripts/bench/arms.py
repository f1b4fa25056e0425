"""What keeps a model from forgetting, side by side: several recipes ("arms") with several seeds over one base.

    python -m scripts.bench.arms configs/results/cmrc-csl.yaml --out arms --seeds 42 43 44 \\
        --arm plain data.replay=null --arm self data.replay=self --scaled plain self

Every run goes through the stages of `tuneserve run` as far as its adapter. Then all adapters are served beside the base
in one vLLM, those of `--scaled` arms at every scale too, and each is asked what a run would be: the recipe's tasks in
blocks until the verdict stands, the base's own answers, the drift. An arm that is scaled appears twice, the second time
with the scale that `merge.scale: auto` takes. What was done is not done again; `--table` only reads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from configs.disk.files import write_atomically
from configs.errors import TuneserveError, first_line
from configs.handover.scale import MeasuredScale
from configs.recipe.load import load_config
from configs.recipe.schema import RunConfig
from configs.run.adapter_scale import SCALES, write_scaled
from configs.run.rundir import RunDir
from configs.terminal.console import guarded
from eval.ask.endpoint import Endpoint
from eval.compare import scales
from scripts.bench.answered import answer_file
from scripts.bench.arms_table import Answers, summed_up, table
from scripts.run.pipeline import ask_at, ask_base, base_to_ask
from scripts.run.scaling import measured_once, measuring_settings, what_is_asked
from scripts.run.selfmade import make_selfmade
from scripts.run.serving import OnDemand
from scripts.run.tasks import run_tasks
from serve.launch.target import base_folder, base_target, scales_target
from serve.process.server import VllmServer


@dataclass(frozen=True)
class Arm:
    """A recipe of the comparison: its name, the keys that make it, and the seeds it is trained with."""

    name: str
    overrides: Sequence[str]
    seeds: Sequence[int]


@dataclass(frozen=True)
class Trained:
    """One run of an arm."""

    arm: Arm
    seed: int
    run: RunDir
    config: RunConfig

    @property
    def name(self) -> str:
        """Of the run, and of its adapter on the server."""
        return self.run.path.name


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, asks and prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of arms.json")
    parser.add_argument("--arm", nargs="+", action="append", required=True, metavar="NAME[:SEED,...] KEY=VALUE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42], help="of arms that name none")
    parser.add_argument("--scaled", nargs="*", default=[], help="arms that are asked at the chosen scale too")
    parser.add_argument(
        "--answered", nargs=2, type=Path, metavar=("QUESTIONS", "OUT"), help="OUT, which an arm replays, is made first"
    )
    parser.add_argument("--lanes", type=int, default=3, help="trainings at a time on this GPU; the same for asking")
    parser.add_argument("--set", nargs="*", default=[], dest="overrides", help="keys over the recipe, for all arms")
    parser.add_argument("--table", action="store_true", help="only sum up what was answered")
    options = parser.parse_args(arguments)

    def go() -> None:
        arms = [_arm(words, options.seeds) for words in options.arm]
        out = options.out.resolve()
        runs = [_trained(options.recipe, out, arm, seed, options.overrides) for arm in arms for seed in arm.seeds]
        if not options.table:
            _Work(out, options.lanes).everything(runs, set(options.scaled), options.answered)
        found = summed_up(_answers(out, runs), runs[0].config.eval.gate)
        write_atomically(out / "arms.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        print(table(found))

    return guarded(go, debug=False)


def _arm(words: Sequence[str], seeds: Sequence[int]) -> Arm:
    name, _, own = words[0].partition(":")
    return Arm(name, words[1:], [int(seed) for seed in own.split(",")] if own else seeds)


def _trained(recipe: Path, out: Path, arm: Arm, seed: int, overrides: Sequence[str]) -> Trained:
    # `merge.scale: auto` has every arm's unseen questions answered by the base; nothing is merged here.
    keys = [f"name={arm.name}-{seed}", f"seed={seed}", f"output_dir={out}", "merge.scale=auto"]
    config = load_config(recipe, [*overrides, *arm.overrides, *keys])
    return Trained(arm, seed, RunDir.create(config), config)


class _Work:
    """The stages of all runs, side by side where they do not wait for each other."""

    def __init__(self, out: Path, lanes: int) -> None:
        self._out, self._lanes, self._began = out, lanes, time.monotonic()
        self._one_line = threading.Lock()

    def everything(self, runs: Sequence[Trained], scaled: set[str], answered: Sequence[Path] | None) -> None:
        """From data to answers.

        Args:
            runs: of all arms.
            scaled: arms that are asked at the chosen scale too.
            answered: questions, and where the base's answers to them go, which an arm replays.
        """
        first = runs[0]
        with (
            OnDemand(lambda: base_target(first.run, first.config), first.config.serve, self._out / "base.log") as base,
            ThreadPoolExecutor(self._lanes) as writing,
            ThreadPoolExecutor(self._lanes) as training,
        ):
            self._child("data", first)  # says what is served
            made = writing.submit(self._answered, base, first, answered)
            with ThreadPoolExecutor(4 * self._lanes) as preparing:
                _all([preparing.submit(self._data, one, answered, made) for one in runs[1:]])
            own = {one.name: writing.submit(self._own_rows, one, base) for one in _replaying_first(runs)}
            asked = writing.submit(self._base_answers, runs, base)
            done = [training.submit(self._train, one, own[one.name]) for one in _plain_first(runs)]
            _all([*done, *own.values(), asked])
        self._ask_all(runs, scaled)

    def _answered(self, base: OnDemand, first: Trained, answered: Sequence[Path] | None) -> None:
        if answered is None or answered[1].is_file():
            return
        questions, out = answered
        made = answer_file(base_folder(first.run, first.config), questions, out, base.up(shows=False))
        self._say(made)

    def _data(self, one: Trained, answered: Sequence[Path] | None, made: Future[None]) -> None:
        replay = one.config.data.replay
        if answered and replay and Path(replay.source.path).name == answered[1].name:
            made.result()
        self._child("data", one)

    def _own_rows(self, one: Trained, base: OnDemand) -> None:
        self._timed(f"{one.name}: rows of its own", lambda: make_selfmade(one.run, one.config, base))

    def _base_answers(self, runs: Sequence[Trained], base: OnDemand) -> None:
        def asked() -> None:
            for one in runs:
                tasks = run_tasks(one.run, one.config)
                if base_to_ask(one.run, one.config, tasks) is not None:
                    ask_base(one.run, one.config, tasks, base, shows=False)

        self._timed("the base's answers", asked)

    def _train(self, one: Trained, own: Future[None]) -> None:
        if one.config.replays_itself:
            own.result()
        self._child("train", one)

    def _child(self, stage: str, one: Trained) -> None:
        """A stage of the trainer in a process of its own, its output in a file."""
        log = self._out / "logs" / f"{one.name}-{stage}.log"
        log.parent.mkdir(parents=True, exist_ok=True)

        def stage_of() -> None:
            with log.open("w") as file:
                command = [sys.executable, "-m", "trainer", stage, str(one.run.path)]
                code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
            if code:
                raise TuneserveError(f"{one.name}: {stage} ended with {code}", f"read {log}")

        self._timed(f"{one.name}: {stage}", stage_of)

    def _ask_all(self, runs: Sequence[Trained], scaled: set[str]) -> None:
        first = runs[0]
        folders = {one.name: one.run.adapter for one in runs}
        for one in runs:
            for scale in _scales_below_one(one, scaled):
                name = _at(one.name, scale)
                folders[name] = write_scaled(one.run.adapter, self._out / "scaled" / name, scale)
        target = scales_target(first.run, first.config, folders)
        with OnDemand(lambda: target, first.config.serve, self._out / "adapters.log") as served:
            server = served.up(shows=False)
            self._say(f"{len(folders)} adapters served after {server.ready_s:.0f} s")
            with ThreadPoolExecutor(self._lanes) as lanes:
                below = [one for one in runs if one.arm.name in scaled]
                _all(
                    [
                        *(lanes.submit(self._ask, server, one, one.name, 1.0) for one in runs),
                        *(lanes.submit(self._scale_and_ask, server, one) for one in below),
                    ]
                )

    def _scale_and_ask(self, server: VllmServer, one: Trained) -> None:
        found: list[float] = []
        self._timed(f"{one.name}: scales", lambda: found.append(self._chosen(server, one)))
        if found[0] != 1.0:
            self._ask(server, one, _at(one.name, found[0]), found[0])

    def _chosen(self, server: VllmServer, one: Trained) -> float:
        """The scale that `merge.scale: auto` takes for a run, by what this server's names answer."""
        asked, settings = what_is_asked(one.run, one.config), measuring_settings(one.config)
        one.run.scales.mkdir(exist_ok=True)

        def measured(scale: float) -> MeasuredScale:
            name = _at(one.name, scale) if scale else server.command.target.names[0]
            endpoint = Endpoint(server.command.base_url, name, name, one.config.serve.api_key_env)
            return measured_once(asked, endpoint, scale, settings, one.run.scales / f"{scale:g}.json")

        base, *others = map(measured, (0.0, *SCALES))
        facts = scales.choose(others, base, asked.heldout_tokens, asked.general_tokens)
        write_atomically(one.run.scales / "chosen.json", facts.model_dump_json(indent=1) + "\n")
        return facts.scale

    def _ask(self, server: VllmServer, one: Trained, name: str, scale: float) -> None:
        """What `tuneserve run` asks a tuned model, of one name of the server."""
        folder, tasks = _folder(one, scale), run_tasks(one.run, one.config)

        def asked() -> None:
            ask_at(server, folder, one.run, one.config, tasks, lambda: None, model=name, shows=False)

        self._timed(f"{name}: asked", asked)

    def _timed(self, what: str, work: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            work()
        except TuneserveError as error:
            self._say(f"{what}: FAILED after {time.monotonic() - began:.0f} s: {first_line(error)}")
            raise
        self._say(f"{what}: {time.monotonic() - began:.0f} s")

    def _say(self, text: str) -> None:
        with self._one_line:
            print(f"[{time.monotonic() - self._began:4.0f} s] {text}", flush=True)


def _all(waited: Sequence[Future[None]]) -> None:
    """Waits for all, then raises what the first that failed raised: the others' work is kept."""
    wait(waited)
    for one in waited:
        one.result()


def _replaying_first(runs: Sequence[Trained]) -> list[Trained]:
    """Those first whose training waits for the rows; then others, which find the rows of their seed in the cache."""
    return sorted(runs, key=lambda one: not one.config.replays_itself)


def _plain_first(runs: Sequence[Trained]) -> list[Trained]:
    return sorted(runs, key=lambda one: one.config.replays_itself)


def _scales_below_one(one: Trained, scaled: set[str]) -> list[float]:
    return [scale for scale in SCALES if scale != 1.0] if one.arm.name in scaled else []


def _at(name: str, scale: float) -> str:
    return name if scale == 1.0 else f"{name}-x{scale:g}"


def _folder(one: Trained, scale: float) -> Path:
    return one.run.eval / ("tuned" if scale == 1.0 else f"tuned-x{scale:g}")


def _answers(out: Path, runs: Iterable[Trained]) -> list[Answers]:
    """What there is on disk: of every run its answers, and those at the scale that was chosen."""
    found: list[Answers] = []
    for one in runs:
        base = one.run.eval / "base"
        if (_folder(one, 1.0) / "drift.logprobs.json").is_file():
            found.append(Answers(one.arm.name, one.seed, 1.0, base, _folder(one, 1.0)))
        chosen = one.run.scales / "chosen.json"
        if not chosen.is_file():
            continue
        scale = float(json.loads(chosen.read_text(encoding="utf-8"))["scale"])
        if (_folder(one, scale) / "drift.logprobs.json").is_file():
            found.append(Answers(f"{one.arm.name}, scaled", one.seed, scale, base, _folder(one, scale)))
    return found


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
