"""Shapes of an answer: sentences, lists, paragraphs, lines, JSON and more; each program begins an `Order`."""

from __future__ import annotations

import re
from collections.abc import Callable

from eval.suite.draft import Draft
from eval.suite.orders.demands import Order
from eval.suite.orders.topics import RECORDS, SEPARATORS, THINGS, Topic

Shape = Callable[[Draft, Topic], Order]


def _text(draft: Draft, topic: Topic, long: bool = False) -> str:
    """A request for a text, in Chinese for one paragraph unless it is long."""
    size = "一篇" if long else "一段"
    what = "短文" if long else "话"
    return draft.either(
        draft.pick([f"请写{size}关于{topic.zh}的短文", f"请介绍一下{topic.zh}", f"请以“{topic.zh}”为题写{size}{what}"]),
        draft.pick(
            [
                f"Write a short text about {topic.en}",
                f"Tell me something about {topic.en}",
                f"Write something on the subject of {topic.en}",
            ]
        ),
    )


def _advice(draft: Draft, topic: Topic) -> str:
    return draft.either(
        draft.pick([f"请就“{topic.zh}”这个话题提出几点想法", f"关于{topic.zh}，请给出几条建议或看法"]),
        draft.pick([f"Give some thoughts about {topic.en}", f"Make some points about {topic.en}"]),
    )


