"""From what a base writes to the rows that are trained and those that are measured on.

Questions are drawn in blocks until every language has enough that can be asked; those are answered, and the first
usable rows by their number are taken. What came out depends on the pool and the judge alone, so that a run that was
killed, and one whose pool was filled by another, comes to the same rows.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from configs.errors import DataError
from configs.handover.selfmade import SelfMadeExample, SelfMadeReport, SelfMadeRow, Spread
from configs.handover.wanted_rows import WantedRows
from configs.tables.languages import language_of
from configs.terminal.words import Words
from eval.selfmade.draws import BLOCK, Draw, draw_block
from eval.selfmade.judging import Judge
from eval.selfmade.steering import system_prompt
from eval.selfmade.writer import Writer

DRAWS_A_ROW = 8
"""At most so many questions are drawn for each row that is wanted."""
FREE = "free"
"""What rows are counted under whose question nothing steered."""
_TELLING_ANSWERS = 50
"""Before so many answers their usable share says little."""
_TELLING_DRAWS = 32
_LEAST_HITS = 0.1
_EXAMPLES = 10
_SHOWN = 600


@dataclass(frozen=True)
class Made:
    """What was made."""

    train: list[SelfMadeRow]
    unseen: list[SelfMadeRow]
    report: SelfMadeReport
    softened: list[int]
    """Numbers of the draws whose soft targets are trained; none where they are not wanted."""


@dataclass
class _Progress:
    """How far the making is."""

    wanted: WantedRows
    judge: Judge
    writer: Writer
    draws: dict[int, Draw] = field(default_factory=dict)
    languages: dict[int, str] = field(default_factory=dict)
    """Of the questions that can be asked, as they came."""
    waiting: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})
    """Questions that can be asked and were not, by whether they are in a language of the user's."""
    usable: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})
    bad_questions: Counter[str] = field(default_factory=Counter)
    bad_answers: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    tried: Counter[str] = field(default_factory=Counter)
    """Draws by the language that was asked for."""
    hits: Counter[str] = field(default_factory=Counter)
    """Of these, those that came in it."""
    given_up: dict[str, None] = field(default_factory=dict)

    def draw(self, block: int) -> None:
        """Draws a block, and judges its questions in order."""
        wanted, writer = self.wanted, self.writer
        draws = draw_block(block, wanted.seed, wanted.languages, wanted.other_languages, self.given_up.keys())
        writer.draw(draws, {draw.number: system_prompt(draw.kind, draw.language) for draw in draws})
        for draw in draws:
            self.draws[draw.number] = draw
            question = writer.pool.questions[draw.number]
            came = language_of(question.text) or draw.language  # a sum has no language
            self.tried[draw.language] += 1
            self.hits[draw.language] += came == draw.language
            fault = self.judge.question(question)
            if fault:
                self.bad_questions[fault] += 1
                continue
            self.languages[draw.number] = came
            self.waiting[came in wanted.languages].append(draw.number)
        self._give_up()

    def _give_up(self) -> None:
        """Notes the languages that the base does not write although it was asked to."""
        others = [language for language in self.tried if language not in self.wanted.languages]
        for group in (*([language] for language in self.tried), others):
            tried, hits = (sum(count[language] for language in group) for count in (self.tried, self.hits))
            if tried >= _TELLING_DRAWS and hits < _LEAST_HITS * tried:
                self.given_up |= dict.fromkeys(group)

    def ask(self, quotas: Mapping[bool, int]) -> None:
        """Has as many waiting questions answered as it takes to fill the quotas, as long as there are any."""
        while batch := [number for yours in (True, False) for number in self._next(yours, quotas[yours])]:
            batch.sort()
            if self.asked < _TELLING_ANSWERS:
                batch = batch[:_TELLING_ANSWERS]  # a base that answers badly is found out before it answers everything
            self.writer.answer([self.draws[number] for number in batch])
            for number in batch:
                yours = self.languages[number] in self.wanted.languages
                self.waiting[yours].remove(number)
                self.asked += 1
                fault = self.judge.answer(self.writer.pool.answers[number])
                if fault:
                    self.bad_answers[fault] += 1
                else:
                    self.usable[yours].append(number)
            self._stop_where_few_are_usable()

    def quotas(self) -> dict[bool, int]:
        """Rows in the user's languages (True) and in others (False); an unwritten side leaves them to the other."""
        others = round(self.wanted.other_languages * self.wanted.rows)
        quotas = {True: self.wanted.rows - others, False: others}
        unwritten = {
            yours: not any(
                language not in self.given_up for language in self.tried if (language in self.wanted.languages) == yours
            )
            for yours in quotas
        }
        for yours in quotas:
            if unwritten[yours] and not unwritten[not yours]:
                there = min(quotas[yours], len(self.usable[yours]) + len(self.waiting[yours]))
                quotas = {yours: there, not yours: self.wanted.rows - there}
        return quotas

    def complete(self) -> bool:
        """Whether both sides have their rows."""
        return all(len(self.usable[yours]) >= quota for yours, quota in self.quotas().items())

    def fill(self) -> None:
        """Once no more are drawn: what one side lacks is asked of the other."""
        for yours in (True, False):
            missing = self.wanted.rows - sum(map(len, self.usable.values()))
            if missing > 0:
                there = {side: len(self.usable[side]) for side in (True, False)}
                self.ask({**there, yours: there[yours] + missing})

    def taken(self) -> list[int]:
        """The numbers of the rows: the first ones of each side, then whatever else is usable."""
        quotas = self.quotas()
        first = [number for yours, quota in quotas.items() for number in self.usable[yours][:quota]]
        spare = [number for yours, quota in quotas.items() for number in self.usable[yours][quota:]]
        return sorted([*first, *spare][: self.wanted.rows])

    def _next(self, yours: bool, quota: int) -> list[int]:
        missing = quota - len(self.usable[yours])
        if missing <= 0:
            return []
        return self.waiting[yours][: math.ceil(missing / max(self._expected, 0.5))]

    @property
    def _share(self) -> float:
        """Share of the answers so far that can be used."""
        return sum(map(len, self.usable.values())) / max(1, self.asked)

    @property
    def _expected(self) -> float:
        """The same for the answers to come."""
        return self._share if self.asked >= _TELLING_ANSWERS else 0.9

    def promising(self) -> bool:
        """Whether the waiting questions are expected to fill both sides."""
        return all(
            len(self.usable[yours]) + self._expected * len(self.waiting[yours]) >= quota
            for yours, quota in self.quotas().items()
        )

    def _stop_where_few_are_usable(self) -> None:
        if self.asked < min(_TELLING_ANSWERS, self.wanted.rows) or self._share >= self.wanted.min_usable:
            return
        raise DataError(
            f"the base answers its own questions badly: {self._share:.0%} of {self.asked} answers can be used, fewer "
            f"than data.selfmade.min_usable={self.wanted.min_usable:g}: {_said(self.bad_answers)}",
            f"{_way_out(self.bad_answers)}; or mix a data set of yours in: "
            "data.replay='{source: ./general.jsonl, ratio: 0.25}'",
        )

    def too_few(self) -> DataError:
        """What to say where the bound is reached."""
        usable = sum(map(len, self.usable.values()))
        return DataError(
            f"the base does not write enough questions by itself: {usable} of {self.wanted.rows} rows after "
            f"{len(self.draws)} questions; unusable: {_said(self.bad_questions) or 'none'}",
            "mix a data set of yours in: data.replay='{source: ./general.jsonl, ratio: 0.25}'; or train without "
            "replay: data.replay=null",
        )


