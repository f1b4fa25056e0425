"""Word problems about amounts: a store that fills and empties, who has how many, packing, making."""

from __future__ import annotations

import itertools
from typing import Any

from eval.suite.draft import Draft, problem
from eval.suite.words import COLLECTED, MADE, NAMES, STORED, WEEKDAYS, Good


def stock(draft: Draft) -> dict[str, Any]:
    """What is left in a store after deliveries and sales, some of them a fraction of what is there."""
    good = draft.pick(STORED)
    held = draft.number(60, 120 + 60 * draft.level, 12)
    draft.say(f"仓库里有{held}{good.measure}{good.zh}。", f"A warehouse holds {held} {good.en}.")
    days = draft.by_level(2, 3, 4, 6, 7)
    moves: list[str] = []
    for zh, en in WEEKDAYS[:days]:
        held, move = _move(draft, good, held, zh, en, moves[-1:] or [""])
        moves.append(move)
    if draft.level >= 4:
        visitors = draft.number(11, 59)
        draft.sentences.insert(
            draft.number(2, days - 1),
            draft.either(
                f"这一周共有{visitors}位客户来参观过仓库。", f"In that week {visitors} customers visit the place."
            ),
        )
    return problem(
        draft,
        f"最后仓库里还有多少{good.measure}{good.zh}？",
        f"How many {good.en} are in the warehouse at the end?",
        held,
    )


