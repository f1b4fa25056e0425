"""What counts as asked elsewhere, and what as said before: in words, and in characters of Chinese."""

from __future__ import annotations

import pytest

from eval.selfmade.overlap import Asked, Earlier
from eval.selfmade.units import grams, units

PASSAGE = "长江发源于青藏高原的唐古拉山脉，流经十一个省级行政区，在上海市注入东海，全长六千三百余公里。"
ENGLISH = "A farmer has twelve cows and sells five of them at the market for three hundred dollars each day."


def asked(*texts: str) -> Asked:
    found = Asked()
    found.add([(str(number), [text]) for number, text in enumerate(texts)])
    return found


def test_thirteen_words_weigh_as_much_as_twenty_characters_and_both_may_be_mixed() -> None:
    assert units("Ｈello，世界 3.5%") == ["hello", "世", "界", "3", "5"]
    assert len(list(grams(["word"] * 13, 13))) == 1
    assert not list(grams(["word"] * 12, 13))
    assert len(list(grams(["字"] * 20, 13))) == 1
    assert not list(grams(["字"] * 19, 13))
    # 7 words and 10 characters are 270 of the 260 that are wanted.
    assert len(list(grams(["word"] * 7 + ["字"] * 10, 13))) == 1


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        (f"请翻译：{PASSAGE[3:25]}", True),  # 20 characters without the comma
        (f"请翻译：{PASSAGE[3:21]}", False),
        ("Solve it: " + " ".join(ENGLISH.split()[2:15]), True),
        ("Solve it: " + " ".join(ENGLISH.split()[2:14]), False),
        (f"I HAVE READ: {ENGLISH.upper()}", True),
        ("长江在哪里入海？", False),
    ],
)
def test_a_stretch_of_a_held_out_row_is_a_leak(text: str, leaks: bool) -> None:
    assert asked(PASSAGE, ENGLISH).holds(text) == leaks


def test_a_short_question_leaks_as_a_whole() -> None:
    found = asked("三加五等于多少？")
    assert found.asks("三加五等于多少")
    assert not found.asks("三加六等于多少？")
    assert not found.holds("三加五等于多少")  # an answer may say so


def test_what_many_items_begin_with_is_a_phrase_and_no_leak() -> None:
    phrase = "请阅读下面的文章，然后根据文章的内容直接回答问题，不要写出理由："
    found = Asked()
    found.add([(str(i), [f"{phrase}第{i}段"]) for i in range(40)])
    assert not found.holds(f"{phrase}别的内容")
    few = Asked()
    few.add([(str(i), [f"{phrase}第{i}段"]) for i in range(4)])
    assert few.holds(f"{phrase}别的内容")


def test_a_passage_with_many_questions_is_one_passage() -> None:
    found = Asked()
    found.add([("passage", [f"{PASSAGE}\n问题{i}"]) for i in range(40)] + [(str(i), ["别的"]) for i in range(100)])
    assert found.holds(PASSAGE)


def test_nearly_the_same_is_not_new() -> None:
    earlier = Earlier()
    assert earlier.is_new("请问，小明有十二个苹果，分给三个同学，每个人可以分到几个？")
    assert not earlier.is_new("请问，小明有十二个苹果，分给四个同学，每个人可以分到几个？")
    assert not earlier.is_new("小明有十二个苹果，分给三个同学，每个人可以分到几个？谢谢你，我想知道答案。")
    assert earlier.is_new("请解释为什么天空是蓝色的，而夕阳是红色的。")
    assert earlier.is_new("谢谢！")
    assert not earlier.is_new("谢谢。")


@pytest.mark.parametrize(("common", "follows_all"), [(None, True), (3, False)])
def test_a_way_of_asking_that_many_share_leads_to_none_of_them(common: int | None, follows_all: bool) -> None:
    earlier = Earlier(common)
    assert all(earlier.is_new(f"What is the {' '.join(f'{word}{n}' for word in 'abcdef')}?") for n in range(10))
    assert not earlier.is_new("What is the a4 b4 c4 d4 e4 f4, please?")
    assert earlier.is_new("What is the?") is not follows_all
