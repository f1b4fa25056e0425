"""Extractive question answering: a made-up passage about one or two things, and a question whose answer is a span."""

from dataclasses import dataclass
from random import Random

from scripts.demo_model import names
from scripts.demo_model.attributes import ATTRIBUTES, Attribute
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share
from scripts.demo_model.tables import table

TEXTS = table("passages")


@dataclass(frozen=True)
class Passage:
    """A passage and what it states: `facts` holds (entity, attribute, value)."""

    text: str
    facts: tuple[tuple[str, Attribute, str], ...]


def entity(rng: Random, domain: str, share: Share) -> str:
    """The name of a made-up thing of the domain."""
    if domain == "product":
        return names.product(rng, share)
    if domain == "service":
        return names.organisation(rng, share)
    if domain == "event":
        return names.stem(rng, share) + rng.choice(names.TEXTS.events)
    return names.person(rng, share) if domain == "person" else names.place(rng, share)


def _describe(rng: Random, domain: str, share: Share, thing: str, chosen: list[Attribute]) -> Passage:
    facts, used = [], set()
    text = rng.choice(TEXTS.openings[domain]).format(e=thing)
    for position, attribute in enumerate(chosen):
        value = attribute.sample(rng, share)
        while value in used:
            value = attribute.sample(rng, share)
        used.add(value)
        clause = rng.choice(attribute.clauses).format(v=value)
        if position == 0 and text.endswith((thing, "本店", "这里", "这款产品", "本次" + thing)):
            text += clause
        elif rng.random() < 0.3:
            text += "。" + rng.choice(TEXTS.pronouns[domain]) + clause
        else:
            text += "，" + clause
        if rng.random() < 0.12:
            text += "，" + rng.choice(TEXTS.fillers)
        facts.append((thing, attribute, value))
    return Passage(text + "。", tuple(facts))


def passage(rng: Random, share: Share) -> Passage:
    """Two to six facts about one thing, or the same attributes of two or three things side by side."""
    domain = rng.choice(list(ATTRIBUTES))
    if rng.random() < 0.45:
        return _describe(
            rng, domain, share, entity(rng, domain, share), rng.sample(ATTRIBUTES[domain], rng.randint(2, 6))
        )
    things: list[str] = []
    while len(things) < (2 if rng.random() < 0.6 else 3):
        thing = entity(rng, domain, share)
        if thing not in things:
            things.append(thing)
    chosen = rng.sample(ATTRIBUTES[domain], rng.randint(2, 3) if len(things) == 2 else 2)
    parts = [_describe(rng, domain, share, thing, rng.sample(chosen, len(chosen))) for thing in things]
    return Passage("".join(part.text for part in parts), tuple(fact for part in parts for fact in part.facts))


def questions(rng: Random, source: Passage, limit: int, cluster: str = "") -> list[Item]:
    """Up to `limit` questions about different facts of one passage."""
    chosen = rng.sample(source.facts, min(limit, len(source.facts)))
    things = {thing for thing, _, _ in source.facts}
    items = []
    for thing, attribute, value in chosen:
        shared = [other for other, _, found in source.facts if found == value]
        reverse = len(things) > 1 and len(shared) == 1 and rng.random() < 0.25
        asked = (
            rng.choice(TEXTS.reverse).format(c=rng.choice(attribute.clauses).format(v=value))
            if reverse
            else rng.choice(attribute.questions).format(e=thing)
        )
        prompt = rng.choice(TEXTS.prompts).format(p=source.text, q=asked)
        thought = f"文中提到{thing}的相关信息是{value}。" if len(things) > 1 else f"原文里对应的内容是{value}。"
        items.append(Item("extract", prompt, thing if reverse else value, thought, cluster))
    return items
