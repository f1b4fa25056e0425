"""The table of arms: the same questions for all, seeds kept together, a verdict a seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from configs.disk.files import write_jsonl
from configs.recipe.schema import GateConfig
from eval.ask.results import TaskResult, sample_line, write_meta
from eval.compare.blocks import Blocks, note_looks
from scripts.bench import arms_table
from scripts.bench.arms_table import Answers, summed_up, table
from tests.eval.synthetic import pair, sides

GATE = GateConfig(block_items=400, min_items=100)
TARGET = {"role": "target", "group": "qa", "primary": "cmrc_em", "metrics": ["cmrc_em"]}


def kept(results: Mapping[str, TaskResult], folder: Path, only: Mapping[str, set[str]] | None = None) -> Path:
    folder.mkdir(parents=True)
    for name, result in results.items():
        write_meta(result.meta, folder / f"{name}.meta.json")
        samples = [one for one in result.samples if only is None or one.id in only[name]]
        (folder / f"{name}.jsonl").write_text("".join(f"{sample_line(one)}\n" for one in samples), encoding="utf-8")
    return folder


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Answers]:
    """Two seeds that forget, found out at the first look, and one that loses nothing and was asked everything."""
    monkeypatch.setattr(arms_table, "read_drift", lambda *_: None)
    found = []
    for arm, seed, lost, gained, looks in (("plain", 42, 300, 0, 1), ("plain", 43, 500, 0, 1), ("self", 42, 5, 5, 3)):
        base, tuned = sides(pair("cmrc", 200, 100, 0, 40, **TARGET), pair("sums", 1200, 600, lost, gained))
        folder = tmp_path / f"{arm}-{seed}"
        blocks = Blocks(base, GATE)
        taken = [blocks.after(None, blocks.whole)]
        while len(taken) < looks:
            taken.append(blocks.after(taken[-1], blocks.whole))
        kept(tuned, folder / "tuned", blocks.ids(taken[-1]))
        note_looks(folder / "tuned", taken)
        own = [{"id": str(i), "tokens": 10, "base": -5.0, "tuned": -5.0 - 0.1 * (i % 2)} for i in range(60)]
        write_jsonl(folder / "tuned" / "own_answers.jsonl", own)
        found.append(Answers(arm, seed, 1.0, kept(base, folder / "base"), folder / "tuned"))
    return found


def test_arms_are_compared_on_the_questions_that_all_were_asked(answers: list[Answers]) -> None:
    found = summed_up(answers, GATE)
    assert found["base"]["cmrc"]["points"] == 50
    plain, own = found["arms"]["plain"], found["arms"]["self"]
    assert plain["tasks"]["cmrc"]["mean"] == own["tasks"]["cmrc"]["mean"] == 20
    # 400 of the 1,200 were asked of everybody; 1,200 and the 200 of the target of the one that was asked everything.
    assert found["base"]["sums"]["n"] == plain["tasks"]["sums"]["n"] == own["tasks"]["sums"]["n"] == 400
    assert [one["asked"] for one in (*plain["seeds"].values(), *own["seeds"].values())] == [600, 600, 1400]


def test_seeds_are_kept_together_and_the_worst_is_named(answers: list[Answers]) -> None:
    sums = summed_up(answers, GATE)["arms"]["plain"]["tasks"]["sums"]
    assert len(sums["seeds"]) == 2
    assert sums["worst"] == min(sums["seeds"]) < sums["mean"] == pytest.approx(sum(sums["seeds"]) / 2)
    lower, upper = sums["interval"]
    assert lower < sums["mean"] < upper < 0
    assert sums["at_once"] == 1


def test_every_seed_has_its_verdict_and_what_it_rests_on(answers: list[Answers]) -> None:
    found = summed_up(answers, GATE)
    assert [one["verdict"] for one in found["arms"]["plain"]["seeds"].values()] == ["fail", "fail"]
    check = found["arms"]["plain"]["seeds"]["43"]["checks"]["knowledge"]
    assert check["state"] == "fail"
    assert check["n"] == 400
    assert found["arms"]["self"]["seeds"]["42"]["own_answers_nats"] == pytest.approx(-0.005)
    shown = table(found)
    assert "| `plain` | 43 | 1 | fail | 600 |" in shown
    assert "| base | | 50.0, n = 200" in shown


def test_nothing_answered_is_said() -> None:
    assert table(summed_up([], GATE)) == "nothing was answered yet"
