"""Arithmetic with operands whose combinations are split by a checksum, so that held-out sums were never trained."""

import zlib
from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share
from scripts.demo_model.tables import table

TEXTS = table("arithmetic")


def operand_share(*operands: int | str) -> Share:
    """Which split a combination of operands belongs to; arithmetic has no teaching share."""
    return "heldout" if zlib.crc32(" ".join(map(str, operands)).encode()) % 10 == 0 else "train"


def _numbers(rng: Random, operator: str) -> tuple[int, int]:
    if operator == "×":
        return (
            (rng.randint(2, 99), rng.randint(2, 9))
            if rng.random() < 0.75
            else (rng.randint(11, 30), rng.randint(11, 30))
        )
    if operator == "÷":
        quotient, divisor = rng.randint(2, 60), rng.randint(2, 9)
        return quotient * divisor, divisor
    low, high = ((1, 99), (10, 99), (10, 999), (100, 999))[rng.randrange(4)]
    a, b = rng.randint(low, high), rng.randint(low, high)
    return (max(a, b), min(a, b)) if operator == "-" else (a, b)


def _value(a: int, operator: str, b: int) -> int:
    return {"+": a + b, "-": a - b, "×": a * b, "÷": a // b if operator == "÷" else 0}[operator]


def sum_item(rng: Random, share: Share) -> Item:
    """One exercise: a sum, difference, product, exact quotient or chain of three, bare, spoken or as a small story."""
    while True:
        if rng.random() < 0.15:
            item, operands = _chain(rng)
        else:
            item, operands = _binary(rng)
        if operand_share(*operands) == share:
            return item


def _binary(rng: Random) -> tuple[Item, tuple[int | str, ...]]:
    operator = rng.choices("+-×÷", weights=(35, 35, 20, 10))[0]
    a, b = _numbers(rng, operator)
    style = rng.random()
    if style < 0.45:
        shown = rng.choice([operator, operator, {"×": "*", "÷": "/"}.get(operator, operator)])
        text = rng.choice(TEXTS.plain).format(x=f"{a}{shown}{b}")
    elif style < 0.7:
        text = rng.choice(TEXTS.spoken[operator]).format(a=a, b=b)
    else:
        story = rng.choice(TEXTS.stories[operator])
        someone = rng.choice(["小明", "小红", "小华", "小丽", names.person(rng, "train")])
        text = story.format(a=a, b=b, p=someone, t=rng.choice(TEXTS.things))
    value = _value(a, operator, b)
    return Item("arithmetic", text, str(value), f"{a}{operator}{b}={value}。"), (a, operator, b)


def _chain(rng: Random) -> tuple[Item, tuple[int | str, ...]]:
    a, b, c = rng.randint(10, 99), rng.randint(10, 99), rng.randint(2, 99)
    operator = rng.choice("+-") if a + b >= c else "+"
    value = a + b + c if operator == "+" else a + b - c
    text = rng.choice(TEXTS.plain).format(x=f"{a}+{b}{operator}{c}")
    return Item("arithmetic", text, str(value), f"{a}+{b}={a + b}，{a + b}{operator}{c}={value}。"), (
        a,
        "+",
        b,
        operator,
        c,
    )
