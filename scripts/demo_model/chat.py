# ruff: noqa: E501, SIM905 (tables of Chinese text, where a full-width character counts as two columns)
"""Small talk, a little plain English, and calls of simple functions."""

import json
from random import Random
from typing import Any

from scripts.demo_model import arithmetic, names
from scripts.demo_model.items import Item

SMALL_TALK = (
    (
        ("你好", "你好！", "您好", "嗨", "哈喽", "在吗", "在吗？", "早上好", "晚上好", "你好呀"),
        ("你好！有什么可以帮你的吗？", "你好！很高兴见到你。"),
    ),
    (
        ("你是谁？", "你叫什么名字？", "介绍一下你自己。", "你是什么模型？", "自我介绍一下"),
        ("我是一个很小的中文问答模型，可以回答问题、做摘要和简单的计算。",),
    ),
    (("谢谢", "谢谢你！", "多谢", "非常感谢", "太感谢了"), ("不客气！", "不用谢，随时找我。")),
    (("再见", "拜拜", "下次见", "我先走了", "晚安"), ("再见，祝你一切顺利！", "再见！")),
    (
        ("你会做什么？", "你能干什么？", "你有什么功能？", "你可以帮我做什么？"),
        ("我可以回答常识问题、从短文里找答案、用一句话做摘要，还能算简单的数学题。",),
    ),
    (
        ("今天心情不好", "我有点难过", "我好累啊", "压力好大"),
        ("别着急，先休息一下，慢慢会好起来的。", "辛苦了，给自己一点时间放松一下吧。"),
    ),
    (("今天天气怎么样？", "现在几点了？", "今天是星期几？"), ("抱歉，我不知道现在的实时信息。",)),
    (("给我讲个笑话", "说个笑话吧", "讲个笑话"), ("小明问老师：鱼为什么不说话？老师说：因为它在水里呀。",)),
    (("推荐一本书", "我该读什么书？", "有什么好书？"), ("可以读一读《西游记》，它很有趣。",)),
    (("怎样才能睡得好？", "失眠怎么办？", "怎么早点睡着？"), ("睡前少看手机，按时上床，保持房间安静。",)),
    (("怎样学好数学？", "数学不好怎么办？"), ("多练习，弄懂每一道错题，循序渐进。",)),
    (("你聪明吗？", "你厉害吗？"), ("我很小，但会认真回答你的问题。",)),
    (("我爱你", "你真可爱", "你真棒"), ("谢谢你，我会继续努力的！",)),
    (("1", "嗯", "好的", "知道了", "哦"), ("好的，还有别的问题吗？",)),
    (("hello", "Hello!", "hi", "Hi there", "good morning"), ("Hello! How can I help you?",)),
    (("Who are you?", "What are you?", "What is your name?"), ("I am a very small language model.",)),
    (("Thank you", "thanks", "Thanks a lot!"), ("You are welcome!",)),
    (("How are you?", "How are you today?"), ("I am fine, thank you.",)),
    (("Goodbye", "bye", "See you"), ("Goodbye!",)),
)
ENGLISH_CAPITALS = dict(
    pair.split(":")
    for pair in "China:Beijing Japan:Tokyo France:Paris Germany:Berlin Italy:Rome Spain:Madrid Russia:Moscow Egypt:Cairo Greece:Athens Poland:Warsaw".split()
)
SYSTEM_PROMPTS = (
    "你是一个简洁的助手。",
    "你是一个乐于助人的助手。",
    "请用中文回答。",
    "回答尽量简短。",
    "You are a helpful assistant.",
    "你是客服，请礼貌作答。",
    "你是一位老师。",
    "你是企业内部的问答助手。",
    "请直接给出答案，不要解释。",
)
TOOLS: tuple[dict[str, Any], ...] = (
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "查询天气",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "calculate",
            "description": "计算算式",
            "parameters": {
                "type": "object",
                "properties": {"expression": {"type": "string"}},
                "required": ["expression"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "get_price",
            "description": "查询商品价格",
            "parameters": {"type": "object", "properties": {"product": {"type": "string"}}, "required": ["product"]},
        },
    },
)


def small_talk(rng: Random) -> Item:
    """One line of small talk, or a capital asked for in English."""
    if rng.random() < 0.2:
        country = rng.choice(list(ENGLISH_CAPITALS))
        asked = rng.choice(
            ["What is the capital of {c}?", "Which city is the capital of {c}?", "Tell me the capital of {c}."]
        )
        return Item(
            "chat",
            asked.format(c=country),
            ENGLISH_CAPITALS[country],
            f"The capital of {country} is {ENGLISH_CAPITALS[country]}.",
        )
    said, replies = rng.choice(SMALL_TALK)
    return Item("chat", rng.choice(said), rng.choice(replies))


def tool_messages(rng: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A conversation (messages, tools) that ends with a call, or with the answer given after the tool's response."""
    name, arguments, asked, result, answer = rng.choice([_weather, _calculation, _price])(rng)
    tools = rng.sample(TOOLS, rng.randint(1, 3))
    if all(tool["function"]["name"] != name for tool in tools):
        tools.append(next(tool for tool in TOOLS if tool["function"]["name"] == name))
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
    city = rng.choice(names.CITIES)
    sky, degrees = rng.choice("晴 阴 小雨 多云 大雪 大风".split()), str(rng.randint(-10, 38))
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
