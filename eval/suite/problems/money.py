"""Word problems about money: shopping, prices that change, saving."""

from __future__ import annotations

from typing import Any

from eval.suite.draft import Draft, problem
from eval.suite.words import GOODS, NAMES, Good


def _money(draft: Draft, amount: int) -> str:
    return draft.either(f"{amount}元", f"${amount}")


def shopping(draft: Draft) -> dict[str, Any]:
    """Several goods, then an offer, a discount, a voucher; the change, or each friend's share."""
    buyer, *_ = draft.some(NAMES[draft.language], 1)
    goods = draft.some(GOODS, draft.by_level(1, 2, 3, 4, 5))
    offer, cut, voucher, shared = draft.level >= 4, draft.level in (3, 5), draft.level >= 4, draft.level == 5
    percent = draft.pick([90, 80, 75, 60]) if cut else 100
    off = draft.number(5, 30) if voucher else 0
    friends = draft.number(3, 6) if shared else 1

    def bought() -> list[tuple[Good, int, int]]:
        return [
            (good, 4 * draft.number(1, 3) if offer and not i else draft.number(2, 4 + 2 * draft.level),
             draft.number(3, 9 + 4 * draft.level))
            for i, good in enumerate(goods)
        ]  # fmt: skip

    def total(basket: list[tuple[Good, int, int]]) -> int:
        return sum((count * 3 // 4 if offer and not i else count) * price for i, (_, count, price) in enumerate(basket))

    basket = draft.until(
        bought,
        lambda some: (
            total(some) * percent % 100 == 0
            and total(some) * percent // 100 > off + 20
            and (total(some) * percent // 100 - off) % friends == 0
        ),
    )
    listed = [
        draft.either(f"{count}{g.measure}{g.zh}（每{g.measure}{price}元）", f"{count} {g.en} at ${price} each")
        for g, count, price in basket
    ]
    draft.say(f"{buyer}在商店买了{'、'.join(listed)}。", f"At a shop {buyer} takes {_series(listed)}.")
    sums = []
    for i, (good, count, price) in enumerate(basket):
        if offer and not i:
            draft.say(
                f"{good.zh}正在促销，每拿4{good.measure}只收3{good.measure}的钱。",
                f"The {good.en} are on offer: of every 4 taken, only 3 are paid for.",
            )
            count = draft.step(f"{count}*3/4", count * 3 // 4)
        sums.append(draft.step(f"{count}*{price}", count * price))
    paid = draft.step("+".join(map(str, sums)), sum(sums)) if len(sums) > 1 else sums[0]
    if cut:
        draft.say(
            f"收银时全部商品按原价的{percent}%付款。", f"At the till everything is sold for {percent}% of its price."
        )
        paid = draft.step(f"{paid}*{percent}/100", paid * percent // 100)
    if voucher:
        first = draft.either("然后" if cut else "", "Then " if cut else "")
        voucher_en = "a voucher takes" if cut else "A voucher takes"
        draft.say(f"{first}一张优惠券再减{off}元。", f"{first}{voucher_en} another ${off} off the bill.")
        paid = draft.step(f"{paid}-{off}", paid - off)
    if shared:
        each = draft.step(f"{paid}/{friends}", paid // friends)
        return problem(
            draft,
            f"这笔钱由{friends}位朋友平均分摊，每人要付多少元？",
            f"{friends} friends share the bill equally. How many dollars does each of them pay?",
            each,
        )
    note = next(n for n in (50, 100, 200, 300, 500, 1000, 2000, 5000) if n > paid)
    change = draft.step(f"{note}-{paid}", note - paid)
    return problem(
        draft,
        f"{buyer}付了{note}元，应找回多少元？",
        f"{buyer} pays with ${note}. How many dollars of change are due?",
        change,
    )


def _series(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


_THINGS = [
    ("一台洗衣机", "A washing machine"), ("一辆电动车", "An electric scooter"), ("一部手机", "A phone"),
    ("一张沙发", "A sofa"), ("一台冰箱", "A fridge"), ("一架钢琴", "A piano"), ("一台电脑", "A computer"),
    ("一张床", "A bed"), ("一台空调", "An air conditioner"), ("一块手表", "A watch"),
]  # fmt: skip
_SEASONS = [("春天", "In spring"), ("夏天", "in summer"), ("秋天", "in autumn"), ("冬天", "in winter")]


def prices(draft: Draft) -> dict[str, Any]:
    """A price that rises and falls by percents; forwards, with fees, or back to where it began."""
    thing_zh, thing_en = draft.pick(_THINGS)
    changes = draft.by_level(1, 2, 2, 3, 3)
    percents = [10, 20, 25, 40, 50] if changes < 3 else [10, 20, 25, 50]

    def draw() -> tuple[int, list[int]]:
        start = draft.number(200, 2000 * draft.level, 20)
        return start, [draft.pick([1, -1]) * p for p in draft.some(percents, changes)]

    def whole(drawn: tuple[int, list[int]]) -> bool:
        value, steps = drawn
        for percent in steps:
            if value * (100 + percent) % 100:
                return False
            value = value * (100 + percent) // 100
        return True

    start, changed = draft.until(draw, whole)
    if draft.level == 5:
        return _price_before(draft, thing_zh, thing_en, start, changed)
    draft.say(f"{thing_zh}原价{start}元。", f"{thing_en} costs ${start} at first.")
    value = start
    for (zh, en), percent in zip(_SEASONS, changed, strict=False):
        draft.say(
            f"{zh}价格比之前{'上涨' if percent > 0 else '下降'}了{abs(percent)}%。",
            f"{en[0].upper()}{en[1:]} the price {'rises' if percent > 0 else 'falls'} by {abs(percent)}%.",
        )
        value = draft.step(f"{value}*{100 + percent}/100", value * (100 + percent) // 100)
    if draft.level < 3:
        return problem(draft, "现在的价格是多少元？", "How many dollars does it cost now?", value)
    fee, count = draft.number(15, 90), draft.number(2, 2 + draft.level)
    draft.say(
        f"现在有人按这个价格买了{count}件，并且每件另付{fee}元运费。",
        f"Now somebody buys {count} of them at this price and pays ${fee} of delivery for each.",
    )
    one = draft.step(f"{value}+{fee}", value + fee)
    paid = draft.step(f"{one}*{count}", one * count)
    if draft.level == 3:
        return problem(draft, "一共要付多少元？", "How many dollars is that in all?", paid)
    before = draft.step(f"{start}*{count}", start * count)
    change = draft.step(f"{max(paid, before)}-{min(paid, before)}", abs(paid - before))
    return problem(
        draft,
        "这笔总花费与按最初的原价购买同样多件（不付运费）相比，相差多少元？",
        "By how many dollars does this total differ from what as many of them would have cost at first, without delivery?",
        change,
    )


def _price_before(draft: Draft, thing_zh: str, thing_en: str, start: int, changed: list[int]) -> dict[str, Any]:
    draft.say(f"{thing_zh}的价格变动了几次。", f"{thing_en} changed its price several times.")
    value = start
    for (zh, en), percent in zip(_SEASONS, changed, strict=False):
        draft.say(
            f"{zh}比之前{'上涨' if percent > 0 else '下降'}了{abs(percent)}%。",
            f"{en[0].upper()}{en[1:]} it {'rose' if percent > 0 else 'fell'} by {abs(percent)}%.",
        )
        value = value * (100 + percent) // 100
    last = value
    fee = draft.number(20, 150)
    for percent in reversed(changed):
        before = value * 100 // (100 + percent)
        value = draft.step(f"{value}/({100 + percent}/100)", before)
    first = draft.step(f"{value}+{fee}", value + fee)
    draft.say(
        f"经过这些变动，现在的价格是{last}元。",
        f"After these changes it costs ${last}.",
    )
    return problem(
        draft,
        f"如果在所有变动之前购买，并另付{fee}元安装费，一共要付多少元？",
        f"How many dollars would it have cost before all the changes, with ${fee} for installing it on top?",
        first,
    )


def savings(draft: Draft) -> dict[str, Any]:
    """Saving week by week: what there is, when it is enough, when one saver overtakes another."""
    a, b = draft.some(NAMES[draft.language], 2)
    start, weekly, weeks = draft.number(20, 150), draft.number(12, 20 + 10 * draft.level), draft.number(4, 15)
    draft.say(f"{a}有{start}元积蓄，每周存{weekly}元。", f"{a} has ${start} and saves ${weekly} every week.")
    if draft.level <= 2:
        saved = draft.step(f"{weekly}*{weeks}", weekly * weeks)
        total = draft.step(f"{start}+{saved}", start + saved)
        draft.say(f"存了{weeks}周。", f"This goes on for {weeks} weeks.")
        if draft.level == 2:
            spent = draft.number(15, total - 5)
            draft.say(f"之后花{spent}元买了一份礼物。", f"After that ${spent} go into a present.")
            total = draft.step(f"{total}-{spent}", total - spent)
        return problem(draft, f"{a}现在有多少元？", f"How many dollars does {a} have now?", total)
    if draft.level == 3:
        net_cost = draft.number(3, weekly - 5)
        net = draft.step(f"{weekly}-{net_cost}", weekly - net_cost)
        goal = start + net * weeks
        draft.say(
            f"不过每周要从中拿出{net_cost}元坐车，目标是攒够{goal}元。",
            f"But ${net_cost} of it go to bus tickets each week, and the goal is to own ${goal}.",
        )
        missing = draft.step(f"{goal}-{start}", goal - start)
        return problem(
            draft,
            f"{a}还需要多少周才能攒够？",
            f"How many weeks does it take {a} to reach the goal?",
            draft.step(f"{missing}/{net}", weeks),
        )
    return _overtaking(draft, a, b, start, weekly, weeks)


def _overtaking(draft: Draft, a: str, b: str, start: int, weekly: int, weeks: int) -> dict[str, Any]:
    """Level 4: when both own the same. Level 5: what they own together some weeks later, one of them saving more."""
    faster = weekly + draft.number(3, 12)
    alone = draft.number(2, 4)
    behind = (faster - weekly) * weeks
    b_start = start + weekly * alone - behind
    while b_start < 5:
        start += 60
        b_start += 60
    draft.sentences.clear()
    draft.say(f"{a}有{start}元积蓄，每周存{weekly}元。", f"{a} has ${start} and saves ${weekly} every week.")
    draft.say(
        f"{alone}周之后，{b}手里有{b_start}元，也开始存钱，每周存{faster}元。",
        f"After {alone} weeks {b}, who has ${b_start}, begins to save too, ${faster} every week.",
    )
    added = draft.step(f"{weekly}*{alone}", weekly * alone)
    a_then = draft.step(f"{start}+{added}", start + added)
    gap = draft.step(f"{a_then}-{b_start}", a_then - b_start)
    rate = draft.step(f"{faster}-{weekly}", faster - weekly)
    met = draft.step(f"{gap}/{rate}", weeks)
    if draft.level == 4:
        return problem(
            draft,
            f"从{b}开始存钱算起，多少周后两人的钱一样多？",
            f"How many weeks after {b} begins do they own the same?",
            met,
        )
    more, raised = draft.number(3, 9), draft.number(2, 10)
    draft.say(
        f"到两人的钱一样多的那一周为止都没有变化；从那以后，{a}每周比原来多存{raised}元，{b}照旧。",
        f"Nothing changes up to the week in which they own the same; from then on {a} saves ${raised} more a week than "
        f"before, and {b} goes on as before.",
    )
    both_added = draft.step(f"{faster}*{met}", faster * met)
    at_meeting = draft.step(f"{b_start}+{both_added}", b_start + both_added)
    new_rate = draft.step(f"{weekly}+{raised}", weekly + raised)
    together = draft.step(f"{new_rate}+{faster}", new_rate + faster)
    later = draft.step(f"{together}*{more}", together * more)
    return problem(
        draft,
        f"那一周之后再过{more}周，两人一共有多少元？",
        f"How many dollars do they own together {more} weeks after that?",
        draft.step(f"{at_meeting}*2+{later}", 2 * at_meeting + later),
    )
