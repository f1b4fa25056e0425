"""Headers of weights that say what cannot be: one sentence from everybody who reads them."""

from __future__ import annotations

import json
import struct
from contextlib import nullcontext
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.model.files import (
    INDEX,
    check_model_folder,
    check_safetensors,
    read_json,
    require_tokenizer,
    safetensors_shapes,
    safetensors_spans,
    weight_files,
)

RIGHT = {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}


def weights(folder: Path, entry: object) -> Path:
    header = json.dumps({"__metadata__": {"format": "pt"}, "a.weight": entry}).encode()
    (folder / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    return folder / "w.safetensors"


def test_a_header_that_is_right_is_read(tmp_path: Path) -> None:
    file = weights(tmp_path, RIGHT)
    check_safetensors(file)
    assert safetensors_shapes(file) == {"a.weight": [2, 1]}
    begin, end = safetensors_spans(file)["a.weight"].place
    assert end - begin == 8


@pytest.mark.parametrize(
    "wrong",
    [
        *({"shape": shape} for shape in ("F64", None, {}, 5, ["2", 1], [2.0, 1], [True, 8], [-2, -1], [[2], 1])),
        *({"data_offsets": place} for place in ("08", None, [8], [0, 4, 8], ["0", 8], [8, 0], [-8, 0], [0.0, 8])),
        *({"dtype": dtype} for dtype in (5, None, [], {})),
    ],
    ids=str,
)
def test_an_entry_of_another_type_is_said_by_every_reader(wrong: dict[str, object], tmp_path: Path) -> None:
    file = weights(tmp_path, {**RIGHT, **wrong})
    for read in (check_safetensors, safetensors_shapes, safetensors_spans):
        with pytest.raises(ConfigError, match=r"tensor 'a\.weight' is described as"):
            read(file)


def test_an_unknown_type_of_numbers_is_no_whole_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is described as"):
        check_safetensors(weights(tmp_path, {"dtype": "F7", "shape": [0], "data_offsets": [8, 8]}))


@pytest.mark.parametrize("name", ["chat_template.json", "tokenizer_config.json"])
@pytest.mark.parametrize("template", [5, {}, [5], [{"name": "default"}], [{"name": 5, "template": "x"}]], ids=str)
def test_a_chat_template_of_another_type_is_said(tmp_path: Path, name: str, template: object) -> None:
    (tmp_path / name).write_text(json.dumps({"chat_template": template}))
    with pytest.raises(ConfigError, match="chat_template"):
        read_json(tmp_path / name)


def test_a_key_that_is_half_a_character_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(r'{"\ud83d": 1}')
    with pytest.raises(ConfigError, match=r"config\.json: "):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize(
    "listed", [{"x": {"content": "a"}}, {"-5": {"content": "a"}}, {"5": 5}, {"5": {}}, [5]], ids=str
)
def test_tokens_listed_under_no_number_are_said(tmp_path: Path, listed: object) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": listed}))
    with pytest.raises(ConfigError, match="added_tokens_decoder"):
        read_json(tmp_path / "tokenizer_config.json")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {"5": {"content": "a"}}}))
    assert read_json(tmp_path / "tokenizer_config.json")


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"adapter_config.json": {"base_model_name_or_path": "/elsewhere"}}, "holds an adapter"),
        ({"modules.json": {}}, "for embeddings alone"),
        ({"config.json": {"transformers_weights": "extra.safetensors"}, "extra.safetensors": ""}, "formers_weights"),
        ({"config.json": {"text_config": {"transformers_weights": "x"}}}, "transformers_weights"),
        ({"config.json": {"configuration_files": ["config.4.0.0.json"]}}, "configuration_files"),
        ({"config.json": {"speculators_config": {"verifier": {"name_or_path": "x"}}}}, "speculators_config"),
        ({"tokenizer_config.json": {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}}, "fast_tokenizer_files"),
        ({"model.safetensors.index.json": {"weight_map": {"a.weight": "one.safetensors"}}, "one.safetensors": ""},
         r"model\.safetensors beside model\.safetensors\.index\.json"),
        ({"extra.safetensors": ""}, r"extra\.safetensors beside model\.safetensors"),
        ({"consolidated.safetensors": ""}, r"consolidated\.safetensors beside model\.safetensors"),
        ({"consolidated.safetensors": "", "model.safetensors.index.json":
          {"weight_map": {"a.weight": "model.safetensors"}}}, r"consolidated\.safetensors beside model"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_folder_in_which_libraries_would_find_other_models_is_refused(
    beside: dict[str, object], said: str, tmp_path: Path
) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}")
    weights(tmp_path, RIGHT).rename(tmp_path / "model.safetensors")
    check_model_folder(tmp_path)
    for name, content in beside.items():
        if name.endswith(".json"):
            (tmp_path / name).write_text(json.dumps(content))
        else:
            (tmp_path / name).write_bytes((tmp_path / "model.safetensors").read_bytes())
    with pytest.raises(ConfigError, match=said):
        check_model_folder(tmp_path)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4858576\n"
