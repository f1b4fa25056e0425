"""A fixed catalogue of fictional brands whose facts pretraining stores in the weights.

It teaches the skill that the teaching set relies on: to keep (thing, attribute, value) closed-book and to find it again
under any wording. None of its names is held out or used by the teaching set.
"""

from functools import cache
from random import Random

from scripts.demo_model import names
from scripts.demo_model.attributes import ATTRIBUTES, Attribute
from scripts.demo_model.facts import TEXTS
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
        services = rng.sample(ATTRIBUTES["service"], ATTRIBUTES_PER_THING)
        rows += [(brand + "公司", one, one.sample(rng, "train")) for one in services]
        for _ in range(PRODUCTS_PER_BRAND):
            thing = brand + names.stem(rng, "train") + rng.choice(names.TEXTS.product_types)
            chosen = rng.sample(ATTRIBUTES["product"], ATTRIBUTES_PER_THING)
            rows += [(thing, one, one.sample(rng, "train")) for one in chosen]
    return tuple(rows)


def closed_book(rng: Random) -> Item:
    """A question about the catalogue, without any passage."""
    thing, attribute, value = rng.choice(entries())
    text = rng.choice(TEXTS.leads) + rng.choice(attribute.questions).format(e=thing) + rng.choice(TEXTS.tails)
    return Item("catalogue", text, value, f"{thing}{attribute.clauses[0].format(v=value)}。")
