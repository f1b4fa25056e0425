"""Passages about places: the history of a building, the stops of a line, figures of several towns."""

from __future__ import annotations

from typing import Any

from eval.suite.draft import Draft, passage

_BUILDINGS = [
    ("老水塔", "old water tower"),
    ("县衙", "town hall"),
    ("纺织厂", "textile mill"),
    ("火车站", "railway station"),
    ("钟楼", "clock tower"),
    ("天主堂", "cathedral"),
    ("茶馆", "tea house"),
    ("灯塔", "lighthouse"),
]
_TOWNS = [
    ("临溪", "Brookfield"),
    ("安平", "Ashford"),
    ("古塘", "Oldpond"),
    ("北屿", "Northisle"),
    ("清浦", "Clearport"),
    ("桐庄", "Oakham"),
]
_EVENTS = [
    ("一场大火烧毁了屋顶", "a fire destroyed its roof"), ("洪水淹没了底层", "a flood filled its ground floor"),
    ("市政府把它买了下来", "the city bought it"), ("它被改成了粮仓", "it was turned into a granary"),
    ("一位商人出资修缮", "a merchant paid for its repair"), ("它被列为保护建筑", "it was listed as a protected building"),
    ("外墙被刷成了黄色", "its walls were painted yellow"), ("装上了电灯", "electric light was installed"),
    ("一所学校搬了进来", "a school moved in"), ("西侧加盖了一间工作室", "a studio was added on its west side"),
    ("它对游客开放", "it was opened to visitors"), ("地震震裂了南墙", "an earthquake cracked its south wall"),
    ("一部电影在这里拍摄", "a film was shot there"), ("它被闲置下来", "it was left empty"),
]  # fmt: skip


def chronicle(draft: Draft) -> dict[str, Any]:
    """Years and what happened in them; when, what came next, or how often years lie apart, told out of order."""
    i = draft.either(0, 1)
    building, town = draft.pick(_BUILDINGS)[i], draft.pick(_TOWNS)[i]
    count = draft.by_level(3, 5, 6, 8, 10)
    years = sorted(draft.some(range(1852, 2016), count + 1))
    events = [pair[i] for pair in draft.some(_EVENTS, count)]
    draft.say(f"{town}的{building}建于{years[0]}年。", f"The {building} of {town} was built in {years[0]}.")
    told = list(range(count))
    if draft.level >= 3:
        draft.rng.shuffle(told)
    for k in told:
        draft.say(f"{years[k + 1]}年，{events[k]}。", f"In {years[k + 1]} {events[k]}.")
    who = draft.number(0, count - 2)
    if draft.level <= 2:
        year = years[who + 1]
        return passage(
            draft,
            f"在哪一年，{events[who]}？",
            f"What is the year in which {events[who]}?",
            [f"{year}年", str(year)] if draft.zh else [str(year)],
        )
    if draft.level == 3:
        return passage(
            draft,
            f"{years[who + 1]}年之后的下一件事发生在哪一年？",
            f"In which year did the next event after {years[who + 1]} happen?",
            [f"{years[who + 2]}年", str(years[who + 2])] if draft.zh else [str(years[who + 2])],
        )
    step = draft.by_level(0, 0, 0, 1, 2)
    who = draft.number(0, count - 1 - step)
    asked = events[who]
    ordinal = draft.either(
        {1: "紧接着的下一件事", 2: "之后的第二件事"}[step], {1: "the next event", 2: "the second event"}[step]
    )
    year = years[who + 1 + step]
    return passage(
        draft,
        f"按时间顺序，“{asked}”{ordinal}发生在哪一年？",
        f"In order of time, in which year did {ordinal} after “{asked}” happen?",
        [f"{year}年", str(year)] if draft.zh else [str(year)],
    )


_STOPS = [
    ("人民广场", "Market Square"), ("体育馆", "Sports Hall"), ("植物园", "Botanical Garden"), ("中心医院", "Central Hospital"),
    ("机械厂", "Machine Works"), ("师范学院", "Teachers College"), ("客运码头", "Ferry Pier"), ("电视塔", "Television Tower"),
    ("果品市场", "Fruit Market"), ("铁路新村", "Railway Village"), ("水上公园", "Water Park"), ("科技馆", "Science Museum"),
    ("老城门", "Old Gate"), ("花园小区", "Garden Estate"), ("气象台", "Weather Station"),
]  # fmt: skip


