"""`tuneserve run`, stage by stage: data, base, train, scale, merge, tuned, report; then the tuned model stays served.

Every stage is skipped while nothing that it depends on changed. The trainer's stages run in processes of their own. The
base is served once, before training, for all that it is needed for; then the tuned model, whose server stays up for the
user.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from configs.disk.files import copy_folder, remove_folder
from configs.errors import TuneserveError
from configs.handover.base import read_rows
from configs.handover.selfmade import SelfMadeRow
from configs.handover.unseen import for_verdict
from configs.machine import pins
from configs.model.fingerprint import files_fingerprint
from configs.recipe.schema import RunConfig
from configs.run.merged import origin
from configs.run.rundir import Inputs, RunDir
from configs.terminal.console import console, note, skipped, starting, tables
from eval.ask.results import TaskResult, read_results
from eval.compare.baseline import require_baseline
from eval.compare.blocks import read_looks
from eval.compare.compare import open_groups
from eval.compare.comparison import Comparison
from eval.compare.logprobs import record_logprobs
from eval.compare.own_answers import record_own_answers
from eval.report.render_terminal import print_comparison
from eval.report.words import ReportWords
from eval.report.write import write_reports
from eval.tasks import Task
from eval.tasks.scoring import scoring_sha256
from scripts.run.asking import ask, ask_in_blocks, run_settings
from scripts.run.beside import cards_for_base, meanwhile, training_cards
from scripts.run.facts import base_repeat, compare_run
from scripts.run.inputs import model_inputs, serving_inputs
from scripts.run.rescoring import as_scored, bring_up_to_date, points, score_again_all
from scripts.run.scaling import choose_scale
from scripts.run.serving import OnDemand, endpoint_of, private_command, start_server
from scripts.run.stages import forget_other_outputs, put_model_card, run_stage, stage_done
from scripts.run.tasks import tasks_fingerprint
from scripts.run.verdict import deciding_command
from serve.launch.cards import server_gpus
from serve.launch.job import prepare
from serve.launch.target import base_folder, base_target, merged_target
from serve.process.server import VllmServer
from serve.proof.verify import verify
from trainer.requirements import check_cards


def prepare_data(run: RunDir, config: RunConfig) -> None:
    """The data stage, in a process of its own.

    Raises:
        ConfigError: training will need GPUs that are not here, which is found out before the base is asked.
    """
    trained = run.read().stages.get("train")
    if trained is None or trained.state != "done":
        check_cards(config)
    note_versions(run)
    run_stage("data", run)


def note_versions(run: RunDir) -> None:
    """Writes down what the run works with."""
    run.update(versions={"python": platform.python_version(), "system": platform.platform(), **pins.versions()})


def train_and_ask_base(
    run: RunDir, config: RunConfig, tasks: list[Task], server: OnDemand, force: bool = False
) -> None:
    """Trains, and asks the base: meanwhile where GPUs are kept for its server, else first.

    Where it can be asked beside the tuned model, which `evaluate` does, it is left for then.
    """
    options = ["--force"] if force else []
    if not server.cards:
        if not cards_for_base(config, server_gpus(config.serve)):
            evaluate_base(run, config, tasks, server)
        server.down()  # it holds most of the memory that training needs
        run_stage("train", run, *options, environment=training_cards(config))
        return
    apart = training_cards(config, server.cards)
    with _base_asked_meanwhile(run, config, tasks, server):
        run_stage("train", run, *options, environment=apart)


def evaluate(run: RunDir, config: RunConfig, tasks: list[Task], keep: bool) -> VllmServer | None:
    """Asks the tuned model, and the base where it was not asked yet: at once where a GPU is free for each.

    Args, returns and errors are those of `evaluate_tuned`.
    """
    if run.changed_since("base", base_inputs(run, config, tasks)) is None:
        return evaluate_tuned(run, config, tasks, keep)
    cards = cards_for_base(config, server_gpus(config.serve))
    with OnDemand(lambda: base_target(run, config), config.serve, run.logs / "serve-base.log", cards) as base:
        if cards:
            with _base_asked_meanwhile(run, config, tasks, base) as base_answers:
                return evaluate_tuned(run, config, tasks, keep, base_answers)
        evaluate_base(run, config, tasks, base)
    return evaluate_tuned(run, config, tasks, keep)


@contextmanager
def _base_asked_meanwhile(
    run: RunDir, config: RunConfig, tasks: list[Task], server: OnDemand
) -> Iterator[Callable[[], None]]:
    """Asks the base, where that is still to be done, while the block runs; gives what waits for its answers."""
    why = base_to_ask(run, config, tasks)
    if why is None:
        yield _there_already
        return
    numbers = ", ".join(str(card.index) for card in server.cards)
    starting("base", f"{why}; meanwhile on GPU {numbers}")
    with meanwhile(lambda: ask_base(run, config, tasks, server, shows=False), "the base's answers") as wait:
        yield wait
    _base_line(run)


def _there_already() -> None:
    """What is waited for is there."""


def scale_and_merge(run: RunDir, config: RunConfig) -> None:
    """The choice of a scale, and merging; each says whether it worked or was skipped."""
    choose_scale(run, config)
    run_stage("merge", run)


def base_server(run: RunDir, config: RunConfig) -> OnDemand:
    """The base's server, for the stages before training and beside it; a GPU is kept for it where there is one."""
    cards = cards_for_base(config, config.train.num_gpus)
    return OnDemand(lambda: base_target(run, config), config.serve, run.logs / "serve-base.log", cards)


