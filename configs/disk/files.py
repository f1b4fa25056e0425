"""Files that a reader, or a kill, finds whole: text that is replaced at once, and JSONL whose lines end at "\\n" only.

`str.splitlines` also splits at U+2028, U+2029 and NEL, which JSON leaves as they are inside a string, so that text of
users would break rows in two. Everything of ours that reads JSONL reads it here.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from configs.errors import DataError

LARGEST_BYTES = 1 << 30
"""Of a file that is read as a whole."""
LONGEST_LINE = 1 << 28
"""Bytes of a line of JSONL, which is read line by line: a file of them may be of any size."""


_NO_ROOM_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large", "file write failed")
"""What torch, safetensors and Rust say where a file finds no room and they raise no OSError."""
_CUT_SHORT = "requested and"
"""What numpy says, without a reason, where fewer bytes could be written than were given."""


def found_no_room(error: BaseException) -> bool:
    """Whether an error, or what it came from, is a full disk, or a file beyond what `ulimit -f` allows."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and (seen.errno in _NO_ROOM_ERRORS or _CUT_SHORT in str(seen)):
            return True
        if any(text in str(seen) for text in _NO_ROOM):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def write_atomically(file: Path, text: str | Iterable[str], mode: int = 0o666) -> None:
    """Writes a text file so that a reader, or a kill, finds the old content or the new one, never a part.

    An error (a full disk) leaves the old content and no partial file; a kill may leave `.NAME.PID.partial` beside it,
    which the next write of the same file removes.

    Args:
        text: the whole, or its parts as they come.
        mode: who may read it from its first byte on, less what the process's umask takes away.
    """
    remove_left(file.parent.glob(f".{glob.escape(file.name)}.[0-9]*.partial"))
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(_held_partial(partial, mode), "w", encoding="utf-8", newline="\n") as out:
            out.writelines([text] if isinstance(text, str) else text)
            out.flush()
            os.fsync(out.fileno())
            partial.replace(file)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk: which one is what helps
            error.filename = str(file)
        raise


def write_for_user(file: Path, text: str) -> None:
    """Writes a text file whose place the user named: a link stays a link, and an old file keeps its mode.

    Raises:
        OSError: it cannot be written, or a folder, a pipe or a device stands in its place.
    """
    file = file.resolve()
    if not file.exists():
        write_atomically(file, text)
        return
    if not file.is_file():
        raise OSError(errno.EINVAL, _NO_FILE, str(file))
    write_atomically(file, text, stat.S_IMODE(file.stat().st_mode))


