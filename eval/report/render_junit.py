"""The gate as JUnit XML, which CI systems show as tests: one test a check."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from configs.terminal.console import visible
from eval.compare.comparison import Comparison
from eval.report.words import ENGLISH, ReportWords

# Characters that XML 1.0 cannot hold.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(comparison: Comparison, words: ReportWords = ENGLISH) -> str:
    """The text of report.junit.xml.

    A failed check is a failure, one without enough evidence an error, one that is only described skipped. The verdict
    is a test of its own, so that a gate with nothing large enough to decide does not look green.
    """
    gate = comparison.gate
    suite = ElementTree.Element("testsuite", name=_clean(f"tuneserve gate: {comparison.tuned}"))
    for check in gate.checks:
        _case(suite, f"{check.kind} {check.name}", check.state, words.sentence(check.reason))
    said = [*gate.reasons, *gate.reservations, *([gate.remedy] if gate.remedy else [])]
    _case(suite, "verdict", gate.verdict, "\n".join(map(words.sentence, said)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in suite)))
    suite.set("tests", str(len(suite)))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, name: str, state: str, reason: str) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname="tuneserve.gate", name=_clean(name))
    message = _clean(reason)
    if state == "fail":
        ElementTree.SubElement(case, "failure", type="fail", message=message)
    elif state == "not_enough_evidence":
        ElementTree.SubElement(case, "error", type="not_enough_evidence", message=message)
    elif state == "described":
        ElementTree.SubElement(case, "skipped", message=message)
    else:
        ElementTree.SubElement(case, "system-out").text = message


def _clean(value: str) -> str:
    return _FORBIDDEN.sub("\ufffd", visible(value))
