"""A fault beside the scores fails the verdict and is said first."""

from eval.compare.comparison import Sentence
from eval.compare.faults import with_faults
from tests.eval.report.pages import build


def test_any_fault_fails_the_verdict_and_stands_first() -> None:
    plain = build()
    fault = Sentence("finding.untouched", {"count": 3})
    failed = with_faults(plain, [fault])
    assert failed.gate.verdict == "fail"
    assert failed.gate.exit_code == 3
    assert failed.gate.reasons[0] == fault
    assert failed.gate.checks == plain.gate.checks
    assert with_faults(plain, []) is plain
