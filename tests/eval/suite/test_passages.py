"""Answers stand in their passages, and a second reader, who knows only the text, finds the same ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from eval.metrics.text import zh_em
from eval.suite.passages import passages

Row = dict[str, Any]


@pytest.fixture(scope="module")
def found() -> list[Row]:
    return passages(1800)


def of(rows: list[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["stratum"].startswith(f"{kind} ")]


def test_the_answer_is_in_the_passage(found: list[Row]) -> None:
    for row in found:
        assert any(answer in row["context"] for answer in row["answers"]), row
        assert not any(answer in row["question"] for answer in row["answers"]), row


def test_other_answers_of_the_same_sort_stand_there_too(found: list[Row]) -> None:
    """Otherwise the question need not be read."""
    for row in found:
        digits = row["answers"][-1].isdigit()
        others = set(re.findall(r"\d+", row["context"])) if digits else set()
        assert not digits or len(others) >= 2, row


def test_a_right_answer_scores_in_the_ways_that_models_write_it(found: list[Row]) -> None:
    for row in found[:200]:
        first = row["answers"][0]
        assert zh_em(f"{first}。" if " zh " in row["stratum"] else f"{first}.", row["answers"]) == 1.0


def handing_over(row: Row) -> str:
    holders: dict[str, list[str]] = {}
    text = row["context"]
    for match in re.finditer(r"早上，(.+?)在(.+?)手里。|In the morning (\w+) has the ([\w ]+)\.", text):
        zh_thing, zh_who, en_who, en_thing = match.groups()
        holders[zh_thing or en_thing] = [zh_who or en_who]
    for match in re.finditer(r"，(\w+?)把(.+?)交给了(\w+?)。|(\w+) gives the ([\w ]+) to (\w+)\.", text):
        zh_from, zh_thing, zh_to, en_from, en_thing, en_to = match.groups()
        thing = zh_thing or en_thing
        assert holders[thing][-1] == (zh_from or en_from)
        holders[thing].append(zh_to or en_to)
    asked = next(thing for thing in holders if thing in row["question"])
    return holders[asked][-2 if "从谁" in row["question"] or "From whom" in row["question"] else -1]


def queue(row: Row) -> str:
    after: dict[str, str] = {}
    for match in re.finditer(
        r"(\w+?)紧跟在(\w+?)后面。|(\w+?)就站在(\w+?)前面一位。|(\w+) stands directly behind (\w+)\.|(\w+) stands directly in front of (\w+)\.",
        row["context"],
    ):
        behind, front, front2, behind2, behind3, front3, front4, behind4 = match.groups()
        after[front or front2 or front3 or front4] = behind or behind2 or behind3 or behind4
    line = [next(name for name in after if name not in after.values())]
    while line[-1] in after:
        line.append(after[line[-1]])
    question = row["question"]
    if found := re.search(r"第(\d)位是谁？$|stands (\d) places", question):
        return line[int(found[1] or found[2])]
    if found := re.search(r"排在第(\d)位", question):
        return line[int(found[1]) - 1]
    ordinals = ["first", "second", "third", "fourth"]
    if found := re.search(rf"Who is ({'|'.join(ordinals)}) ", question):
        return line[ordinals.index(found[1])]
    return line[0] if "最前" in question else line[-1]


def survey(row: Row) -> str:
    towns = [
        (match[1] or match[6], int(match[2] or match[7]), int(match[3] or match[8]), int(match[4] or match[9]),
         match[5] == "有" or match[10] == "a")
        for match in re.finditer(
            r"(\w+?村)有(\d+)户人家、(\d+)头牛，海拔(\d+)米，(没有|有)小学。"
            r"|(\w+) has (\d+) houses and (\d+) cows, lies (\d+) metres above the sea, and has (a|no) primary school\.",
            row["context"],
        )
    ]  # fmt: skip
    question = row["question"]
    if "第二" in question or "second" in question:
        return str(sorted(towns, key=lambda town: town[2])[-2][3])
    if "海拔最" in question or "lies" in question:
        some = sorted((town for town in towns if town[4]), key=lambda town: town[3])
        return some[-1 if "高" in question or "highest" in question else 0][0]
    if "最" in question or "most" in question or "fewest" in question:
        column = 1 if "人家" in question or "houses" in question else 2
        ranked = sorted(towns, key=lambda town: town[column])
        return ranked[-1 if "最多" in question or "most" in question else 0][0]
    return str(next(town for town in towns if town[0] in question)[2])


def duties(row: Row) -> str:
    text, question = row["context"], row["question"]
    days = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"] if " zh " in row["stratum"] else (
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    )  # fmt: skip
    who: dict[str, str] = {}
    task: dict[str, str] = {}
    for match in re.finditer(
        r"(周.)由([\u4e00-\u9fff]{2,3}?)(浇花|打扫走廊|整理书架|倒垃圾|擦黑板|收发信件|检查门窗|准备茶水)。|On (\w+) (\w+ \w+) ([\w -]+)\.",
        text,
    ):
        day = match[1] or match[4]
        who[day], task[day] = match[2] or match[5], match[3] or match[6]
    for match in re.finditer(r"，(周.)和(周.)值日的两个人互换|people on duty on (\w+) and (\w+) changed", text):
        one, two = match[1] or match[3], match[2] or match[4]
        who[one], who[two] = who[two], who[one]
    if named := [day for day in days if day in question]:
        return who[named[0]]
    if asked := [day for day in who if who[day] in question]:
        return asked[0]
    return who[next(day for day in task if task[day] in question)]


def chronicle(row: Row) -> str:
    events = {
        int(match[1] or match[3]): match[2] or match[4]
        for match in re.finditer(r"(\d{4})年，(.+?)。|In (\d{4}) (.+?)\.", row["context"])
    }
    years = sorted(events)
    question = row["question"]
    if told := re.search(r"(\d{4})", question):
        return str(years[years.index(int(told[1])) + 1])
    year = next(year for year, event in events.items() if event in question)
    step = 2 if "第二件" in question or "second" in question else 1 if "下一件" in question or "next" in question else 0
    return str(years[years.index(year) + step])


def route(row: Row) -> str:
    zh = " zh " in row["stratum"]
    text, question = row["context"], row["question"]
    listed = re.search(r"依次停靠(.+?)，到终点|stops at (.+?), in this order", text)
    assert listed
    stops = listed[1].split("、") if zh else re.split(r", | and ", listed[2])
    if out := re.search(r"不停靠(\w+?)站|not stop at ([\w ]+?) this", text):
        stops.remove(out[1] or out[2])
    if "返程" in question or "way back" in question:
        stops.reverse()
    step = 3 if "第三" in question or "third" in question else 2 if "第二" in question or "second" in question else 1
    start = max((stop for stop in stops if stop in question), key=len)
    return stops[stops.index(start) + step]


@pytest.mark.parametrize("reader", [handing_over, queue, survey, duties, chronicle, route])
def test_a_second_reader_finds_the_same_answer(found: list[Row], reader: Callable[[Row], str]) -> None:
    rows = of(found, reader.__name__)
    assert len(rows) == 200
    for row in rows:
        assert reader(row) in row["answers"], row


def test_staff_questions_have_one_answer(found: list[Row]) -> None:
    for row in of(found, "staff"):
        if row["stratum"].endswith("4"):
            town = re.search(r"来自(\w+?)，|comes from (\w+),", row["context"])
            assert town
            twice = list(re.findall(r"来自(\w+?)，|comes from (\w+),", row["context"]))
            assert sorted(twice.count(t) for t in set(twice))[-1] == 2
            assert sorted(twice.count(t) for t in set(twice))[-2] == 1


def test_a_fee_that_asks_for_visitors_has_one_answer(found: list[Row]) -> None:
    for row in of(found, "fees"):
        prices = re.findall(r"\d+", row["context"])
        assert len(prices) == len(set(prices)), row
