"""Held-out sums are never trained, and are right."""

from random import Random

from scripts.demo_model import arithmetic, heldout


def test_heldout_operands_are_never_trained():
    rng = Random(1)
    trained = {arithmetic.sum_item(rng, "train").thought for _ in range(20_000)}
    held = {item.thought for item in heldout.items("arithmetic")}
    assert not trained & held


def test_arithmetic_answers_are_right():
    for item in heldout.items("arithmetic"):
        expression, value = item.thought.rstrip("。").split("，")[-1].split("=")
        assert eval(expression.replace("×", "*").replace("÷", "/")) == int(value) == int(item.answer)
