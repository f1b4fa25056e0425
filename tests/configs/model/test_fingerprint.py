"""What identifies weights: every byte, read once."""

import os
import time
from mmap import mmap
from pathlib import Path

import pytest

from configs.model import fingerprint
from configs.model.fingerprint import content_hash, weights_fingerprint
from configs.model.keys import INDEX
from tests.configs.network.test_hub import write_safetensors


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    write_safetensors(model / "model.safetensors", b"\1" * (5 << 20))
    return model


@pytest.mark.parametrize("place", [200, 1 << 20, 5 << 19, (5 << 20) - 1])
def test_every_byte_counts_even_where_size_and_time_stay(folder: Path, place: int) -> None:
    weights = folder / "model.safetensors"
    before, times = weights_fingerprint(folder), weights.stat()
    with weights.open("rb+") as file:
        file.seek(place)
        file.write(b"\0")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert weights_fingerprint(folder) != before


def test_names_and_configuration_count_too(folder: Path) -> None:
    before = weights_fingerprint(folder)
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    (folder / INDEX).write_text('{"weight_map": {"a": "weights.safetensors"}}')
    renamed = weights_fingerprint(folder)
    (folder / "config.json").write_text('{"a": 1}', encoding="utf-8")
    assert len({before, renamed, weights_fingerprint(folder)}) == 3


def test_a_file_is_read_once_and_again_when_it_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = folder / "model.safetensors"
    monkeypatch.setattr(fingerprint, "_SETTLED_S", -1.0)
    monkeypatch.setattr(fingerprint, "_in_memory", lambda device: False)
    first = content_hash(weights)
    with monkeypatch.context() as blocked:
        blocked.setattr(fingerprint, "blake3", _must_not_read(fingerprint.blake3))
        assert content_hash(weights) == first
    weights.write_bytes(b"\2" * weights.stat().st_size)
    assert content_hash(weights) != first


def test_a_byte_that_is_written_through_a_mapping_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_SETTLED_S", -1.0)
    with (folder / "model.safetensors").open("r+b") as file, mmap(file.fileno(), 0) as mapped:
        for place in (300, 301):  # the page of the second one has been written to before
            before = content_hash(folder / "model.safetensors")
            time.sleep(0.05)
            mapped[place] ^= 1
            assert content_hash(folder / "model.safetensors") != before


def test_what_changed_a_moment_ago_is_not_kept(folder: Path) -> None:
    weights = folder / "model.safetensors"
    os.utime(weights, (time.time(), time.time()))
    content_hash(weights)
    assert not list((folder.parent / "cache" / "hashes").iterdir())


def test_a_torn_entry_of_the_cache_is_made_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_SETTLED_S", -1.0)
    monkeypatch.setattr(fingerprint, "_in_memory", lambda device: False)
    first = content_hash(folder / "model.safetensors")
    (entry,) = (folder.parent / "cache" / "hashes").iterdir()
    entry.write_text(first[:10], encoding="ascii")
    assert content_hash(folder / "model.safetensors") == first
    assert entry.read_text(encoding="ascii") == first


def _must_not_read(blake3: type) -> type:
    class Refused:
        digest_size = blake3.digest_size
        AUTO = blake3.AUTO

        def __init__(self, **options: object) -> None:
            raise AssertionError("read again")

    return Refused
