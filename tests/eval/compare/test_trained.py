"""Questions that stand in what was trained are found by content, and others are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.compare.trained import Question, Trained, trained_questions, with_trained
from eval.tasks import builtin
from eval.tasks.custom import items_from_rows
from eval.tasks.task import Kind
from tests.eval.report.pages import build

PASSAGE = "该工程由省水利厅批准，于2019年3月开工，两年后建成，总投资四亿元，灌溉面积十二万亩。"
ROWS = [
    {"context": PASSAGE, "question": "工程什么时候开工？", "answer": "2019年3月"},
    {"context": PASSAGE, "question": "工程的总投资是多少？", "answer": "四亿元"},
]
SUMMARY = {"text": PASSAGE * 3, "summary": "省水利厅批准的工程已于去年建成，灌溉面积达到十二万亩，农户今年起即可用水。"}
OTHER = {"text": "早春的茶园里，采茶人天没亮就上山。", "summary": "采茶人一早上山"}
MATHS = [{"question": f"{a}+7=?", "answer": str(a + 7)} for a in (11, 12)]


def found(rows: list[dict], kind: Kind, *conversations: tuple[str, str]) -> set[str]:
    asked = [Question(one.id, one.messages, one.references) for one in items_from_rows(rows, kind, "mine")]
    trained = [Trained([question], [answer]) for question, answer in conversations]
    return set(trained_questions({"mine": asked}, trained).get("mine", ()))


@pytest.mark.parametrize(
    ("rows", "kind", "question", "answer", "first"),
    [
        (ROWS, "qa", f"{PASSAGE}\n工程什么时候开工？", "2019年3月。", True),  # another wording around it
        (ROWS, "qa", f"根据材料回答：{PASSAGE}\n问：工程什么时候开工", "于 2019 年 3 月开工", True),
        (ROWS, "qa", f"{PASSAGE}\n这段话提到了哪个部门？", "省水利厅", False),  # another question on the passage
        (ROWS, "qa", f"{PASSAGE}\n工程什么时候建成？", "两年后", False),
        ([SUMMARY, OTHER], "summary", PASSAGE * 3, str(SUMMARY["summary"]), True),
        ([SUMMARY, OTHER], "summary", PASSAGE * 3, "写一句别的话，与参考毫不相干。", False),
        (MATHS, "number", "11 + 7 = ?", "18", True),  # too short for windows
        (MATHS, "number", "11 + 7 = ?", "118", False),
        (MATHS, "number", "12 + 8 = ?", "20", False),
        ([{"question": "Who wrote the tale of the two lighthouses?", "answer": "Ann Lee"}], "exact",
         "WHO wrote  “The Tale of the Two Lighthouses”?", "It was Ann Lee.", True),
        ([{"question": "Who wrote the tale of the two lighthouses?", "answer": "Ann Lee"}], "exact",
         "Who painted the old mill by the river?", "Ann Lee", False),
    ],
)  # fmt: skip
def test_a_question_is_known_by_what_it_alone_says(
    rows: list[dict], kind: Kind, question: str, answer: str, first: bool
) -> None:
    assert found(rows, kind, (question, answer)) == ({"row-00001"} if first else set())


def test_the_suite_is_found_whole_and_not_in_its_other_half() -> None:
    tasks = {
        task.name: [Question(one.id, one.messages, one.references) for one in task.items]
        for task in builtin.load(limit=60)
    }

    def rows(step: slice) -> list[Trained]:
        return [
            Trained([m["content"] for m in one.messages], one.references or ["?"])
            for asked in tasks.values()
            for one in asked[step]
        ]

    assert {name: len(ids) for name, ids in trained_questions(tasks, rows(slice(None))).items()} == {
        name: len(asked) for name, asked in tasks.items()
    }
    others = {name: asked[1::2] for name, asked in tasks.items()}
    assert sum(map(len, trained_questions(others, rows(slice(0, None, 2))).values())) <= 2


@pytest.mark.parametrize(("trained", "reserved"), [(1, False), (2, True), (200, True)])
def test_a_pass_on_what_was_trained_is_one_with_reservations(trained: int, reserved: bool) -> None:
    failed = build(facts={"trained_questions": {"mine": {"trained": trained, "asked": 200}}})
    plain = replace(failed, gate=replace(failed.gate, verdict="pass"))
    said = [one.key for one in with_trained(plain).gate.reservations if one.key == "reservation.trained"]
    assert with_trained(failed) is failed
    assert said == ["reservation.trained"] * reserved
    gone = replace(plain, facts={"untold": ["run/data"]})
    assert with_trained(gone).gate.reservations[0].key == "reservation.untold"
