"""What the server shows of a foreign model becomes a fault with a next step; a run of our own has none."""

import string

import pytest

from configs.handover.foreign import ForeignFacts, fault, told
from configs.handover.serving import BehaviourFigures, ParityFigures, ProofFigures, ServedFigures
from configs.run.manifest import Manifest, Stage
from configs.terminal.language import LANGUAGES
from configs.terminal.words import Words, table
from eval.report.words import ReportWords
from scripts.run.faults import faults
from tests.scripts.run.test_judging import DEMO_MODEL, judge_recipe

GOOD = ServedFigures(
    parity=ParityFigures(rows=8, equal=8),
    proof=ProofFigures(
        rows=8, mean_gap=0.01, mean_effect=2.0, tolerance=0.05, row_factor=10, worst_row="r", worst_gap=0.02,
        recovered=1.0, shift_per_token=0.0,
    ),
    behaviour=BehaviourFigures(answers=8, stop_rate=1.0, think_leak_rate=0.0, null_rate=0.0),
)  # fmt: skip
LOOKED = ForeignFacts(
    kind="merged",
    trainer=None,
    rendering="base",
    renderings=[],
    end_probability=1.0,
    thinking=False,
    longest_answer=10,
    findings=[fault("finding.untouched", count=3), told("finding.other_dtype", theirs="F16", ours="BF16")],
)


def manifest(served: ServedFigures, foreign: ForeignFacts | None = LOOKED) -> Manifest:
    config = judge_recipe("x", str(DEMO_MODEL), data=["y"])
    stage = Stage(state="done", started="", figures=served.model_dump(mode="json"))
    made = Manifest(
        schema_version=2, name="x", created="", seed=1, thinking=False, config=config, stages={"tuned": stage}
    )
    made.facts = made.facts.model_copy(update={"foreign": foreign})
    return made


def test_what_was_only_told_is_no_fault_and_a_good_server_adds_none() -> None:
    assert [sentence.key for sentence in faults(manifest(GOOD))] == ["finding.untouched"]
    assert faults(manifest(GOOD, None)) == []


@pytest.mark.parametrize("key", [key for key in table() if key.startswith("finding.")])
def test_a_report_can_say_every_finding_with_words_as_values(key: str) -> None:
    for language in LANGUAGES:
        names = {name for _, name, _, _ in string.Formatter().parse(table()[key][language]) if name}
        text = ReportWords(language).say(key, **dict.fromkeys(names, "such a value"))
        assert text.count("such a value") >= len(names)


def test_every_way_to_serve_it_wrong_is_named_with_a_next_step_in_both_languages() -> None:
    assert GOOD.proof is not None
    assert GOOD.behaviour is not None
    bad = ServedFigures(
        parity=ParityFigures(rows=8, equal=5),
        proof=GOOD.proof.model_copy(update={"mean_gap": 1.0}),
        behaviour=GOOD.behaviour.model_copy(update={"stop_rate": 0.5, "think_leak_rate": 0.25, "null_rate": 0.125}),
    )
    found = faults(manifest(bad))[1:]
    assert [sentence.key.removeprefix("finding.") for sentence in found] == [
        "parity", "proof", "stop_rate", "think_leak", "null_content",
    ]  # fmt: skip
    for language in LANGUAGES:
        for sentence in found:
            text = Words(language).say(sentence.key, **sentence.values)
            assert {"en": "Next: ", "zh": "下一步："}[language] in text
    assert "3 of 8 prompts" in Words().say(found[0].key, **found[0].values)
    assert "50.0 % of what training changed" in Words().say(found[1].key, **found[1].values)
