"""Passages about people: who works where, who holds a thing at the end, who stands where in a queue."""

from __future__ import annotations

import itertools
from typing import Any

from eval.suite.draft import Draft, passage
from eval.suite.words import FULL_NAMES, NAMES

_JOBS = [
    ("会计", "accountant"), ("司机", "driver"), ("厨师", "cook"), ("电工", "electrician"), ("护士", "nurse"),
    ("翻译", "translator"), ("摄影师", "photographer"), ("设计师", "designer"), ("保安", "guard"), ("园丁", "gardener"),
    ("图书管理员", "librarian"), ("仓库管理员", "storekeeper"),
]  # fmt: skip
_TOWNS = [
    ("青石镇", "Stonebridge"), ("白河县", "Whitewater"), ("云岭市", "Cloudridge"), ("南桥镇", "Southbridge"), ("金湾市", "Goldbay"),
    ("柳林县", "Willowdale"), ("东湖市", "Eastlake"), ("松岗镇", "Pinehill"), ("沙洲县", "Sandbank"), ("红枫市", "Mapleton"),
]  # fmt: skip
_HOBBIES = [
    ("下象棋", "chess"), ("钓鱼", "fishing"), ("爬山", "hiking"), ("拉小提琴", "playing the violin"), ("养花", "growing flowers"),
    ("打乒乓球", "table tennis"), ("写毛笔字", "calligraphy"), ("游泳", "swimming"), ("烘焙", "baking"), ("集邮", "collecting stamps"),
]  # fmt: skip


def staff(draft: Draft) -> dict[str, Any]:
    """Colleagues with a job, a home town, a hobby and a year; found directly, backwards, or over two steps."""
    count = draft.by_level(3, 4, 5, 6, 8)
    names = draft.some(FULL_NAMES[draft.language], count)
    index = draft.either(0, 1)
    jobs, hobbies = ([pair[index] for pair in draft.some(table, count)] for table in (_JOBS, _HOBBIES))
    towns = [pair[index] for pair in draft.some(_TOWNS, count)]
    if draft.level >= 4:  # two of them come from the same town
        towns[1] = towns[0]
    years = draft.some(range(1996, 2024), count)
    order = draft.some(range(count), count)
    for i in order:
        draft.say(
            f"{names[i]}是{jobs[i]}，来自{towns[i]}，{years[i]}年进入公司，业余时间喜欢{hobbies[i]}。",
            f"{names[i]}, who comes from {towns[i]}, joined the company in {years[i]} as a {jobs[i]} and likes {hobbies[i]}."
            if jobs[i][0] not in "ae"
            else f"{names[i]}, who comes from {towns[i]}, joined the company in {years[i]} as an {jobs[i]} and likes {hobbies[i]}.",
        )
    who = draft.pick(order)
    if draft.level == 1:
        return passage(draft, f"{names[who]}来自哪里？", f"Which town does {names[who]} come from?", [towns[who]])
    if draft.level == 2:
        return passage(draft, f"喜欢{hobbies[who]}的人是谁？", f"Who likes {hobbies[who]}?", [names[who]])
    if draft.level == 3:
        return passage(
            draft,
            f"喜欢{hobbies[who]}的人是哪一年进入公司的？",
            f"In which year did the person who likes {hobbies[who]} join the company?",
            [f"{years[who]}年", str(years[who])] if draft.zh else [str(years[who])],
        )
    if draft.level == 4:
        return passage(
            draft,
            f"和{jobs[0]}来自同一个地方的另一个人是谁？",
            f"Which other person comes from the same town as the {jobs[0]}?",
            [names[1]],
        )
    ranked = sorted(range(count), key=lambda i: years[i])
    place = draft.number(2, count - 1)
    before = ranked[place - 1]
    return passage(
        draft,
        f"紧接在{jobs[before]}之后进入公司的人喜欢什么？",
        f"What does the person who joined the company next after the {jobs[before]} like?",
        [hobbies[ranked[place]]],
    )


