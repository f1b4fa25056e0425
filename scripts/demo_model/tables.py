"""The tables of texts that the generators draw from: `tables/NAME.yaml`, in the order in which they are drawn."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import yaml


@cache
def table(name: str) -> SimpleNamespace:
    """A table, its lists and mappings as attributes."""
    file = Path(__file__).with_name("tables") / f"{name}.yaml"
    return SimpleNamespace(**yaml.safe_load(file.read_text(encoding="utf-8")))
