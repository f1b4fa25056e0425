"""A made-up name has one share."""

from random import Random

from scripts.demo_model import names


def test_names_have_one_share_each_and_generators_keep_to_it():
    rng = Random(0)
    for share in ("train", "heldout", "teach", "teach_test"):
        assert all(names.share_of(names.stem(rng, share)) == share for _ in range(50))
        assert all(names.share_of(names.person(rng, share)) == share for _ in range(50))