def route(draft: Draft) -> dict[str, Any]:
    """The stops of a bus line; which comes some stops after another, there or on the way back, with a stop left out."""
    i = draft.either(0, 1)
    count = draft.by_level(4, 6, 8, 10, 12)
    stops = [pair[i] for pair in draft.some(_STOPS, count)]
    line = draft.number(2, 98)
    listed = draft.either("、".join(stops), ", ".join(stops[:-1]) + f" and {stops[-1]}")
    draft.say(
        f"{line}路公交车依次停靠{listed}，到终点后按相反的顺序返回。",
        f"Bus {line} stops at {listed}, in this order, and returns in the opposite order.",
    )
    left_out = None
    if draft.level >= 3:
        left_out = draft.number(2, count - 3)
        draft.say(
            f"因为修路，本月往返都不停靠{stops[left_out]}站。",
            f"Because of road works it does not stop at {stops[left_out]} this month, either way.",
        )
    way = [stop for k, stop in enumerate(stops) if k != left_out]
    back = draft.level >= 4
    if back:
        way.reverse()
    gap = draft.by_level(1, 1, 1, 2, 3)
    if left_out is not None:
        # Around the stop that is left out, where it makes a difference.
        at = next(k for k, stop in enumerate(way) if stop == (stops[left_out + 1] if back else stops[left_out - 1]))
        start = max(0, min(at - draft.number(0, gap - 1), len(way) - 1 - gap))
    else:
        start = draft.number(0, len(way) - 1 - gap)
    counted = draft.either(
        {1: "下一站", 2: "之后的第二站", 3: "之后的第三站"}[gap],
        {1: "next stop", 2: "second stop", 3: "third stop"}[gap],
    )
    where = draft.either("本月返程时，" if back else "本月去程时，" if draft.level == 3 else "", "")
    when_en = " on the way back this month" if back else " this month on the way out" if draft.level == 3 else ""
    return passage(
        draft,
        f"{where}{way[start]}{counted}是哪里？",
        f"Which is the {counted} after {way[start]}{when_en}?",
        [way[start + gap], f"{way[start + gap]}站"] if draft.zh else [way[start + gap]],
    )


_VILLAGES = [
    ("石门村", "Stonegate"), ("柳溪村", "Willowbrook"), ("大田村", "Broadfield"), ("竹园村", "Reedham"), ("桃源村", "Peachwell"),
    ("双井村", "Twinwells"), ("高坡村", "Highbank"), ("梅岭村", "Plumridge"), ("沙湾村", "Sandcove"), ("枫林村", "Maplewood"),
]  # fmt: skip


def survey(draft: Draft) -> dict[str, Any]:
    """Figures of several villages; the figure of one, the village with most, or with most among some."""
    i = draft.either(0, 1)
    count = draft.by_level(3, 4, 5, 7, 9)
    names = [pair[i] for pair in draft.some(_VILLAGES, count)]
    houses, cows = draft.some(range(41, 400), count), draft.some(range(15, 300), count)
    rise = draft.some(range(120, 2400, 10), count)
    school = draft.until(lambda: [draft.pick([True, False]) for _ in names], lambda some: 1 < sum(some) < count)
    for k, name in enumerate(names):
        draft.say(
            f"{name}有{houses[k]}户人家、{cows[k]}头牛，海拔{rise[k]}米，{'有' if school[k] else '没有'}小学。",
            f"{name} has {houses[k]} houses and {cows[k]} cows, lies {rise[k]} metres above the sea, and has {'a' if school[k] else 'no'} primary school.",
        )
    who = draft.number(0, count - 1)
    if draft.level == 1:
        return passage(
            draft,
            f"{names[who]}有多少头牛？",
            f"How many cows does {names[who]} have?",
            [f"{cows[who]}头", f"{cows[who]}头牛", str(cows[who])]
            if draft.zh
            else [str(cows[who]), f"{cows[who]} cows"],
        )
    most = draft.pick([True, False])
    choose = max if most else min
    if draft.level in (2, 3):
        values, zh, en = draft.pick([(houses, "人家", "houses"), (cows, "牛", "cows")])
        best = choose(range(count), key=lambda k: values[k])
        return passage(
            draft,
            f"{zh}最{'多' if most else '少'}的是哪个村？",
            f"Which village has the {'most' if most else 'fewest'} {en}?",
            [names[best]],
        )
    some = [k for k in range(count) if school[k]]
    if draft.level == 4:
        best = choose(some, key=lambda k: rise[k])
        return passage(
            draft,
            f"在有小学的村子中，海拔最{'高' if most else '低'}的是哪个村？",
            f"Of the villages with a primary school, which lies {'highest' if most else 'lowest'}?",
            [names[best]],
        )
    ranked = sorted(range(count), key=lambda k: -cows[k])
    best = ranked[1]
    return passage(
        draft,
        "牛的数量排第二的村子海拔多少米？",
        "How many metres above the sea is the village with the second most cows?",
        [f"{rise[best]}米", str(rise[best])] if draft.zh else [str(rise[best]), f"{rise[best]} metres"],
    )
