"""From a pool to rows: the mix of languages, faults counted, bounds kept, nothing written twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from configs.errors import DataError
from configs.handover.prompt_logprobs import TOP
from configs.handover.selfmade import SelfMadeRow, SoftTargets
from configs.handover.wanted_rows import WantedRows
from eval.ask.endpoint import Settings
from eval.selfmade.draws import BLOCK, Draw, draw_block
from eval.selfmade.judging import Judge
from eval.selfmade.make import DRAWS_A_ROW, Made, make
from eval.selfmade.overlap import Asked, Earlier
from eval.selfmade.pool import Answer, Likelihood, Pool, Question
from eval.selfmade.steering import KINDS, OTHERS, system_prompt
from eval.selfmade.writer import Base, Lengths, Writer

END = 9
HAN = [chr(code) for code in range(0x4E00, 0x6800)]
LATIN = [f"{a}{b}{c}" for a in "bcdfghklmnprst" for b in "aeiou" for c in "bdgkmnprst"]
Speaks = Callable[[Draw], str]


def say(language: str, number: int, length: int = 24) -> str:
    """A text in Chinese or English that is like no other."""
    draw = random.Random(number)
    if language == "zh":
        return "".join(draw.choices(HAN, k=length)) + "？"
    return "What is the " + " ".join(draw.choices(LATIN, k=length)) + "?"


class Fake(Writer):
    """A base that writes as it is told; counts what it was asked."""

    def __init__(self, folder: Path, speaks: Speaks, answers: Callable[[int], Answer] | None = None) -> None:
        def connect() -> Base:
            raise AssertionError("nothing is served here")

        super().__init__(connect, Pool(folder), END, None, Lengths(200, 768, 4096), Settings(), 0.7)
        self.speaks = speaks
        self.answers = answers or good
        self.drawn: list[int] = []
        self.asked: list[int] = []
        self.measured: list[int] = []
        self.softened: list[int] = []

    def draw(self, draws: Sequence[Draw], systems: Mapping[int, str | None]) -> None:
        for draw in draws:
            if draw.number not in self.pool.questions:
                self.drawn.append(draw.number)
                text = self.speaks(draw)
                self.pool.add(Question(number=draw.number, text=text, ended=bool(text), tokens=20))

    def answer(self, draws: Sequence[Draw]) -> None:
        for draw in draws:
            if draw.number not in self.pool.answers:
                self.asked.append(draw.number)
                self.pool.add(self.answers(draw.number))

    def measure(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number not in self.pool.likelihoods:
                self.measured.append(number)
                self.pool.add(Likelihood(number=number, logprob=-1.0 * number))

    def soften(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number not in self.pool.soft_targets:
                self.softened.append(number)
                self.pool.add(likely(self.pool.answers[number]))


def good(number: int) -> Answer:
    said = say("en", 100_000 + number)
    return Answer(
        number=number, content=said, reasoning=None, ended=True, prompt_ids=[1, 2, number], answer_ids=[4, 5, END]
    )


def likely(answer: Answer) -> SoftTargets:
    """The written token at nearly three quarters, each further one less likely."""
    places = [[((token + i) % 3000, -0.3 - i) for i in range(TOP)] for token in answer.answer_ids]
    return SoftTargets.of(answer.number, places)


def obedient(draw: Draw) -> str:
    return say("zh" if draw.language == "zh" else "en", draw.number)


def wanted(train: int = 300, unseen: int = 100, **more: object) -> WantedRows:
    known = {"languages": {"zh": 1.0}, "other_languages": 0.25, "min_usable": 0.6, "seed": 7}
    return WantedRows(train=train, unseen=unseen, **{**known, **more})  # type: ignore[arg-type]


SMALL = wanted(train=60, unseen=20)


def made(writer: Fake, want: WantedRows | None = None, asked: Asked | None = None, thinking: bool = False) -> Made:
    return make(want or wanted(), Judge(asked or Asked(), thinking, END), writer)


def ids(rows: Sequence[SelfMadeRow]) -> list[str]:
    return [row.id for row in rows]


def test_a_quarter_comes_in_other_languages_and_half_of_the_draws_is_steered(tmp_path: Path) -> None:
    found = made(Fake(tmp_path, obedient))
    assert (len(found.train), len(found.unseen)) == (300, 100)
    assert found.report.languages == {"zh": 300, "en": 100}
    assert set(found.report.kinds) == {*KINDS, "free"}
    assert 150 < found.report.kinds["free"] < 250
    assert found.report.usable == 1.0
    assert len(found.report.examples) == 10
    assert not found.report.unwritten


def test_unseen_rows_are_others_than_trained_ones_and_have_their_likelihood(tmp_path: Path) -> None:
    writer = Fake(tmp_path, obedient)
    found = made(writer)
    assert not {*ids(found.train)} & {*ids(found.unseen)}
    assert all(row.use == "train" and row.base_logprob is None for row in found.train)
    assert all(row.use == "unseen" and row.base_logprob is not None for row in found.unseen)
    assert len(writer.measured) == 100
    earlier = Earlier()
    assert all(earlier.is_new(row.messages[0]["content"]) for row in (*found.train, *found.unseen))
    row = found.train[0]
    assert [message["role"] for message in row.messages] == ["user", "assistant"]
    assert row.answer_ids[-1] == END


def test_nothing_is_written_twice_and_a_larger_run_goes_on_from_a_smaller_one(tmp_path: Path) -> None:
    first, again, larger = Fake(tmp_path, obedient), Fake(tmp_path, obedient), Fake(tmp_path, obedient)
    before = made(first)
    again.pool = Pool(tmp_path)
    assert made(again) == before
    assert [again.drawn, again.asked, again.measured] == [[], [], []]
    larger.pool = Pool(tmp_path)
    more = made(larger, wanted(train=500))
    assert len(more.train) == 500
    assert larger.drawn
    assert not {*larger.drawn} & {*first.drawn}
    assert not {*larger.asked} & {*first.asked}


def test_soft_targets_are_read_once_and_for_trained_rows_alone(tmp_path: Path) -> None:
    plain = made(Fake(tmp_path, obedient), SMALL)
    assert not plain.softened
    assert plain.report.soft_targets == 0
    softly = wanted(train=60, unseen=20, soft_targets=True)
    writer = Fake(tmp_path, obedient)
    found = made(writer, softly)
    # The rows are those of a run without them.
    assert (found.train, found.unseen, writer.asked) == (plain.train, plain.unseen, [])
    assert [f"self:{number}" for number in found.softened] == ids(found.train)
    assert found.report.soft_targets == len(writer.softened) == 60
    token_ids, logprobs = next(writer.pool.likely_tokens({*found.softened})).arrays
    assert token_ids.shape == logprobs.shape == (3, TOP)
    assert (token_ids[1, 0], logprobs[1, 0]) == (5, pytest.approx(-0.3, abs=1e-4))
    again = Fake(tmp_path, obedient)
    assert made(again, softly) == found
    assert not again.softened


def test_a_kill_loses_a_torn_line_at_most(tmp_path: Path) -> None:
    undisturbed = made(Fake(tmp_path / "one", obedient))

    class Killed(Exception):
        pass

    def dies(number: int) -> Answer:
        if number > 300:
            raise Killed
        return good(number)

    with pytest.raises(Killed):
        made(Fake(tmp_path / "two", obedient, dies))
    with (tmp_path / "two" / "answers.jsonl").open("a", encoding="utf-8") as journal:
        journal.write('{"number": 301, "content": "half a li')
    after = Fake(tmp_path / "two", obedient)
    assert made(after) == undisturbed
    assert min(after.asked) > 300
    assert min(after.drawn, default=BLOCK) >= BLOCK


def test_a_base_that_writes_one_language_only_gives_all_its_rows_in_it(tmp_path: Path) -> None:
    writer = Fake(tmp_path, lambda draw: say("zh", draw.number))
    found = made(writer)
    assert found.report.languages == {"zh": 400}
    assert {"en", "es"} <= {*found.report.unwritten}
    # It is noticed after a block, not at the bound.
    assert len(writer.drawn) <= 3 * BLOCK


def test_users_of_two_languages_are_written_for_in_both(tmp_path: Path) -> None:
    found = made(Fake(tmp_path, obedient), wanted(languages={"zh": 0.5, "en": 0.5}, other_languages=0.0))
    assert 140 < found.report.languages["zh"] < 260
    assert sum(found.report.languages.values()) == 400


def test_what_is_asked_elsewhere_is_not_asked(tmp_path: Path) -> None:
    leaked = say("zh", 3)
    asked = Asked()
    asked.add([("passage", [f"短文里写着：{leaked}"])])
    want = wanted(languages={"zh": 1.0}, other_languages=0.0)
    found = made(Fake(tmp_path, obedient), want, asked)
    assert found.report.unusable_questions == {"asked_elsewhere": 1}
    assert "self:3" not in ids(found.train) + ids(found.unseen)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("question_not_ended", ""),
        ("too_short", "嗯？"),
        ("special_text", "请问<|im_start|>是什么意思，它出现在哪里？"),
        ("special_text", "<think>请问长城有多长，建于哪个朝代？"),
        ("loop", "请问" + "长城有多长，" * 9),
        ("prompt_repeated", "你好。用户讲述一个含有几个数字的情境，并要求一个需要几步才能算出的结果。"),
    ],
)
def test_a_question_with_a_fault_is_counted_under_it_and_not_asked(tmp_path: Path, fault: str, text: str) -> None:
    writer = Fake(tmp_path, lambda draw: text if draw.number == 3 else obedient(draw))
    assert made(writer, SMALL).report.unusable_questions == {fault: 1}
    assert 3 not in writer.asked


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("answer_not_ended", {"ended": False}),
        ("failed", {"failed": "timeout", "ended": False}),
        ("other_end", {"answer_ids": [4, 5]}),
        ("empty", {"content": " \n"}),
        ("reasoning_left", {"content": "<think>so</think>yes, it is"}),
        ("special_text", {"content": "yes \ufffd it is"}),
        ("loop", {"content": "So it is 12. " * 20}),
    ],
)
def test_an_answer_with_a_fault_is_counted_under_it_and_not_used(
    tmp_path: Path, fault: str, changes: dict[str, object]
) -> None:
    bad: list[int] = []

    def answers(number: int) -> Answer:
        if not bad:
            bad.append(number)
            return good(number).model_copy(update=changes)
        return good(number)

    found = made(Fake(tmp_path, obedient, answers), SMALL)
    assert found.report.unusable_answers == {fault: 1}
    assert f"self:{bad[0]}" not in ids(found.train) + ids(found.unseen)
    assert len(found.train) == 60


def test_what_a_server_failed_at_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    def fails_once(number: int) -> Answer:
        return good(number).model_copy(update={"failed": "timeout"} if number == first[0] else {})

    first = [draw.number for draw in draw_block(0, 7, {"zh": 1.0}, 0.25) if draw.language == "zh"][:1]
    assert made(Fake(tmp_path, obedient, fails_once), SMALL).report.unusable_answers == {"failed": 1}
    again = Fake(tmp_path, obedient)
    assert not made(again, SMALL).report.unusable_answers
    assert first[0] in again.asked


def test_reasoning_is_kept_where_it_is_trained_and_asked_for(tmp_path: Path) -> None:
    def thinks(number: int) -> Answer:
        return good(number).model_copy(update={"reasoning": None if number == 3 else f"I count to {number}."})

    found = made(Fake(tmp_path, obedient, thinks), SMALL, thinking=True)
    assert found.report.unusable_answers == {"no_reasoning": 1}
    number = found.train[0].id.removeprefix("self:")
    assert found.train[0].messages[1]["reasoning_content"] == f"I count to {number}."


def test_too_few_usable_answers_stop_the_run_with_the_reasons(tmp_path: Path) -> None:
    def mostly_cut(number: int) -> Answer:
        return good(number).model_copy(update={"ended": number % 2 == 0})

    writer = Fake(tmp_path, obedient, mostly_cut)
    with pytest.raises(DataError, match=r"data.selfmade.min_usable=0.6: \d+ did not end by itself") as error:
        made(writer)
    assert "raise data.selfmade.answer_tokens" in str(error.value)
    assert "data.replay='{source: ./general.jsonl, ratio: 0.25}'" in str(error.value)
    assert len(writer.asked) == 50  # found out early
    assert made(writer, wanted(min_usable=0.4)).report.usable < 0.6


def test_a_base_that_writes_no_questions_is_given_up_at_the_bound(tmp_path: Path) -> None:
    writer = Fake(tmp_path, lambda draw: "请问长城有多长，它建于哪个朝代？")
    with pytest.raises(DataError, match=r"does not write enough questions by itself: 1 of 60 rows .* nearly the same"):
        made(writer, wanted(train=50, unseen=10))
    assert DRAWS_A_ROW * 60 <= len(writer.drawn) <= DRAWS_A_ROW * 60 + BLOCK


def test_draws_depend_on_seed_and_number_alone() -> None:
    block = draw_block(2, 5, {"zh": 1.0}, 0.25)
    assert block == draw_block(2, 5, {"zh": 1.0}, 0.25)
    assert block != draw_block(2, 6, {"zh": 1.0}, 0.25)
    assert [draw.number for draw in block] == list(range(2 * BLOCK, 3 * BLOCK))
    draws = [draw for number in range(8) for draw in draw_block(number, 5, {"zh": 1.0}, 0.25)]
    assert 0.7 < sum(draw.language == "zh" for draw in draws) / len(draws) < 0.8
    assert 0.45 < sum(draw.kind is not None for draw in draws) / len(draws) < 0.55
    left = draw_block(0, 5, {"zh": 1.0}, 0.25, {*OTHERS} - {"zh"})
    assert {draw.language for draw in left} == {"zh"}


def test_every_kind_has_its_prompt_in_the_language_of_the_question() -> None:
    assert len(KINDS) == 10
    for kind in KINDS:
        assert str(system_prompt(kind, "zh")).endswith("用户使用中文。")
        assert str(system_prompt(kind, "fr")).endswith("The user writes in French.")
    assert system_prompt(None, "en") is None
    assert system_prompt(None, "zh") == "用户使用中文。"
