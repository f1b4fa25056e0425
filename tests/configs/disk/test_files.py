"""Files that a reader finds whole."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs.disk.files import (
    appended,
    copy_folder,
    file_bytes,
    file_text,
    only_a_file,
    parse_json,
    read_jsonl,
    sync_folder,
    write_atomically,
    write_for_user,
    write_jsonl,
)
from configs.errors import DataError


def test_jsonl_splits_at_line_feeds_only(tmp_path: Path) -> None:
    rows = [{"text": "一\u2028二\u2029三\x85四\x0b五\x1e六"}, {"text": "\r"}, {"text": "半\ud800"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert [row for _, row in read_jsonl(tmp_path / "rows.jsonl")] == rows


def test_a_torn_last_line_is_left_out_only_where_a_kill_may_leave_one(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"step": 1}\n\n{"step": 2}\n{"ste')
    assert list(read_jsonl(file, torn=True)) == [(1, {"step": 1}), (3, {"step": 2})]
    with pytest.raises(DataError, match=r"log.jsonl, line 4: not JSON"):
        list(read_jsonl(file))


def test_a_last_line_without_its_end_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}', encoding="utf-8")
    assert list(read_jsonl(tmp_path / "a.jsonl")) == [(1, {"a": 1})]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "\ud800")
    assert file.read_text(encoding="utf-8") == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["f.json"]


def test_writers_of_one_number_write_whole_files(tmp_path: Path) -> None:
    """Threads, which have it in common as the first processes of two containers do."""

    def write(word: str) -> None:
        for _ in range(200):
            write_atomically(tmp_path / "f.json", word * 5000)
            assert (tmp_path / "f.json").read_text(encoding="utf-8") in ("a" * 5000, "b" * 5000)

    with ThreadPoolExecutor(2) as writers:
        assert list(writers.map(write, "ab")) == [None, None]


def test_all_of_a_folder_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "rows.parquet").touch()
    (tmp_path / "link").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    sync_folder(tmp_path)
    assert sorted(synced) == sorted(map(str, (tmp_path, tmp_path / "train", tmp_path / "train" / "rows.parquet")))


def test_a_full_disk_is_said_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.json'"):
        write_atomically(tmp_path / "a.json", "{}")
    assert not [*tmp_path.iterdir()]


def test_the_next_write_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    ours, theirs = tmp_path / ".f.json.4711.partial", tmp_path / ".f.json.4712.partial"
    others = [tmp_path / name for name in (".g.json.4711.partial", ".f.json.mine.partial", "f.json.4711.partial")]
    for file in (ours, theirs, *others):
        file.write_text("half")
    with theirs.open() as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)  # who lives
        write_atomically(tmp_path / "f.json", "new")
    assert {f.name for f in tmp_path.iterdir()} == {"f.json", theirs.name, *(file.name for file in others)}


def test_a_partial_file_that_was_taken_for_a_killed_writers_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, taken = fcntl.flock, []

    def flock(file: int, how: int) -> None:
        if not taken:
            taken.extend(tmp_path.glob(".f.json.*.partial"))
            taken[0].unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    write_atomically(tmp_path / "f.json", "whole")
    assert (tmp_path / "f.json").read_text() == "whole"
    assert [f.name for f in tmp_path.iterdir()] == ["f.json"]


def test_a_file_system_without_locks_takes_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / ".f.json.4711.partial").write_text("perhaps somebody's")
    write_atomically(tmp_path / "f.json", "whole")
    assert sorted(f.name for f in tmp_path.iterdir()) == [".f.json.4711.partial", "f.json"]


def test_a_file_that_the_user_named_keeps_its_link_and_its_mode(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept.sh", tmp_path / "link.sh"
    kept.write_text("old")
    kept.chmod(0o700)
    link.symlink_to(kept)
    write_for_user(link, "new")
    assert (kept.read_text(), kept.stat().st_mode & 0o777, link.is_symlink()) == ("new", 0o700, True)
    with pytest.raises(OSError, match="stands in the place of a file"):
        write_for_user(Path("/dev/null"), "new")


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, "9" * 5000, b"\xff\x00", "", "\x00"])
def test_json_of_anybody_is_read_or_refused_in_one_way(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting|Exceeds|decode"):
        parse_json(text)
    file = tmp_path / "a.jsonl"
    file.write_bytes((text if isinstance(text, bytes) else text.encode()) + b"!\n")
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: not JSON"):
        list(read_jsonl(file))


def test_a_file_of_lines_may_be_larger_than_one_that_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("configs.disk.files.LARGEST_BYTES", 100)
    file = tmp_path / "rows.jsonl"
    write_jsonl(file, ({"row": number} for number in range(50)))
    rows = read_jsonl(file, torn=True)
    assert next(rows) == (1, {"row": 0})
    with file.open("a", encoding="utf-8") as more:
        more.write('{"row":')  # by somebody who goes on writing
    assert len(list(rows)) == 49


def pipe(place: Path) -> None:
    os.mkfifo(place)


def device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def without_end(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("put", [pipe, device, without_end, Path.mkdir])
def test_what_is_no_file_or_has_no_end_is_refused_and_not_waited_for(
    put: Callable[[Path], None], tmp_path: Path
) -> None:
    put(tmp_path / "rows.jsonl")
    said = "stands in the place of a file|far more than such a file holds"
    for read in (file_bytes, file_text, lambda file: list(read_jsonl(file))):
        with pytest.raises(OSError, match=said) as refused:
            read(tmp_path / "rows.jsonl")
        assert refused.value.filename == str(tmp_path / "rows.jsonl")


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("一\r\n二".encode())
    assert file_bytes(tmp_path / "a.txt") == "一\r\n二".encode()
    assert file_text(tmp_path / "a.txt") == "一\n二"
    with pytest.raises(OSError, match="far more"):
        file_bytes(tmp_path / "a.txt", largest=3)


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("mine"), Path.mkdir]
)
def test_nothing_but_a_file_is_written_on_to(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "log")
    with pytest.raises(OSError, match=r"stands in the place of a file|Is a directory"):
        open(tmp_path / "log", "a", opener=only_a_file).close()


def test_a_pipe_with_a_reader_is_no_file_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="stands in the place of a file"):
            open(tmp_path / "log", "a", opener=only_a_file).close()
    finally:
        os.close(reader)


def test_a_file_is_written_on_to_and_named_where_it_cannot_be(tmp_path: Path) -> None:
    for line in ("one\n", "two\n"):
        with appended(tmp_path / "log") as file:
            file.write(line)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "one\ntwo\n"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        with pytest.raises(OSError, match=r"too large: '.*/log'"), appended(tmp_path / "log") as file:
            file.write("three\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_partial_file_is_no_link_or_pipe_that_somebody_laid_in_its_place(tmp_path: Path) -> None:
    partial = tmp_path / f".rows.json.{os.getpid()}.partial"
    for lay in (lambda: partial.symlink_to(tmp_path / "elsewhere"), lambda: os.mkfifo(partial)):
        lay()
        with pytest.raises(OSError, match=r"symbolic links|a pipe or a device"):
            write_atomically(tmp_path / "rows.json", "{}")
        assert sorted(file.name for file in tmp_path.iterdir()) in ([], [partial.name])
        partial.unlink(missing_ok=True)


def test_disks_that_take_no_modes_and_sync_no_folders_are_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> Callable[..., None]:
        def call(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        return call

    (tmp_path / "from" / "deep").mkdir(parents=True)
    (tmp_path / "from" / "deep" / "rows.jsonl").write_text("{}")
    monkeypatch.setattr(os, "chmod", refuse(errno.EPERM))
    monkeypatch.setattr(os, "utime", refuse(errno.EPERM))
    copy_folder(tmp_path / "from", tmp_path / "to")
    assert (tmp_path / "to" / "deep" / "rows.jsonl").read_text() == "{}"
    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    sync_folder(tmp_path / "to")
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(OSError, match=r"\[Errno 5\]"):
        sync_folder(tmp_path / "to")
