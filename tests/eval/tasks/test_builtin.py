"""The built-in suite becomes tasks of the promised sizes, each in its group."""

from collections import Counter
from typing import Any

import pytest

from configs.errors import ConfigError
from configs.recipe.schema import TaskConfig
from eval.tasks import load_task, sizes
from eval.tasks.builtin import MADE_ITEMS
from eval.tasks.scoring import SCORING, primary_metric


def test_parts_and_groups() -> None:
    tasks = load_task(TaskConfig(name="suite", type="builtin"))
    assert {(task.name, task.kind, task.group, len(task.items)) for task in tasks} == {
        ("suite_choice", "choice", "knowledge", 150),
        ("suite_english_qa", "qa", "english", 30),
        ("suite_english_choice", "choice", "english", 30),
        ("suite_instruction", "instruction", "instruction", 60),
        ("suite_number", "number", "reasoning", 100),
        ("suite_orders", "instruction", "instruction", MADE_ITEMS),
        ("suite_passages", "qa", "reading", MADE_ITEMS),
        ("suite_problems", "number", "reasoning", MADE_ITEMS),
        ("suite_qa", "qa", "reading", 150),
        ("suite_summary", "summary", "summary", 60),
    }


def test_one_part() -> None:
    (task,) = load_task(TaskConfig(name="mine", type="builtin", path="number", limit=10, role="target"))
    assert (task.name, len(task.items), task.role) == ("mine_number", 10, "target")
    with pytest.raises(
        ConfigError, match="it has: choice, english, instruction, number, orders, passages, problems, qa, summary"
    ):
        load_task(TaskConfig(name="mine", type="builtin", path="poems"))


@pytest.mark.parametrize(
    "changes", [{}, {"limit": 40}, {"limit": 260}, {"path": "orders", "limit": 40}, {"group": "g"}]
)
def test_sizes_are_those_of_what_is_loaded(changes: dict[str, Any]) -> None:
    config = TaskConfig(name="suite", type="builtin", **changes)
    loaded: Counter[str] = Counter()
    for task in load_task(config):
        loaded[task.group] += len(task.items)
    assert sizes(config) == loaded


def test_english_answers_are_compared_without_their_punctuation() -> None:
    tasks = {task.name: task for task in load_task(TaskConfig(name="suite", type="builtin"))}
    assert primary_metric(tasks["suite_qa"]) == "cmrc_em"
    assert primary_metric(tasks["suite_english_choice"]) == "accuracy"
    english = tasks["suite_english_qa"]
    assert primary_metric(english) == "zh_em"
    item = next(item for item in english.items if item.references == ["early spring"])
    assert SCORING["qa"].score(item, "Early spring.").scores[primary_metric(english)] == 1.0


def test_made_parts_hold_what_the_limit_says_and_are_balanced() -> None:
    tasks = {task.name: task for task in load_task(TaskConfig(name="suite", type="builtin", limit=260))}
    assert {len(tasks[f"suite_{part}"].items) for part in ("orders", "passages", "problems")} == {260}
    strata = [item.detail["stratum"] for item in tasks["suite_orders"].items]
    assert {strata.count(stratum) for stratum in strata} == {2}
    more = load_task(TaskConfig(name="suite", type="builtin", path="orders", limit=300))[0]
    assert more.items[:260] == tasks["suite_orders"].items
    assert primary_metric(tasks["suite_passages"]) == "zh_em"
    assert tasks["suite_problems"].max_tokens == 800
