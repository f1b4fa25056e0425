"""Which process a number means: told by when it began, in ticks since the machine started, which no clock moves."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def began(pid: int) -> str | None:
    """`BOOT-ID/TICKS` of a process, None where none of that number runs (one that has ended and waits does not run).

    The boot's id tells a process from one of the same number and age before a restart of the machine.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in ("Z", "X"):
        return None
    return f"{(PROC / 'sys/kernel/random/boot_id').read_text().strip()}/{fields[19]}"
