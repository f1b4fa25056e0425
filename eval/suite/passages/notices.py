"""Passages of notices: a programme with changes, fees with exceptions, who is on duty when."""

from __future__ import annotations

from typing import Any

from eval.suite.draft import Draft, passage
from eval.suite.words import FULL_NAMES, WEEKDAYS

_TALKS = [
    ("古桥摄影展", "old bridges photo show"), ("陶艺体验课", "pottery class"), ("儿童故事会", "story hour for children"),
    ("城市观鸟活动", "city birdwatching tour"), ("民乐演奏会", "folk music concert"), ("茶文化讲座", "lecture on tea"),
    ("旧书交换市集", "used book fair"), ("急救知识培训", "first aid course"), ("围棋友谊赛", "Go tournament"),
    ("老电影放映", "old film night"), ("剪纸工作坊", "paper-cutting workshop"), ("星空观测夜", "stargazing night"),
]  # fmt: skip
_ROOMS = [
    ("一号展厅", "Hall One"), ("二楼会议室", "the upstairs meeting room"), ("东侧教室", "the east classroom"),
    ("屋顶花园", "the roof garden"), ("地下小剧场", "the basement theatre"), ("南门广场", "the south square"),
    ("阅览室", "the reading room"), ("多功能厅", "the main auditorium"), ("西侧工作间", "the west studio"),
]  # fmt: skip


def programme(draft: Draft) -> dict[str, Any]:
    """Events with day, time, place and organizer, then corrections; what holds in the end."""
    count = draft.by_level(2, 3, 5, 6, 8)
    i = draft.either(0, 1)
    events = [pair[i] for pair in draft.some(_TALKS, count)]
    rooms = [pair[i] for pair in draft.some(_ROOMS, count)]
    days = [draft.pick(WEEKDAYS)[i] for _ in events]
    hours = [f"{draft.number(9, 19)}:{draft.pick(['00', '15', '30', '45'])}" for _ in events]
    hosts = draft.some(FULL_NAMES[draft.language], count)
    draft.say("文化馆公布了下周的活动安排。", "The culture centre has announced its events for next week.")
    for event, room, day, hour, host in zip(events, rooms, days, hours, hosts, strict=True):
        draft.say(
            f"{event}定于{day}{hour}在{room}举行，由{host}负责。",
            f"The {event} takes place on {day} at {hour} in {room} and is led by {host}.",
        )
    if draft.level == 1:
        who = draft.number(0, count - 1)
        return passage(draft, f"{events[who]}由谁负责？", f"Who leads the {events[who]}?", [hosts[who]])
    changed = draft.some(range(count), draft.by_level(0, 1, 2, 3, 4))
    free = [pair[i] for pair in _ROOMS if pair[i] not in rooms] or [draft.either("北侧车间", "the north workshop")]
    moved_to: dict[int, str] = {}
    draft.say("今天又发布了更正。", "Corrections were made today.")
    for number, who in enumerate(changed):
        if number % 2 == 0:
            new = draft.pick([day[i] for day in WEEKDAYS if day[i] != days[who]])
            draft.say(
                f"{events[who]}改到{new}，时间和地点不变。",
                f"The {events[who]} is moved to {new}, with hour and place as before.",
            )
            days[who] = new
        else:
            # A room is changed for a free one, so that no two events meet in it.
            new = free[number % len(free)]
            draft.say(
                f"{events[who]}改在{new}举行，时间不变。",
                f"The {events[who]} is held in {new} instead, at the same time.",
            )
            rooms[who] = moved_to[who] = new
    if draft.level in (2, 3):
        who = changed[0]
        return passage(
            draft,
            f"{events[who]}最终在星期几举行？",
            f"On which day does the {events[who]} take place in the end?",
            [days[who], days[who].replace("周", "星期")] if draft.zh else [days[who]],
        )
    if draft.level == 4:
        who = changed[1]
        return passage(
            draft,
            f"{hosts[who]}负责的活动最终在哪里举行？",
            f"Where does the event led by {hosts[who]} take place in the end?",
            _place(rooms[who]),
        )
    who = draft.pick([changed[0], changed[2]])
    return passage(
        draft,
        f"{hosts[who]}负责的活动最终在星期几举行？",
        f"On which day does the event led by {hosts[who]} take place in the end?",
        [days[who], days[who].replace("周", "星期")] if draft.zh else [days[who]],
    )


def _place(room: str) -> list[str]:
    """With and without the article or the preposition."""
    return [room, room.removeprefix("the "), f"in {room}"] if room.isascii() else [room, f"在{room}"]


_VISITORS = [
    ("成人", "Adults"), ("学生", "Students"), ("老人", "Seniors"), ("儿童", "Children"), ("残障人士", "Disabled visitors"),
    ("教师", "Teachers"), ("本地居民", "Local residents"), ("团体游客", "Group visitors"),
]  # fmt: skip
_SITES = [
    ("植物园", "botanical garden"),
    ("水族馆", "aquarium"),
    ("博物馆", "museum"),
    ("游泳馆", "swimming hall"),
    ("滑冰场", "ice rink"),
]


