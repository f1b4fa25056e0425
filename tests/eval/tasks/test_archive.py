"""Archives from anywhere: read, or refused before anything is written."""

from __future__ import annotations

import io
import os
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import DataError
from eval.tasks import archive
from eval.tasks.source import find_table, located

ROWS = b'{"question": "1+1", "answer": "2"}\n'


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return out.getvalue()


def link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        info = zipfile.ZipInfo("test.jsonl")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
    return out.getvalue()


def damaged(content: bytes) -> bytes:
    """With one byte of the first file changed."""
    return content[:60] + bytes([content[60] ^ 255]) + content[61:]


def patched(offset: int, value: bytes) -> bytes:
    """An archive with bytes of its first central entry changed: 8 flags, 10 method, 24 size unpacked."""
    content = bytearray(zipped(("test.jsonl", ROWS)))
    central = content.index(b"PK\1\2") + offset
    content[central : central + len(value)] = value
    if offset in (8, 10):  # the local header says so too
        content[offset - 2 : offset - 2 + len(value)] = value
    return bytes(content)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb": (lambda: zipped(("test.jsonl", bytes(300_000_000))), "as no text does"),
    "out of the folder": (lambda: zipped(("../../x.jsonl", ROWS)), "leads out of its folder"),
    "absolute": (lambda: zipped(("/tmp/x.jsonl", ROWS)), "leads out of its folder"),
    "backslashes": (lambda: zipped(("..\\..\\x.jsonl", ROWS)), "leads out of its folder"),
    "drive": (lambda: zipped(("c:/x.jsonl", ROWS)), "leads out of its folder"),
    "deep": (lambda: zipped(("a/" * 5000 + "x.jsonl", ROWS)), "too long or too deep"),
    "long": (lambda: zipped(("a" * 300 + ".jsonl", ROWS)), "too long or too deep"),
    "link": (link, "is a link"),
    "many": (lambda: zipped(*((f"{n}.jsonl", b"") for n in range(20_001))), "holds 20,001 files"),
    "password": (lambda: patched(8, b"\1\0"), "cannot be unpacked"),
    "unknown method": (lambda: patched(10, b"\x63\0"), "cannot be unpacked"),
    "announces terabytes": (lambda: patched(24, struct.pack("<I", 0xFFFFFFF0)), "as no text does"),
    "announces less": (lambda: patched(24, struct.pack("<I", 3)), "cannot be unpacked"),
    "cut short": (lambda: zipped(("test.jsonl", ROWS * 1000))[:-30], "cannot be unpacked"),
    "no archive": (lambda: b"<html>404</html>", "cannot be unpacked"),
    "empty": (lambda: b"", "cannot be unpacked"),
    "twice": (lambda: zipped(("test.jsonl", ROWS), ("test.jsonl", b"")), "stands twice in it"),
    "file and folder": (lambda: zipped(("a.jsonl", ROWS), ("a.jsonl/b.jsonl", ROWS)), "stands twice in it"),
    "folder and file": (lambda: zipped(("a.jsonl/b.jsonl", ROWS), ("a.jsonl", ROWS)), "stands twice in it"),
    "damaged bzip2": (
        lambda: damaged(zipped(("test.jsonl", ROWS * 9), method=zipfile.ZIP_BZIP2)),
        "cannot be unpacked",
    ),
    "damaged": (lambda: damaged(zipped(("test.jsonl", ROWS * 1000))), "cannot be unpacked"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
def test_an_archive_that_is_none_or_does_harm_writes_nothing(
    make: Callable[[], bytes], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    file = tmp_path / "rows.zip"
    file.write_bytes(make())
    written: list[int] = []
    monkeypatch.setattr(archive, "_copy", lambda *args: written.append(_copied(*args)))
    with pytest.raises(DataError, match=why) as refused, located(str(file)):
        pass
    assert refused.value.message.startswith(str(file))
    assert refused.value.next_step
    assert len(refused.value.message) < 400
    assert sum(written) < 100_000
    assert list((tmp_path / "temporary").iterdir()) == []


_real_copy = archive._copy


def _copied(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> int:
    _real_copy(opened, member, target)
    return target.stat().st_size


def test_tables_are_unpacked_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "rows.zip"
    file.write_bytes(zipped(("数据/test.jsonl", ROWS), ("run.sh", b"#!/bin/sh\n"), (".bashrc", b""), ("a.zip", b"")))
    with pytest.raises(DataError, match=f"^{file}/none: which file is meant"), located(str(file)) as root:
        find_table(root / "none")
    with located(str(file)) as root:
        assert [path.name for path in root.rglob("*") if path.is_file()] == ["test.jsonl"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_folder_by_the_name_of_an_archive_is_none(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(file := tmp_path / "rows.zip")
    with located(str(file)) as found:
        assert found == file
