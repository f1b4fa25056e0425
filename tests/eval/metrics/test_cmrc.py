"""The official CMRC scores, for single answers and for the whole development set."""

import time

import pytest
from nltk import redos

from eval.metrics.cmrc import _sentence_tokenizer, cmrc_em, cmrc_f1, score_corpus, segment
from scripts.bench.scoring import cmrc_questions, data_folder

OFFICIAL = [
    ("《战国无双3》", ["战国无双3"], 1.0, 1),
    ("光荣和ω-force", ["光荣"], 0.666667, 0),
    ("北京市海淀区", ["北京海淀区"], 0.545455, 0),
    ("答案是光荣和ω-force。", ["光荣和ω-force"], 0.727273, 0),
    ("2010年3月18日发售于Wii", ["2010年3月18日"], 0.75, 0),
    ("北京,上海", ["北京，上海"], 0.444444, 0),
    ("1992年", ["一九九二年", "1992年"], 1.0, 1),
    ("Dynasty Warriors 系列", ["dynasty warriors系列"], 1.0, 0),
    ("U.S.A. 公司", ["U.S.A.公司"], 1.0, 0),
    ("3.5%", ["3.5％"], 0.0, 0),
    ("他说‘好的…’", ["他说好的"], 0.4, 0),
    ("臺北市", ["台北市"], 0.666667, 0),
    ("", ["北京"], 0.0, 0),
]


@pytest.mark.parametrize(("prediction", "answers", "f1", "em"), OFFICIAL)
def test_single_answers_equal_the_official_script(prediction: str, answers: list[str], f1: float, em: int) -> None:
    assert round(cmrc_f1(prediction, answers), 6) == f1
    assert cmrc_em(prediction, answers) == em


def test_removed_punctuation_joins_what_stood_beside_it() -> None:
    assert segment("2010-03") == ["201003"]
    assert segment("I can't，中文") == ["i", "ca", "n't", "中", "文"]


@pytest.fixture(scope="module")
def development_set() -> tuple[dict[str, list[str]], dict[str, str]]:
    file = data_folder() / "cmrc2018_dev.json"
    if not file.is_file():
        pytest.skip(f"no {file}: TUNESERVE_SHARED_DATA names its folder")
    return cmrc_questions(file)


def test_whole_set(development_set: tuple[dict[str, list[str]], dict[str, str]]) -> None:
    answers, contexts = development_set
    gold = score_corpus(answers, {query: golds[0] for query, golds in answers.items()})
    assert (gold.f1, gold.em, gold.total, gold.missing) == (100.0, 100.0, 3219, 0)
    wordy = score_corpus(answers, {query: f"答案是{golds[0]}。" for query, golds in answers.items()})
    assert (round(wordy.f1, 6), wordy.em) == (77.063720, 0.0)
    lead = score_corpus(answers, {query: context[:30] for query, context in contexts.items()})
    assert round(lead.f1, 6) == 10.739789


def test_a_missing_prediction_scores_zero_and_is_counted() -> None:
    score = score_corpus({"1": ["北京"], "2": ["上海"]}, {"1": "北京"})
    assert (score.f1, score.em, score.missing) == (50.0, 50.0, 1)


def test_sentences_are_split_before_words_as_nltk_does() -> None:
    """Values of the official script with NLTK's own `word_tokenize` and its English model."""
    assert segment("It is late. We go home.") == ["it", "is", "late", ".", "we", "go", "home", "."]
    assert segment("Mr. Smith of the U.S. Navy went at 5 p.m. to Dr. Wu.")[-4:] == ["to", "dr.", "wu", "."]
    assert segment("第一句是 It rained. 第二句是 We left.")[4:7] == ["it", "rained", "."]
    answer = "The ferry stopped. It was old."
    assert round(cmrc_f1(answer, ["The ferry stopped."]), 6) == round(2 * 4 / (8 + 4), 6)
    assert segment("3.5 or 4. 5") == ["3.5", "or", "4", ".", "5"]


def test_an_answer_of_more_different_words_than_there_are_characters_for_is_scored() -> None:
    # (0x10FFFF - 0xF0000) characters stand for words of more than one letter.
    letters = [chr(0xAC00 + number) for number in range(370)]
    different = " ".join(first + second for first in letters for second in letters)
    assert cmrc_f1(f"{different} 北京市", ["北京市"]) == pytest.approx(2 * 3 / (370 * 370 + 3 + 3))


def test_a_full_stop_that_a_model_repeats_to_its_limit_is_scored_in_time() -> None:
    began = time.process_time()
    assert cmrc_f1("." * 100_000, ["北京市"]) == 0
    assert time.process_time() - began < 5


def test_a_long_answer_is_scored_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redos, "DEFAULT_TIMEOUT", 1e-6)
    _sentence_tokenizer.cache_clear()
    assert cmrc_f1("It rained. " * 9_000, ["北京市"]) == 0