ROOM = 1 << 17


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", POINTER, r"model\.safetensors: a pointer of Git LFS"),
        ("tokenizer.json", POINTER, r"tokenizer\.json: a pointer of Git LFS"),
        ("model.safetensors.aria2", b"", r"has not ended: model\.safetensors\.aria2 lies beside it"),
        ("model.safetensors", bytes(3 * ROOM) + b"1" * ROOM, "b.weight and the tensors behind it hold nothing but zer"),
        ("model.safetensors", bytes(2 * ROOM) + b"1" * 2 * ROOM, None),
    ],
)
def test_what_an_unfinished_download_leaves_is_no_model(
    name: str, content: bytes, said: str | None, tmp_path: Path
) -> None:
    for file in ("config.json", "tokenizer_config.json"):
        (tmp_path / file).write_text("{}")
    places = {name: [at * ROOM, (at + 1) * ROOM] for at, name in enumerate("bcad")}
    header = {f"{n}.weight": {"dtype": "F32", "shape": [ROOM // 4], "data_offsets": p} for n, p in places.items()}
    text = json.dumps(header).encode()
    start = struct.pack("<Q", len(text)) + text
    (tmp_path / "model.safetensors").write_bytes(start + b"1" * 4 * ROOM)
    check_model_folder(tmp_path)
    (tmp_path / name).write_bytes(start + content if len(content) > ROOM else content)
    with nullcontext() if said is None else pytest.raises(ConfigError, match=said):
        check_model_folder(tmp_path)


def test_weights_that_not_every_library_would_find_are_refused(tmp_path: Path) -> None:
    weights(tmp_path, RIGHT).rename(tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(ConfigError, match=r"00002\.safetensors is no name .* without model\.safetensors"):
        weight_files(tmp_path)


def test_a_tensor_that_stands_in_two_weight_files_is_refused(tmp_path: Path) -> None:
    files = ["one.safetensors", "two.safetensors"]
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}")
    first = weights(tmp_path, RIGHT).rename(tmp_path / files[0])
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": dict(zip("ab", files, strict=True))}))
    (tmp_path / files[1]).write_bytes(first.read_bytes())
    with pytest.raises(ConfigError, match=r"two\.safetensors: tensor .* is in another weight file"):
        check_model_folder(tmp_path)


@pytest.mark.parametrize(
    ("config", "head", "said"),
    [
        ({"tie_word_embeddings": True}, bytes(7) + b"1", "lm_head.weight differs from model.embed_tokens.weight"),
        ({"text_config": {"tie_word_embeddings": True}}, bytes(7) + b"1", "lm_head.weight differs"),
        ({"tie_word_embeddings": True}, bytes(8), None),
        ({"tie_word_embeddings": False}, bytes(7) + b"1", None),
        ({}, bytes(7) + b"1", None),
    ],
)
def test_an_output_head_beside_tied_embeddings_is_refused(
    config: dict[str, object], head: bytes, said: str | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    tensors = {"model.embed_tokens.weight": RIGHT, "lm_head.weight": {**RIGHT, "data_offsets": [8, 16]}}
    header = json.dumps(tensors).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8) + head)
    with pytest.raises(ConfigError, match=said) if said else nullcontext():
        check_model_folder(tmp_path)


INT8 = {"weights": {"num_bits": 8, "type": "int"}}


@pytest.mark.parametrize(
    ("config", "tensors", "said"),
    [
        (None, {"a.weight": "BF16"}, None),
        (None, {"a.weight": "I8", "a.weight_scale": "F32"}, "says BF16, and the weights beside it are I8"),
        (None, {"a.weight": "F8_E4M3", "a.weight_scale_inv": "F32"}, "says BF16, .* F8_E4M3"),
        (None, {"a.weight": "I8", "a.SCB": "F32", "b.bias": "U8"}, "says BF16, .* I8"),
        (None, {"a.weight": "BF16", "a.masked_bias": "U8"}, None),
        ({"config_groups": {"g": INT8}}, {"a.weight": "I8", "a.weight_scale": "F32"}, None),
        ({"config_groups": {"g": INT8}}, {"a.weight": "BF16"}, "says I8, and the weights .* are BF16"),
        ({"config_groups": {"g": INT8}}, {"a.weight": "F8_E4M3", "a.weight_scale": "F32"}, "says I8, .* F8_E4M3"),
        ({"config_groups": {"g": INT8}}, {"a.weight_packed": "I32", "a.weight_scale": "F32"}, None),
        ({"config_groups": {}, "kv_cache_scheme": INT8}, {"a.weight": "BF16"}, None),
        ({"config_groups": {"g": {"weights": {"num_bits": 8, "type": [1]}}, "h": 5}}, {"a.weight_scale": "F32"}, None),
        ({"quant_method": "fp8"}, {"a.weight": "F8_E4M3", "a.weight_scale": "F32"}, None),
    ],
)  # fmt: skip
def test_half_a_copy_of_an_export_is_no_model(
    config: dict[str, object] | None, tensors: dict[str, str], said: str | None, tmp_path: Path
) -> None:
    whole = {} if config is None else {"quantization_config": {"quant_method": "compressed-tensors", **config}}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", **whole}))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    header = {name: {"dtype": dtype, "shape": [0], "data_offsets": [0, 0]} for name, dtype in tensors.items()}
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with nullcontext() if said is None else pytest.raises(ConfigError, match=said):
        check_model_folder(tmp_path)


def test_a_folder_without_tokens_has_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"no tokenizer in it \(tokenizer\.json is missing\)"):
        require_tokenizer(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    require_tokenizer(tmp_path)