def fees(draft: Draft) -> dict[str, Any]:
    """What different visitors pay on different days; who pays what when, or who pays a given fee."""
    count = draft.by_level(2, 3, 4, 6, 8)
    i = draft.either(0, 1)
    site = draft.pick(_SITES)[i]
    kinds = [pair[i] for pair in draft.some(_VISITORS, count)]
    prices = draft.some(range(11, 120), 3 * count)
    week, end, evening = prices[:count], prices[count : 2 * count], prices[2 * count :]
    evenings = draft.level >= 3
    draft.say(f"{site}今年的票价如下。", f"These are the fees of the {site} this year.")
    for kind, a, b, c in zip(kinds, week, end, evening, strict=True):
        if draft.level == 1:
            draft.say(f"{kind}{a}元。", f"{kind} pay {a} dollars.")
        elif evenings:
            draft.say(
                f"{kind}平日白天{a}元，周末白天{b}元，晚上不论哪天都是{c}元。",
                f"{kind} pay {a} dollars on weekdays and {b} dollars at weekends in the daytime, and {c} dollars in the evening on any day.",
            )
        else:
            draft.say(
                f"{kind}平日{a}元，周末{b}元。", f"{kind} pay {a} dollars on weekdays and {b} dollars at weekends."
            )
    who = draft.number(0, count - 1)
    kind = kinds[who] if draft.zh else kinds[who].lower()
    if draft.level == 1:
        return _fee(draft, f"{kind}要付多少元？", f"How many dollars do {kind} pay?", week[who])
    if draft.level == 2:
        weekend = draft.pick([True, False])
        zh, en = ("周六", "Saturday") if weekend else ("周三", "Wednesday")
        return _fee(
            draft,
            f"{kind}{zh}去要付多少元？",
            f"How many dollars do {kind} pay on a {en}?",
            (end if weekend else week)[who],
        )
    dark, weekend = draft.pick([(True, True), (True, False), (False, True), (False, False)])
    zh, en = ("周日", "Sunday") if weekend else ("周二", "Tuesday")
    price = evening[who] if dark else end[who] if weekend else week[who]
    if draft.level == 3:
        return _fee(
            draft,
            f"{kind}{zh}{'晚上8点' if dark else '上午10点'}去要付多少元？",
            f"How many dollars do {kind} pay on a {en} at {'8 in the evening' if dark else '10 in the morning'}?",
            price,
        )
    when_zh, when_en = ("晚上8点", "8 in the evening") if dark else ("上午10点", "10 in the morning")
    table = evening if dark else end if weekend else week
    if draft.level == 4:
        return passage(
            draft,
            f"{zh}{when_zh}去，付{price}元的是哪一类人？",
            f"Which visitors pay {price} dollars on a {en} at {when_en}?",
            [kinds[who]],
        )
    ranked = sorted(range(count), key=lambda k: table[k])
    second = draft.pick([True, False])
    return passage(
        draft,
        f"{zh}{when_zh}去，票价{'第二低' if second else '最高'}的是哪一类人？",
        f"Which visitors pay the {'second lowest' if second else 'highest'} fee on a {en} at {when_en}?",
        [kinds[ranked[1] if second else ranked[-1]]],
    )


def _fee(draft: Draft, zh: str, en: str, price: int) -> dict[str, Any]:
    answers = [f"{price}元", str(price)] if draft.zh else [f"{price} dollars", str(price), f"${price}"]
    return passage(draft, zh, en, answers)


_TASKS = [
    ("浇花", "waters the plants"), ("打扫走廊", "sweeps the corridor"), ("整理书架", "tidies the shelves"),
    ("倒垃圾", "takes out the rubbish"), ("擦黑板", "wipes the board"), ("收发信件", "handles the mail"),
    ("检查门窗", "checks the doors and windows"), ("准备茶水", "makes the tea"),
]  # fmt: skip


def duties(draft: Draft) -> dict[str, Any]:
    """Who does what on which day; some swap, and the swap is what counts."""
    count = draft.by_level(3, 4, 5, 6, 7)
    i = draft.either(0, 1)
    names = draft.some(FULL_NAMES[draft.language], count)
    days = [pair[i] for pair in WEEKDAYS[:count]]
    tasks = [pair[i] for pair in draft.some(_TASKS, min(count, len(_TASKS)))]
    told = draft.some(range(count), count) if draft.level >= 3 else list(range(count))
    for k in told:
        draft.say(f"{days[k]}由{names[k]}{tasks[k]}。", f"On {days[k]} {names[k]} {tasks[k]}.")
    swaps = draft.by_level(0, 1, 1, 2, 3)
    who = list(names)
    touched: list[int] = []
    for number in range(swaps):
        # From the second swap on one side has swapped before, so that the swaps must be followed in order.
        first = draft.pick(touched) if touched and number else draft.number(0, count - 1)
        second = draft.pick([k for k in range(count) if k not in (first, *touched[-2:])])
        draft.say(
            f"{'后来' if number else '不过'}，{days[first]}和{days[second]}值日的两个人互换了日子和工作。",
            f"{'Later' if number else 'However,'} the two people on duty on {days[first]} and {days[second]} changed places, day and work.",
        )
        who[first], who[second] = who[second], who[first]
        touched += [first, second]
    day = draft.pick(touched) if touched else draft.number(0, count - 1)
    if draft.level <= 2:
        return passage(draft, f"{days[day]}最后由谁值日？", f"Who is on duty on {days[day]} in the end?", [who[day]])
    if draft.level == 3:
        task = tasks[day]
        return passage(draft, f"最后由谁{task}？", f"In the end, who {task}?", [who[day]])
    return passage(
        draft,
        f"{who[day]}最后在哪一天值日？",
        f"On which day is {who[day]} on duty in the end?",
        [days[day], days[day].replace("周", "星期")] if draft.zh else [days[day], f"on {days[day]}"],
    )
