"""CMMLU, C-Eval and MMLU: multiple choice by subject, five examples from `dev`, in their authors' layout or a hub's.

Folders: `dev/<subject>[_dev].csv` and `test/<subject>[_test].csv` (C-Eval: `val/`), or a folder a subject with
`dev-….parquet` and so on, or zip archives of either.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, DataError
from configs.tables import TABLES, read_rows
from configs.tables.cells import kind_of, unpacked
from configs.tables.file_bytes import whole_text
from configs.tables.raw import is_blank
from eval.tasks.cells import required_text, text_of
from eval.tasks.prompts import options
from eval.tasks.task import Item, conversation

_LETTERS = "ABCD"
_NO_SUBJECTS = {"all", "auxiliary_train"}
"""Folders beside the subjects' on a hub: `all` holds every subject once more."""


@dataclass(frozen=True)
class Question:
    """One exam question; `answer` is its letter."""

    text: str
    choices: Mapping[str, str]
    answer: str


@dataclass(frozen=True)
class Exam:
    """How a benchmark words its questions.

    Args:
        header: from a subject's name to the line above the examples.
        question: from a question's text to the line above its options.
        answer: the line below the options, before the letter.
        before_letter: between that line and an example's letter.
        split: the folder that is asked; the examples come from `dev`.
        names: subject's file name to its name in the header; others lose their underscores.
        hub: where the data set is found by id.
        shots: examples of its subject before each question.
        macro: the official score is the mean over the subjects; else over the questions.
    """

    name: str
    hub: str
    header: Callable[[str], str]
    question: Callable[[str], str]
    answer: str
    split: str
    names: Mapping[str, str]
    before_letter: str = ""
    shots: int = 5
    macro: bool = True


_SUBJECTS: Mapping[str, Mapping[str, str]] = json.loads(
    files("eval.tasks").joinpath("subjects.json").read_text(encoding="utf-8")
)
"""File name of a subject to its Chinese name, for `ceval` and `cmmlu`, as their authors publish them."""

EXAMS: Mapping[str, Exam] = {
    "cmmlu": Exam(  # Li et al. 2023, 67 subjects
        name="CMMLU",
        hub="haonan-li/cmmlu",
        header=lambda subject: f"以下是关于{subject}的单项选择题，请直接给出正确答案的选项。",
        question=lambda text: f"题目：{text}",
        answer="答案是：",
        split="test",
        names=_SUBJECTS["cmmlu"],
    ),
    "ceval": Exam(  # Huang et al. 2023, 52 subjects; the answers of `test` are not published
        name="C-Eval",
        hub="ceval/ceval-exam",
        header=lambda subject: f"以下是中国关于{subject}考试的单项选择题，请选出其中的正确答案。",
        question=lambda text: text,
        answer="答案：",
        split="val",
        names=_SUBJECTS["ceval"],
    ),
    "mmlu": Exam(  # Hendrycks et al. 2021, 57 subjects
        name="MMLU",
        hub="cais/mmlu",
        header=lambda subject: f"The following are multiple choice questions (with answers) about {subject}.",
        question=lambda text: text,
        answer="Answer:",
        before_letter=" ",
        split="test",
        names={},
        macro=False,
    ),
}


