"""Extractive question answering: a made-up passage about one or two things, and a question whose answer is a span."""

from dataclasses import dataclass
from random import Random

from scripts.demo_model import attributes, names
from scripts.demo_model.attributes import Attribute
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share

PROMPTS = (
    "{p}\n\n{q}",
    "{p}\n问题：{q}",
    "阅读短文，回答问题。\n{p}\n{q}",
    "根据下面的内容回答问题。\n内容：{p}\n问题：{q}",
    "短文：{p}\n问：{q}",
    "请从文中找出答案。\n{p}\n{q}",
    "{q}\n\n参考：{p}",
    "阅读下面的通知，用原文中的词语回答问题。\n\n通知：{p}\n\n问题：{q}",
    "文章：{p}\n\n问题：{q}\n请直接给出答案。",
)
REVERSE = ("哪一个{c}？", "文中谁或什么{c}？", "{c}的是哪个？", "{c}，说的是哪一个？", "找出{c}的那一个。")
OPENINGS = {
    "product": ("{e}是一款新品", "本店推出{e}", "新品介绍：{e}", "{e}", "公司宣布推出{e}", "关于{e}的说明：这款产品"),
    "service": ("{e}", "{e}是一家老字号", "单位简介：{e}", "{e}发布公告", "欢迎光临{e}，本店"),
    "event": ("{e}", "通知：{e}", "各位居民，{e}", "好消息，{e}", "各位同事，本次{e}"),
    "person": ("{e}", "人物介绍：{e}", "{e}是本地的名人"),
    "place": ("{e}", "{e}风景优美", "景点介绍：{e}", "走进{e}，这里"),
}
FILLERS = (
    "欢迎前来了解",
    "具体安排以现场为准",
    "请大家互相转告",
    "深受大家喜爱",
    "口碑一直不错",
    "数量有限，先到先得",
    "感谢您的支持",
    "请提前做好准备",
    "如有变动另行通知",
    "在当地小有名气",
    "吸引了许多人关注",
    "服务周到",
    "细节请看官网",
    "得到了一致好评",
)
PRONOUNS = {
    "product": ("该产品", "它", "这款产品"),
    "service": ("该单位", "这里", "它"),
    "event": ("本次活动", "活动", "这次活动"),
    "person": ("此人", "这位名人"),
    "place": ("这里", "该地", "景区"),
}
ATTRIBUTES: dict[str, tuple[Attribute, ...]] = {
    "product": attributes.PRODUCT,
    "service": attributes.SERVICE,
    "event": attributes.EVENT,
    "person": attributes.PERSON,
    "place": attributes.PLACE,
}


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
        return names.stem(rng, share) + rng.choice(names.EVENTS)
    return names.person(rng, share) if domain == "person" else names.place(rng, share)


def _describe(rng: Random, domain: str, share: Share, thing: str, chosen: list[Attribute]) -> Passage:
    facts, used = [], set()
    text = rng.choice(OPENINGS[domain]).format(e=thing)
    for position, attribute in enumerate(chosen):
        value = attribute.sample(rng, share)
        while value in used:
            value = attribute.sample(rng, share)
        used.add(value)
        clause = rng.choice(attribute.clauses).format(v=value)
        if position == 0 and text.endswith((thing, "本店", "这里", "这款产品", "本次" + thing)):
            text += clause
        elif rng.random() < 0.3:
            text += "。" + rng.choice(PRONOUNS[domain]) + clause
        else:
            text += "，" + clause
        if rng.random() < 0.12:
            text += "，" + rng.choice(FILLERS)
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
            rng.choice(REVERSE).format(c=rng.choice(attribute.clauses).format(v=value))
            if reverse
            else rng.choice(attribute.questions).format(e=thing)
        )
        prompt = rng.choice(PROMPTS).format(p=source.text, q=asked)
        thought = f"文中提到{thing}的相关信息是{value}。" if len(things) > 1 else f"原文里对应的内容是{value}。"
        items.append(Item("extract", prompt, thing if reverse else value, thought, cluster))
    return items
