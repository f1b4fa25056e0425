"""`docs/serving.md` says what the code says: the causes of failed starts, the flags, the open paths, the files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import configs
from configs.recipe.schema import ServeConfig
from serve.launch.api_key import OPEN_METHODS, OPEN_PATHS
from serve.launch.command import DRAIN_S, build_command
from serve.launch.target import folder_target
from serve.process.causes import find_cause
from serve.process.supervisor import BUSY_LIMIT, MISSED_LIMIT, WATCH_S
from tests.serve.process.test_causes import FAILURES

REPOSITORY = Path(configs.__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [failure[0] for failure in FAILURES[:10]])
def test_ten_failed_starts_stand_in_the_page_as_they_are_printed(text: str) -> None:
    cause = find_cause(text, 1)
    assert f"| {cause.message} | {cause.next_step} |" in PAGE


def test_every_flag_of_ours_is_explained() -> None:
    target = folder_target(REPOSITORY / "configs" / "demo" / "model", "demo", thinking=False)
    config = ServeConfig(precision="fp8", tensor_parallel_size=2)
    argv = build_command(target, config, device="cuda", environ={"TUNESERVE_API_KEY": "x"}, drain_s=DRAIN_S).argv
    ours = {word for word in argv if word.startswith("--")}
    # Plain settings, and one that only keeps the log short.
    plain = {"--host", "--port", "--disable-uvicorn-access-log"}
    assert {flag for flag in ours - plain if flag not in PAGE} == set()


def test_what_is_open_without_a_key_is_named() -> None:
    sentence = re.search(r"\*\*every\*\* path and method but ([^.]*)\.", PAGE)
    assert sentence
    assert set(re.findall(r"`(/\w+)`", sentence[1])) == OPEN_PATHS
    assert set(re.findall(r"\b[A-Z]+\b", sentence[1])) == OPEN_METHODS


def test_numbers_of_the_supervisor_are_those_of_the_code() -> None:
    assert f"asked every {WATCH_S:.0f} s" in PAGE
    assert MISSED_LIMIT * WATCH_S == 30
    assert BUSY_LIMIT * WATCH_S == 300
    assert "half a minute of silence (five minutes while it computes)" in PAGE
    assert f"get {DRAIN_S} s" in PAGE
    assert f"in a row ({ServeConfig().max_restarts})" in PAGE


def test_links_lead_to_files() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (REPOSITORY / "docs" / link).exists(), link
