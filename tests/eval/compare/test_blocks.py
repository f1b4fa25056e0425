"""Which items are asked before the next look, and that whoever reads them later finds the same parts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from configs.errors import DataError
from configs.recipe.schema import GateConfig
from eval.ask.order import asking_order, first
from eval.ask.results import TaskResult
from eval.compare.blocks import Blocks, first_block, note_looks, read_looks
from eval.compare.compare import compare
from eval.compare.pairing import MismatchError
from eval.statistics.change import change_interval
from eval.tasks.task import Item, Task
from tests.eval.synthetic import flipped, pair, sides

GATE = GateConfig()


def with_detail(result: TaskResult, key: str, values: list[str]) -> TaskResult:
    samples = [
        replace(sample, detail={key: values[number % len(values)]}) for number, sample in enumerate(result.samples)
    ]
    return replace(result, samples=samples)


def test_any_first_part_is_balanced_over_subjects() -> None:
    result = with_detail(pair("cmmlu", 900, 500, 0, 0)[0], "subject", ["law", "law", "art"])
    order = asking_order(result.samples, seed=7)
    subjects = {sample.id: sample.detail["subject"] for sample in result.samples}
    for count in (30, 300, 600):
        ids = first(order, count)
        assert len(ids) == count
        assert sum(subjects[id_] == "art" for id_ in ids) == pytest.approx(count / 3, abs=1)
    assert first(order, 300) != sorted(subjects)[:300]
    assert asking_order(result.samples, seed=7) == order
    assert asking_order(result.samples, seed=8) != order


def test_passages_stay_together() -> None:
    result = pair("cmrc", 400, 200, 0, 0, passage_of=4)[0]
    ids = first(asking_order(result.samples, seed=1), 101)
    assert len(ids) == 104
    assert {sum(id_ in ids for id_ in [f"q{p * 4 + k:05d}" for k in range(4)]) for p in range(100)} == {0, 4}


def test_made_items_are_asked_in_their_own_order() -> None:
    result = with_detail(pair("made", 800, 400, 0, 0)[0], "stratum", ["a zh 1", "b en 2"])
    assert first(asking_order(result.samples, seed=3), 5) == [f"q{k:05d}" for k in range(5)]


def test_blocks_grow_by_group_and_take_everything_else_at_once() -> None:
    pairs = [
        pair("large", 6000, 3000, 0, 0, group="reasoning"),
        pair("beside", 600, 300, 0, 0, group="reasoning"),
        pair("small", 100, 50, 0, 0, group="summary"),
        pair("guessed", 2000, 510, 0, 0, group="knowledge", chance=0.25),
        pair("mine", 300, 150, 0, 0, role="target"),
    ]
    base, _ = sides(*pairs)
    blocks = Blocks(base, GATE)
    assert blocks.whole == {"reasoning": 6600}
    assert set(blocks.guessed) == {"knowledge"}
    one = blocks.after(None, blocks.whole)
    assert one.items == {"large": 682, "beside": 69, "small": 100, "guessed": 750, "mine": 300}
    two = blocks.after(one, {"reasoning"})
    assert two.items["large"] == pytest.approx(1364, abs=2)
    assert (two.items["small"], two.items["guessed"], two.items["mine"]) == (100, 750, 300)
    last = one
    for _ in range(20):
        last = blocks.after(last, {"reasoning"})
    assert (last.items["large"], last.items["beside"]) == (6000, 600)
    assert blocks.ids(one)["large"] < blocks.ids(two)["large"]


def as_task(result: TaskResult) -> Task:
    """The questions alone, in no order."""
    items = [Item(s.id, s.prompt, s.references, cluster=s.cluster, detail=s.detail) for s in reversed(result.samples)]
    role = "target" if result.meta.role == "target" else "retention"
    return Task(result.meta.task, "qa", items, role=role, group=result.meta.group, seed=result.meta.seed)


@pytest.mark.parametrize("config", [GATE, GateConfig(block_items=0), GateConfig(block_items=100, min_items=50)])
def test_the_first_block_is_known_before_the_base_has_answered(config: GateConfig) -> None:
    base, _ = sides(
        pair("large", 6000, 3000, 0, 0, group="reasoning", passage_of=4),
        pair("beside", 600, 300, 0, 0, group="reasoning"),
        pair("small", 100, 50, 0, 0, group="summary"),
        pair("guessed", 2000, 510, 0, 0, group="knowledge", chance=0.25),
        pair("mine", 300, 150, 0, 0, role="target"),
    )
    base["beside"] = with_detail(base["beside"], "subject", ["law", "law", "art"])
    blocks = Blocks(base, config)
    asked = first_block([as_task(result) for result in base.values()], config)
    assert asked == blocks.ids(blocks.after(None, blocks.whole))
    assert len(asked["mine"]) == 300


def test_without_blocks_everything_is_asked_at_once() -> None:
    base, _ = sides(pair("large", 6000, 3000, 0, 0))
    config = GateConfig(block_items=0)
    assert Blocks(base, config).after(None, ["knowledge"]).items == {"large": 6000}


def test_looks_are_read_back_and_hold_for_their_own_questions(tmp_path: Path) -> None:
    assert read_looks(tmp_path) == []
    base, _ = sides(pair("large", 6000, 3000, 0, 0))
    blocks = Blocks(base, GATE)
    one = blocks.after(None, blocks.whole)
    two = blocks.after(one, blocks.whole)
    note_looks(tmp_path, [one, two])
    assert read_looks(tmp_path) == [one, two]
    more, _ = sides(pair("large", 6001, 3000, 0, 0))
    assert blocks.holds(two)
    assert not Blocks(more, GATE).holds(two)
    with pytest.raises(MismatchError, match="the looks were taken at the tasks"):
        Blocks({**base, "other": more["large"]}, GATE).ids(two)
    (tmp_path / "looks.jsonl").write_text(json.dumps({"seen": 3}) + "\n")
    with pytest.raises(DataError, match="not the looks of an evaluation"):
        read_looks(tmp_path)


def only(result: TaskResult, ids: set[str]) -> TaskResult:
    return replace(result, samples=[sample for sample in result.samples if sample.id in ids])


def test_what_was_not_asked_to_its_end_is_to_be_asked_on() -> None:
    """As after a kill between two looks; a finished run ends only where everything was asked, or the verdict stands."""
    base, tuned = sides(pair("ceval", 6000, 3000, 400, 300))
    blocks = Blocks(base, GATE)
    looks = [blocks.after(None, blocks.whole)]
    asked = {name: only(result, blocks.ids(looks[0])[name]) for name, result in tuned.items()}
    remedy = compare(base, asked, GATE, looks=looks).gate.remedy
    assert remedy is not None
    assert (remedy.key, remedy.values["n"]) == ("remedy.more", 750)


def test_a_comparison_of_what_was_asked_in_blocks() -> None:
    """Figures are of the items that were asked, the looks stand in the gate, and the intervals are repeated ones."""
    base, tuned = sides(pair("ceval", 6000, 3000, 150, 150), pair("mine", 200, 100, 0, 40, role="target"))
    blocks = Blocks(base, GATE)
    looks = [blocks.after(None, blocks.whole)]
    looks.append(blocks.after(looks[0], blocks.whole))
    asked = {name: only(result, blocks.ids(looks[-1])[name]) for name, result in tuned.items()}
    compared = compare(base, asked, GATE, looks=looks)
    group = compared.groups[0]
    assert (group.n, compared.gate.whole_items) == (1500, 6000)
    assert [look.items["knowledge"] for look in compared.gate.looks] == [750, 1500]
    assert [look.at for look in compared.gate.looks] == [look.at for look in looks]
    assert group.interval.method == "repeated_tango"
    assert group.interval.confidence == 0.95
    nominal = change_interval(*flipped(1500, 750, *map(round, (group.discordance_percent * 7.5,) * 2))).scaled(100)
    assert group.interval.upper - group.interval.lower > nominal.upper - nominal.lower
    with pytest.raises(MismatchError, match="tuned has 1500 of 6000 samples"):
        compare(base, asked, GATE)
    missing = {**asked, "ceval": only(asked["ceval"], blocks.ids(looks[0])["ceval"])}
    with pytest.raises(MismatchError, match="tuned has 750 of 1500 samples"):
        compare(base, missing, GATE, looks=looks)
