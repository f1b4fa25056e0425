"""ROUGE over characters and jieba words, against values of the official code."""

import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.metrics.rouge import best_rouge, characters, lcs_length, rouge, words

BUS = ("深圳机场9死24伤续：司机全责赔偿或超千万", "深圳机场续：女司机被全责赔偿或超千万")
OFFICIAL = [
    ("修改后的立法法全文公布", "修改后的立法法全文公布了", characters, 0.956522, 0.952381, 0.956522),
    ("修改后的立法法全文公布", "修改后的立法法全文公布了", words, 0.923077, 0.909091, 0.923077),
    (*BUS, characters, 0.820513, 0.648649, 0.820513),
    (*BUS, words, 0.6, 0.333333, 0.6),
    ("北京北京北京欢迎你", "北京欢迎你", characters, 0.714286, 0.666667, 0.714286),
    ("今天天气很好我们去公园", "我们去公园今天天气很好", characters, 1.0, 0.9, 0.545455),
    ("2024年GDP增长5.2%", "GDP增长5.2%，为2024年最高", characters, 0.875, 0.8, 0.5625),
]  # fmt: skip


@pytest.mark.parametrize(("hypothesis", "reference", "tokenize", "rouge1", "rouge2", "rouge_l"), OFFICIAL)
def test_official_values(hypothesis, reference, tokenize, rouge1, rouge2, rouge_l) -> None:  # type: ignore[no-untyped-def]
    score = rouge(hypothesis, reference, tokenize)
    assert [round(score[name], 6) for name in ("rouge1", "rouge2", "rougeL")] == [rouge1, rouge2, rouge_l]


@pytest.mark.parametrize("hypothesis", ["", "  \n"])
def test_an_empty_hypothesis_scores_zero(hypothesis: str) -> None:
    assert set(rouge(hypothesis, "北京").values()) == {0.0}
    assert set(rouge(hypothesis, "北京", words).values()) == {0.0}


def test_several_references_take_the_best() -> None:
    assert best_rouge("北京", ["上海", "北京"]) == {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0}


def test_lcs_against_the_plain_recurrence() -> None:
    import random

    draw = random.Random(0)
    for _ in range(200):
        first = draw.choices("甲乙丙丁", k=draw.randrange(12))
        second = draw.choices("甲乙丙丁", k=draw.randrange(12))
        table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
        for i, left in enumerate(first, 1):
            for j, right in enumerate(second, 1):
                same = table[i - 1][j - 1] + 1
                table[i][j] = same if left == right else max(table[i - 1][j], table[i][j - 1])
        assert lcs_length(first, second) == table[-1][-1]


def test_a_word_list_planted_in_the_temporary_folder_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    with (tmp_path / "shared" / "jieba.cache").open("wb") as planted:
        marshal.dump(({"天气很": 10**9, "天气": 0, "很好": 0}, 10**9), planted)
    code = "from eval.metrics.rouge import words; print(words('今天天气很好'))"
    environment = {**os.environ, "TMPDIR": str(tmp_path / "shared"), "TUNESERVE_CACHE": str(tmp_path / "own")}
    for _ in range(2):  # the second reads what the first has kept
        said = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout
        assert "天气很" not in said
    assert [file.name for file in (tmp_path / "shared").iterdir()] == ["jieba.cache"]
    (kept,) = (tmp_path / "own" / "words").iterdir()
    assert kept.parent.stat().st_mode & 0o077 == 0
