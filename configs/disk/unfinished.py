"""What an interrupted or half download leaves under the name of a whole file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from configs.errors import ConfigError

POINTER = b"version https://git-lfs"
"""How the file begins that Git LFS leaves in the place of one that was not fetched."""
LARGE = 1 << 16
"""Bytes of a tensor that cannot be a bias, which may be zero for good reasons."""
_LOOKS = 64
"""Places of a file that are looked at."""


def refuse_pointer(file: Path, content: bytes) -> None:
    """Raises a ConfigError where Git LFS left its pointer; a few bytes of the content are enough."""
    if len(content) >= 8 and content.startswith(POINTER[: len(content)]):
        raise ConfigError(
            f"{file}: a pointer of Git LFS in the place of the file", "run `git lfs pull` in its folder, or download it"
        )


def refuse_holes(file: Path, places: Mapping[str, tuple[int, int]], least: int = LARGE) -> None:
    """Refuses weights that were not fetched to their end by a program that gives a file its whole size at once.

    Args:
        file: a safetensors file, whose header and size are right.
        places: name of each tensor to its first byte and the one behind its last.
        least: bytes of the smallest tensor that is looked at.

    Raises:
        ConfigError: the program's notes lie beside it, or three such tensors in a row hold nothing but zeros.
    """
    if (notes := file.with_name(f"{file.name}.aria2")).exists():
        raise ConfigError(f"{file}: its download has not ended: {notes.name} lies beside it", "go on with the download")
    large = sorted((place, name) for name, place in places.items() if place[1] - place[0] >= least)
    with file.open("rb") as handle:
        for at in range(0, len(large) - 2, max(1, len(large) // _LOOKS)):
            if all(_is_zero(handle, place) for place, _ in large[at : at + 3]):
                raise ConfigError(
                    f"{file}: {large[at][1]} and the tensors behind it hold nothing but zeros: its download, or a copy "
                    "of it, did not come to its end",
                    "download it again",
                )


def _is_zero(handle: BinaryIO, place: tuple[int, int]) -> bool:
    handle.seek(place[0])
    left, size = place[1] - place[0], 4096
    while left > 0:
        if handle.read(min(left, size)).strip(b"\0"):
            return False
        left, size = left - size, 1 << 24
    return True
