"""The page of models says what the code opens and refuses, in both languages alike."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from configs.model import libraries
from tests.trainer.data.test_trl_templates import DROPPED, NO_REASONING, REFUSED, shipped
from tests.trainer.families import FAMILIES
from trainer.architectures import PROVED, Model, why_not
from trainer.requirements import GGUF_MODEL_TYPES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["models.md", "models.zh-CN.md"]
REFUSAL = re.compile(r"^\| `(\{.*\})` \| (.+) \|$", re.MULTILINE)


def families(page: str) -> dict[str, list[str]]:
    """Architecture to the cells behind it: train, merge, GGUF, served, adapter."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| [^`]+\| `\w+For", line)
    ]
    return {row[1].strip("`"): row[2:] for row in cells}


def refusals(page: str) -> list[tuple[str, str]]:
    return REFUSAL.findall((DOCS / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_the_families_are_those_that_are_proved(page: str) -> None:
    assert families(page).keys() == set(PROVED)
    assert FAMILIES.keys() <= set(PROVED)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("architecture", PROVED)
def test_a_family_is_opened_as_the_page_says(page: str, architecture: str) -> None:
    train, _, gguf, *_ = families(page)[architecture]
    model = Model.of({"architectures": [architecture]})
    assert why_not({"architectures": [architecture]}) == ""
    assert (gguf in ("yes", "是")) == (model.kind in GGUF_MODEL_TYPES)
    general = "general path" in train or "一般路径" in train
    assert general != model.fused


@pytest.mark.parametrize(("config", "why"), refusals("models.md"))
def test_a_refusal_is_the_one_that_the_code_gives(config: str, why: str) -> None:
    assert why_not(json.loads(config)) == why


def test_both_languages_refuse_the_same() -> None:
    assert refusals("models.md") == refusals("models.zh-CN.md")
    assert len(refusals("models.md")) > 5


@pytest.mark.parametrize("page", PAGES)
def test_templates_are_counted_as_the_tests_find_them(page: str) -> None:
    if not shipped():
        pytest.skip("TRL is not installed")
    text = (DOCS / page).read_text(encoding="utf-8").rpartition("\n## ")[2]
    trained = len(shipped()) - len(REFUSED) - len(DROPPED)
    counted = [len(shipped()), trained, len(NO_REASONING), len(DROPPED), len(REFUSED)]
    assert [int(number) for number in re.findall(r"(?<![.\d])\d+(?![.\d])", text)] == counted


def test_unsloth_and_vllm_bring_the_kernels_of_linear_attention() -> None:
    """Else flash-linear-attention and causal-conv1d belong into the pinned list for CUDA."""
    zoo, server = find_spec("unsloth_zoo"), libraries._folder("vllm")
    if zoo is None or zoo.origin is None or server is None:
        pytest.skip("Unsloth or vLLM is not installed")
    folder = Path(zoo.origin).parent
    assert (folder / "_vendored" / "fla" / "ops" / "gated_delta_rule").is_dir()
    assert "qwen3_5" in (folder / "temporary_patches" / "gdn_causal_conv1d.py").read_text(encoding="utf-8")
    assert (server / "third_party" / "flash_linear_attention").is_dir()
