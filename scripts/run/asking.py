"""How a run is asked: its settings, its blocks, and the progress line while it answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from configs.handover.training import Family
from configs.recipe.schema import GateConfig, RunConfig
from configs.terminal.console import asked_for, console, note, visible
from configs.terminal.messages import translated
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.evaluate import OnProgress, Progress, evaluate
from eval.ask.results import TaskResult
from eval.compare.blocks import Blocks, first_block, note_looks, read_looks
from eval.compare.compare import open_groups
from eval.tasks import Task


def run_settings(config: RunConfig, family: Family) -> Settings:
    """How base and tuned are asked: the run's sampling, and the thinking mode that was trained.

    A model of another trainer may have another template than its base; both are asked in one mode all the same.
    """
    if config.foreign is not None:
        return _settings(config, config.thinking)
    return _settings(config, {"switchable": config.thinking, "always": True}.get(family))


def endpoints_settings(config: RunConfig) -> Settings:
    """How endpoints are asked; the thinking mode is left to the server unless `thinking` was given."""
    return _settings(config, config.thinking if "thinking" in config.model_fields_set else None)


def _settings(config: RunConfig, thinking: bool | None) -> Settings:
    return Settings(
        temperature=config.eval.temperature,
        seed=config.eval_seed,
        max_tokens=config.eval.max_tokens,
        thinking=thinking,
        concurrency=config.eval.concurrency,
        timeout_s=config.eval.timeout_s,
        max_error_rate=config.eval.max_error_rate,
    )


def ask(
    endpoint: Endpoint,
    tasks: Sequence[Task],
    out_dir: Path,
    settings: Settings,
    only: Mapping[str, Collection[str]] | None = None,
    *,
    shows: bool = True,
    by_name: bool = False,
) -> dict[str, TaskResult]:
    """Asks and scores tasks at one endpoint; goes on where an earlier call stopped.

    Args:
        endpoint: whom to ask.
        tasks: what to ask.
        out_dir: where the answers go.
        settings: how to ask.
        only: ids by task that are asked; all where it is None.
        shows: whether there is a progress bar.
        by_name: whether the model is known by its name alone, which another one may have by now: it is said where
            answers from before are kept.
    """
    last: list[Progress] = []
    with _progress(endpoint.label, shows=shows) as show:

        def noted(now: Progress) -> None:
            last[:] = [now]
            show(now)

        results = evaluate(endpoint, tasks, out_dir, settings=settings, only=only, on_progress=noted)
    if by_name and last and last[0].kept:
        kept, total = last[0].kept, last[0].total
        note(f"{kept} of {total} answers are from before; where {endpoint.model} is another model by now, "
             "give another --out")  # fmt: skip
    return results


def ask_in_blocks(
    endpoint: Endpoint,
    tasks: Sequence[Task],
    out_dir: Path,
    settings: Settings,
    base: Callable[[], Mapping[str, TaskResult]],
    gate: GateConfig,
    repeat: Callable[[], Mapping[str, TaskResult] | None] = lambda: None,
    *,
    shows: bool = True,
    by_name: bool = False,
) -> dict[str, TaskResult]:
    """Asks a tuned model block by block, until the verdict stands; see `eval.compare.blocks`.

    Looks that were taken before are taken again as they were, so that a run that was killed ends as it would have.

    Args:
        base: gives the base's answers to everything, once the first block was answered here: it may wait for them.
        repeat: gives the same of the base asked again, if it was.
        shows: whether there is a progress bar, and a line for each look.
        by_name: as of `ask`.
    """
    results = ask(endpoint, tasks, out_dir, settings, first_block(tasks, gate), shows=shows, by_name=by_name)
    answers, again = base(), repeat()
    blocks = Blocks(answers, gate)
    taken = [*takewhile(blocks.holds, read_looks(out_dir))]
    if taken:
        # A look that was noted holds though its answers were lost since: what is missing is asked again.
        results = ask(endpoint, tasks, out_dir, settings, blocks.ids(taken[-1]), shows=shows)
    taken = taken or [blocks.after(None, blocks.whole)]
    while True:
        note_looks(out_dir, taken)
        still = open_groups(answers, results, gate, taken, again)
        if not still:
            return results
        if shows:
            note(f"look {len(taken)}: open for {', '.join(sorted(still))}")
        taken.append(blocks.after(taken[-1], still))
        results = ask(endpoint, tasks, out_dir, settings, blocks.ids(taken[-1]), shows=shows)


def _retries(now: Progress) -> str:
    return f", {now.retries} failed attempts" if now.retries else ""


@contextmanager
def _progress(label: str, *, shows: bool) -> Iterator[OnProgress]:
    if asked_for("quiet") or not shows:
        yield lambda now: None
        return
    if not console.is_terminal:
        marks: set[int] = set()

        def plain(now: Progress) -> None:
            quarter = 4 * now.done // max(now.total, 1)
            if quarter not in marks:
                marks.add(quarter)
                rate = f"{now.requests_per_s:.1f} requests/s" if now.requests_per_s else "starting"
                console.print(f"  asking {label}: {now.done}/{now.total}, {rate}{_retries(now)}", style="dim")

        yield plain
        return
    columns = (
        TextColumn(translated("asking {task.description}", ours=True), markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="cyan", markup=False),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        row = bar.add_task(visible(label), rate="")

        def show(now: Progress) -> None:
            eta = f", {now.eta_s:.0f} s left" if now.eta_s is not None else ""
            errors = f", {now.errors} errors" if now.errors else ""
            rate = f"{now.requests_per_s:.1f} requests/s{eta}{errors}{_retries(now)}"
            bar.update(
                row,
                completed=now.done,
                total=now.total,
                description=visible(f"{label} {now.task}"),
                rate=translated(rate, ours=True),
            )

        yield show