def make(wanted: WantedRows, judge: Judge, writer: Writer) -> Made:
    """Makes the rows.

    Raises:
        DataError: too few of the answers are usable, or the base does not write enough questions that can be asked.
        EndpointError: the server cannot be asked.
    """
    progress = _Progress(wanted, judge, writer)
    for block in range(max(2, math.ceil(DRAWS_A_ROW * wanted.rows / BLOCK))):
        if progress.complete():
            break
        progress.draw(block)
        # Answers are long: a few large batches of them wait less for their longest than many small ones.
        if progress.promising():
            progress.ask(progress.quotas())
    progress.ask(progress.quotas())
    progress.fill()
    taken = progress.taken()
    if len(taken) < wanted.rows:
        raise progress.too_few()
    return _made(progress, taken)


def _made(progress: _Progress, taken: list[int]) -> Made:
    wanted, pool = progress.wanted, progress.writer.pool
    unseen = set(random.Random(f"{wanted.seed} unseen").sample(taken, wanted.unseen))
    progress.writer.measure(sorted(unseen))
    softened = [number for number in taken if number not in unseen] if wanted.soft_targets else []
    progress.writer.soften(softened)
    rows = [_row(progress, number, "unseen" if number in unseen else "train") for number in taken]
    trained = [row for row in rows if row.use == "train"]
    kinds = Counter(row.kind or FREE for row in rows)
    shown = random.Random(f"{wanted.seed} examples").sample(trained or rows, min(_EXAMPLES, len(trained or rows)))
    report = SelfMadeReport(
        drawn=len(progress.draws),
        unusable_questions=dict(progress.bad_questions.most_common()),
        asked=progress.asked,
        unusable_answers=dict(progress.bad_answers.most_common()),
        train=len(trained),
        unseen=len(unseen),
        wanted_languages=dict(wanted.languages),
        languages=dict(Counter(row.language for row in rows).most_common()),
        kinds=dict(kinds.most_common()),
        question_tokens=Spread.of(len(row.prompt_ids) for row in rows),
        answer_tokens=Spread.of(len(row.answer_ids) for row in rows),
        written_tokens=sum(pool.questions[number].tokens for number in progress.draws)
        + sum(len(pool.answers[number].answer_ids) for number in progress.draws if number in pool.answers),
        trained_tokens=sum(len(row.answer_ids) for row in trained),
        unwritten=list(progress.given_up),
        examples=[_example(row) for row in shown],
        soft_targets=len(softened),
    )
    return Made(trained, [row for row in rows if row.use == "unseen"], report, softened)


