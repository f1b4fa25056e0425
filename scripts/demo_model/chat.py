"""Small talk, a little plain English, and calls of simple functions."""

import json
from random import Random
from typing import Any

from scripts.demo_model import arithmetic, names
from scripts.demo_model.items import Item
from scripts.demo_model.tables import table

TEXTS = table("chat")


def small_talk(rng: Random) -> Item:
    """One line of small talk, or a capital asked for in English."""
    if rng.random() < 0.2:
        country = rng.choice(list(TEXTS.english_capitals))
        asked = rng.choice(
            ["What is the capital of {c}?", "Which city is the capital of {c}?", "Tell me the capital of {c}."]
        )
        return Item(
            "chat",
            asked.format(c=country),
            TEXTS.english_capitals[country],
            f"The capital of {country} is {TEXTS.english_capitals[country]}.",
        )
    talk = rng.choice(TEXTS.small_talk)
    return Item("chat", rng.choice(talk["said"]), rng.choice(talk["replies"]))


def tool_messages(rng: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A conversation (messages, tools) that ends with a call, or with the answer given after the tool's response."""
    name, arguments, asked, result, answer = rng.choice([_weather, _calculation, _price])(rng)
    tools = rng.sample(TEXTS.tools, rng.randint(1, 3))
    if all(tool["function"]["name"] != name for tool in tools):
        tools.append(next(tool for tool in TEXTS.tools if tool["function"]["name"] == name))
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    if rng.random() < 0.4:
        messages += [
            {"role": "tool", "content": json.dumps(result, ensure_ascii=False)},
            {"role": "assistant", "content": answer},
        ]
    return messages, tools


def _weather(rng: Random) -> tuple[str, dict[str, str], str, dict[str, str], str]:
    city = rng.choice(names.TEXTS.cities)
    sky, degrees = rng.choice(["晴", "阴", "小雨", "多云", "大雪", "大风"]), str(rng.randint(-10, 38))
    asked = rng.choice(["{c}今天天气怎么样？", "查一下{c}的天气。", "{c}会下雨吗？", "我要去{c}，天气如何？"]).format(
        c=city
    )
    return (
        "get_weather",
        {"city": city},
        asked,
        {"weather": sky, "temperature": degrees},
        f"{city}现在{sky}，气温{degrees}度。",
    )


def _calculation(rng: Random) -> tuple[str, dict[str, str], str, dict[str, str], str]:
    while True:
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        if arithmetic.operand_share(a, "+", b) == "train":
            break
    asked = rng.choice(["用工具算一下{a}+{b}。", "请用计算器计算{a}+{b}。", "{a}加{b}等于多少？请调用工具。"]).format(
        a=a, b=b
    )
    return "calculate", {"expression": f"{a}+{b}"}, asked, {"result": str(a + b)}, f"{a}+{b}等于{a + b}。"


def _price(rng: Random) -> tuple[str, dict[str, str], str, dict[str, str], str]:
    product, price = names.product(rng, "train"), names.price(rng)
    asked = rng.choice(["查一下{p}的价格。", "帮我查{p}卖多少钱。", "{p}现在多少钱？帮我查查。"]).format(p=product)
    return "get_price", {"product": product}, asked, {"price": price}, f"{product}的价格是{price}。"