def evaluate_base(run: RunDir, config: RunConfig, tasks: list[Task], server: OnDemand) -> None:
    """Asks the base everything, where that is still to be done."""
    why = base_to_ask(run, config, tasks)
    if why is None:
        return
    starting("base", f"{why}; serving {base_folder(run, config)}")
    ask_base(run, config, tasks, server)
    _base_line(run)


def base_to_ask(run: RunDir, config: RunConfig, tasks: list[Task]) -> str | None:
    """Why the base must be asked; None where its answers are there, or were those of another run and are taken over."""
    inputs, folders = base_inputs(run, config, tasks), _base_folders(run, config)
    bring_up_to_date(run, "base", inputs, folders, tasks)
    why = run.changed_since("base", inputs)
    if why is None:
        skipped("base")
        return None
    return take_over(run, "base", inputs, {folder.name: folder for folder in folders}, tasks, why)


def take_over(
    run: RunDir, stage: str, inputs: Inputs, folders: Mapping[str, Path], tasks: list[Task], why: str
) -> str | None:
    """Takes over what another run's base answered to the same questions; without such a run, why they must be asked.

    Args:
        folders: where each folder of its answers goes, by its name there.
        why: the stage must be done.
    """
    sibling = _same_answers(run, inputs, folders)
    if sibling is None:
        return why
    for name, folder in folders.items():
        run.remove_outputs(stage, folder)  # answers to other questions are not among them
        copy_folder(sibling.eval / name, folder)
    if not _answered(sibling, inputs):  # nobody holds it
        for folder in folders.values():
            remove_folder(folder)
        return f"{sibling.path}, which had the answers, was asked anew meanwhile"
    there = sibling.read().stages["base"]
    again = score_again_all(there.inputs, inputs, [*folders.values()], tasks)
    with run.stage(stage, inputs, [*folders.values()]) as record:
        record.figures.update({**there.figures, **again}, taken_from=str(sibling.path))
    skipped(stage, f"the same base was asked the same questions in {sibling.path}")
    return None


def ask_base(run: RunDir, config: RunConfig, tasks: list[Task], server: OnDemand, *, shows: bool = True) -> None:
    """Asks the base everything.

    Args:
        run: the run directory.
        config: the recipe.
        tasks: what is asked.
        server: the base's.
        shows: whether its start and the asking are shown on the terminal.
    """
    inputs, folders = base_inputs(run, config, tasks), _base_folders(run, config)
    _keep_what_holds(run, "base", inputs, folders, tasks)
    with run.stage("base", inputs, folders) as record:
        up = server.up(shows=shows)
        record.figures["ready_s"] = up.ready_s
        for folder in folders:
            results = ask_at(up, folder, run, config, tasks, None, shows=shows)
            require_baseline(results, f"the base {base_folder(run, config)}")
            record.figures[folder.name] = points(results)


def _base_folders(run: RunDir, config: RunConfig) -> list[Path]:
    return [run.eval / "base"] + ([run.eval / "base_repeat"] if config.eval.repeat_base else [])


