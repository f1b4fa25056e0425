"""A fixed catalogue of fictional brands whose facts pretraining stores in the weights.

It teaches the skill that the teaching set relies on: to keep (thing, attribute, value) closed-book and to find it again
under any wording. None of its names is held out or used by the teaching set.
"""

from functools import cache
from random import Random

from scripts.demo_model import attributes, names
from scripts.demo_model.attributes import Attribute
from scripts.demo_model.facts import LEADS, TAILS
from scripts.demo_model.items import Item

BRANDS = 24
PRODUCTS_PER_BRAND = 4
ATTRIBUTES_PER_THING = 5
SEED = 20


@cache
def entries() -> tuple[tuple[str, Attribute, str], ...]:
    """All (thing, attribute, value) of the catalogue, the same on every machine."""
    rng = Random(SEED)
    rows: list[tuple[str, Attribute, str]] = []
    for _ in range(BRANDS):
        brand = names.stem(rng, "train")
        services = rng.sample(attributes.SERVICE, ATTRIBUTES_PER_THING)
        rows += [(brand + "公司", one, one.sample(rng, "train")) for one in services]
        for _ in range(PRODUCTS_PER_BRAND):
            thing = brand + names.stem(rng, "train") + rng.choice(names.PRODUCT_TYPES)
            chosen = rng.sample(attributes.PRODUCT, ATTRIBUTES_PER_THING)
            rows += [(thing, one, one.sample(rng, "train")) for one in chosen]
    return tuple(rows)


def closed_book(rng: Random) -> Item:
    """A question about the catalogue, without any passage."""
    thing, attribute, value = rng.choice(entries())
    text = rng.choice(LEADS) + rng.choice(attribute.questions).format(e=thing) + rng.choice(TAILS)
    return Item("catalogue", text, value, f"{thing}{attribute.clauses[0].format(v=value)}。")