def _held_partial(partial: Path, mode: int) -> int:
    """Opens a partial file, empty, and holds its lock, by which others know that somebody writes it."""
    while True:
        # Its name can be guessed: no link or pipe that somebody put there is written to.
        descriptor = only_a_file(str(partial), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
        with suppress(OSError):  # a file system without locks, where nobody removes anything
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if lies_at(descriptor, partial):
            os.ftruncate(descriptor, 0)
            return descriptor
        # Between the two it was removed as a killed writer's, or written and put in its place by another thread, or a
        # process of the same number in another container.
        os.close(descriptor)


def conversion_to_utf8(file: Path, encoding: str) -> str:
    """The command that writes a copy of a file in UTF-8 beside it."""
    convert = shlex.join(["iconv", "-f", encoding, "-t", "UTF-8", str(file)])
    return f"{convert} > {shlex.quote(str(file.with_name(f'utf8-{file.name}')))}"


def lies_at(descriptor: int, place: Path) -> bool:
    """Whether an open file, or folder, is the one that lies at a place."""
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def remove_left(partials: Iterable[Path]) -> None:
    """Removes the partial files that killed writers left: a writer that lives holds the lock of its own."""
    for left in partials:
        with suppress(OSError):  # gone by now, none of ours, or written just now
            descriptor = only_a_file(str(left), os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lies_at(descriptor, left):  # else its writer has put it in place, and may write the next one
                    left.unlink()
            finally:
                os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Has the disk hold everything in a folder before something that says that it is there."""
    for place in [*folder.rglob("*"), folder]:
        if place.is_symlink() or not (place.is_file() or place.is_dir()):
            continue
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # what a file system says that cannot sync a folder, or anything
                raise
        finally:
            os.close(descriptor)


def remove_folder(folder: Path) -> None:
    """Removes a folder where there is one; of one that lies elsewhere the link alone, for more may lie there."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def copy_over(source: Path, target: Path) -> None:
    """Copies a file to where another may lie; of a link there the link goes, and not what it leads to."""
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)


SET_ASIDE = re.compile(r"(\.\d+)?\.old$")
"""The end of a name that `aside` gave."""


def aside(file: Path) -> Path:
    """A free name beside a file for what it held: NAME.old, or NAME.2.old where something lies there."""
    place, number = file.with_name(f"{file.name}.old"), 2
    while os.path.lexists(place):
        place, number = file.with_name(f"{file.name}.{number}.old"), number + 1
    return place


def copy_folder(source: Path, target: Path) -> None:
    """Copies the files of a folder, and nothing of theirs but what they hold: some disks take no modes and owners."""
    target.mkdir(parents=True)
    for place in sorted(source.iterdir()):
        if place.is_dir():
            copy_folder(place, target / place.name)
        else:
            shutil.copyfile(place, target / place.name)


_NO_FILE = "a folder, a link, a pipe or a device stands in the place of a file"


def file_bytes(file: Path, largest: int = LARGEST_BYTES) -> bytes:
    """The content of a file that somebody else may have put there.

    A pipe under its name would be waited for and a device read without end, so that both are refused like a file that
    is too large; what is opened is looked at, so that nothing can be put in its place meanwhile.

    Args:
        largest: bytes that such a file may have.

    Raises:
        OSError: it cannot be read, is no file, or is larger.
    """
    descriptor = only_a_file(str(file), os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size > largest:
            what = f"{size:,} bytes, far more than such a file holds ({largest:,} at most)"
            raise OSError(errno.EFBIG, what, str(file))
        with os.fdopen(descriptor, "rb", closefd=False) as handle:
            return handle.read()
    finally:
        os.close(descriptor)


def only_a_file(path: str, flags: int, mode: int = 0o666) -> int:
    """The `opener` of an `open` where somebody else may have put a pipe, a device, or a link to what is written to.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    if flags & (os.O_WRONLY | os.O_RDWR):
        flags |= os.O_NOFOLLOW
    try:
        # Without O_NONBLOCK opening a pipe waits until somebody is at its other end.
        descriptor = os.open(path, flags | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP):
            raise OSError(errno.EINVAL, _NO_FILE, path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _NO_FILE, path)
    return descriptor


def file_text(file: Path, largest: int = LARGEST_BYTES) -> str:
    """The text of such a file in UTF-8, line ends made one; raises UnicodeDecodeError, a ValueError, too."""
    return file_bytes(file, largest).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes) -> Any:
    """What somebody else's JSON says.

    Raises:
        ValueError: it is none: not UTF-8, numbers of thousands of digits and lists in lists without end among it.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def whole(text: str) -> str:
    """A text that UTF-8 can hold: half of a surrogate pair, at which a model may be cut, becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def require_utf8_name(path: Path) -> None:
    """Raises `DataError` where a path has bytes that UTF-8 does not: no row, report or recipe could name it."""
    if whole(str(path)) != str(path):
        raise DataError(f"{path}: its name, or that of a folder above it, is not UTF-8", "rename it")


def json_line(row: Mapping[str, Any]) -> str:
    """A row as one line of JSONL, its "\\n" included; half a surrogate pair, which UTF-8 cannot hold, is escaped."""
    line = json.dumps(row, ensure_ascii=False) + "\n"
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(row) + "\n"
    return line


@contextmanager
def appended(file: Path) -> Iterator[IO[str]]:
    """A file whose lines are written as they come, open for more; an error such as a full disk names it."""
    try:
        with open(file, "a", encoding="utf-8", newline="\n", opener=only_a_file) as lines:
            yield lines
    except OSError as error:
        error.filename = error.filename or str(file)
        raise


def write_jsonl(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a whole JSONL file atomically."""
    write_atomically(file, map(json_line, rows))


def read_jsonl(file: Path, *, torn: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 1, row) of every line that is not blank.

    Args:
        torn: leave out a last line without its "\\n": what a kill leaves of a file that is appended to.

    Raises:
        DataError: a line is no JSON object; it is named by its number.
        OSError: it cannot be read, is no file, or has no line ends.
    """
    for number, line in enumerate(lines_of(file, torn=torn), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(
                f"{file}, line {number}: not JSON ({error})", "mend the line, or have it made again"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {number}: {str(row)[:60]!r} is no JSON object", "mend the line")
        yield number, row


def too_long_a_line(file: Path) -> OSError:
    """Of a file of JSONL that holds `LONGEST_LINE` bytes without a line end."""
    what = f"a line of {LONGEST_LINE:,} bytes or more, far more than such a file holds"
    return OSError(errno.EFBIG, what, str(file))


def lines_of(file: Path, *, torn: bool) -> Iterator[bytes]:
    """The lines of a file without their ends, up to the first one that has none: more of it may come meanwhile.

    Args:
        file: of any size.
        torn: leave out a last line without its "\\n".

    Raises:
        OSError: it cannot be read, is no file, or has no line ends.
    """
    with open(file, "rb", opener=only_a_file) as handle:
        while line := handle.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise too_long_a_line(file)
            if line.endswith(b"\n"):
                yield line[:-1]
                continue
            if not torn:
                yield line
            return