def _base_line(run: RunDir) -> None:
    stage_done(run, "base", _shown(run.read().stages["base"].figures["base"]))


def evaluate_tuned(
    run: RunDir,
    config: RunConfig,
    tasks: list[Task],
    keep: bool,
    base_answers: Callable[[], None] = _there_already,
) -> VllmServer | None:
    """Serves the merged weights, proves them, asks them everything.

    Args:
        keep: serve at the recipe's own address and leave the server up.
        base_answers: waits until the base has answered everything; called where its answers are needed.

    Returns:
        The server that was left up; None without `keep`, and where the stage was skipped.

    Raises:
        TuneserveError: what is served is not what was trained (parity or proof failed). A model of another trainer is
            asked all the same: that is what its users would meet, and its verdict says what failed.
    """
    inputs, folder = tuned_inputs(run, config, tasks), run.eval / "tuned"
    bring_up_to_date(run, "tuned", inputs, [folder], tasks)
    why = run.changed_since("tuned", inputs)
    if why is None and _undecided(run, config, base_answers):
        why = "the verdict that is asked for needs more answers"
    if why is None:
        skipped("tuned")
        return None
    _keep_what_holds(run, "tuned", inputs, [folder], tasks)
    starting("tuned", f"{why}; serving {run.merged}")
    command = prepare(run.path).command if keep else private_command(merged_target(run, config), config.serve)
    with ExitStack() as unless_kept:
        with run.stage("tuned", inputs, [folder]) as record:
            server = start_server(command, run.logs / "serve.log", config.serve.ready_timeout_s)
            unless_kept.push(server)
            record.figures["ready_s"] = server.ready_s
            if (merge := run.read().stages.get("merge")) is not None:
                record.figures["made_of"] = origin(merge)
            checks = verify(run, config, server)
            record.figures.update(checks.figures().model_dump(mode="json"))
            for passed, line in checks.lines():
                note(line, passed)
            if config.foreign is None:
                checks.require()
            results = ask_at(server, folder, run, config, tasks, base_answers)
            record.figures["tuned"] = points(results)
        stage_done(run, "tuned", _shown(run.read().stages["tuned"].figures["tuned"]))
        if keep:
            unless_kept.pop_all()
            return server
    return None


def report(run: RunDir, config: RunConfig, words: ReportWords) -> Comparison:
    """Compares, prints and writes the report; always done anew, it takes a second."""
    stages = run.read().stages
    inputs = {name: stages[name].inputs for name in ("base", "tuned")} | {"gate": config.eval.gate.model_dump()}
    with run.stage("report", inputs, [run.report / "report.html"]) as record:
        comparison = compare_run(run, config)
        files = write_reports([comparison], run.report, words)
        record.figures = {"verdict": comparison.gate.verdict, "exit_code": comparison.gate.exit_code}
    if config.foreign is None:
        put_model_card(run)
    console.print()
    print_comparison(comparison, tables, words)
    stage_done(run, "report", str(_near(files["report.html"])))
    if command := deciding_command(comparison, config, _near(run.config_file)):
        note(f"to decide it: {command}")
    return comparison


def ask_at(
    server: VllmServer,
    folder: Path,
    run: RunDir,
    config: RunConfig,
    tasks: list[Task],
    base_answers: Callable[[], None] | None,
    *,
    model: str | None = None,
    shows: bool = True,
) -> dict[str, TaskResult]:
    """Asks everything; or what a verdict takes against the base's answers, which `base_answers` waits for.

    Args:
        model: name to ask for; by default the target's.
    """
    target = server.command.target
    endpoint = endpoint_of(server, model or target.name, folder.name)
    settings = run_settings(config, target.family)
    if base_answers is None:
        results = ask(endpoint, tasks, folder, settings, shows=shows)
    else:
        if rows := _unseen(run, config):
            own = [(row.id, row.prompt_ids, row.answer_ids, row.base_logprob or 0.0) for row in rows]
            record_own_answers(endpoint, folder, own, settings)

        def base() -> dict[str, TaskResult]:
            base_answers()
            return read_results(run.eval / "base")

        gate = config.eval.gate
        results = ask_in_blocks(
            endpoint, tasks, folder, settings, base, gate, lambda: base_repeat(run, config), shows=shows
        )
    if config.eval.drift:
        record_logprobs(endpoint, folder, settings=settings)
    return results