def load(exam: Exam, root: Path, shots: int, subjects: Sequence[str] = (), system: str | None = None) -> list[Item]:
    """All questions of the asked split, subject by subject, each after `shots` examples of its subject.

    Raises:
        ConfigError: a subject that the folder does not have.
        DataError: the folder holds no such split, or too few examples.
    """
    asked = _tables(root, exam.split)
    if not asked:
        raise DataError(
            f"{root}: no `{exam.split}` split of {exam.name} in it", "expected FOLDER/test/SUBJECT.csv and alike"
        )
    unknown = sorted(set(subjects) - set(asked))
    if unknown:
        raise ConfigError(f"{exam.name} has no subject {unknown[0]!r}", f"known: {', '.join(sorted(asked))}")
    examples = _tables(root, "dev") if shots else {}
    items: list[Item] = []
    for subject in subjects or sorted(asked):
        shown = _questions(examples[subject])[:shots] if subject in examples else []
        if len(shown) < shots:
            raise DataError(
                f"{exam.name}, {subject}: {len(shown)} examples in `dev`, {shots} are needed",
                "add the files, or set `shots`",
            )
        head = exam.header(exam.names.get(subject, subject.replace("_", " "))) + "\n\n"
        head += "".join(_ask(exam, question) + exam.before_letter + question.answer + "\n\n" for question in shown)
        items += [
            Item(
                f"{subject}-{number:04d}",
                conversation(head + _ask(exam, question), system),
                [question.answer],
                choices=question.choices,
                detail={"subject": subject},
            )
            for number, question in enumerate(_questions(asked[subject]), start=1)
        ]
    return items


def _ask(exam: Exam, question: Question) -> str:
    return f"{options(exam.question(question.text), question.choices)}\n{exam.answer}"


def _tables(root: Path, split: str) -> dict[str, Path]:
    """Subject to its file of one split, in whichever layout."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("[!.]*")):
        if path.suffix.lower() not in TABLES:
            continue
        if path.parent.name == split:
            subject = path.stem.removesuffix(f"_{split}")
        elif path.stem.split("-")[0] == split and path.parent.name not in _NO_SUBJECTS:
            subject = path.parent.name
        else:
            continue
        if subject in found:
            raise DataError(f"{root}: two files of {subject}: {found[subject].name} and {path.name}",
                            "join them, or keep one")  # fmt: skip
        found[subject] = path
    return found


def _questions(file: Path) -> list[Question]:
    rows = _without_header(file) if file.suffix.lower() == ".csv" else None
    if rows is None:
        rows = read_rows(file)
    return [_question(row, f"{file}, row {number}") for number, row in enumerate(rows, start=1)]


def _without_header(file: Path) -> list[dict[str, Any]] | None:
    """The rows of a CSV file such as MMLU's, whose first row is a question; None where it has a header."""
    csv.field_size_limit(sys.maxsize)
    names = ("question", *_LETTERS, "answer")
    try:
        rows = [row for row in csv.reader(io.StringIO(whole_text(file), newline=""), strict=True) if row]
    except csv.Error as error:
        raise DataError(f"{file}: not valid CSV: {error}", "close every cell that begins with a quote") from error
    if not rows or {"question", "Question"} & set(rows[0]):
        return None
    if odd := next((number for number, row in enumerate(rows, start=1) if len(row) != len(names)), None):
        raise DataError(f"{file}, row {odd}: {len(rows[odd - 1])} cells", f"expected {', '.join(names)}")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _question(row: dict[str, Any], where: str) -> Question:
    row = {name.lower() if name in {"Question", "Answer"} else name: value for name, value in row.items()}
    question = required_text(row, ("question",), where)
    listed = unpacked(row.get("choices"))
    if is_blank(listed):
        listed = [required_text(row, (letter,), where) for letter in _LETTERS]
    if not isinstance(listed, list) or not 2 <= len(listed) <= len(_LETTERS) or any(map(is_blank, listed)):
        raise DataError(f"{where}: `choices` is {kind_of(listed)}", "expected two to four texts, or columns A, B, C, D")
    choices = {
        letter: text_of(text, f"{where}, option {letter}") for letter, text in zip(_LETTERS, listed, strict=False)
    }
    answer = row.get("answer")
    if is_blank(answer):
        raise DataError(f"{where}: no answer", "use a split with answers; expected: question, A, B, C, D, answer")
    # A number is always an index and a letter always a letter here, whatever the options are.
    index = answer if isinstance(answer, int) and 0 <= answer < len(choices) else None
    letter = _LETTERS[index] if index is not None else str(answer).strip().upper()
    if letter not in choices:
        raise DataError(
            f"{where}: the answer {answer!r} is none of the choices {', '.join(choices)}", "use a split with answers"
        )
    return Question(question, choices, letter)
