"""What can be said and asked about made-up things: for each attribute its values, clauses and question wordings.

The same wordings serve questions about a passage, the fictional catalogue that pretraining stores in the weights, and
the teaching set: they are what makes "多少钱", "什么价" and "售价是多少" mean the same to the model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from scripts.demo_model import names
from scripts.demo_model.names import Share
from scripts.demo_model.tables import table

Sampler = Callable[[Random, Share], str]
_SHARED: dict[str, Sampler] = {
    "person": names.person, "organisation": names.organisation, "venue": names.venue,
}  # fmt: skip
"""What has a name of its own, which belongs to a share; other values do not."""


@dataclass(frozen=True)
class Attribute:
    """One attribute of one kind of thing: `{e}` is the thing, `{v}` the value."""

    key: str
    sample: Sampler
    clauses: list[str]
    questions: list[str]


def _sampler(value: Any) -> Sampler:
    """What a table's `value` draws: a function of `names`, one of a list, or a count with a unit."""
    if isinstance(value, str):
        plain: Callable[[Random], str] | None = None if value in _SHARED else getattr(names, value)
        return _SHARED[value] if plain is None else lambda rng, share: plain(rng)
    if "one_of" in value:
        options = getattr(names.TEXTS, value["one_of"]) if isinstance(value["one_of"], str) else value["one_of"]
        return lambda rng, share: rng.choice(options)
    return lambda rng, share: names.count(rng, value["low"], value["high"], rng.choice(value["units"]))


ATTRIBUTES: dict[str, list[Attribute]] = {
    domain: [
        Attribute(key, _sampler(one["value"]), one["clauses"], one["questions"]) for key, one in attributes.items()
    ]
    for domain, attributes in vars(table("attributes")).items()
}