def _row(progress: _Progress, number: int, use: Literal["train", "unseen"]) -> SelfMadeRow:
    pool = progress.writer.pool
    question, answer = pool.questions[number], pool.answers[number]
    said: dict[str, Any] = {"role": "assistant", "content": answer.content}
    if progress.judge.thinking and answer.reasoning:
        said["reasoning_content"] = answer.reasoning
    return SelfMadeRow(
        id=f"self:{number}",
        language=progress.languages[number],
        kind=progress.draws[number].kind,
        messages=[{"role": "user", "content": question.text}, said],
        prompt_ids=answer.prompt_ids,
        answer_ids=answer.answer_ids,
        base_logprob=pool.likelihoods[number].logprob if use == "unseen" else None,
        use=use,
    )


def _example(row: SelfMadeRow) -> SelfMadeExample:
    question, answer = (str(message["content"]).strip() for message in row.messages)
    return SelfMadeExample(
        id=row.id, kind=row.kind, language=row.language, question=_cut(question), answer=_cut(answer)
    )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _said(faults: Counter[str]) -> str:
    return "; ".join(f"{count} {Words().say(f'selfmade.fault.{name}')}" for name, count in faults.most_common())


def _way_out(counts: Counter[str]) -> str:
    """What mends the most frequent fault."""
    most = counts.most_common(1)[0][0] if counts else ""
    return {
        "answer_not_ended": "raise data.selfmade.answer_tokens (and data.max_length)",
        "failed": "look at logs/serve-base.log",
        "other_end": "take an instruct model: this one does not end its turns as its chat template does",
        "no_reasoning": "set thinking=false, or take a model that thinks",
    }.get(most, "take a larger model")
