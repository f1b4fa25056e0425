"""The cache folder: nobody else can put something into it."""

import os
import shutil
from pathlib import Path

import pytest

from configs.cache.entries import alone, forget_old
from configs.cache.folder import private_cache
from configs.errors import ConfigError, TuneserveError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_folder_is_made_for_its_owner_alone(root: Path) -> None:
    assert private_cache("hashes").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_could_write_to_is_closed(root: Path) -> None:
    (root / "hashes").mkdir(parents=True)
    for folder in (root, root / "hashes"):
        folder.chmod(0o777)
    private_cache("hashes")
    assert [folder.stat().st_mode & 0o777 for folder in (root, root / "hashes")] == [0o755, 0o755]


def test_a_planted_link_is_refused(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / "hashes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link or belongs to another user"):
        private_cache("hashes")


def interrupt(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def refuse(*arguments: object, **options: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_a_folder_that_holds_more_than_the_cache_loses_nothing_and_keeps_its_mode(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        (root / "data" / f"set-{number}").mkdir(parents=True)
    (root / "README").touch()
    root.chmod(0o1777)
    kept = [private_cache("data") / f"{number:032x}" for number in range(12)]
    for entry in kept:
        entry.mkdir()
    os.utime(kept[1], (0, 0))
    with alone(kept[1]):  # a base may write into it for hours
        forget_old(root / "data", keep=kept[0], most=4)
    assert kept[1].exists()
    assert {entry.name for entry in (root / "data").iterdir()} >= {f"set-{number}" for number in range(12)}
    assert 4 <= sum(entry.exists() for entry in kept) <= 6
    assert root.stat().st_mode & 0o7777 == 0o1777
    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", interrupt)
    with pytest.raises(KeyboardInterrupt):
        forget_old(root / "data", keep=kept[0], most=1)
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert sum(entry.exists() for entry in kept) <= 2, "half of an entry would be found"
    forget_old(root / "data", keep=kept[0], most=1)
    assert not [*(root / "data").glob(".*.gone")]
    root.chmod(0o777)
    with pytest.raises(ConfigError, match="others can write to it, and the cache is not all"):
        private_cache("data")


def test_a_disk_without_permissions_cannot_hold_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "shared"))
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(ConfigError, match="its disk knows no permissions"):
        private_cache("data")


def test_who_makes_the_same_entry_is_named_and_waited_for_until_a_deadline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped process would be waited for without end."""
    monkeypatch.setattr("configs.cache.entries.WAIT_S", 0.1)
    entry, holder = private_cache("data") / "entry", f"process {os.getpid()}"
    with alone(entry), pytest.raises(TuneserveError, match=f"{holder} makes the same"), alone(entry):
        pass
    assert f"{holder} is making the same" in capsys.readouterr().out
    with alone(entry):
        pass
