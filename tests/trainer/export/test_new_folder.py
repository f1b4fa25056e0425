"""A folder appears when it is complete, and what a kill leaves at any moment is cleared away by the next call."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError, TuneserveError
from trainer.export.new_folder import MARK, Export, new_folder

ROOT = Path(__file__).parents[3]

# Writes two results over one another and is killed at the n-th change of the file system.
WRITER = """
import os, signal, sys
from pathlib import Path
from trainer.export.new_folder import new_folder
left, redo = int(sys.argv[2]), sys.argv[3] == "redo"
def counted(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open") and str(sys.argv[1]) in str(arguments[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
def write(text):
    with new_folder(Path(sys.argv[1]) / "out", 10, redo) as partial:
        (partial / "weights").write_text(text)
        (partial / "more").mkdir()
        (partial / "more" / "file").write_text(text)
sys.addaudithook(counted)
write("first")
if redo:
    write("second")
"""


def written(out: Path, text: str, redo: bool = False) -> None:
    with new_folder(out, 10, redo) as partial:
        (partial / "weights").write_text(text)


@pytest.mark.parametrize("redo", [False, True])
def test_a_kill_at_any_moment_is_in_nobodys_way(tmp_path: Path, redo: bool) -> None:
    kills = 0
    for moment in range(100):
        place = tmp_path / str(moment)
        place.mkdir()
        command = [sys.executable, "-c", WRITER, str(place), str(moment), "redo" if redo else ""]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, check=False)
        finished = (place / "out" / "weights").is_file() and not (place / "out" / MARK).exists()
        if redo or not finished:
            written(place / "out", "third", redo)
            assert (place / "out" / "weights").read_text() == "third"
        assert sorted(f.name for f in place.iterdir()) == ["out"]
        assert MARK not in {f.name for f in (place / "out").iterdir()}
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        kills += 1
    assert 5 < kills < 100


def test_what_appears_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    written(tmp_path / "out", "first")
    assert (tmp_path / "out" / "weights").stat().st_ino in synced


def test_of_two_writers_the_second_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with new_folder(out, 10) as partial:
        (partial / "weights").write_text("first")
        with pytest.raises(TuneserveError, match="another process is writing it"):
            written(out, "second")
    assert (out / "weights").read_text() == "first"


def test_folders_of_the_users_are_never_cleared(tmp_path: Path) -> None:
    out = tmp_path / "out"
    written(out, "first")
    for name in ("out.partial", "out.old"):
        theirs = tmp_path / name
        theirs.mkdir()
        (theirs / "notes.txt").write_text("mine")
        with pytest.raises(ConfigError, match=f"{name}: is in the way"):
            written(out, "second", redo=True)
        assert (theirs / "notes.txt").read_text() == "mine"
        shutil.rmtree(theirs)
        assert (out / "weights").read_text() == "first"
    with pytest.raises(ConfigError, match="is not empty"):
        written(out, "second")
    assert [f.name for f in tmp_path.iterdir()] == ["out"]


def test_a_folder_in_which_somebody_stands_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "within").mkdir()
    monkeypatch.chdir(tmp_path / "within")
    for out in (".", "..", "/"):
        with pytest.raises(ConfigError, match="the working folder lies in it"):
            Export(tmp_path, Path(out))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
def test_a_disk_that_numpy_finds_full_is_said_to_be(tmp_path: Path) -> None:
    with (
        pytest.raises(TuneserveError, match="the disk filled up, or"),
        new_folder(tmp_path / "out", 10),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        np.zeros(1_000_000).tofile(full)
    with pytest.raises(TuneserveError, match=r"or `ulimit -f` was reached"), new_folder(tmp_path / "out", 10):
        raise OSError(errno.EFBIG, "File too large")
    assert not list(tmp_path.iterdir())


def test_of_a_link_only_the_link_is_replaced(tmp_path: Path) -> None:
    (mine := tmp_path / "mine").mkdir()
    (tmp_path / "out").symlink_to(mine)
    for text in ("first", "second"):
        written(tmp_path / "out", text, redo=True)
        assert (tmp_path / "out" / "weights").read_text() == text
    assert not list(mine.iterdir())
    assert not (tmp_path / "out").is_symlink()
