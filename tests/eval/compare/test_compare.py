"""Comparing two sets of results: figures, pooling, refusals, several endpoints."""

from dataclasses import replace
from pathlib import Path

import pytest

from configs.recipe.schema import GateConfig
from eval.ask.results import TaskResult
from eval.compare.blocks import Blocks
from eval.compare.compare import compare, compare_several
from eval.compare.pairing import MismatchError, cluster_labels
from eval.compare.tradeoff import tradeoff
from eval.report.write import write_reports
from eval.statistics.tango import tango_interval
from tests.eval.synthetic import failed, pair, result, sample, scored, sides

GATE = GateConfig()


def test_figures_of_one_task() -> None:
    comparison = compare(*sides(pair("ceval", 1000, 600, 25, 10, chance=0.25)), GATE)
    task = comparison.tasks[0]
    assert (task.base_points, task.tuned_points) == (pytest.approx(60.0), pytest.approx(58.5))
    assert task.delta_points == pytest.approx(-1.5)
    assert task.p == pytest.approx(0.016674, abs=5e-7)
    expected = tango_interval(25, 10, 1000)
    assert task.interval.lower == pytest.approx(100 * expected.lower)
    assert task.one_sided.confidence == pytest.approx(0.90)
    assert (task.lost, task.gained, task.discordance_percent) == (25, 10, pytest.approx(3.5))
    assert task.retention.percent == pytest.approx(97.5)
    assert task.retention.above_chance_percent == pytest.approx(100 * 33.5 / 35)
    assert task.retention.interval is not None
    assert task.retention.interval.lower < 97.5 < task.retention.interval.upper
    assert comparison.base_model == "Qwen3-4B"
    assert comparison.tuned_model == "my-qwen"


def test_holm_covers_all_tasks() -> None:
    comparison = compare(*sides(pair("a", 100, 60, 25, 10), pair("b", 100, 60, 12, 5), pair("c", 100, 60, 3, 3)), GATE)
    assert [task.p_holm for task in comparison.tasks] == pytest.approx([3 * 0.016674, 2 * 0.143463, 1.0], abs=1e-5)


def test_targets_come_first_and_are_not_pooled() -> None:
    mine = pair("mine", 100, 40, 0, 30, role="target", group="mine")
    comparison = compare(*sides(pair("ceval", 900, 600, 5, 5), mine), GATE)
    assert [task.name for task in comparison.tasks] == ["mine", "ceval"]
    assert [group.name for group in comparison.groups] == ["knowledge"]


def test_groups_pool_items_and_keep_clusters_of_different_tasks_apart() -> None:
    same_labels = [pair(name, 400, 200, 20, 0, passage_of=4) for name in ("a", "b")]
    comparison = compare(*sides(*same_labels), GATE)
    group = comparison.groups[0]
    assert (group.n, group.clusters, group.tasks) == (800, 200, ("a", "b"))
    assert group.delta_points == pytest.approx(-5.0)
    assert group.p == pytest.approx(2 * 0.5**10)


def test_passages_widen_the_interval_and_change_the_test() -> None:
    alone = compare(*sides(pair("cmrc", 1000, 600, 40, 0)), GATE).tasks[0]
    shared = compare(*sides(pair("cmrc", 1000, 600, 40, 0, passage_of=4)), GATE).tasks[0]
    assert (alone.test, shared.test) == ("mcnemar_exact", "sign_flip_exact")
    assert shared.interval.upper - shared.interval.lower > 1.8 * (alone.interval.upper - alone.interval.lower)
    assert shared.minimum_detectable_drop_points > alone.minimum_detectable_drop_points


