"""Held-out leads of notices are never trained."""

from scripts.demo_model import notices


def test_heldout_leads_of_notices_are_never_trained():
    for kind in notices.KINDS:
        assert not set(kind.leads) & set(kind.heldout_leads)
