"""One-sentence summaries: a made-up notice or news item of three to five sentences, and its gist in one sentence."""

from dataclasses import dataclass
from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share
from scripts.demo_model.tables import table


@dataclass(frozen=True)
class Kind:
    """One kind of notice: wordings of its lead (trained and held out), details around it, and its gist.

    `title` and `points` are other renderings of the same gist, asked for by other instructions.
    """

    leads: list[str]
    heldout_leads: list[str]
    details: list[str]
    gist: str
    title: str
    points: str


TEXTS = table("notices")
KINDS = tuple(Kind(**kind) for kind in TEXTS.kinds)


def slots(rng: Random, share: Share) -> dict[str, str]:
    """Every value a notice may need, all drawn anew."""
    low, high = sorted(rng.sample(range(1, 90), 2))
    first, second = rng.sample([f"{low * 10 + 9}元", f"{high * 10 + 9}元"], 2)
    return {
        "org": names.organisation(rng, share),
        "org2": names.organisation(rng, share),
        "date2": names.date(rng),
        "person2": names.person(rng, share),
        "title": rng.choice(TEXTS.titles),
        "date": names.date(rng),
        "clock": names.clock(rng),
        "venue": names.venue(rng, share),
        "event": names.stem(rng, share) + rng.choice(names.TEXTS.events),
        "person": names.person(rng, share),
        "product": names.product(rng, share),
        "place": names.place(rng, share),
        "address": names.address(rng, share),
        "price": first,
        "price2": second,
        "phone": names.phone(rng),
        "dept": rng.choice(names.TEXTS.departments),
        "city": rng.choice(names.TEXTS.cities),
        "job": rng.choice(names.TEXTS.jobs),
        "material": rng.choice(names.TEXTS.materials),
        "colour": rng.choice(names.TEXTS.colours),
        "months": names.months(rng),
        "days": names.days(rng),
        "n": str(rng.randint(20, 3000)),
        "n2": str(rng.randint(1, 30)),
        "n3": str(rng.randint(1, 9)),
        "hours": str(rng.randint(2, 24)),
        "age": str(rng.randint(8, 70)),
        "years": str(rng.randint(1, 8)),
        "cause": rng.choice(TEXTS.causes),
        "cause2": rng.choice(TEXTS.reasons),
        "fault": rng.choice(TEXTS.faults),
        "rank": rng.choice(TEXTS.ranks),
        "weather": rng.choice(TEXTS.weather),
        "gift": rng.choice(TEXTS.gifts),
    }


def body(rng: Random, kind: Kind, values: dict[str, str], leads: list[str]) -> str:
    """The notice itself: greeting, lead, one to four details, closing; in a quarter a detail comes before the lead."""
    details = [text.format(**values) for text in rng.sample(kind.details, rng.randint(1, 4))]
    lead = rng.choice(leads).format(**values)
    parts = [details[0], lead, *details[1:]] if rng.random() < 0.25 else [lead, *details]
    closing = rng.choice(TEXTS.closings) if rng.random() < 0.7 else ""
    return rng.choice(TEXTS.greetings) + "".join(parts) + closing


def summary(rng: Random, share: Share) -> Item:
    """One notice and its one-sentence summary; held-out ones use new names, and two in five a lead never trained."""
    kind = rng.choice(KINDS)
    values = slots(rng, share)
    leads = kind.heldout_leads if share == "heldout" and rng.random() < 0.4 else kind.leads
    prompt = rng.choice(TEXTS.prompts).format(t=body(rng, kind, values, leads))
    return Item("summary", prompt, kind.gist.format(**values), "找出主语、时间和事情，去掉细节。")


def restyled(rng: Random) -> Item:
    """The gist of a training notice as a title or as points."""
    kind = rng.choice(KINDS)
    values = slots(rng, "train")
    form, prompts = rng.choice([(kind.title, TEXTS.title_prompts), (kind.points, TEXTS.point_prompts)])
    return Item("style", rng.choice(prompts).format(t=body(rng, kind, values, kind.leads)), form.format(**values))
