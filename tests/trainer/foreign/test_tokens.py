"""A tokenizer that is no longer the one of the weights is named, token by token."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer.tiny_models import make_model
from trainer.foreign.tokens import tokenizer_findings

TEXTS = ["今天天气很好", "The quick brown fox, 1234."]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tokens") / "base", "qwen3", torch.bfloat16, tied=True)


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "tuned"))


def edited(folder: Path) -> dict:
    return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))


def write(folder: Path, spec: dict) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")


def keys(folder: Path, base: Path) -> list[str]:
    return [finding.key for finding in tokenizer_findings(folder, base, TEXTS, has_weights=True)]


def with_new_token(folder: Path, place: int) -> None:
    spec = edited(folder)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    spec["added_tokens"].append({"id": place, "content": "<|ask|>", **flags})
    write(folder, spec)


def test_the_same_tokenizer_is_no_finding(folder: Path, base: Path) -> None:
    assert keys(folder, base) == []


def test_moved_tokens_are_named_with_both_ids(folder: Path, base: Path) -> None:
    spec = edited(folder)
    first, second = (token for token in spec["added_tokens"] if token["content"] in ("<|im_start|>", "<|im_end|>"))
    first["content"], second["content"] = second["content"], first["content"]
    vocabulary = spec["model"]["vocab"]
    vocabulary["<|im_start|>"], vocabulary["<|im_end|>"] = vocabulary["<|im_end|>"], vocabulary["<|im_start|>"]
    write(folder, spec)
    found = tokenizer_findings(folder, base, TEXTS, has_weights=True)
    assert [(f.key, f.fault) for f in found] == [("finding.tokens_moved", True)]
    assert found[0].values["count"] == 2
    assert found[0].values["shown"] == "<|im_start|> (1 → 2), <|im_end|> (2 → 1)"


def test_merges_that_were_lost_are_seen_in_what_is_encoded(folder: Path, base: Path) -> None:
    spec = edited(folder)
    spec["model"]["merges"] = spec["model"]["merges"][len(spec["model"]["merges"]) // 2 :]
    write(folder, spec)
    assert keys(folder, base) == ["finding.encodes_otherwise"]


def test_a_new_token_whose_embedding_was_never_trained_is_a_fault(folder: Path, base: Path) -> None:
    with_new_token(folder, 315)
    assert keys(folder, base) == ["finding.tokens_untrained"]


def test_a_new_token_with_an_embedding_of_its_own_is_only_told(folder: Path, base: Path) -> None:
    with_new_token(folder, 315)
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][315] += 0.5
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert keys(folder, base) == ["finding.tokens_new"]


def test_an_adapter_without_a_tokenizer_has_none_to_compare(base: Path, tmp_path: Path) -> None:
    assert tokenizer_findings(tmp_path, base, TEXTS, has_weights=False) == []
