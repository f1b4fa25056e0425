"""A passage states what is asked of it."""

from random import Random

from scripts.demo_model import passages


def test_passages_name_each_value_once_per_question():
    rng = Random(3)
    for _ in range(200):
        source = passages.passage(rng, "train")
        assert all(value in source.text and thing in source.text for thing, _, value in source.facts)