def _move(draft: Draft, good: Good, held: int, zh: str, en: str, before: list[str]) -> tuple[int, str]:
    """One day: what is held after it, and its kind; a day is of another kind than the day before."""
    parts = [k for k in (2, 3, 4, 5) if held % k == 0 and held // k > 10]
    kinds = [k for k in ("in", "loads", "out", "share") if k not in before]
    kind = draft.pick([k for k in kinds if (k != "share" or parts) and (k != "out" or held > 40)])
    if kind == "in":
        count = draft.number(15, 90)
        draft.say(f"{zh}运进{count}{good.measure}。", f"On {en} {count} more arrive.")
        return draft.step(f"{held}+{count}", held + count), kind
    if kind == "loads":
        loads, each = draft.number(2, 6), draft.number(8, 25)
        draft.say(
            f"{zh}来了{loads}辆车，每辆车运来{each}{good.measure}。", f"On {en} {loads} trucks bring {each} each."
        )
        return draft.step(f"{held}+{loads}*{each}", held + loads * each), kind
    if kind == "out":
        count = draft.number(12, held // 2)
        draft.say(f"{zh}卖出{count}{good.measure}。", f"On {en} {count} are sold.")
        return draft.step(f"{held}-{count}", held - count), kind
    part = draft.pick(parts)
    names = {2: ("一半", "half"), 3: ("三分之一", "a third"), 4: ("四分之一", "a quarter"), 5: ("五分之一", "a fifth")}
    share_zh, share_en = names[part]
    draft.say(f"{zh}卖出当时库存的{share_zh}。", f"On {en} {share_en} of what is there is sold.")
    return draft.step(f"{held}-{held}/{part}", held - held // part), kind


def comparison(draft: Draft) -> dict[str, Any]:
    """Who has how many more, fewer, times or half as many as somebody else; from level 4 on in any order."""
    thing = draft.pick(COLLECTED)
    people = draft.some(NAMES[draft.language], draft.by_level(2, 3, 4, 5, 6))
    first = draft.number(8, 20 + 10 * draft.level)
    amounts, said, kinds = [first], [], [""]
    said.append(draft.either(f"{people[0]}有{first}{thing.measure}{thing.zh}", f"{people[0]} has {first} {thing.en}"))
    for before, person in itertools.pairwise(people):
        amount, sentence, kind = _related(draft, thing, amounts[-1], before, person, kinds[-1])
        amounts.append(amount)
        said.append(sentence)
        kinds.append(kind)
    if draft.level >= 4:
        draft.rng.shuffle(said)
    draft.sentences += [draft.either(f"{sentence}。", f"{sentence}.") for sentence in said]
    if draft.level in (2, 4):
        difference = abs(amounts[-1] - amounts[0])
        if difference:
            high, low = max(amounts[-1], amounts[0]), min(amounts[-1], amounts[0])
            return problem(
                draft,
                f"{people[0]}和{people[-1]}的{thing.zh}相差多少{thing.measure}？",
                f"By how many {thing.en} do {people[0]} and {people[-1]} differ?",
                draft.step(f"{high}-{low}", difference),
            )
    total = draft.step("+".join(map(str, amounts)), sum(amounts))
    return problem(
        draft,
        f"{'两人' if len(people) == 2 else f'{len(people)}个人'}一共有多少{thing.measure}{thing.zh}？",
        f"How many {thing.en} do {'the two' if len(people) == 2 else f'the {len(people)}'} of them have together?",
        total,
    )


def _related(draft: Draft, thing: Good, amount: int, of: str, who: str, before: str) -> tuple[int, str, str]:
    kinds = ["more", "times", "times_and", "fewer", "half"]
    possible = {
        "more": True, "fewer": amount > 12, "half": amount % 2 == 0 and amount > 15, "times": amount < 60,
        "times_and": amount < 60,
    }  # fmt: skip
    kind = draft.pick([k for k in kinds if possible[k] and k != before])
    by = draft.number(3, min(25, amount - 4) if kind == "fewer" else 25)
    times = draft.number(2, 4)
    times_en = {2: "twice", 3: "3 times", 4: "4 times"}[times]
    m, zh, en = thing.measure, thing.zh, thing.en
    if kind == "more":
        value = draft.step(f"{amount}+{by}", amount + by)
        return value, draft.either(f"{who}的{zh}比{of}多{by}{m}", f"{who} has {by} more {en} than {of}"), kind
    if kind == "fewer":
        value = draft.step(f"{amount}-{by}", amount - by)
        return value, draft.either(f"{who}的{zh}比{of}少{by}{m}", f"{who} has {by} fewer {en} than {of}"), kind
    if kind == "half":
        value = draft.step(f"{amount}/2", amount // 2)
        return value, draft.either(f"{who}的{zh}数量是{of}的一半", f"{who} has half as many {en} as {of}"), kind
    if kind == "times":
        value = draft.step(f"{amount}*{times}", amount * times)
        return (
            value,
            draft.either(f"{who}的{zh}数量是{of}的{times}倍", f"{who} has {times_en} as many {en} as {of}"),
            kind,
        )
    value = draft.step(f"{amount}*{times}+{by}", amount * times + by)
    return (
        value,
        draft.either(
            f"{who}的{zh}数量比{of}的{times}倍还多{by}{m}", f"{who} has {by} more than {times_en} as many {en} as {of}"
        ),
        kind,
    )


def packing(draft: Draft) -> dict[str, Any]:
    """How many boxes, then how many trips, then what they cost; a box that is not full is a box."""
    thing = draft.pick(MADE)
    sources = draft.by_level(1, 2, 2, 3, 3)
    places = draft.some([("东区", "eastern"), ("西区", "western"), ("南区", "southern"), ("北区", "northern")], sources)
    counts = []
    for zh, en in places:
        shelves, each = draft.number(4, 8 + 2 * draft.level), draft.number(12, 18 + 6 * draft.level)
        draft.say(
            f"{zh}有{shelves}个货架，每个货架上有{each}{thing.measure}{thing.zh}。",
            f"The {en} hall has {shelves} shelves with {each} {thing.en} each.",
        )
        counts.append(draft.step(f"{shelves}*{each}", shelves * each))
    total = draft.step("+".join(map(str, counts)), sum(counts)) if sources > 1 else counts[0]
    if draft.level >= 3:
        broken = draft.number(6, 35)
        draft.say(
            f"检查时发现其中{broken}{thing.measure}不合格，不能装箱。",
            f"{broken} of them fail a check and are not packed.",
        )
        total = draft.step(f"{total}-{broken}", total - broken)
    each = draft.until(lambda: draft.number(6, 16), lambda n: (total % n == 0) == (draft.level == 1) or draft.level > 2)
    draft.say(f"每个箱子最多装{each}{thing.measure}。", f"A box holds at most {each}.")
    boxes = _ceil(draft, total, each)
    if draft.level <= 3:
        return problem(
            draft,
            f"要把{'合格的' if draft.level == 3 else ''}{thing.zh}全部装箱，至少需要多少个箱子？",
            f"How many boxes are needed at least to pack all the {thing.en}{' that passed' if draft.level == 3 else ''}?",
            boxes,
        )
    load = draft.number(5, 12)
    draft.say(f"一辆小货车一次最多运{load}个箱子。", f"A van carries at most {load} boxes at a time.")
    trips = _ceil(draft, boxes, load)
    if draft.level == 4:
        return problem(
            draft, "至少要运多少次才能运完？", "How many trips are needed at least to carry all the boxes?", trips
        )
    box_price, trip_price = draft.number(2, 9), draft.number(25, 80)
    draft.say(f"每个箱子{box_price}元，每运一次{trip_price}元。", f"A box costs ${box_price} and a trip ${trip_price}.")
    return problem(
        draft,
        "按最少的箱子和最少的次数计算，一共要花多少元？",
        "How many dollars does it cost in all, with as few boxes and trips as possible?",
        draft.step(f"{boxes}*{box_price}+{trips}*{trip_price}", boxes * box_price + trips * trip_price),
    )


def _ceil(draft: Draft, total: int, each: int) -> int:
    whole, rest = divmod(total, each)
    if not rest:
        return draft.step(f"{total}/{each}", whole)
    full = draft.step(f"{total}//{each}", whole)
    return draft.step(f"{full}+1", whole + 1)


def production(draft: Draft) -> dict[str, Any]:
    """Machines that make so many an hour, more of them later, some of it rejected; how much, or how many days."""
    thing = draft.pick(MADE)
    machines, rate, hours = draft.number(3, 8), draft.number(4, 8 + 3 * draft.level), draft.number(5, 9)
    draft.say(
        f"工厂有{machines}台机器，每台每小时生产{rate}{thing.measure}{thing.zh}，每天工作{hours}小时。",
        f"A factory has {machines} machines. Each makes {rate} {thing.en} an hour and runs {hours} hours a day.",
    )
    hourly = draft.step(f"{machines}*{rate}", machines * rate)
    daily = draft.step(f"{hourly}*{hours}", hourly * hours)
    if draft.level == 1:
        return problem(
            draft,
            f"工厂一天生产多少{thing.measure}{thing.zh}？",
            f"How many {thing.en} does the factory make in a day?",
            daily,
        )
    if draft.level == 5:
        rejected = draft.number(4, min(40, daily // 4))
        draft.say(f"每天的产品中有{rejected}{thing.measure}不合格。", f"Of each day's output {rejected} are rejected.")
        daily = draft.step(f"{daily}-{rejected}", daily - rejected)
    days = draft.number(3, 12)
    made = draft.step(f"{daily}*{days}", daily * days)
    if draft.level == 2:
        sold = draft.number(made // 4, made // 2)
        draft.say(
            f"{days}天后，工厂卖出了其中的{sold}{thing.measure}。", f"After {days} days {sold} of them have been sold."
        )
        return problem(
            draft,
            f"还剩多少{thing.measure}{thing.zh}没有卖出？",
            f"How many {thing.en} are still unsold?",
            draft.step(f"{made}-{sold}", made - sold),
        )
    added = draft.number(2, 5)
    more = draft.step(f"{added}*{rate}*{hours}", added * rate * hours)
    faster = draft.step(f"{daily}+{more}", daily + more)
    later = draft.number(4, 14)
    order = made + faster * later
    good_zh = "合格的" if draft.level == 5 else ""
    draft.say(
        f"工厂要完成一份{order}{thing.measure}{good_zh}{thing.zh}的订单。"
        f"生产{days}天后，又增加了{added}台同样的机器{'，不合格的数量没有变' if draft.level == 5 else ''}。",
        f"An order asks for {order} {'good ' if draft.level == 5 else ''}{thing.en}. After {days} days {added} more machines of the same "
        f"kind are added{', and as many as before are rejected each day' if draft.level == 5 else ''}.",
    )
    missing = draft.step(f"{order}-{made}", order - made)
    needed = draft.step(f"{missing}/{faster}", later)
    if draft.level == 3:
        return problem(
            draft, "增加机器后还要多少天才能完成订单？", "How many more days does the order take from then on?", needed
        )
    total_days = draft.step(f"{days}+{needed}", days + needed)
    wage = draft.number(60, 200, 10)
    draft.say(f"每个工作日的电费是{wage}元。", f"Power costs ${wage} a day.")
    return problem(
        draft,
        "从开始到完成订单，电费一共是多少元？",
        "How many dollars of power does the order take from beginning to end?",
        draft.step(f"{total_days}*{wage}", total_days * wage),
    )
