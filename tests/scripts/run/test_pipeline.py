"""Several runs over one base: what the base was asked once is taken over, and only where it is the same."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from configs.disk.files import copy_folder
from configs.errors import ConfigError
from configs.handover.base import write_rows
from configs.handover.rows import HeldoutRow
from configs.machine import pins
from configs.machine.gpus import GPUS, Card
from configs.recipe.load import load_config
from configs.run.rundir import RunDir
from eval.ask.evaluate import evaluate as evaluate_endpoint
from eval.ask.mock_server import MockServer
from eval.ask.results import read_results
from eval.tasks import Task
from scripts.run import beside, pipeline
from scripts.run.asking import run_settings
from scripts.run.pipeline import (
    base_inputs,
    base_server,
    evaluate,
    evaluate_base,
    train_and_ask_base,
)
from scripts.run.serving import OnDemand
from scripts.run.tasks import run_tasks
from serve.process.server import VllmServer
from tests.eval.conftest import serving
from tests.facts import prepared
from tests.scripts.conftest import ROOT
from trainer import requirements

TEMPLATE = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"


class ServerStarted(Exception):
    """The base would have been served and asked again."""


class NoServer(OnDemand):
    """A base that nobody may need."""

    def __init__(self) -> None: ...

    def up(self, *, shows: bool = True) -> VllmServer:
        raise ServerStarted


def opened(folder: Path, *overrides: str) -> tuple[RunDir, list[Task]]:
    config = load_config(ROOT / "configs" / "demo.yaml", [f"output_dir={folder}", *overrides])
    run = RunDir.create(config)
    run.update(prepared=prepared(ROOT / "configs" / "demo" / "model"))
    return run, run_tasks(run, config)


def test_a_task_that_is_called_as_the_held_out_rows_are_does_not_take_their_place(tmp_path: Path) -> None:
    config = load_config(ROOT / "configs" / "demo.yaml", [f"output_dir={tmp_path}", "eval.heldout=true"])
    task = config.eval.tasks[0].model_copy(update={"name": "heldout"})
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"tasks": [task]})})
    run = RunDir.create(config)
    question = [{"role": "user", "content": "1+1?"}]
    row = HeldoutRow(id="rows.jsonl:1", cluster="1", messages=question, answers=["2"])
    run.update(prepared=prepared(ROOT / "configs" / "demo" / "model"))
    run.data.mkdir(exist_ok=True)
    write_rows(run.data / "heldout.jsonl", [row])
    with pytest.raises(ConfigError, match="two tasks are called 'heldout'"):
        run_tasks(run, config)


@pytest.mark.parametrize(
    ("overrides", "tokens", "step"),
    [
        (["thinking=true"], "4,160", "thinking=false"),
        (["thinking=true", "serve.max_model_len=4096"], "4,160", "serve.max_model_len=auto"),
        (["eval.max_tokens=8000"], "8,000", "smaller max_tokens"),
    ],
)
def test_a_context_that_has_no_room_for_the_answers_is_refused_before_any_is_asked(
    overrides: list[str], tokens: str, step: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"taught_qa: {tokens} tokens are kept for an answer") as said:
        opened(tmp_path, *overrides)
    assert step in said.value.next_step
    assert opened(tmp_path, "serve.max_model_len=4096")[1]
    choice = f"eval.tasks=[{{name: choice, type: choice, path: {ROOT / 'configs/demo/data/heldout_choice.jsonl'}}}]"
    assert opened(tmp_path, "name=letters", choice, "eval.max_tokens=8000")[1]
    with pytest.raises(ConfigError, match=r"choice: .* tokens are kept"):
        opened(tmp_path, "name=thoughts", choice, "thinking=true")


def answered(folder: Path, *overrides: str) -> RunDir:
    """A run whose base has answered."""
    run, tasks = opened(folder, "name=first", *overrides)
    with run.stage("base", base_inputs(run, run.config(), tasks), [run.eval / "base"]) as record:
        (run.eval / "base").mkdir(parents=True)
        for name in ("facts.jsonl", "facts.meta.json"):
            (run.eval / "base" / name).write_text('{"id": "1"}\n', encoding="utf-8")
        record.figures["base"] = {"facts": {"points": 87.0}}
    return run


def test_another_training_over_the_same_base_takes_its_answers_over(tmp_path: Path) -> None:
    first = answered(tmp_path)
    second, tasks = opened(tmp_path, "name=second", "train.learning_rate=1e-4", "data.replay=null")
    evaluate_base(second, second.config(), tasks, NoServer())
    assert (second.eval / "base" / "facts.jsonl").read_text(encoding="utf-8") == '{"id": "1"}\n'
    stage = second.read().stages["base"]
    assert stage.state == "done"
    assert stage.figures == {"base": {"facts": {"points": 87.0}}, "taken_from": str(first.path)}


@pytest.mark.parametrize("stage", ["base", "origin"])
def test_answers_that_are_asked_anew_while_they_are_taken_over_are_not_taken(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answered(tmp_path)
    second, tasks = opened(tmp_path, "name=second", "data.replay=null")

    def copied_as_it_is_asked(source: Path, target: Path) -> None:
        copy_folder(source, target)
        (source / "facts.jsonl").write_text('{"id": "another"}\n', encoding="utf-8")

    monkeypatch.setattr(pipeline, "copy_folder", copied_as_it_is_asked)
    inputs, folder = base_inputs(second, second.config(), tasks), second.eval / stage
    said = pipeline.take_over(second, stage, inputs, {"base": folder}, tasks, "why")
    assert f"{first.path}, which had the answers" in (said or "")
    assert not folder.exists()


def test_answers_to_other_questions_do_not_stay_among_those_that_are_taken_over(tmp_path: Path) -> None:
    answered(tmp_path)
    second, tasks = opened(tmp_path, "name=second", "data.replay=null")
    (second.eval / "base").mkdir(parents=True)
    (second.eval / "base" / "another.meta.json").touch()
    evaluate_base(second, second.config(), tasks, NoServer())
    assert {file.name for file in (second.eval / "base").iterdir()} == {"facts.jsonl", "facts.meta.json"}


def test_answers_that_were_scored_by_other_rules_are_scored_again_and_nobody_is_served(tmp_path: Path) -> None:
    first, every = opened(tmp_path, "name=first")
    tasks = [replace(task, items=task.items[:5]) for task in every[:2]]
    inputs, folder = base_inputs(first, first.config(), tasks), first.eval / "base"
    with first.stage("base", inputs | {"scoring": "ab12"}, [folder]), serving(MockServer()) as endpoint:
        whole = evaluate_endpoint(endpoint, tasks, folder)
        for task in tasks:
            meta, lines = folder / f"{task.name}.meta.json", folder / f"{task.name}.jsonl"
            meta.write_text(json.dumps(json.loads(meta.read_bytes()) | {"scoring_sha256": "ab12"}), encoding="utf-8")
            rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
            other = [row | {"scores": dict.fromkeys(row["scores"], 0.25)} for row in rows]
            lines.write_text("".join(json.dumps(row) + "\n" for row in other), encoding="utf-8")
    second, _ = opened(tmp_path, "name=second", "train.learning_rate=1e-4", "data.replay=null")
    for run in (second, first):
        evaluate_base(run, run.config(), tasks, NoServer())
        found = read_results(run.eval / "base")
        assert {name: result.scores() for name, result in found.items()} == {n: r.scores() for n, r in whole.items()}
        assert found.keys() == run.read().stages["base"].figures["base"].keys()
        assert run.changed_since("base", inputs) is None


def test_seeds_share_the_base_once_the_evaluation_has_a_seed_of_its_own(tmp_path: Path) -> None:
    first = answered(tmp_path, "eval.seed=7", "seed=1", "eval.tasks.3.limit=20")
    second, tasks = opened(tmp_path, "name=second", "eval.seed=7", "seed=2", "eval.tasks.3.limit=20")
    assert tasks == run_tasks(first, first.config())
    assert run_settings(second.config(), "switchable").seed == 7
    evaluate_base(second, second.config(), tasks, NoServer())
    assert second.read().stages["base"].figures["taken_from"] == str(first.path)


@pytest.mark.parametrize("changed", ["seed=1", "eval.tasks.3.limit=20", "eval.temperature=0.5", "serve.precision=bf16"])
def test_other_questions_or_another_way_of_asking_are_asked_anew(changed: str, tmp_path: Path) -> None:
    answered(tmp_path)
    second, tasks = opened(tmp_path, "name=second", changed)
    with pytest.raises(ServerStarted):
        evaluate_base(second, second.config(), tasks, NoServer())


def test_a_base_with_another_file_of_its_servers_arguments_is_asked_anew(tmp_path: Path) -> None:
    file = tmp_path / "template.jinja"
    file.write_text("a")
    as_served = f"serve.args=[--chat-template,{file}]"
    answered(tmp_path, as_served)
    second, tasks = opened(tmp_path, "name=second", as_served)
    file.write_text("b")
    with pytest.raises(ServerStarted):
        evaluate_base(second, second.config(), tasks, NoServer())


def test_a_base_behind_an_earlier_vllm_is_asked_anew_by_its_own_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(pins, "installed", lambda name: "0.1.0")
        first = answered(tmp_path)
    second, tasks = opened(tmp_path, "name=second")
    for run in (second, first):
        with pytest.raises(ServerStarted):
            evaluate_base(run, run.config(), tasks, NoServer())


def test_answers_that_are_not_finished_are_not_taken_over(tmp_path: Path) -> None:
    first = answered(tmp_path)
    manifest = json.loads(first.manifest_file.read_text(encoding="utf-8"))
    manifest["stages"]["base"]["state"] = "running"
    first.manifest_file.write_text(json.dumps(manifest), encoding="utf-8")
    second, tasks = opened(tmp_path, "name=second")
    with pytest.raises(ServerStarted):
        evaluate_base(second, second.config(), tasks, NoServer())


@pytest.mark.parametrize("changed", ["chat_template.jinja", "tokenizer_config.json", "generation_config.json"])
def test_a_base_with_the_same_weights_and_another_template_is_asked_anew(changed: str, tmp_path: Path) -> None:
    answered(tmp_path)
    model = ROOT / "configs" / "demo" / "model"
    other = tmp_path / "other"
    shutil.copytree(model, other)
    before = (other / changed).read_text(encoding="utf-8") if (other / changed).is_file() else ""
    # A template that nobody could tell by its family, and keys that change what ends an answer.
    after = before.replace("{", '{"eos_token": "!", ', 1) if "json" in changed else f"{TEMPLATE}{{# other #}}"
    (other / changed).write_text(after, encoding="utf-8")
    second, tasks = opened(tmp_path, "name=second")
    second.update(prepared=prepared(other))
    with pytest.raises(ServerStarted):
        evaluate_base(second, second.config(), tasks, NoServer())


@pytest.mark.parametrize(
    ("cards", "num_gpus", "expected"),
    [
        (1, 1, ["base alone on -", "train on -", "tuned"]),
        (2, 1, ["base meanwhile on 1", "train on 0", "tuned"]),
        (2, 2, ["train on -", "base meanwhile on 1", "tuned"]),
        (3, 2, ["base meanwhile on 2", "train on 0,1", "tuned"]),
    ],
)
def test_the_base_is_asked_where_it_costs_no_time(
    cards: int, num_gpus: int, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, done = GPUS["h100-80gb"], []
    at_hand = [Card(i, device.name, device, int(device.memory_gb * 1e9)) for i in range(cards)]
    monkeypatch.setattr(beside, "visible_cards", lambda: at_hand)
    run, tasks = opened(tmp_path, "name=placed", f"train.num_gpus={num_gpus}")
    config = run.config()

    def ask(run: RunDir, config: object, tasks: object, server: OnDemand, shows: bool = True) -> None:
        numbers = ",".join(str(card.index) for card in server.cards)
        done.append(f"base {'alone' if shows else 'meanwhile'} on {numbers or '-'}")
        with run.stage("base", base_inputs(run, run.config(), tasks), []) as record:  # type: ignore[arg-type]
            record.figures["base"] = {"facts": {"points": 87.0}}

    def train(stage: str, run: RunDir, *options: str, environment: dict[str, str] | None = None) -> None:
        done.append(f"{stage} on {(environment or {}).get('CUDA_VISIBLE_DEVICES', '-')}")

    monkeypatch.setattr(pipeline, "ask_base", ask)
    monkeypatch.setattr(pipeline, "run_stage", train)
    monkeypatch.setattr(pipeline, "evaluate_tuned", lambda *arguments: done.append("tuned"))
    with base_server(run, config) as server:
        train_and_ask_base(run, config, tasks, server)
    evaluate(run, config, tasks, keep=False)
    assert sorted(done) == sorted(expected)
    assert done[-1] == "tuned" or expected[1] == done[-1]
    assert done.index("tuned") > done.index(next(step for step in expected if step.startswith("train")))


def test_gpus_that_are_not_here_are_missed_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, done = GPUS["h100-80gb"], []
    monkeypatch.setattr(requirements, "visible_cards", lambda: [Card(0, device.name, device, int(8e10))])
    monkeypatch.setattr(requirements.pins, "made_for", lambda: "cuda")
    monkeypatch.setattr(pipeline, "run_stage", lambda stage, run: done.append(stage))
    run, _ = opened(tmp_path, "name=many", "train.num_gpus=4")
    with pytest.raises(ConfigError, match=r"train\.num_gpus is 4, and 1 GPU can be used here"):
        pipeline.prepare_data(run, run.config())
    assert done == []
    # What is trained already needs none of them.
    with run.stage("train", {}):
        pass
    pipeline.prepare_data(run, run.config())
    assert done == ["data"]


def test_the_tuned_model_is_judged_by_all_answers_of_a_base_that_is_asked_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, asked, answered, seen = GPUS["h100-80gb"], threading.Event(), threading.Event(), []
    at_hand = [Card(i, device.name, device, int(device.memory_gb * 1e9)) for i in range(2)]
    monkeypatch.setattr(beside, "visible_cards", lambda: at_hand)
    run, tasks = opened(tmp_path, "name=placed", "train.num_gpus=2")

    def ask(run: RunDir, config: object, tasks: object, server: object, shows: bool = True) -> None:
        with run.stage("base", base_inputs(run, run.config(), tasks), []) as record:  # type: ignore[arg-type]
            asked.set()
            assert answered.wait(10)
            record.figures["base"] = {"facts": {"points": 87.0}}

    def tuned(run: RunDir, config: object, tasks: object, keep: bool, base_answers: Callable[[], None]) -> None:
        assert asked.wait(10)
        seen.append(run.read().stages["base"].state)
        answered.set()
        base_answers()
        seen.append(run.read().stages["base"].state)

    monkeypatch.setattr(pipeline, "ask_base", ask)
    monkeypatch.setattr(pipeline, "evaluate_tuned", tuned)
    evaluate(run, run.config(), tasks, keep=False)
    assert seen == ["running", "done"]


@pytest.mark.parametrize(
    ("cards", "num_gpus", "up_in_training"), [(0, 1, False), (1, 1, False), (2, 1, True), (2, 2, False)]
)
def test_the_base_gives_its_memory_back_before_training_takes_its_card(
    cards: int, num_gpus: int, up_in_training: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(VllmServer):
        def __init__(self) -> None:
            self.stopped = False

        alive = True

        def stop(self, grace_s: float | None = None) -> None:
            self.stopped = True

    device = GPUS["h100-80gb"]
    at_hand = [Card(i, device.name, device, int(device.memory_gb * 1e9)) for i in range(cards)]
    monkeypatch.setattr(beside, "visible_cards", lambda: at_hand)
    run, tasks = opened(tmp_path, "name=placed", f"train.num_gpus={num_gpus}")
    base, seen = Stopped(), []
    monkeypatch.setattr(pipeline, "evaluate_base", lambda *arguments: None)
    monkeypatch.setattr(pipeline, "base_to_ask", lambda *arguments: None)
    monkeypatch.setattr(pipeline, "run_stage", lambda *arguments, **options: seen.append(not base.stopped))
    with base_server(run, run.config()) as server:
        server._server = base  # type: ignore[assignment]  # as where it wrote rows of its own
        train_and_ask_base(run, run.config(), tasks, server)
    assert seen == [up_in_training]
    assert base.stopped
