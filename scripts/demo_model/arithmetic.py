"""Arithmetic with operands whose combinations are split by a checksum, so that held-out sums were never trained."""

import zlib
from random import Random

from scripts.demo_model import names
from scripts.demo_model.items import Item
from scripts.demo_model.names import Share

PLAIN = (
    "{x}=",
    "{x}=？",
    "计算：{x}",
    "{x}等于多少？",
    "请算一下{x}。",
    "算出{x}的结果。",
    "{x}的结果是多少？",
    "{x}是多少？",
    "求{x}的值。",
)
SPOKEN = {
    "+": ("{a}加{b}等于多少？", "{a}加上{b}是多少？", "{a}与{b}的和是多少？", "求{a}和{b}的和。"),
    "-": ("{a}减{b}等于多少？", "{a}减去{b}是多少？", "{a}与{b}的差是多少？", "{a}比{b}多多少？"),
    "×": ("{a}乘{b}等于多少？", "{a}乘以{b}是多少？", "{a}与{b}的积是多少？", "{a}的{b}倍是多少？"),
    "÷": ("{a}除以{b}等于多少？", "{a}除以{b}是多少？", "把{a}平均分成{b}份，每份是多少？"),
}
STORIES = {
    "+": (
        "{p}有{a}个{t}，又买了{b}个，一共有多少个？",
        "图书馆上午来了{a}人，下午来了{b}人，全天共来了多少人？",
        "{p}第一天走了{a}米，第二天走了{b}米，两天一共走了多少米？",
        "一件上衣{a}元，一条裤子{b}元，一套多少钱？",
    ),
    "-": (
        "{p}有{a}个{t}，送给朋友{b}个，还剩多少个？",
        "仓库里有{a}箱货物，运走{b}箱，还剩多少箱？",
        "{p}带了{a}元，买{t}花了{b}元，还剩多少元？",
        "车上有{a}人，下车{b}人，车上还有多少人？",
    ),
    "×": (
        "每盒有{a}个{t}，{b}盒一共有多少个？",
        "一本书{a}元，买{b}本要多少元？",
        "{p}每天读{a}页书，{b}天读多少页？",
        "每排坐{a}人，{b}排一共坐多少人？",
    ),
    "÷": (
        "把{a}个{t}平均分给{b}个人，每人几个？",
        "{a}元买了{b}本同样的书，每本多少元？",
        "{p}{b}天看完{a}页书，平均每天看多少页？",
    ),
}
THINGS = ["苹果", "橘子", "糖果", "铅笔", "鸡蛋", "气球", "玩具", "杯子", "本子", "皮球", "贝壳", "邮票"]


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
        text = rng.choice(PLAIN).format(x=f"{a}{shown}{b}")
    elif style < 0.7:
        text = rng.choice(SPOKEN[operator]).format(a=a, b=b)
    else:
        story = rng.choice(STORIES[operator])
        text = story.format(
            a=a, b=b, p=rng.choice(["小明", "小红", "小华", "小丽", names.person(rng, "train")]), t=rng.choice(THINGS)
        )
    value = _value(a, operator, b)
    return Item("arithmetic", text, str(value), f"{a}{operator}{b}={value}。"), (a, operator, b)


def _chain(rng: Random) -> tuple[Item, tuple[int | str, ...]]:
    a, b, c = rng.randint(10, 99), rng.randint(10, 99), rng.randint(2, 99)
    operator = rng.choice("+-") if a + b >= c else "+"
    value = a + b + c if operator == "+" else a + b - c
    text = rng.choice(PLAIN).format(x=f"{a}+{b}{operator}{c}")
    return Item("arithmetic", text, str(value), f"{a}+{b}={a + b}，{a + b}{operator}{c}={value}。"), (
        a,
        "+",
        b,
        operator,
        c,
    )
