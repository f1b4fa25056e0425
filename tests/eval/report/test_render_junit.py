"""The gate as tests of a CI system."""

import xml.etree.ElementTree as ElementTree

from configs.recipe.schema import GateConfig
from eval.compare.compare import compare
from eval.report.render_junit import render_junit
from tests.eval.report.pages import build
from tests.eval.synthetic import pair, sides


def test_junit_counts_states() -> None:
    root = ElementTree.fromstring(render_junit(build()))
    suite = root.find("testsuite")
    assert suite is not None
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases["group knowledge"] == ["failure"]
    assert cases["group reasoning"] == ["skipped"]
    assert cases["target mine"] == ["system-out"]
    assert cases["verdict"] == ["failure"]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "2", "1")


def test_junit_is_not_green_when_nothing_was_large_enough() -> None:
    comparison = compare(*sides(pair("tiny", 60, 40, 0, 0)), GateConfig(), names=("base", "bad\x00name"))
    root = ElementTree.fromstring(render_junit(comparison))
    error = root.find(".//testcase[@name='verdict']/error")
    assert error is not None
    assert "No group of retention tasks has the 700 items" in str(error.get("message"))
