"""JSON files of a model or an adapter, and the headers of its safetensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from configs.errors import ConfigError


def read_json(file: Path) -> dict[str, Any]:
    """What a JSON file says; empty where there is no such file.

    Raises:
        ConfigError: it holds no JSON object.
    """
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        why = "no JSON object"
    except ValueError as error:  # also bytes that are no text
        found, why = None, f"not readable as JSON: {error}"
    if isinstance(found, dict):
        return found
    raise ConfigError(f"{file}: {why}", "mend it, or copy it from the model again")


def safetensors_size(file: Path) -> int:
    """Size in bytes that a safetensors file should have by its own header.

    Raises:
        ConfigError: it has no readable header.
    """
    header_bytes, header = _safetensors_header(file)
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return 8 + header_bytes + max(ends, default=0)


def safetensors_shapes(file: Path) -> dict[str, list[int]]:
    """Name and shape of every tensor in a safetensors file; empty where there is no such file.

    Raises:
        ConfigError: it has no readable header.
    """
    if not file.is_file():
        return {}
    _, header = _safetensors_header(file)
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def _safetensors_header(file: Path) -> tuple[int, dict[str, Any]]:
    """Length in bytes and contents of the header.

    The format: 8 bytes of header length, little endian; the header, JSON; then the tensors, whose `data_offsets` count
    from the end of the header.
    """
    with file.open("rb") as handle:
        try:
            (header_bytes,) = struct.unpack("<Q", handle.read(8))
            return header_bytes, json.loads(handle.read(header_bytes))
        except (struct.error, ValueError, MemoryError, OverflowError) as error:
            raise ConfigError(
                f"{file}: not a readable safetensors file: {error}", "download it again, or merge again"
            ) from error