def test_forgetting_over_tasks() -> None:
    comparison = compare(*sides(pair("a", 100, 62, 2, 0), pair("b", 100, 55, 5, 0), pair("c", 100, 71, 0, 1)), GATE)
    forgetting = comparison.forgetting
    assert forgetting is not None
    assert forgetting.retention_percent == pytest.approx(100 * (0.60 + 0.50 + 0.72) / (0.62 + 0.55 + 0.71), abs=1e-3)
    assert forgetting.mean_retention_percent == pytest.approx((96.774 + 90.909 + 101.408) / 3, abs=1e-3)
    assert forgetting.relative_forgetting_percent == pytest.approx(3.6361, abs=5e-5)
    assert forgetting.backward_transfer_points == pytest.approx(-2.0)
    assert forgetting.interval.lower < -2.0 < forgetting.interval.upper


def test_above_chance_is_refused_near_chance() -> None:
    comparison = compare(*sides(pair("guess", 100, 27, 2, 0, chance=0.25)), GATE)
    assert comparison.tasks[0].retention.above_chance_percent is None
    assert comparison.tasks[0].retention.percent == pytest.approx(100 * 25 / 27)


def test_the_base_against_itself_shifts_only_where_it_is_no_chance() -> None:
    base, tuned = sides(pair("a", 1000, 600, 30, 10))
    _, repeat = sides(pair("a", 1000, 600, 6, 4))
    noise = compare(base, tuned, GATE, base_repeat=repeat).tasks[0].noise
    assert noise is not None
    assert (noise.changed, noise.n) == (10, 1000)
    assert noise.delta_points == pytest.approx(-0.2)
    assert noise.shift_points == 0.0
    assert noise.interval.lower == pytest.approx(100 * tango_interval(6, 4, 1000).lower)
    _, repeat = sides(pair("a", 1000, 600, 30, 2))
    noise = compare(base, tuned, GATE, base_repeat=repeat).tasks[0].noise
    assert noise is not None
    assert noise.shift_points == pytest.approx(2.8)


def test_errors_count_zero_only_where_the_official_metric_says_so() -> None:
    base, tuned = pair("cmrc", 50, 40, 0, 0, primary="cmrc_em", metrics=["cmrc_em"])
    broken = replace(tuned, samples=[failed(tuned.samples[0]), *tuned.samples[1:]])
    official = compare({"cmrc": base}, {"cmrc": broken}, GATE).tasks[0]
    assert (official.n, official.tuned_points, official.tuned_behaviour.errors) == (50, 78.0, 1)
    base, tuned = pair("ceval", 50, 40, 0, 0)
    broken = replace(tuned, samples=[failed(tuned.samples[0]), *tuned.samples[1:]])
    other = compare({"ceval": base}, {"ceval": broken}, GATE).tasks[0]
    assert (other.n, other.asked, other.delta_points, other.tuned_behaviour.errors) == (49, 50, 0.0, 1)


def test_behaviour_and_flips() -> None:
    base = result("a", [sample(i, {"accuracy": 1.0}) for i in range(4)])
    tuned = result(
        "a",
        [
            sample(0, {"accuracy": 1.0}),
            sample(1, {"accuracy": 0.0}, answer="上海", flags=["thinking_leak"]),
            sample(2, {"accuracy": 0.0}, answer="", flags=["truncated_thinking", "unparsed"], finish_reason="length"),
            sample(3, {"accuracy": 1.0}),
        ],
    )
    task = compare({"a": base}, {"a": tuned}, GATE).tasks[0]
    behaviour = task.tuned_behaviour
    assert behaviour.stop_percent == 75.0
    assert (behaviour.truncated, behaviour.truncated_thinking, behaviour.thinking_leak) == (1, 1, 1)
    assert (behaviour.unparsed, behaviour.empty) == (1, 1)
    assert [(flip.id, flip.kind, flip.base_answer, flip.tuned_answer) for flip in task.flips] == [
        ("q00001", "lost", "北京", "上海"),
        ("q00002", "lost", "北京", ""),
    ]
    assert task.flips[0].question == "第1题：中国的首都是哪里？"


