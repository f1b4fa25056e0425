"""Model folders that nobody should trust: what looks at them says what is wrong, in no time and with no traceback."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from configs.errors import TuneserveError
from configs.model.shape import ModelShape
from configs.network.hub import resolve_model
from configs.recipe.schema import ServeConfig
from serve.bench.blank_adapter import write_blank_adapter
from serve.launch.command import build_command
from serve.launch.preflight import preflight, require
from serve.launch.target import folder_target
from tests.trainer.conftest import DEMO_MODEL
from trainer.architectures import check_architecture
from trainer.data.template import ChatCodec
from trainer.export.adapter import merge_any

Break = Callable[[Path], None]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
JSON_FILES = ("config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json")


def put(name: str, content: str | bytes) -> Break:
    def broken(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return broken


def keys(name: str, **changes: Any) -> Break:
    def broken(folder: Path) -> None:
        known = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps({**known, **changes}), encoding="utf-8")

    return broken


def replaced(name: str, make: Callable[[Path], Any]) -> Break:
    def broken(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return broken


def header(entries: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def index(weight_map: Any) -> Break:
    return put(INDEX, json.dumps({"metadata": {}, "weight_map": weight_map}))


def own_code(**changes: Any) -> Break:
    def broken(folder: Path) -> None:
        (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Evil: pass\n")
        keys("config.json", auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}, **changes)(
            folder
        )

    return broken


def endless(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.touch()
    os.truncate(file, 1 << 40)


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
FATAL: dict[str, Break] = {
    **{f"{name} {what}": put(name, content) for name in JSON_FILES for what, content in {
        "cut short": '{"a": ', "as a list": "[]", "as a number": "7", "nested": "[" * 100_000,
        "nested objects": '{"a":' * 100_000,
        "of zeros": bytes(1000), "in utf-16": "{}".encode("utf-16"), "of html": "<html>404</html>",
        "pointing to LFS": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "number without end": '{"a": ' + "9" * 5000 + "}",
    }.items()},
    **{f"{name} as a pipe": replaced(name, os.mkfifo)
        for name in (*JSON_FILES, WEIGHTS, "vocab.json", "chat_template.jinja")},
    **{f"{name} of a terabyte": replaced(name, endless)
        for name in ("added_tokens.json", "chat_template.jinja", "additional_chat_templates/default.jinja")},
    **{f"{name} as a folder": replaced(name, lambda p: p.mkdir()) for name in (*JSON_FILES, WEIGHTS, INDEX)},
    **{f"{name} as a circle": replaced(name, lambda p: p.symlink_to(p.name)) for name in (*JSON_FILES, WEIGHTS)},
    **{f"{name} as a device": replaced(name, lambda p: p.symlink_to("/dev/zero")) for name in (*JSON_FILES, WEIGHTS)},
    **{f"{name} leading nowhere": replaced(name, lambda p: p.symlink_to("/no/such"))
        for name in (*JSON_FILES, WEIGHTS)},
    "empty config": put("config.json", ""),
    "empty tokenizer": put("tokenizer.json", ""),
    "tokenizer of another kind": put("tokenizer.json", '{"model": {"type": "Evil"}}'),
    "tokenizer without model": put("tokenizer.json", '{"version": "1.0"}'),
    "tokenizer with model as text": put("tokenizer.json", '{"model": "BPE"}'),
    **{f"config {key}={value!r}": keys("config.json", **{key: value}) for key, value in {
        "hidden_size": -1, "num_hidden_layers": 0, "num_attention_heads": "16", "vocab_size": 1e400,
        "head_dim": float("nan"),
        "num_key_value_heads": [2], "intermediate_size": {}, "architectures": "Qwen3ForCausalLM", "model_type": 3,
        "text_config": [1], "quantization_config": "fp8", "auto_map": "x", "eos_token_id": "end",
        "max_position_embeddings": -5,
    }.items()},
    "layers without end": keys("config.json", num_hidden_layers=10**9),
    "huge sizes": keys("config.json", hidden_size=10**12),
    "template as number": keys("tokenizer_config.json", chat_template=5),
    "template as list of texts": keys("tokenizer_config.json", chat_template=["x"]),
    "no weights": replaced(WEIGHTS, lambda p: None),
    "pickled weights": replaced(WEIGHTS,
        lambda p: p.with_name("pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")),
    **{f"weights {what}": put(WEIGHTS, content) for what, content in {
        "empty": b"", "of html": b"<html>404</html>", "of two bytes": b"ab", "of zeros": bytes(10_000),
        "with a header of terabytes": header({"a": TENSOR}, bytes(8), 1 << 62),
        "with a negative header": header({"a": TENSOR}, bytes(8), (1 << 64) - 1),
        "cut short": header({"a": TENSOR}, bytes(4)), "too long": header({"a": TENSOR}, bytes(80)),
        "nested": header(b"[" * 100_000), "as a list": header([1, 2]), "without entries": header({"a": 1}),
        "without offsets": header({"a": {"dtype": "F32", "shape": [2]}}),
        "with offsets backwards": header({"a": {**TENSOR, "data_offsets": [8, 0]}}, bytes(8)),
        "with negative offsets": header({"a": {**TENSOR, "data_offsets": [-8, 0]}}, bytes(8)),
        "with a negative shape": header({"a": {**TENSOR, "shape": [-1, -2]}}, bytes(8)),
        "with a shape without end": header({"a": {**TENSOR, "shape": [1 << 60, 1 << 60]}}, bytes(8)),
        "with text for a shape": header({"a": {**TENSOR, "shape": "2"}}, bytes(8)),
        "of another dtype": header({"a": {**TENSOR, "dtype": "EVIL"}}, bytes(8)),
        "with offsets in terabytes": header({"a": {**TENSOR, "shape": [1 << 50], "data_offsets": [0, 1 << 52]}},
        bytes(8)),
    }.items()},
    "index out of the folder": index({"a": "../../../etc/passwd"}),
    "index to an absolute path": index({"a": "/etc/passwd"}),
    "index to a missing shard": index({"a": "model-00002-of-00002.safetensors"}),
    "index of numbers": index({"a": 1}),
    "index as list": index(["a"]),
    "empty index": index({}),
    "index without a map": put(INDEX, "{}"),
    "code for an unknown type": own_code(model_type="evil"),
    "code without a type": own_code(model_type=None),
    "code for a tokenizer": lambda folder: (
        (folder / "tokenizer.json").unlink(),
        keys("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]}, tokenizer_class="Evil")(folder),
    )[-1],
}  # fmt: skip
MILD: dict[str, Break] = {
    "key twice": put("generation_config.json", '{"eos_token_id": 3560, "eos_token_id": 3560}'),
    "unknown keys": keys("config.json", surprise={"a": [1]}),
    "code beside a known type": own_code(),
    "no generation settings": replaced("generation_config.json", lambda p: None),
}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_blank_adapter("trained", DEMO_MODEL, 4, tmp_path_factory.mktemp("adapter")).folder
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: tensor + 0.1 for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")
    return folder


def look_with_check(folder: Path, adapter: Path, out: Path) -> None:
    model = resolve_model(str(folder), offline=True)
    check_architecture(model)
    ModelShape.load(model)
    ChatCodec.load(model)


def look_with_serve(folder: Path, adapter: Path, out: Path) -> None:
    config = ServeConfig(port=47_891)
    require(preflight(build_command(folder_target(folder), config, device="cpu", environ={}), config))


def look_with_merge(folder: Path, adapter: Path, out: Path) -> None:
    merge_any(adapter, out, base=str(folder), offline=True)


LOOKS = {"check": look_with_check, "serve": look_with_serve, "merge": look_with_merge}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The embedded model, its weights by a link: breaking it leaves the original whole."""
    copy = tmp_path / "model"
    shutil.copytree(DEMO_MODEL, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    (copy / WEIGHTS).symlink_to(DEMO_MODEL / WEIGHTS)
    return copy


@pytest.mark.timeout(60)
@pytest.mark.parametrize("broken", FATAL.values(), ids=FATAL)
def test_a_strange_model_is_refused_with_cause_and_next_step(broken: Break, folder: Path, adapter: Path) -> None:
    broken(folder)
    said: dict[str, TuneserveError] = {}
    for verb, look in LOOKS.items():
        began = time.monotonic()
        try:
            look(folder, adapter, folder.parent / "out")
        except TuneserveError as error:
            said[verb] = error
        assert time.monotonic() - began < 20
    for error in said.values():
        assert error.next_step, error.message
        assert len(error.message) < 1000
        assert error.exit_code in (1, 2)
    assert said, "nobody noticed"
    assert "check" in said or "serve" in said
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("odd", MILD.values(), ids=MILD)
def test_what_is_odd_and_harmless_is_taken(odd: Break, folder: Path, adapter: Path) -> None:
    odd(folder)
    for look in LOOKS.values():
        look(folder, adapter, folder.parent / "out")
    assert not (folder / "ran").exists()


STRANGE_ADAPTERS: dict[str, Break] = {
    **{f"{key}={value!r}": keys("adapter_config.json", **{key: value}) for key, value in {
        "r": "4", "lora_alpha": "x", "target_modules": 5, "peft_type": "EVIL", "base_model_name_or_path": 5,
        "rank_pattern": {"([": 4}, "alpha_pattern": [1],
    }.items()},
    "negative rank": keys("adapter_config.json", r=-1),
    "rank of text": keys("adapter_config.json", rank_pattern={"q_proj": "x"}),
    "nested": put("adapter_config.json", "[" * 100_000),
    "empty": put("adapter_config.json", ""),
    "a pipe": replaced("adapter_config.json", os.mkfifo),
    "weights as a pipe": replaced("adapter_model.safetensors", os.mkfifo),
    "empty weights": put("adapter_model.safetensors", b""),
    "weights with a header of terabytes": put("adapter_model.safetensors", header({}, b"", 1 << 62)),
    "no tensor": put("adapter_model.safetensors", header({})),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("broken", STRANGE_ADAPTERS.values(), ids=STRANGE_ADAPTERS)
def test_a_strange_adapter_is_refused_with_cause_and_next_step(broken: Break, adapter: Path, tmp_path: Path) -> None:
    copy = tmp_path / "adapter"
    shutil.copytree(adapter, copy)
    broken(copy)
    with pytest.raises(TuneserveError) as refused:
        merge_any(copy, tmp_path / "out", base=str(DEMO_MODEL), offline=True)
    assert refused.value.next_step
    assert not (tmp_path / "out").exists()
