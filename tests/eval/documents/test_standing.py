"""An answer stands in its passage, or the number, name or words that do not are named."""

from __future__ import annotations

import time

import pytest

from eval.documents.standing import COVERAGE, coverage, standing

CHINESE = (
    "本产品自购买之日起享有两年质保，电池质保一年。充电请使用 65W 的 USB-C 充电器，充满约需 1.5 小时。"
    "客服电话 400-820-1234，周一至周五 9:00—18:00。退货须在签收后7天内提出。"
)
ENGLISH = (
    "The Falcon X2 ships with a two-year warranty; the battery is covered for 12 months. To reset it, hold the power "
    "button for ten seconds until the LED blinks red. Orders above $299 ship for free within 3 business days. Contact "
    "support@falcon.example."
)


@pytest.mark.parametrize(
    ("answer", "passage", "quoted"),
    [
        ("一年", CHINESE, True),
        ("400-820-1234", CHINESE, True),
        ("2年", CHINESE, False),
        ("电池的质保期为一年。", CHINESE, False),
        ("请用65W的USB-C充电器，大约1.5小时充满。", CHINESE, False),
        ("签收后七天之内可以提出退货。", CHINESE, False),
        ("support@falcon.example", ENGLISH, True),
        ("The battery is covered for 12 months", ENGLISH, True),
        ("Two years.", ENGLISH, False),
        ("Hold the power button for 10 seconds until the LED blinks red.", ENGLISH, False),
        ("Press and hold power ten seconds; the red LED will be blinking.", ENGLISH, False),
        ("1. Hold the power button.\n2. Release it once the LED blinks red.", ENGLISH, False),
    ],
)
def test_what_stands_in_its_passage(answer: str, passage: str, quoted: bool) -> None:
    found = standing(answer, passage)
    assert found.fault is None, found
    assert found.quoted is quoted


@pytest.mark.parametrize(
    ("answer", "passage", "fault", "named"),
    [
        ("电池保修三年。", CHINESE, "number_not_there", "三"),
        ("客服电话是 400-820-9999。", CHINESE, "number_not_there", "9999"),
        ("使用 Lightning 充电器。", CHINESE, "name_not_there", "Lightning"),
        ("参见《保修手册》中的质保说明。", CHINESE, "name_not_there", "保修手册"),
        ("应在购买后7天内联系北京总部并提供发票原件。", CHINESE, "words_not_there", "北"),
        ("电池不享有质保。", CHINESE, "words_not_there", "不"),
        ("Orders above $399 ship free.", ENGLISH, "number_not_there", "399"),
        ("It is covered until 2027-05-01.", ENGLISH, "number_not_there", "2027"),
        ("Contact the support of Amazon.", ENGLISH, "name_not_there", "Amazon"),
        ("Run falcon_reset to reset it.", ENGLISH, "name_not_there", "falcon_reset"),
        ("You should replace its motherboard and call a technician.", ENGLISH, "words_not_there", "motherboard"),
        ("The battery isn't covered.", ENGLISH, "words_not_there", "n't"),
    ],
)
def test_what_does_not_stand_there_is_named(answer: str, passage: str, fault: str, named: str) -> None:
    found = standing(answer, passage)
    assert found.fault == fault
    assert named in found.found


def test_the_threshold_is_a_share_of_content_words() -> None:
    passage = "red green blue black white grey brown"
    share, missing = coverage("the red and the green, blue, black, white, grey, brown, pink, gold, cyan", passage)
    assert (share, missing) == (0.7, ["pink", "gold", "cyan"])
    assert share == COVERAGE
    assert standing("red green blue black white grey brown pink gold cyan", passage).fault is None
    assert standing("red green blue black white grey pink gold cyan teal", passage).fault == "words_not_there"
    assert coverage("it is of the", passage) == (0.0, [])


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        ("《全唐诗》由谁主持编修？", "《全唐诗》由曹寅主持编修。", "《全唐诗》由王安石主持编修。"),
        ("底特律的三一堂建于哪一年？", "底特律的三一堂建于1878年。", "底特律的三一堂建于1879年。"),
        (
            "Where is the Falcon lamp made?",
            "The Falcon lamp is made in a plant at Dresden.",
            "The Falcon lamp is made by hand.",
        ),
    ],
)
def test_what_an_answer_takes_from_its_question_is_no_evidence(question: str, right: str, wrong: str) -> None:
    passage = (
        "《全唐诗》是清代由曹寅主持编修的诗集。底特律的三一堂建于1878年。"
        "The Falcon comes from a plant at Dresden that employs 90 people."
    )
    assert standing(right, passage, question).fault is None
    assert standing(wrong, passage, question).fault is not None


@pytest.mark.parametrize("unit", ["a", "\n", "-"])
def test_what_a_model_repeats_to_its_limit_is_held_against_its_passage_in_time(unit: str) -> None:
    began = time.process_time()
    assert standing(f"x{unit * 60_000}x", ENGLISH).fault
    assert time.process_time() - began < 3