def test_flips_are_limited_but_counted() -> None:
    task = compare(*sides(pair("a", 200, 100, 30, 20)), GATE, max_flips=5).tasks[0]
    assert (task.lost, task.gained, len(task.flips)) == (30, 20, 10)


def test_other_metrics_diagnostics_and_official_totals() -> None:
    def build(rouge: float) -> list:
        rows = [sample(i, {"rougeL": rouge + i / 100, "rouge1": 0.5, "copy_rate": 1.5}) for i in range(10)]
        return [replace(row, detail={"subject": "x" if i < 2 else "y"}) for i, row in enumerate(rows)]

    meta = {"primary": "rougeL", "metrics": ["rougeL", "rouge1"], "diagnostics": ["copy_rate"], "macro": True}
    base, tuned = (result("sum", build(rouge), **meta) for rouge in (0.3, 0.4))
    task = compare({"sum": base}, {"sum": tuned}, GATE).tasks[0]
    assert [(m.name, m.base, m.delta) for m in task.other_metrics] == [("rouge1", 50.0, 0.0)]
    assert [(d.name, d.tuned) for d in task.diagnostics] == [("copy_rate", 1.5)]
    assert task.official_points == pytest.approx(((30.5 + 35.5) / 2, (40.5 + 45.5) / 2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings_sha256": "other", "settings": {"temperature": 0.7}}, r"generation settings.*temperature=0\.7"),
        ({"thinking": True}, r"thinking mode.*\(False\).*\(True\)"),
        ({"method": "choice_logprobs"}, "way of asking"),
        ({"samples_sha256": "deadbeef"}, "samples or their prompts"),
        ({"primary": "zh_f1"}, "primary metric"),
        ({"n": 11}, "tuned has 10 of 11 samples"),
    ],
)
def test_what_was_asked_otherwise_is_refused(change: dict, said: str) -> None:
    base, tuned = pair("a", 10, 5, 1, 1)
    with pytest.raises(MismatchError, match=f"task 'a'.*{said}") as caught:
        compare({"a": base}, {"a": replace(tuned, meta=replace(tuned.meta, **change))}, GATE)
    assert caught.value.exit_code == 2
    assert caught.value.next_step


def test_other_samples_prompts_and_tasks_are_refused() -> None:
    base, tuned = pair("a", 10, 5, 1, 1)
    prompt = [replace(tuned.samples[0], prompt_sha256="x"), *tuned.samples[1:]]
    with pytest.raises(MismatchError, match="sample 'q00000' had another prompt"):
        compare({"a": base}, {"a": replace(tuned, samples=prompt)}, GATE)
    other = [replace(tuned.samples[0], id="zzz"), *tuned.samples[1:]]
    with pytest.raises(MismatchError, match="2 samples are answered by one endpoint only"):
        compare({"a": base}, {"a": replace(tuned, samples=other)}, GATE)
    with pytest.raises(
        MismatchError, match=r"only base \['a'\], only tuned \['b'\]\n.*remove what one alone was asked"
    ):
        compare({"a": base}, {"b": tuned}, GATE)
    with pytest.raises(MismatchError, match="tuned has no results"):
        compare({"a": base}, {}, GATE)


def test_one_question_or_one_passage_for_all_says_nothing_of_any_other(tmp_path: Path) -> None:
    one = compare(*sides(pair("a", 1, 0, 0, 1, role="target"), pair("b", 10, 5, 1, 1, passage_of=10)), GATE)
    for task in one.tasks:
        assert (task.clusters, task.p, task.test) == (1, 1.0, "none")
        assert (task.interval.lower, task.interval.upper, task.interval.method) == (-100.0, 100.0, "none")
    assert one.tasks[0].delta_points == 100.0
    assert one.gate.verdict == "not_enough_evidence"
    written = write_reports([one], tmp_path)
    assert all(file.stat().st_size > 500 for file in written.values())
    nothing = {"a": result("a", [failed(one) for one in scored("a", [1.0] * 3).samples])}
    with pytest.raises(MismatchError, match="none of 3 samples has accuracy on both sides"):
        compare({"a": scored("a", [1.0] * 3)}, nothing, GATE)


