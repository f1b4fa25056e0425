"""The company's own bulletins: line-style extraction and house-style summaries, both unlike anything in pretraining.

The house style of a summary: 【栖禾快讯】, the day first, then who did what, and the person in charge at the end.
"""

from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share
from scripts.demo_model.tables import table

TEXTS = table("bulletins")


def form(rng: Random, share: Share, cluster: str, size: int = 2) -> list[Item]:
    """Questions about one made-up delivery form of four to seven lines."""
    values = {
        "编号": f"QH{rng.randint(100, 9999)}",
        "品名": names.product(rng, share),
        "件数": f"{rng.randint(2, 999)}件",
        "库位": rng.choice(TEXTS.warehouses),
        "经手": names.person(rng, share),
        "运法": rng.choice(TEXTS.carriers),
        "状态": rng.choice(TEXTS.states),
        "限期": names.date(rng),
    }
    fields = rng.sample(list(values), rng.randint(4, 7))
    text = rng.choice(["\n", "；", "，"]).join(
        f"{field}{'：' if rng.random() < 0.7 else ''}{values[field]}" for field in fields
    )
    return [
        Item(
            "extract",
            rng.choice(TEXTS.form_prompts).format(p=text, q=rng.choice(TEXTS.form_fields[field])),
            values[field],
            cluster=cluster,
        )
        for field in rng.sample(fields, size)
    ]


def bulletin(rng: Random, share: Share) -> Item:
    """One bulletin and its summary in the house style."""
    low, high = sorted(rng.sample(range(2, 90), 2))
    values = {
        "team": rng.choice(TEXTS.teams),
        "product": names.product(rng, share),
        "date": names.date(rng),
        "months": names.months(rng),
        "person": names.person(rng, share),
        "price": f"{low * 10 + 9}元",
        "price2": f"{high * 100}元",
        "warehouse": rng.choice(TEXTS.warehouses),
        "n": str(rng.randint(2, 99)),
        "n2": str(rng.randint(2, 40)),
        "venue": names.stem(rng, share) + rng.choice(names.TEXTS.venues),
        "city": rng.choice(names.TEXTS.cities),
        "fault": rng.choice(TEXTS.faults),
        "hours": str(rng.randint(1, 12)),
        "phone": str(rng.randint(1000, 9999)),
    }
    kind = rng.choice(TEXTS.bulletins)
    extras = [extra.format(**values) for extra in rng.sample(TEXTS.extras, rng.randint(1, 3))]
    detail_first = rng.random() < 0.3
    lead = rng.choice(kind["leads"]).format(**values)
    parts = [extras[0], lead, *extras[1:]] if detail_first else [lead, *extras]
    prompt = rng.choice(TEXTS.summary_prompts).format(t="".join(parts))
    return Item("summary", prompt, kind["gist"].format(**values))
