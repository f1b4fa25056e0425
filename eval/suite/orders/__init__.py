"""Instructions that a program can check, in the manner of IFEval (Zhou et al. 2023): `orders(count)`.

Each begins with a shape of the answer; with the level grows the number of further demands, from none to four.
"""

from __future__ import annotations

from typing import Any

from eval.suite.draft import Draft, Program, rows
from eval.suite.orders.demands import DEMANDS, Order, add_demands
from eval.suite.orders.shapes import SHAPES, Shape
from eval.suite.orders.topics import TOPICS


def order(draft: Draft, shape: Shape) -> Order:
    """One instruction in parts."""
    topic = draft.pick(TOPICS)
    begun = shape(draft, topic)
    free = len([name for name in DEMANDS if name not in begun.banned])
    add_demands(draft, begun, topic, min(draft.level - 1, free))
    return begun


def worded(draft: Draft, order: Order) -> str:
    """The text of an instruction, its demands in a sentence or in a list."""
    asked = order.request.rstrip("？?")
    mark = order.request[len(asked) :]
    if draft.pick([True, False]) or len(order.wording) == 1:
        if mark:
            end = draft.either("要求：" + "；".join(order.wording) + "。", _sentence("; ".join(order.wording)))
            return draft.either(f"{order.request}\n{end}", f"{order.request}\n{end}")
        listed = draft.either("；".join(order.wording), "; ".join(order.wording))
        return draft.either(f"{order.request}，要求：{listed}。", f"{order.request}. {_sentence(listed)}")
    bullets = "\n".join(draft.either(f"- {one}；", f"- {_sentence(one)}") for one in order.wording)
    if draft.zh:
        bullets = bullets[:-1] + "。"
    return draft.either(
        f"{order.request}{'' if mark else '。'}\n要求：\n{bullets}",
        f"{order.request}{'' if mark else '.'}\nObey these rules:\n{bullets}",
    )


def _sentence(text: str) -> str:
    """As a sentence; one that ends in a quoted sentence has its full stop."""
    ended = text.endswith(('."', '?"'))
    return f"{text[0].upper()}{text[1:]}{'' if ended else '.'}"


def _program(shape: Shape) -> Program:
    def write(draft: Draft) -> dict[str, Any]:
        made = order(draft, shape)
        return {"question": worded(draft, made), "constraints": [dict(one) for one in made.constraints]}

    return write


PROGRAMS: dict[str, Program] = {name: _program(shape) for name, shape in SHAPES.items()}


def orders(count: int) -> list[dict[str, Any]]:
    """The first `count` instructions: `id`, `stratum`, `question` and `constraints`."""
    return rows("order", PROGRAMS, count)
