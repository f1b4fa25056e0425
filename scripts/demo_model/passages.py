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


def _describe(rng: Random, domain: str, share: Share, thing: str, size: int) -> Passage:
    chosen = rng.sample(ATTRIBUTES[domain], size)
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
    """A passage of two to six facts about one thing, or of two to three facts about each of two things."""
    domain = rng.choice(list(ATTRIBUTES))
    first = entity(rng, domain, share)
    if rng.random() < 0.75:
        return _describe(rng, domain, share, first, rng.randint(2, 6))
    second = entity(rng, domain, share)
    while second == first:
        second = entity(rng, domain, share)
    one = _describe(rng, domain, share, first, rng.randint(2, 3))
    two = _describe(rng, domain, share, second, rng.randint(2, 3))
    return Passage(one.text + two.text, one.facts + two.facts)


def questions(rng: Random, source: Passage, limit: int, cluster: str = "") -> list[Item]:
    """Up to `limit` questions about different facts of one passage."""
    chosen = rng.sample(source.facts, min(limit, len(source.facts)))
    things = {thing for thing, _, _ in source.facts}
    items = []
    for thing, attribute, value in chosen:
        asked = rng.choice(attribute.questions).format(e=thing)
        prompt = rng.choice(PROMPTS).format(p=source.text, q=asked)
        thought = f"文中提到{thing}的相关信息是{value}。" if len(things) > 1 else f"原文里对应的内容是{value}。"
        items.append(Item("extract", prompt, value, thought, cluster))
    return items


def copying(rng: Random, share: Share) -> Item:
    """Repeat a made-up string: what extraction rests on, in its purest form."""
    length = rng.randint(2, 8)
    text = "".join(rng.choices(names.NAME_CHARS + names.GIVEN_CHARS, k=length))
    if rng.random() < 0.4:
        text = rng.choice(
            [names.phone(rng), names.date(rng), names.address(rng, share), names.person(rng, share), names.price(rng)]
        )
    asked = rng.choice(["重复一遍：{t}", "请照写：{t}", "跟我说：{t}", "把“{t}”再写一遍。", "原样输出：{t}"])
    return Item("copy", asked.format(t=text), text)
