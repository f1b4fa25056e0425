"""Row lengths without a tokenizer, beside those of Qwen3's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.trainer.tokenizers_for_tests import qwen3_tokenizer_folder
from trainer.data.guess import guess_tokens

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["docs/data.zh-CN.md", "docs/evaluation.zh-CN.md", "README.md", "docs/serving.md"])
def test_a_guess_is_near_what_qwen3_cuts(page: str) -> None:
    tokenizer = Tokenizer.from_file(str(qwen3_tokenizer_folder() / "tokenizer.json"))
    prose = "\n".join(line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if "|" not in line)
    assert guess_tokens(prose) == pytest.approx(len(tokenizer.encode(prose).ids), rel=0.12)