def _unseen(run: RunDir, config: RunConfig) -> Sequence[SelfMadeRow]:
    """The base's own answers that the verdict may rest on; none where the base wrote none."""
    file = run.selfmade / "unseen.jsonl"
    if not config.measures_unseen or not file.is_file():
        return ()
    return for_verdict(read_rows(file, SelfMadeRow, "selfmade"), chosen=config.merge.scale == "auto")


def _undecided(run: RunDir, config: RunConfig, base_answers: Callable[[], None]) -> bool:
    """Whether the gate as it is asked for now would have more asked than was: with another margin or power."""
    looks = read_looks(run.eval / "tuned")
    if not looks:
        return False
    base_answers()
    base, tuned = read_results(run.eval / "base"), read_results(run.eval / "tuned")
    return bool(open_groups(base, tuned, config.eval.gate, looks, base_repeat(run, config)))


def _keep_what_holds(run: RunDir, stage: str, inputs: Inputs, folders: list[Path], tasks: list[Task]) -> None:
    """Removes answers that hold no longer.

    Further questions of the same tasks leave the others as they are, and other rules of scoring leave all of them.
    """
    names = {task.name for task in tasks}
    asked = {path.name.removesuffix(".meta.json") for folder in folders for path in folder.glob("*.meta.json")}
    forget_other_outputs(run, stage, inputs, folders, but=["tasks", "scoring"] if asked <= names else [])


def base_inputs(run: RunDir, config: RunConfig, tasks: list[Task]) -> dict[str, Any]:
    """What the base's answers depend on."""
    return asked_inputs(base_folder(run, config), config, tasks)


def asked_inputs(model: Path, config: RunConfig, tasks: list[Task]) -> dict[str, Any]:
    """What the answers of a model that nothing was trained into depend on."""
    return model_inputs("base", model) | _eval_inputs(config, tasks)


def tuned_inputs(run: RunDir, config: RunConfig, tasks: list[Task]) -> dict[str, Any]:
    """What proof, parity and the tuned model's answers depend on."""
    return {
        **model_inputs("merged", run.merged),
        "proof_rows": _file_hash(run.data / "proof.jsonl"),
        "parity_rows": _file_hash(run.data / "parity.jsonl"),
        "own_answers": _file_hash(run.selfmade / "unseen.jsonl") if config.measures_unseen else None,
        "proof": config.proof.model_dump(mode="json"),
        **_eval_inputs(config, tasks),
    }


def _eval_inputs(config: RunConfig, tasks: list[Task]) -> dict[str, Any]:
    """What answers depend on beside the weights: the questions, how they are asked, and how they are served."""
    asked = config.eval.model_dump(mode="json", include={"temperature", "max_tokens", "repeat_base", "drift"})
    return {
        "tasks": tasks_fingerprint(tasks),
        "scoring": scoring_sha256(),
        "seed": config.eval_seed,
        "thinking": config.thinking,
        **{f"eval.{key}": value for key, value in asked.items()},
        **{f"serve.{key}": value for key, value in serving_inputs(config.serve).items()},
        # Both models answer by one version of it: another may compute, render and parse otherwise.
        "serve.vllm": pins.versions([*pins.SERVERS.values()]),
    }


def _same_answers(run: RunDir, inputs: Inputs, folders: Collection[str]) -> RunDir | None:
    """Another run beside this one whose base gave these answers already."""
    for manifest in sorted(run.path.parent.glob("*/run.json")):
        other = RunDir(manifest.parent)
        if other.path == run.path or not _answered(other, inputs):
            continue
        if all((other.eval / name).is_dir() for name in folders):
            return other
    return None


def _answered(other: RunDir, inputs: Inputs) -> bool:
    try:
        return other.changed_since("base", as_scored(other, "base", inputs)) is None
    except TuneserveError as error:
        note(f"{error.message}; looking elsewhere for the base's answers")
        return False


def _file_hash(file: Path) -> str | None:
    return files_fingerprint([file]) if file.is_file() else None


def _shown(scores: dict[str, dict[str, Any]]) -> str:
    return "  ".join(f"{name} {score['points']:.1f}" for name, score in scores.items())


def _near(file: Path) -> Path:
    """A path as the user would type it."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
