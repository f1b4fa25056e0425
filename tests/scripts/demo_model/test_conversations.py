"""The stream of conversations is the same for a seed."""

from itertools import islice
from random import Random

from scripts.demo_model import names
from scripts.demo_model.conversations import stream


def test_generators_are_seeded():
    one, two = ([c.messages for c in islice(stream(seed=3), 50)] for _ in range(2))
    assert one == two
    assert names.stem(Random(1), "teach") == names.stem(Random(1), "teach")
