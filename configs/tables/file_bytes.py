"""What the bytes of a file are, before anyone reads rows in them: another encoding, or no text at all."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import BinaryIO

from configs.disk.files import conversion_to_utf8, only_a_file
from configs.disk.unfinished import POINTER
from configs.errors import DataError

LARGEST_BYTES = 16_000_000_000
_PROBED = 1 << 16
_DISGUISES = {
    POINTER: ("a pointer of Git LFS, not the file itself", "fetch it with git lfs pull"),
    b"PK\x03\x04": ("an Excel workbook or another zip file", "save the sheet as CSV in UTF-8, or unpack it"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV in UTF-8"),
    b"\x1f\x8b": ("compressed with gzip", "unpack it first: gzip -d"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstandard", "unpack it first: zstd -d"),
    b"PAR1": ("a Parquet file", "name it .parquet"),
    b"<!DOCTYPE": ("a web page", "download the file itself"),
    b"<html": ("a web page", "download the file itself"),
}


def opened(file: Path) -> BinaryIO:
    """A file of rows, open for reading its bytes.

    Raises:
        DataError: it cannot be opened, is no file, or holds more than anyone reads as a whole.
    """
    try:
        handle = open(file, "rb", opener=only_a_file)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}", "name a file that you can read") from error
    if (size := os.fstat(handle.fileno()).st_size) > LARGEST_BYTES:
        handle.close()
        raise DataError(f"{file}: {size / 1e9:,.0f} GB, at most {LARGEST_BYTES / 1e9:.0f} GB are read", "split it")
    return handle


def refuse_disguise(file: Path) -> None:
    """Raises a DataError for a file whose first bytes say that it is not what its suffix says."""
    with opened(file) as handle:
        head = handle.read(_PROBED)
    for start, (what, next_step) in _DISGUISES.items():
        if head.startswith(start) and not (start == b"PAR1" and file.suffix.lower() == ".parquet"):
            raise DataError(f"{file}: this is {what}", next_step)
    if file.suffix.lower() != ".parquet" and b"\0" in head:
        # "Unicode text" of Excel, and what PowerShell writes.
        # Of two bytes of a Latin letter one is zero, always the same one.
        if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or 0 in (head[::2].count(0), head[1::2].count(0)):
            raise _not_utf8(file, 1, "UTF-16", "every line")
        raise DataError(f"{file}: this is no text: it holds zero bytes", "give it in a kind that is read")


def whole_text(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark.

    Raises:
        DataError: it is not UTF-8; names the first such line and the likely encoding.
    """
    refuse_disguise(file)
    with opened(file) as handle:
        data = handle.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(file, *_encoding(data, error.start)) from error


def refuse_other_encoding(file: Path) -> None:
    """Raises a DataError when most lines that are not ASCII are not UTF-8: the whole file is in another encoding."""
    with opened(file) as handle:
        data = handle.read()
    beyond_ascii = [line for line in data.split(b"\n") if not line.isascii()]
    bad = [line for line in beyond_ascii if not _is_utf8(line)]
    if 2 * len(bad) > len(beyond_ascii):
        try:
            data.decode()
        except UnicodeDecodeError as error:
            number, encoding, share = _encoding(data, error.start)
            if encoding:
                raise _not_utf8(file, number, encoding, share) from error


def _not_utf8(file: Path, number: int, encoding: str, share: str) -> DataError:
    if not encoding:
        return DataError(f"{file}:{number}: not UTF-8, like {share}", "save it again in UTF-8")
    command = conversion_to_utf8(file, encoding)
    return DataError(
        f"{file}:{number}: not UTF-8 but by the look of it {encoding}, like {share}",
        f"convert it first, e.g. {command}",
    )


def _encoding(data: bytes, start: int) -> tuple[int, str, str]:
    """(line of the first bad byte, likely encoding or nothing, share of the lines that are not UTF-8)."""
    lines = data.split(b"\n")
    lines = lines[:-1] if lines and not lines[-1] else lines
    bad = sum(not _is_utf8(line) for line in lines)
    encoding = next((e for e in ("gb18030", "big5", "shift_jis") if _decodes(data, e)), "")
    return data[:start].count(b"\n") + 1, encoding.upper(), f"{bad} of {len(lines)} lines"


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8(line: bytes) -> bool:
    return _decodes(line, "utf-8")
