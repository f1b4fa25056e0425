"""Word problems about measures: ways and speeds, times of day, areas, averages, ages."""

from __future__ import annotations

from typing import Any

from eval.suite.draft import Draft, problem
from eval.suite.words import NAMES

_VEHICLES = [("一辆货车", "A truck"), ("一辆客车", "A coach"), ("一列火车", "A train"), ("一辆轿车", "A car")]


def travel(draft: Draft) -> dict[str, Any]:
    """Speed, time and way: what is left, the average, and where two that drive towards each other meet."""
    if draft.level == 5:
        return _meeting(draft)
    zh, en = draft.pick(_VEHICLES)
    legs = draft.by_level(1, 2, 3, 3, 3)

    rest = draft.number(1, 2) if draft.level == 4 else 0

    def drawn() -> list[tuple[int, int]]:
        return [(draft.number(40, 110, 5), draft.number(2, 5)) for _ in range(legs)]

    def fits(some: list[tuple[int, int]]) -> bool:
        whole = sum(speed * hours for speed, hours in some) % (sum(hours for _, hours in some) + rest) == 0
        return len({speed for speed, _ in some}) == legs and (whole or draft.level < 4)

    parts = draft.until(drawn, fits)
    ways = []
    for number, (speed, hours) in enumerate(parts):
        starts_zh = [f"{zh}先", "接着", "最后"][number]
        starts_en = [f"{en} drives", "Then it drives", "Finally it drives"][number]
        draft.say(
            f"{starts_zh}以每小时{speed}千米的速度行驶{hours}小时。",
            f"{starts_en} {hours} hours at {speed} km an hour.",
        )
        ways.append(draft.step(f"{speed}*{hours}", speed * hours))
    total = draft.step("+".join(map(str, ways)), sum(ways)) if legs > 1 else ways[0]
    if draft.level == 2:
        return problem(draft, "一共行驶了多少千米？", "How many kilometres is that in all?", total)
    if draft.level in (1, 3):
        whole = total + draft.number(20, 300)
        return problem(
            draft,
            f"全程{whole}千米，还剩多少千米？",
            f"The whole way is {whole} km long. How many kilometres are left?",
            draft.step(f"{whole}-{total}", whole - total),
        )
    draft.say(
        f"途中还停车休息了{rest}小时。",
        f"On the way it also stands still for {rest} {'hour' if rest == 1 else 'hours'}.",
    )
    driven = [hours for _, hours in parts]
    time = draft.step(f"{'+'.join(map(str, driven))}+{rest}", sum(driven) + rest)
    return problem(
        draft,
        "把休息时间也算在内，全程平均每小时行驶多少千米？",
        "With the rest counted, how many kilometres an hour is that on average?",
        draft.step(f"{total}/{time}", total // time),
    )


def _meeting(draft: Draft) -> dict[str, Any]:
    first, second = draft.until(lambda: (draft.number(45, 95, 5), draft.number(45, 95, 5)), lambda p: p[0] != p[1])
    ahead, met, break_km = draft.number(1, 3), draft.number(2, 6), draft.number(10, 40)
    whole = first * ahead + (first + second) * met + break_km
    draft.say(
        f"甲、乙两城相距{whole}千米。货车从甲城开往乙城，每小时行{first}千米；{ahead}小时后，客车从乙城开往甲城，每小时行{second}千米。",
        f"Two towns are {whole} km apart. A truck leaves the first for the second at {first} km an hour; "
        f"{ahead} {'hour' if ahead == 1 else 'hours'} later a coach leaves the second for the first at {second} km an hour.",
    )
    done = draft.step(f"{first}*{ahead}", first * ahead)
    left = draft.step(f"{whole}-{done}", whole - done)
    closing = draft.step(f"{left}-{break_km}", left - break_km)
    rate = draft.step(f"{first}+{second}", first + second)
    hours = draft.step(f"{closing}/{rate}", met)
    way = draft.step(f"{second}*{hours}", second * hours)
    return problem(
        draft,
        f"当两车还没有相遇、相距{break_km}千米时，客车离甲城还有多少千米？",
        f"When they have not met yet and are {break_km} km apart, how many kilometres is the coach from the first town?",
        draft.step(f"{whole}-{way}", whole - way),
    )


_EVENTS = [
    ("培训课", "training course"),
    ("音乐会", "concert"),
    ("研讨会", "workshop"),
    ("比赛", "competition"),
    ("夏令营活动", "camp day"),
]


def timetable(draft: Draft) -> dict[str, Any]:
    """Parts of equal length with breaks between them, from a time of day on."""
    event_zh, event_en = draft.pick(_EVENTS)
    parts, length, gap = draft.number(3, 4 + draft.level), draft.number(20, 60, 5), draft.number(5, 15, 5)
    hour, minute = draft.number(7, 10), draft.number(0, 55, 5)
    draft.say(
        f"一场{event_zh}分为{parts}节，每节{length}分钟，相邻两节之间休息{gap}分钟。",
        f"A {event_en} has {parts} parts of {length} minutes each, with a break of {gap} minutes between one part and the next.",
    )
    run = draft.step(f"{parts}*{length}", parts * length)
    breaks = draft.step(f"{parts}-1", parts - 1)
    total = draft.step(f"{run}+{breaks}*{gap}", run + breaks * gap)
    if draft.level == 1:
        return problem(
            draft,
            "从第一节开始到最后一节结束一共多少分钟？",
            "How many minutes pass from the beginning of the first part to the end of the last?",
            total,
        )
    if draft.level >= 3:
        lunch = draft.number(30, 60, 10)
        draft.say(
            f"其中有一次休息改为午餐，时间是{lunch}分钟，代替原来的{gap}分钟。",
            f"One of the breaks is lunch and takes {lunch} minutes instead of {gap}.",
        )
        total = draft.step(f"{total}+{lunch}-{gap}", total + lunch - gap)
    if draft.level >= 4:
        late, more = draft.number(5, 25, 5), draft.number(3, 12)
        draft.say(
            f"当天开始时间比计划晚了{late}分钟，而且每节都比计划多用了{more}分钟。",
            f"On the day it begins {late} minutes later than planned, and every part takes {more} minutes longer than planned.",
        )
        longer = draft.step(f"{parts}*{more}", parts * more)
        total = draft.step(f"{total}+{late}+{longer}", total + late + longer)
    draft.say(
        f"{'原计划' if draft.level >= 4 else ''}{hour}点{f'{minute:02d}分' if minute else '整'}开始。",
        f"{'It was planned to begin' if draft.level >= 4 else 'It begins'} at {hour}:{minute:02d} in the morning.",
    )
    # How long after a full hour that comes before the end.
    mark = hour + total // 60
    if draft.level <= 3:
        if (hour * 60 + minute + total) <= mark * 60:
            mark -= 1
        begun = draft.step(f"{hour}*60+{minute}", hour * 60 + minute)
        end = draft.step(f"{begun}+{total}", begun + total)
        return problem(
            draft,
            f"结束时，距离{_clock_zh(mark)}已经过了多少分钟？",
            f"How many minutes after {_clock_en(mark)} does it end?",
            draft.step(f"{end}-{mark}*60", end - 60 * mark),
        )
    begun = draft.step(f"{hour}*60+{minute}", hour * 60 + minute)
    end = draft.step(f"{begun}+{total}", begun + total)
    night = end // 60 + 2
    way = draft.number(15, 75)
    draft.say(
        f"结束后，一位参加者立刻花{way}分钟回家。",
        f"When it is over one of the guests goes home at once, which takes {way} minutes.",
    )
    home = draft.step(f"{end}+{way}", end + way)
    if draft.level == 4:
        return problem(
            draft,
            f"到家时，距离{_clock_zh(night)}还有多少分钟？",
            f"How many minutes are then left until {_clock_en(night)}?",
            draft.step(f"{night}*60-{home}", night * 60 - home),
        )
    up, ready = draft.number(5, 6), draft.number(20, 50, 5)
    draft.say(
        f"这位参加者当天早上{up}点整起床，出门前准备了{ready}分钟，路上同样花了{way}分钟，到达后一直等到真正开始。",
        f"That guest had got up at {up}:00, needed {ready} minutes before leaving and {way} minutes for the way there as well, "
        "and waited there until it really began.",
    )
    late_start = draft.step(f"{begun}+{late}", begun + late)
    there = draft.step(f"{up}*60+{ready}+{way}", up * 60 + ready + way)
    waited = draft.step(f"{late_start}-{there}", late_start - there)
    if waited < 0:
        # Arrived after it had begun: the whole day away from home is asked instead.
        draft.steps.pop()
        left = draft.step(f"{up}*60+{ready}", up * 60 + ready)
        draft.sentences[-1] = (
            draft.sentences[-1]
            .replace("，到达后一直等到真正开始", "")
            .replace(", and waited there until it really began", "")
        )
        return problem(
            draft,
            "从出门到回到家一共过了多少分钟？",
            "How many minutes passed from leaving home to being back?",
            draft.step(f"{home}-{left}", home - left),
        )
    return problem(
        draft,
        "等待的时间和从起床到回到家的时间，相差多少分钟？",
        "By how many minutes does the waiting differ from the time between getting up and being back home?",
        draft.step(f"({home}-{up}*60)-{waited}", home - 60 * up - waited),
    )


def _clock_zh(hour: int) -> str:
    return (
        f"上午{hour}点"
        if hour < 12
        else "中午12点"
        if hour == 12
        else f"下午{hour - 12}点"
        if hour < 18
        else f"晚上{hour - 12}点"
    )


def _clock_en(hour: int) -> str:
    return f"{hour} a.m." if hour < 12 else "noon" if hour == 12 else f"{hour - 12} p.m."


def garden(draft: Draft) -> dict[str, Any]:
    """Rectangles: area, edge, what is cut out, a path around, and what it all costs."""
    length, width = draft.until(
        lambda: (draft.number(8, 15 + 5 * draft.level), draft.number(5, 10 + 4 * draft.level)),
        lambda p: p[0] > p[1] + 1,
    )
    draft.say(
        f"一块长方形菜地长{length}米，宽{width}米。", f"A rectangular garden is {length} m long and {width} m wide."
    )
    if draft.level == 1:
        around = draft.step(f"2*({length}+{width})", 2 * (length + width))
        price = draft.number(6, 30)
        return problem(
            draft,
            f"沿四周围一圈篱笆，每米{price}元，一共要多少元？",
            f"A fence all around it costs ${price} a metre. How many dollars is that?",
            draft.step(f"{around}*{price}", around * price),
        )
    area = draft.step(f"{length}*{width}", length * width)
    pond = draft.number(2, min(width - 2, 9))
    draft.say(f"中间有一个边长{pond}米的正方形水池。", f"In its middle is a square pond with sides of {pond} m.")
    pool = draft.step(f"{pond}*{pond}", pond * pond)
    soil = draft.step(f"{area}-{pool}", area - pool)
    kilos = draft.number(2, 7)
    if draft.level == 2:
        return problem(
            draft,
            f"水池以外的地每平方米收{kilos}千克菜，一共收多少千克？",
            f"Outside the pond every square metre gives {kilos} kg of vegetables. How many kilograms is that?",
            draft.step(f"{soil}*{kilos}", soil * kilos),
        )
    path = draft.number(1, 3)
    draft.say(
        f"菜地外面有一圈{path}米宽的小路，把菜地围在中间。",
        f"A path {path} m wide runs all around the outside of the garden.",
    )
    outer_l = draft.step(f"{length}+2*{path}", length + 2 * path)
    outer_w = draft.step(f"{width}+2*{path}", width + 2 * path)
    outer = draft.step(f"{outer_l}*{outer_w}", outer_l * outer_w)
    paved = draft.step(f"{outer}-{area}", outer - area)
    if draft.level == 3:
        return problem(draft, "小路的面积是多少平方米？", "How many square metres does the path cover?", paved)
    stone, seed = draft.number(12, 60), draft.number(3, 11)
    draft.say(
        f"铺小路每平方米{stone}元，水池以外的地播种每平方米{seed}元。",
        f"Paving the path costs ${stone} a square metre, and sowing the garden outside the pond ${seed} a square metre.",
    )
    if draft.level == 4:
        return problem(
            draft,
            "铺路和播种一共要多少元？",
            "How many dollars do paving and sowing cost together?",
            draft.step(f"{paved}*{stone}+{soil}*{seed}", paved * stone + soil * seed),
        )
    fence, gate = draft.number(8, 25), draft.number(1, 3)
    draft.say(
        f"小路外沿装一圈栅栏，留出一个{gate}米宽的门不装，栅栏每米{fence}元。",
        f"A fence stands along the outer edge of the path, with an opening of {gate} m, and costs ${fence} a metre.",
    )
    edge = draft.step(f"2*({outer_l}+{outer_w})-{gate}", 2 * (outer_l + outer_w) - gate)
    return problem(
        draft,
        "铺路、播种和栅栏一共要多少元？",
        "How many dollars do paving, sowing and the fence cost together?",
        draft.step(f"{paved}*{stone}+{soil}*{seed}+{edge}*{fence}", paved * stone + soil * seed + edge * fence),
    )


def average(draft: Draft) -> dict[str, Any]:
    """Averages: of some scores, of what is still to score, of two groups, without the best and the worst."""
    who = draft.pick(NAMES[draft.language])
    count = draft.by_level(3, 5, 5, 6, 7)
    scores = draft.until(
        lambda: [draft.number(55, 99) for _ in range(count)],
        lambda some: len(set(some)) == count and sum(some) % count == 0,
    )
    listed = draft.either("、".join(map(str, scores)), ", ".join(map(str, scores[:-1])) + f" and {scores[-1]}")
    draft.say(f"{who}前{count}次测验的成绩是{listed}分。", f"In {count} tests {who} scores {listed}.")
    plus = "+".join(map(str, scores))
    if draft.level <= 2:
        total = draft.step(plus, sum(scores))
        return problem(
            draft, "平均每次多少分？", "What is the average score?", draft.step(f"{total}/{count}", total // count)
        )
    if draft.level in (3, 4):
        more = draft.by_level(0, 0, 1, 2, 0)
        mean = sum(scores) // count
        goal = draft.until(
            lambda: mean + draft.number(-4, 4), lambda g: 20 < (g * (count + more) - sum(scores)) // max(more, 1) <= 100
            and (g * (count + more) - sum(scores)) % max(more, 1) == 0 and g != mean,
        )  # fmt: skip
        total = draft.step(plus, sum(scores))
        tests = draft.step(f"{count}+{more}", count + more)
        wanted = draft.step(f"{goal}*{tests}", goal * tests)
        missing = draft.step(f"{wanted}-{total}", wanted - total)
        if more == 1:
            return problem(
                draft,
                f"如果全部{tests}次的平均分正好是{goal}分，下一次应该考多少分？",
                f"What must the next test score for the average of all {tests} to be exactly {goal}?",
                missing,
            )
        return problem(
            draft,
            f"后面还有{more}次测验，两次的成绩相同。如果全部{tests}次的平均分正好是{goal}分，后面每次应该考多少分？",
            f"{more} more tests follow, with the same score in both. What must that score be for the average of all {tests} to be exactly {goal}?",
            draft.step(f"{missing}/{more}", missing // more),
        )
    kept = count - 2
    best, worst = max(scores), min(scores)
    others, extra = draft.number(4, 9), draft.number(60, 95)
    trimmed = sum(scores) - best - worst
    whole = trimmed + others * extra
    # The last score makes the average of everything a whole number.
    last = draft.until(lambda: draft.number(50, 100), lambda s: (whole + s) % (kept + others + 1) == 0)
    draft.say(
        f"去掉一个最高分和一个最低分后，再加上另外{others}次测验（平均{extra}分）和一次补考（{last}分）。",
        f"The best and the worst of them are left out; {others} further tests with an average of {extra} and a last one with {last} are added.",
    )
    total = draft.step(plus, sum(scores))
    left = draft.step(f"{total}-{best}-{worst}", trimmed)
    added = draft.step(f"{others}*{extra}", others * extra)
    every = draft.step(f"{left}+{added}+{last}", whole + last)
    tests = draft.step(f"{count}-2+{others}+1", kept + others + 1)
    return problem(
        draft,
        "这样算下来，平均每次多少分？",
        "What is the average of all the tests that count?",
        draft.step(f"{every}/{tests}", every // tests),
    )


def ages(draft: Draft) -> dict[str, Any]:
    """Ages now, later and earlier, sums of ages, and when one is a multiple of another."""
    a, b, c = draft.some(NAMES[draft.language], 3)
    young, older, years = draft.number(6, 20), draft.number(3, 15), draft.number(3, 12)
    if draft.level <= 2:
        draft.say(
            f"{a}今年{young}岁，{b}比{a}大{older}岁。",
            f"{a} is {young} years old, and {b} is {older} years older than {a}.",
        )
        second = draft.step(f"{young}+{older}", young + older)
        if draft.level == 1:
            return problem(
                draft,
                f"{years}年后{b}多少岁？",
                f"How old will {b} be in {years} years?",
                draft.step(f"{second}+{years}", second + years),
            )
        times = draft.number(2, 3)
        draft.say(f"{c}的年龄是{b}的{times}倍。", f"{c} is {'twice' if times == 2 else '3 times'} as old as {b}.")
        third = draft.step(f"{second}*{times}", second * times)
        then = draft.step(f"{young}+{second}+{third}", young + second + third)
        return problem(
            draft,
            f"{years}年后三个人的年龄和是多少？",
            f"What will their three ages add up to in {years} years?",
            draft.step(f"{then}+3*{years}", then + 3 * years),
        )
    if draft.level == 3:
        ago, times = draft.number(2, 5), draft.number(2, 4)
        past = young - ago if young > ago + 2 else young
        now = past + ago
        draft.say(
            f"{a}今年{now}岁。{ago}年前，{b}的年龄是{a}的{times}倍。",
            f"{a} is {now} years old. {ago} years ago {b} was {'twice' if times == 2 else f'{times} times'} as old as {a}.",
        )
        draft.step(f"{now}-{ago}", past)
        b_past = draft.step(f"{past}*{times}", past * times)
        b_now = draft.step(f"{b_past}+{ago}", b_past + ago)
        b_later = draft.step(f"{b_now}+{years}", b_now + years)
        return problem(draft, f"{years}年后{b}多少岁？", f"How old will {b} be in {years} years?", b_later)
    wait, times = draft.number(3, 12), draft.number(2, 3)
    child, gap = draft.number(5, 14), draft.number(2, 6)
    parent = times * (child + wait) - wait
    draft.say(
        f"{a}今年{child}岁，{b}比{a}小{gap}岁。再过{wait}年，{c}的年龄正好是{a}那时年龄的{times}倍。"
        if draft.level == 5
        else f"{a}今年{child}岁。{wait}年后，{c}的年龄正好是{a}的{times}倍。",
        f"{a} is {child} years old, and {b} is {gap} years younger. In {wait} years {c} will be exactly "
        f"{'twice' if times == 2 else '3 times'} as old as {a} will be then."
        if draft.level == 5
        else f"{a} is {child} years old. In {wait} years {c} will be exactly {'twice' if times == 2 else '3 times'} as old as {a}.",
    )
    then = draft.step(f"{child}+{wait}", child + wait)
    c_then = draft.step(f"{then}*{times}", then * times)
    c_now = draft.step(f"{c_then}-{wait}", parent)
    if draft.level == 4:
        back = draft.number(1, 4)
        both = draft.step(f"{child}+{c_now}", child + c_now)
        return problem(
            draft,
            f"{back}年前两人的年龄和是多少？",
            f"What did their two ages add up to {back} {'year' if back == 1 else 'years'} ago?",
            draft.step(f"{both}-2*{back}", both - 2 * back),
        )
    b_now = draft.step(f"{child}-{gap}", child - gap)
    total = draft.step(f"{child}+{b_now}+{c_now}", child + b_now + c_now)
    ahead = draft.number(2, 20)
    goal = total + 3 * ahead
    return problem(
        draft,
        f"再过多少年，三个人的年龄和是{goal}？",
        f"In how many years will their three ages add up to {goal}?",
        draft.step(f"({goal}-{total})/3", ahead),
    )
