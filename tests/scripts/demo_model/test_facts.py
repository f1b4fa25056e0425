"""Held-out wordings of facts are never trained."""

from scripts.demo_model.facts import RELATIONS, TEXTS


def test_heldout_wordings_of_facts_are_never_trained():
    for relation in RELATIONS:
        assert not set(relation.trained) & set(relation.heldout), relation.key
    for key, wordings in TEXTS.backward.items():
        assert not set(wordings["trained"]) & set(wordings["heldout"]), key
