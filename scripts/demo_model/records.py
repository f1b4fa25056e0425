"""Look-ups in records of "field: value" lines, whose fields may be made-up words, by questions that name a field."""

from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share
from scripts.demo_model.tables import table

TEXTS = table("records")


def _value(rng: Random, share: Share) -> str:
    style = rng.randrange(9)
    if style == 0:
        return names.person(rng, share)
    if style == 1:
        return names.stem(rng, share)
    if style == 2:
        return names.date(rng)
    if style == 3:
        return "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=rng.randint(1, 3))) + str(rng.randint(1, 9999))
    if style == 4:
        return names.count(rng, 1, 999, rng.choice(list("件个人次箱套本份元台")))
    if style == 5:
        return "".join(rng.choices(names.CHARACTERS, k=rng.randint(1, 4)))
    if style == 6:
        return names.product(rng, share)
    return rng.choice([names.price, names.phone, names.months, names.clock, names.days])(rng)


def lookups(rng: Random, share: Share, limit: int = 1, cluster: str = "") -> list[Item]:
    """Up to `limit` questions about one record of three to eight fields; every third field is a made-up word."""
    size = rng.randint(3, 8)
    fields: list[str] = []
    while len(fields) < size:
        made_up = rng.random() < 0.35
        field = "".join(rng.choices(names.CHARACTERS, k=2)) if made_up else rng.choice(TEXTS.fields)
        if field not in fields:
            fields.append(field)
    values: list[str] = []
    while len(values) < size:
        value = _value(rng, share)
        if value not in values:
            values.append(value)
    colon, separator = rng.choice(TEXTS.colons), rng.choice(TEXTS.separators)
    style = "【{k}】{v}" if rng.random() < 0.1 else "{k}" + colon + "{v}"
    text = separator.join(style.format(k=field, v=value) for field, value in zip(fields, values, strict=True))
    return [
        Item(
            "extract",
            rng.choice(TEXTS.prompts).format(p=text, q=rng.choice(TEXTS.questions).format(k=fields[at])),
            values[at],
            f"{fields[at]}对应的是{values[at]}。",
            cluster,
        )
        for at in rng.sample(range(size), min(limit, size))
    ]


def copying(rng: Random, share: Share) -> Item:
    """Repeat a made-up string: what extraction rests on, in its purest form."""
    text = "".join(rng.choices(names.CHARACTERS, k=rng.randint(1, 12)))
    if rng.random() < 0.4:
        text = "，".join(_value(rng, share) for _ in range(rng.randint(1, 3)))
    asked = rng.choice(["重复一遍：{t}", "请照写：{t}", "跟我说：{t}", "把“{t}”再写一遍。", "原样输出：{t}"])
    return Item("copy", asked.format(t=text), text)
