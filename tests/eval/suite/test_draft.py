"""The suite's programs: any number of items, balanced, the same at every call, none of them twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from eval.suite.draft import Draft, Program, rows
from eval.suite.orders import orders
from eval.suite.passages import passages
from eval.suite.problems import word_problems

Rows = Callable[[int], list[dict[str, Any]]]
FAMILIES = {"problems": word_problems, "passages": passages, "orders": orders}
STRATA = {"problems": 120, "passages": 90, "orders": 130}


@pytest.mark.parametrize("name", FAMILIES)
def test_more_rows_only_continue_fewer(name: str) -> None:
    few, many = FAMILIES[name](150), FAMILIES[name](400)
    assert many[:150] == few
    assert len({row["id"] for row in many}) == 400


@pytest.mark.parametrize("name", FAMILIES)
def test_any_first_part_holds_every_stratum_alike(name: str) -> None:
    counted = Counter(row["stratum"] for row in FAMILIES[name](3 * STRATA[name] + 7))
    assert len(counted) == STRATA[name]
    assert set(counted.values()) <= {3, 4}


@pytest.mark.parametrize("name", FAMILIES)
def test_no_item_stands_twice_among_as_many_as_a_verdict_may_ask(name: str) -> None:
    texts = [f"{row.get('context', '')}\n{row['question']}" for row in FAMILIES[name](6000)]
    assert len(set(texts)) == 6000


def test_the_items_are_those_that_were_measured() -> None:
    """Another item under an old id would let answers of two suites be compared as if they were of one."""
    digests = {
        name: hashlib.sha256(json.dumps(make(600), ensure_ascii=False).encode()).hexdigest()[:12]
        for name, make in FAMILIES.items()
    }
    assert digests == {"problems": "4ea4d1d11627", "passages": "6731e297b0d3", "orders": "8dbcfd588fe4"}


def test_a_program_without_further_items_says_so() -> None:
    def write(draft: Draft) -> dict[str, Any]:
        return {"question": draft.either(f"第{draft.number(1, 2)}题", f"question {draft.number(1, 2)}")}

    programs: dict[str, Program] = {"few": write}
    with pytest.raises(ValueError, match=r"family: few at level . in zh has no further item"):
        rows("family", programs, 30)