def sentences(draft: Draft, topic: Topic) -> Order:
    """So many sentences."""
    order = Order("sentences", _text(draft, topic), draft.number(2, 4 + draft.level // 2))
    order.demand(
        draft.either(f"正好{order.count}句话", f"use exactly {order.count} sentences"),
        {"type": "exact_sentences", "value": order.count},
    )
    return order


def numbered(draft: Draft, topic: Topic) -> Order:
    """A numbered list."""
    order = Order("numbered", _advice(draft, topic), draft.number(3, 5 + draft.level), banned=frozenset({"no_digits"}))
    order.demand(
        draft.either(
            f"正好列出{order.count}条，每条占一行，用“1.”“2.”这样的数字编号开头",
            f'list exactly {order.count} points, one a line, each beginning with its number as in "1."',
        ),
        {"type": "exact_items", "value": order.count, "style": "numbered"},
    )
    return order


def bullets(draft: Draft, topic: Topic) -> Order:
    """A list with bullets."""
    order = Order("bullets", _advice(draft, topic), draft.number(3, 5 + draft.level))
    order.demand(
        draft.either(
            f"正好列出{order.count}条，每条占一行，以“- ”开头",
            f'list exactly {order.count} points, one a line, each beginning with "- "',
        ),
        {"type": "exact_items", "value": order.count, "style": "bulleted"},
    )
    return order


def paragraphs(draft: Draft, topic: Topic) -> Order:
    """Paragraphs with a blank line between them."""
    order = Order("paragraphs", _text(draft, topic, long=True), draft.number(2, 3 + draft.level // 2))
    order.demand(
        draft.either(
            f"正好{order.count}个自然段，段与段之间空一行",
            f"use exactly {order.count} paragraphs with a blank line between them",
        ),
        {"type": "exact_paragraphs", "value": order.count},
    )
    return order


def lines(draft: Draft, topic: Topic) -> Order:
    """So many lines without numbers: slogans or a poem."""
    request = draft.either(
        draft.pick([f"请为“{topic.zh}”写几条宣传语", f"请写一首关于{topic.zh}的小诗"]),
        draft.pick([f"Write some slogans for {topic.en}", f"Write a short poem about {topic.en}"]),
    )
    order = Order("lines", request, draft.number(3, 5 + draft.level))
    order.demand(
        draft.either(
            f"正好{order.count}行，不要标题，不要空行",
            f"write exactly {order.count} lines, with neither a title nor blank lines",
        ),
        {"type": "exact_lines", "value": order.count},
        {"type": "exact_paragraphs", "value": 1},
    )
    return order


def amount(draft: Draft, topic: Topic) -> Order:
    """A text whose length lies between two bounds."""
    low = draft.either(draft.number(40, 120, 10), draft.number(30, 90, 5))
    high = low + draft.either(draft.number(20, 50, 10), draft.number(10, 30, 5))
    order = Order("amount", _text(draft, topic), banned=frozenset({"length"}), shortest=low, longest=high)
    kind = draft.either("chars", "words")
    order.demand(
        draft.either(f"全文（含标点）在{low}到{high}个字之间", f"use between {low} and {high} words"),
        {"type": f"min_{kind}", "value": low},
        {"type": f"max_{kind}", "value": high},
    )
    return order


def record(draft: Draft, topic: Topic) -> Order:
    """A JSON object with given keys."""
    zh, en, keys = draft.pick(RECORDS)
    some = draft.some(keys, draft.number(2, 5))
    request = draft.either(
        f"请虚构{zh}的信息，并与“{topic.zh}”有关", f"Invent the data of {en} that has to do with {topic.en}"
    )
    banned = {"no_comma", "opening", "closing", "length", "no_digits"}
    order = Order("record", request, len(some), banned=frozenset(banned))
    shown = ", ".join(f'"{key}"' for key in some)
    order.demand(
        draft.either(
            f"只输出一个JSON对象，键正好是{shown}，不要放进代码块，也不要写其他内容",
            f"answer with one JSON object only, with exactly the keys {shown}, without a code block and without anything else",
        ),
        {"type": "json", "kind": "object", "keys": some},
    )
    return order


def names(draft: Draft, topic: Topic) -> Order:
    """Several words with a separator between them, and nothing else."""
    zh, en = draft.pick(THINGS)
    mark, called = draft.pick(SEPARATORS[draft.language])
    banned = {"words", "frequent", "forbidden", "opening", "closing", "length"}
    order = Order("names", draft.either(f"请列举几种{zh}" if zh not in ("国家", "城市") else f"请列举几个{zh}", f"Name some {en}"),
                  draft.number(3, 12), banned=frozenset(banned))  # fmt: skip
    order.demand(
        draft.either(
            f"正好{order.count}个，写在一行里，用{called}隔开，不要写其他内容",
            f"give exactly {order.count}, on one line, separated by {called}, and write nothing else",
        ),
        {"type": "exact_parts", "value": order.count, "separator": mark},
        {"type": "exact_lines", "value": 1},
    )
    if draft.level >= 3:
        # Twelve drinks of three characters each would ask for a dictionary.
        few = draft.number(2, 3) if order.count <= 6 else 2
        body = rf"[一-鿿]{{{few}}}" if draft.zh else r"[A-Za-z]+"
        order.demand(
            draft.either(f"每个名称正好{few}个汉字", "let every name be a single word of letters"),
            {"type": "regex", "value": rf"\A{body}(?:\s*{re.escape(mark.strip())}\s*{body})*[。.]?\Z"},
        )
    return order


def titled(draft: Draft, topic: Topic) -> Order:
    """A title in double angle brackets on the first line, then so many sentences."""
    order = Order("titled", _text(draft, topic, long=True), draft.number(2, 5), banned=frozenset({"opening"}))
    order.demand(
        draft.either(
            "第一行只写标题，并用双尖括号括起来，如<<标题>>",
            "write a title alone on the first line, in double angle brackets, as in <<title>>",
        ),
        {"type": "regex", "value": r"\A<<[^<>\n]+>>[ \t]*\n\s*\S"},
    )
    return order


def postscript(draft: Draft, topic: Topic) -> Order:
    """A text that closes with a postscript on a line of its own."""
    mark = draft.either(draft.pick(["附言：", "又及：", "备注："]), draft.pick(["P.S.", "P.P.S.", "Note:"]))
    order = Order("postscript", _text(draft, topic, long=True), draft.number(2, 5), banned=frozenset({"closing"}))
    order.demand(
        draft.either(
            f"最后另起一行，以“{mark}”开头补充一句话",
            f'add one more sentence on a line of its own at the end, beginning with "{mark}"',
        ),
        {"type": "regex", "value": rf"\S\s*\n\s*{re.escape(mark)}\s*[^\s][^\n]*\Z"},
    )
    return order


def echo(draft: Draft, topic: Topic) -> Order:
    """The request repeated word for word before it is answered."""
    sentence = draft.either(
        draft.pick([f"怎样看待{topic.zh}这件事？", f"{topic.zh}有什么特别之处？", f"关于{topic.zh}，最重要的是什么？"]),
        draft.pick(
            [
                f"What should one know about {topic.en}?",
                f"What is special about {topic.en}?",
                f"Why do people care about {topic.en}?",
            ]
        ),
    )
    order = Order("echo", sentence, draft.number(1, 4), banned=frozenset({"opening", "no_comma", "forbidden"}))
    order.demand(
        draft.either(
            "先一字不差地重复上面的问题，再另起一行回答",
            "first repeat the question above word for word, then answer it on a new line",
        ),
        {"type": "regex", "value": rf"\A{re.escape(sentence)}\s*\n\s*\S"},
    )
    return order


def gaps(draft: Draft, topic: Topic) -> Order:
    """A form letter with places in square brackets."""
    count = draft.number(2, 3 + draft.level)
    request = draft.either(
        f"请写一封与“{topic.zh}”有关的通知模板", f"Write the template of a notice that has to do with {topic.en}"
    )
    order = Order("gaps", request, count)
    order.demand(
        draft.either(
            f"至少留出{count}处待填写的内容，每处写在方括号里，如[姓名]",
            f"leave at least {count} places to be filled in, each in square brackets, as in [name]",
        ),
        {"type": "regex", "value": rf"(?s)(?:\[[^\[\]\n]+\].*?){{{count}}}"},
    )
    return order


def parts(draft: Draft, topic: Topic) -> Order:
    """Sections with given headings, in order."""
    count = draft.number(2, 2 + (draft.level + 1) // 2)
    label = draft.either(draft.pick(["第{}部分", "【{}】"]), draft.pick(["Part {}", "SECTION {}"]))
    ordinals = draft.either("一二三四五", "12345")
    heads = [label.format(ordinals[k]) for k in range(count)]
    order = Order(
        "parts",
        _text(draft, topic, long=True),
        count,
        banned=frozenset({"opening"} if draft.zh else {"opening", "no_digits"}),
    )
    order.demand(
        draft.either(
            f"分成{count}个部分，各部分依次以{'、'.join(f'“{h}”' for h in heads)}开头，除此之外不要出现这些标记",
            f"divide it into {count} parts that begin with {', '.join(f'{chr(34)}{h}{chr(34)}' for h in heads)}, in this order, and use these marks nowhere else",
        ),
        {"type": "starts_with", "value": heads[0]},
        {"type": "in_order", "value": heads},
        *({"type": "occurrences", "value": head, "min": 1, "max": 1} for head in heads),
    )
    return order


SHAPES: dict[str, Shape] = {
    "sentences": sentences, "numbered": numbered, "bullets": bullets, "paragraphs": paragraphs, "lines": lines, "amount": amount,
    "record": record, "names": names, "titled": titled, "postscript": postscript, "echo": echo, "gaps": gaps, "parts": parts,
}  # fmt: skip
