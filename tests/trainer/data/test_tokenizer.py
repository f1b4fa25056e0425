"""Tokenizers of strangers: what they do wrong is one sentence, and what they were saved with cuts nothing."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError
from configs.model.files import check_model_folder
from configs.recipe.load import load_config
from trainer.data.prepare import prepare
from trainer.data.template import ChatCodec
from trainer.data.tokenizer import fill_up_with_a_known_token, load_tokenizer

DEMO = Path("configs/demo/model").resolve()
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Change], Path]:
    def model(change: Change) -> Path:
        folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
        spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        change(spec)
        (folder / "tokenizer.json").write_text(json.dumps(spec))
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        # transformers builds the Qwen class anew from its vocabulary; others are taken as they are.
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return folder

    return model


def normalizing(*steps: dict[str, Any]) -> Change:
    return lambda spec: spec.update(normalizer={"type": "Sequence", "normalizers": list(steps)})


def replacing(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def decoding(spec: dict[str, Any]) -> None:
    steps = [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100_000}]
    spec["decoder"] = {"type": "Sequence", "decoders": [spec["decoder"], *steps]}


CHARSMAP = base64.b64encode((4).to_bytes(4, "little") + bytes(4) + b"x" * 5000 + b"\0").decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (normalizing(replacing(".", "x" * 1000)), "makes a text 1,000 times as long"),
        (normalizing(*[replacing(".", "xxx")] * 4), "makes a text 81 times as long"),
        (normalizing({"type": "Sequence", "normalizers": [replacing(".", "x" * 65)]}), "65 times"),
        (normalizing({"type": "Prepend", "prepend": "x" * 10_000}), "prepend"),
        (normalizing({"type": "Precompiled", "precompiled_charsmap": CHARSMAP}), "makes a text 5,000 times as long"),
        (decoding, "makes a text 100,000 times as long"),
    ],
)
def test_a_tokenizer_that_makes_texts_long_is_refused(
    make: Callable[[Change], Path], change: Change, said: str
) -> None:
    folder = make(change)
    for look in (load_tokenizer, check_model_folder):
        with pytest.raises(ConfigError, match=said):
            look(folder)


def dropping(spec: dict[str, Any]) -> None:
    spec["model"]["dropout"] = 0.5


def crowded(spec: dict[str, Any]) -> None:
    last = spec["added_tokens"][-1]
    spec["added_tokens"] += [{**last, "id": last["id"] + n, "content": f"<x{n}>"} for n in range(1, 100_001)]


@pytest.mark.parametrize(
    ("change", "said"),
    [(dropping, "encodes the same text in another way each time"), (crowded, "at most 100000 items")],
)
def test_a_tokenizer_without_rule_or_end_is_refused(make: Callable[[Change], Path], change: Change, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_tokenizer(make(change))


def test_a_token_that_the_model_has_no_embedding_for_is_said(
    make: Callable[[Change], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def far(spec: dict[str, Any]) -> None:
        spec["model"]["vocab"]["a"] = 4000  # 3,584 are there

    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    rows = [
        {"messages": [{"role": "user", "content": f"问{n}"}, {"role": "assistant", "content": "a."}]} for n in range(8)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = load_config("demo", [f"data.sources=[{tmp_path / 'rows.jsonl'}]", "data.replay=null"])
    with pytest.raises(ConfigError, match=r"gives 'a' the id 4000, and the model has embeddings for 3584 tokens"):
        prepare(config, make(far))


@pytest.mark.parametrize("step", [replacing(" ", "▁"), replacing("``", '"'), {"type": "Prepend", "prepend": "▁"}])
def test_what_tokenizers_do_is_taken(make: Callable[[Change], Path], step: dict[str, Any]) -> None:
    assert load_tokenizer(make(normalizing(step)))


@pytest.mark.parametrize("pattern", [r"(a|a)+[0-9]", ""])
def test_a_pattern_that_fails_is_one_sentence(make: Callable[[Change], Path], pattern: str) -> None:
    codec = ChatCodec.load(make(normalizing(replacing(pattern, "z"))))
    for encode in (codec.encode, lambda text: codec.encode_guarded(text, {})):
        with pytest.raises(ConfigError, match=r"its tokenizer fails at 'a+"):
            encode("a" * 60 + "!! q1")


def test_a_tokenizer_that_cannot_be_built_is_one_sentence(make: Callable[[Change], Path]) -> None:
    folder = make(normalizing({"type": "Precompiled", "precompiled_charsmap": "AAAA"}))
    with pytest.raises(ConfigError, match="its tokenizer cannot be read: PanicException"):
        load_tokenizer(folder)


def test_what_it_was_saved_with_cuts_and_fills_up_nothing(make: Callable[[Change], Path]) -> None:
    def saved(spec: dict[str, Any]) -> None:
        spec["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
        fixed = {"strategy": {"Fixed": 4096}, "direction": "Right", "pad_to_multiple_of": None}
        spec["padding"] = {**fixed, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"}

    text = "城市在哪里？" * 10
    codec, plain = ChatCodec.load(make(saved)), ChatCodec.load(DEMO)
    assert codec.encode(text) == plain.encode(text)
    assert codec.encode_guarded(text, {}) == plain.encode_guarded(text, {})


@pytest.mark.parametrize(("own", "taken"), [("<|pad|>", "<|im_end|>"), ("<|endoftext|>", "<|endoftext|>")])
def test_rows_are_filled_up_with_a_token_that_the_model_knows(own: str, taken: str) -> None:
    tokenizer = load_tokenizer(DEMO)
    known = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": own, "bos_token": own})  # one that is new gets the id after the last
    tokenizer.sep_token = "<|nowhere|>"
    fill_up_with_a_known_token(tokenizer, known)
    assert tokenizer.pad_token == taken
    assert tokenizer.pad_token_id < known


@pytest.mark.parametrize(
    ("ids", "said"), [(5, "5 is the ordinary token"), ([3560, 151643], "151643 is outside the"), ([3560, 3558], None)]
)
def test_a_model_whose_answers_end_at_an_ordinary_token_is_not_trained(
    ids: int | list[int], said: str | None, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    with nullcontext() if said is None else pytest.raises(ConfigError, match=f"eos_token_id {said}"):
        ChatCodec.load(folder)
