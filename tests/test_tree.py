"""The tests mirror the tree by name, so that what tests a file is found from the file's name."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_A_FOLDER = {
    "eval/suite/test_suite.py",  # data
    "eval/tasks/test_layouts.py",  # what all readers of data sets share
    "scripts/test_demo.py",  # scripts/demo.sh
    "configs/test_tables.py",  # the package configs/tables
}


def test_every_test_file_has_the_name_of_what_it_tests() -> None:
    stray = []
    for room in ("configs", "eval", "scripts"):
        for file in (ROOT / "tests" / room).rglob("test_*.py"):
            name = file.relative_to(ROOT / "tests")
            tested = ROOT / name.parent / name.name.removeprefix("test_")
            if not tested.is_file() and str(name) not in OF_A_FOLDER:
                stray.append(f"tests/{name}: there is no {tested.relative_to(ROOT)}")
    assert stray == []
