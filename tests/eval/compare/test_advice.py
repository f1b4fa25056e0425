"""Advice only with a significant fall, and only on settings that the run tells."""

from dataclasses import replace

from configs.recipe.schema import GateConfig
from eval.compare.compare import compare
from tests.eval.synthetic import pair, sides

RECIPE = {
    "data": {"replay": None},
    "lora": {"r": 64},
    "train": {"method": "lora", "learning_rate": 2e-4, "epochs": 3},
}


def settings(*pairs, recipe=RECIPE) -> list[str]:
    comparison = compare(*sides(*pairs), GateConfig(), facts={"recipe": recipe})
    return [advice.setting for advice in comparison.advice]


def test_a_fall_names_what_this_run_did() -> None:
    fell = pair("ceval", 1000, 600, 80, 10)
    assert settings(fell) == ["data.replay", "train.learning_rate", "train.epochs", "lora.r"]
    careful = {"data": {"replay": {"ratio": 1.0}}, "lora": {"r": 8}, "train": {"learning_rate": 1e-5, "epochs": 1}}
    assert settings(fell, recipe=careful) == []
    assert settings(fell, recipe={"data": {"replay": {"ratio": 0.1}}}) == ["data.replay.ratio"]
    assert settings(fell, recipe={"train": {"method": "full"}, "lora": {"r": 64}}) == ["train.method"]


def test_advice_carries_its_evidence() -> None:
    comparison = compare(*sides(pair("ceval", 1000, 600, 80, 10)), GateConfig(), facts={"recipe": RECIPE})
    values = comparison.advice[0].text.values
    assert (values["task"], round(values["delta"], 1)) == ("ceval", -7.0)
    assert values["p"] < 0.001


def test_no_advice_without_a_significant_fall() -> None:
    assert settings(pair("ceval", 1000, 600, 20, 15)) == []
    assert settings(pair("ceval", 1000, 600, 10, 80)) == []


def test_no_advice_for_what_is_unknown_or_a_target() -> None:
    assert settings(pair("ceval", 1000, 600, 80, 10), recipe={}) == []
    assert settings(pair("mine", 1000, 600, 80, 10, role="target")) == []


def test_unreadable_answers_are_named_before_the_recipe() -> None:
    base, tuned = pair("ceval", 1000, 600, 80, 10)
    broken = [replace(s, flags=["unparsed"]) if i < 80 else s for i, s in enumerate(tuned.samples)]
    assert settings((base, replace(tuned, samples=broken)), recipe={}) == ["unparsed"]
    cut = [replace(s, finish_reason="length") if i < 80 else s for i, s in enumerate(tuned.samples)]
    assert settings((base, replace(tuned, samples=cut)), recipe={}) == ["max_tokens"]


def test_answers_that_became_short_are_named_where_the_task_fell() -> None:
    def with_tokens(result, tokens):
        return replace(result, samples=[replace(s, usage={"completion_tokens": tokens}) for s in result.samples])

    base, tuned = pair("gsm8k", 1000, 600, 80, 10)
    assert settings((with_tokens(base, 250), with_tokens(tuned, 120)), recipe={}) == ["data.replay"]
    assert settings((with_tokens(base, 250), with_tokens(tuned, 240)), recipe={}) == []
    # Letters and names hold no work that could be left out; what did not fall lost nothing by being brief.
    assert settings((with_tokens(base, 8), with_tokens(tuned, 2)), recipe={}) == []
    base, tuned = pair("gsm8k", 1000, 600, 10, 10)
    assert settings((with_tokens(base, 250), with_tokens(tuned, 120)), recipe={}) == []