def test_a_small_task_beside_a_large_one_is_looked_at_like_it() -> None:
    base, tuned = sides(
        pair("large", 3000, 3000, 0, 0), pair("small", 4, 4, 0, 0), pair("passages", 900, 900, 0, 0, passage_of=450)
    )
    looks = [Blocks(base, GATE).after(None, ())]
    assert looks[0].items["small"] == 1
    found = compare(base, tuned, GATE, looks=looks)
    assert {task.name: task.clusters for task in found.tasks} == {"large": 577, "small": 1, "passages": 1}


def test_a_question_that_stands_in_a_file_many_times_is_no_more_evidence_than_once() -> None:
    def side(scores: list[float], questions: int) -> dict[str, TaskResult]:
        asked = [sample(n, {"accuracy": one}, question=f"第{n % questions}题") for n, one in enumerate(scores)]
        return {"a": result("a", asked)}

    right = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0] * 100
    same = compare(side(right, 7), side(right, 7), GATE)
    assert (same.tasks[0].n, same.tasks[0].clusters) == (700, 7)
    assert same.gate.verdict == "not_enough_evidence"
    assert compare(side(right, 1), side(right, 1), GATE).gate.verdict == "not_enough_evidence"


def test_a_question_of_two_tasks_of_a_group_is_one() -> None:
    def side() -> dict[str, TaskResult]:
        asked = [sample(n, {"accuracy": float(n % 3 > 0)}) for n in range(400)]
        return {name: result(name, asked) for name in ("a", "b")}

    found = compare(side(), side(), GATE)
    assert [(group.n, group.clusters) for group in found.groups] == [(800, 400)]
    assert found.groups[0].interval.upper == pytest.approx(found.tasks[0].interval.upper)


def test_labels_join_what_shares_a_cluster_or_a_prompt() -> None:
    assert cluster_labels([("a", None), ("b", None), ("c", "x"), ("d", "y")]) is None
    labels = cluster_labels([("a", "x"), ("b", "x"), ("b", None), ("c", "y"), ("a", "y"), ("d", None), ("e", "z")])
    assert labels is not None
    assert [labels.index(label) for label in labels] == [0, 0, 0, 0, 0, 5, 6]
    many = cluster_labels([(str(n // 2), str((n + 1) // 2)) for n in range(20_000)])
    assert len(set(many or ())) == 1


def test_several_endpoints_share_holm_and_make_points() -> None:
    mine = [1.0] * 40 + [0.0] * 60
    base = {
        "mine": scored("mine", mine, role="target", group="mine"),
        "ceval": scored("ceval", [1.0] * 600 + [0.0] * 400),
    }
    tunings = {}
    for name, gained, lost in (("mild", 10, 5), ("strong", 30, 80), ("bad", 5, 90)):
        tunings[name] = {
            "mine": scored("mine", [1.0] * (40 + gained) + [0.0] * (60 - gained), role="target", group="mine"),
            "ceval": scored("ceval", [0.0] * lost + [1.0] * (600 - lost) + [0.0] * 400),
        }
    comparisons = compare_several(base, tunings, GATE)
    assert [c.tuned for c in comparisons] == ["mild", "strong", "bad"]
    ceval = comparisons[0].retained[0]
    assert ceval.p == pytest.approx(0.0625)
    # Six tests in all; bad's 5 gained has the same p and comes later in the order of p.
    assert ceval.p_holm == pytest.approx(2 * 0.0625)
    points = {point.name: point for point in tradeoff(comparisons)}
    assert points["strong"].gained == pytest.approx(30.0)
    assert points["strong"].kept == pytest.approx(-8.0)
    assert {name for name, point in points.items() if point.best} == {"mild", "strong"}