_OBJECTS = [
    ("红色信封", "red envelope"), ("仓库钥匙", "storeroom key"), ("蓝色文件夹", "blue folder"), ("旧相机", "old camera"),
    ("雨伞", "umbrella"), ("木盒子", "wooden box"), ("收音机", "radio"), ("地图", "map"), ("望远镜", "telescope"),
]  # fmt: skip


def handing_over(draft: Draft) -> dict[str, Any]:
    """Things that go from hand to hand; who has one at the end, or had it before somebody."""
    people = draft.some(NAMES[draft.language], draft.by_level(3, 4, 5, 6, 6))
    things = draft.some(_OBJECTS, draft.by_level(1, 2, 2, 3, 3))
    moves = draft.by_level(2, 4, 6, 8, 11)
    holder = {thing: draft.pick(people) for thing in things}
    story: dict[tuple[str, str], list[str]] = {thing: [holder[thing]] for thing in things}
    for zh, en in things:
        first = holder[zh, en]
        draft.say(f"早上，{zh}在{first}手里。", f"In the morning {first} has the {en}.")
    adverbs = [("后来", "Later"), ("接着", "Then"), ("过了一会儿", "After a while"), ("随后", "Next")]
    for number in range(moves):
        thing = things[number % len(things)] if number < len(things) else draft.pick(things)
        giver = holder[thing]
        taker = draft.pick([person for person in people if person not in (giver, story[thing][-1])])
        zh, en = draft.pick(adverbs)
        draft.say(f"{zh}，{giver}把{thing[0]}交给了{taker}。", f"{en} {giver} gives the {thing[1]} to {taker}.")
        holder[thing] = taker
        story[thing].append(taker)
    asked = draft.until(lambda: draft.pick(things), lambda thing: len(story[thing]) > 1)
    if draft.level >= 4 and len(story[asked]) > 2:
        # The last but one holder: the end of the story names another.
        answer = story[asked][-2]
        question = (
            f"最后拿到{asked[0]}的人是从谁手里拿到的？",
            f"From whom did the last holder of the {asked[1]} get it?",
        )
    else:
        answer = story[asked][-1]
        question = (f"最后{asked[0]}在谁手里？", f"Who has the {asked[1]} at the end?")
    return passage(draft, *question, [answer])


def queue(draft: Draft) -> dict[str, Any]:
    """An order of people told by who stands before or behind whom."""
    count = draft.by_level(3, 4, 5, 6, 7)
    line = draft.some(NAMES[draft.language], count)
    draft.say("售票处前有人在排队。", "Some people are queuing at a ticket office.")
    if draft.level <= 2:
        draft.say(f"排在最前面的是{line[0]}。", f"{line[0]} is at the front of the queue.")
    said = []
    for before, after in itertools.pairwise(line):
        said.append(
            draft.pick(
                [
                    draft.either(f"{after}紧跟在{before}后面。", f"{after} stands directly behind {before}."),
                    draft.either(f"{before}就站在{after}前面一位。", f"{before} stands directly in front of {after}."),
                ]
            )
        )
    if draft.level >= 2:
        draft.rng.shuffle(said)
    draft.sentences += said
    place = draft.number(1, count - 1) if draft.level > 1 else count - 1
    match draft.level:
        case 1:
            asked, answer = ("排在最后的是谁？", "Who is last in the queue?"), line[-1]
        case 2:
            ordinals = ["first", "second", "third", "fourth"]
            asked = (f"排在第{place + 1}位的是谁？", f"Who is {ordinals[place]} in the queue?")
            answer = line[place]
        case 3:
            asked, answer = ("排在最前面的是谁？", "Who is first in the queue?"), line[0]
        case 4:
            asked, answer = ("排在最后的是谁？", "Who is last in the queue?"), line[-1]
        case _:
            asked = (f"{line[0]}后面第{count - 2}位是谁？", f"Who stands {count - 2} places behind {line[0]}?")
            answer = line[count - 2]
    return passage(draft, *asked, [answer])
