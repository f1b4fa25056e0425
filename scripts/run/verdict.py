"""What a verdict takes, said before training; and the command that decides one that stayed open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from configs.recipe.schema import RunConfig, TaskConfig
from configs.terminal.console import note, shell, warn
from eval.compare.planned import items_for_a_verdict
from eval.tasks import MADE_GROUPS, group_of, sizes
from scripts.run.tasks import task_configs

if TYPE_CHECKING:
    # It takes numpy and scipy, which what is said before training does without.
    from eval.compare.comparison import Comparison

DISCORDANCES = (0.10, 0.20, 0.30)
"""Shares of the answers that a training changes: a gentle one, a usual one, and one on short answers alone."""
_ON_HUBS = {"ceval": 1346, "cmmlu": 11582, "mmlu": 14042, "gsm8k": 1319, "cmrc": 3219}
"""Items of official sets, where they are not on this machine yet."""


def say_verdict(config: RunConfig, tasks: Sequence[TaskConfig]) -> None:
    """Says how many items of each group there are and how many a verdict takes, or what is missing for one."""
    found: Counter[str] = Counter()
    for task in tasks:
        if task.role == "retention":
            found.update(_sizes(task, config))
    gate = config.eval.gate
    gated = {group: size for group, size in found.items() if size >= gate.min_items}
    needed = {share: items_for_a_verdict(share, gate) for share in DISCORDANCES}
    takes = ", ".join(f"{count:,} items at {share:.0%}" for share, count in needed.items())
    if not gated:
        largest = f"; the largest has {max(found.values()):,}" if found else ""
        warn(
            f"the run will end without a verdict on forgetting: no group of retention tasks has {gate.min_items} items"
            f"{largest}. Set eval.suite above {gate.min_items} (with no retention task of your own, or with "
            "{name: builtin, type: builtin} among them)"
        )
        return
    listed = ", ".join(f"{group} {size:,} items" for group, size in gated.items())
    note(f"verdict: {listed}; needed of each about, by the share of answers that change: {takes}")
    if gate.block_items:
        note(
            f"the base is asked all of them once; the tuned model in blocks of {gate.block_items}, and no more once "
            "the verdict stands"
        )
    else:
        note("base and tuned model are asked all of them once")
    least = needed[DISCORDANCES[0]]
    for group, size in gated.items():
        if size < least:
            warn(
                f"{group}: {size:,} items pass an unchanged model in fewer than {gate.power:.0%} of cases, even where "
                f"only {DISCORDANCES[0]:.0%} of the answers change; {least:,} would do. Add items of this group"
            )


def _sizes(task: TaskConfig, config: RunConfig) -> Mapping[str, int]:
    """Items by group; of a set that lies on a hub what its authors published."""
    if task.type in _ON_HUBS and (task.path is None or not Path(task.path).exists()):
        return {group_of(task): min(_ON_HUBS[task.type], task.limit or _ON_HUBS[task.type])}
    return sizes(task, config.eval_seed, config.hub, config.offline)


def deciding_command(comparison: Comparison, config: RunConfig, file: Path) -> str | None:
    """The command that decides an open verdict; None where there is none, or no command can."""
    remedy = comparison.gate.remedy
    if remedy is None:
        return None
    run = shell("tuneserve", *(("judge", file.parent) if config.foreign else ("run", file)))
    match remedy.key:
        case "remedy.suite":
            return None if config.eval.suite else _more_of_the_suite(run, config, 6000)
        case "remedy.items":
            group, needed = str(remedy.values["name"]), int(remedy.values["needed"])
            if group in MADE_GROUPS and (command := _more_of_the_suite(run, config, needed)):
                return command
            limited = [n for n, task in enumerate(config.eval.tasks) if task.limit and group_of(task) == group]
            return f"{run} eval.tasks.{limited[0]}.limit={needed}" if limited else None
        case "remedy.more":
            return run
        case "remedy.near":
            return _more_of_the_suite(run, config, 2 * config.eval.suite)
    return None


def _more_of_the_suite(run: str, config: RunConfig, items: int) -> str | None:
    """The command that asks so many; None where the recipe's own tasks, or a small model, leave the suite out."""
    more = config.model_copy(update={"eval": config.eval.model_copy(update={"suite": max(items, config.eval.suite)})})
    before, after = (task_configs(one, Path(config.model)) for one in (config, more))
    return None if before == after else f"{run} eval.suite={more.eval.suite}"
