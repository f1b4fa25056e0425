"""Model names become folders, or errors that say what to do."""

import json
from pathlib import Path

import pytest

from configs.errors import ConfigError, TuneserveError
from configs.hub import resolve_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    write_safetensors(tmp_path / "model.safetensors")
    return tmp_path


def write_safetensors(file: Path, content: bytes = bytes(16)) -> None:
    """A file of one tensor of bytes."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + content)


def test_a_complete_folder_is_taken_as_it_is(folder: Path) -> None:
    assert resolve_model(str(folder)) == folder


def test_a_missing_folder_and_a_strange_name_are_refused(tmp_path: Path) -> None:
    for name in (str(tmp_path / "none"), "./none", "qwen3", "a/b/c"):
        with pytest.raises(ConfigError, match="no such folder, and not a hub id"):
            resolve_model(name)


def test_an_incomplete_folder_is_refused_with_the_missing_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no weights"):
        resolve_model(str(folder))
    index = {"weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "model-00001.safetensors").touch()
    with pytest.raises(ConfigError, match=r"1 of 2 weight files are missing, the first is model-00002"):
        resolve_model(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json is missing"):
        resolve_model(str(folder))


def test_offline_an_uncached_hub_id_is_said_to_be_uncached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(TuneserveError, match="not in the cache of Hugging Face"):
        resolve_model("nobody/no-such-model", offline=True)
