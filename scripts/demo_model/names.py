"""Made-up names and values, and the split that keeps training, held-out and teaching names apart.

A name's share is fixed by a checksum of its characters, so no list has to be kept to know that a name was never
trained: `share_of("澄溪")` is the same on every machine.
"""

import zlib
from pathlib import Path
from random import Random
from typing import Literal

from scripts.demo_model.tables import table

Share = Literal["train", "heldout", "teach", "teach_test"]

TEXTS = table("names")
# Every character that has a token of its own: a third of all names draw on it, so that each of them is trained.
CHARACTERS = Path(__file__).with_name("characters.txt").read_text(encoding="utf-8").replace("\n", "")


def share_of(name: str) -> Share:
    """Which split a made-up name belongs to: a tenth held out, two for the teaching set, the rest trained."""
    shares: tuple[Share, ...] = ("heldout", "teach", "teach_test")
    bucket = zlib.crc32(name.encode()) % 10
    return shares[bucket] if bucket < len(shares) else "train"


def stem(rng: Random, share: Share) -> str:
    """A name of two or three characters in the given share, such as 澄溪."""
    while True:
        inventory = CHARACTERS if rng.random() < 0.35 else TEXTS.name_chars
        name = "".join(rng.choices(inventory, k=3 if rng.random() < 0.2 else 2))
        if share_of(name) == share:
            return name


def person(rng: Random, share: Share) -> str:
    """A person's name in the given share."""
    while True:
        inventory = CHARACTERS if rng.random() < 0.2 else TEXTS.given_chars
        name = rng.choice(TEXTS.surnames) + "".join(rng.choices(inventory, k=1 if rng.random() < 0.3 else 2))
        if share_of(name) == share:
            return name


def product(rng: Random, share: Share) -> str:
    """A product such as 澄溪台灯; sometimes with a model number (澄溪台灯X3)."""
    model = rng.choice("ABCKMPSTX") + str(rng.randint(1, 99)) if rng.random() < 0.15 else ""
    return stem(rng, share) + rng.choice(TEXTS.product_types) + model


def organisation(rng: Random, share: Share) -> str:
    """An organisation such as 澄溪书店."""
    return stem(rng, share) + rng.choice(TEXTS.org_types)


def place(rng: Random, share: Share) -> str:
    """A place such as 澄溪古镇."""
    return stem(rng, share) + rng.choice(TEXTS.place_types)


def venue(rng: Random, share: Share) -> str:
    """A venue, with or without a name of its own: 澄溪体育馆, 市美术馆, 三楼会议厅."""
    kind = rng.choice(TEXTS.venues)
    return rng.choice([stem(rng, share), stem(rng, share), "市", "学校", "二楼", "三楼", "社区"]) + kind


def address(rng: Random, share: Share) -> str:
    """A street address such as 澄溪路18号."""
    return f"{stem(rng, share)}{rng.choice('路街巷')}{rng.randint(1, 299)}号"


def date(rng: Random) -> str:
    """A day of the year such as 5月12日."""
    return f"{rng.randint(1, 12)}月{rng.randint(1, 28)}日"


def year(rng: Random) -> str:
    """A year such as 1986年."""
    return f"{rng.randint(1900, 2029)}年"


def clock(rng: Random) -> str:
    """A time of day such as 上午9点半."""
    part, hour = rng.choice([("上午", rng.randint(7, 11)), ("下午", rng.randint(1, 6)), ("晚上", rng.randint(7, 9))])
    return f"{part}{hour}点{rng.choice(['', '', '半', '10分', '20分', '45分'])}"


def price(rng: Random) -> str:
    """A price in yuan such as 129元."""
    style = rng.random()
    if style < 0.4:
        return f"{rng.randint(10, 999)}元"
    return f"{rng.randint(1, 99) * 10 + 9}元" if style < 0.8 else f"{rng.randint(10, 99) * 100}元"


def months(rng: Random) -> str:
    """A period such as 18个月 or 两年."""
    return rng.choice(
        ["半年", "一年", "两年", "三年", "四年", "五年", "六年", "八年", "十年", f"{rng.randint(2, 60)}个月"]
    )


def days(rng: Random) -> str:
    """A number of days such as 7天 or 15个工作日."""
    return f"{rng.randint(2, 60)}{rng.choice(['天', '天', '个工作日'])}"


def phone(rng: Random) -> str:
    """A hotline such as 400-820-1635, or an extension of five or six digits."""
    if rng.random() < 0.6:
        return f"400-{rng.randint(100, 999)}-{rng.randint(1000, 9999)}"
    return str(rng.randint(10000, 999999))


def count(rng: Random, low: int, high: int, unit: str) -> str:
    """A quantity with its unit such as 320人."""
    return f"{rng.randint(low, high)}{unit}"
