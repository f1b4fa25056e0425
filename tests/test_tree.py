"""The tests mirror the tree by name, so that what tests a file is found from the file's name."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_SEVERAL = {
    "eval/report/test_page_in_browser.py": "the report as a browser shows it",
    "eval/ask/test_hostile_endpoint.py": "client and evaluation, at endpoints that mean harm",
    "eval/suite/test_suite.py": "a folder of data",
    "eval/tasks/test_layouts.py": "all readers of published data sets",
    "eval/tasks/test_rows.py": "all that a row of one's own may hold",
    "eval/tasks/test_same_reading.py": "training and evaluation beside each other",
    "scripts/run/test_kills.py": "what kills do to a run, an evaluation and a merge",
    "scripts/run/test_on_gpu.py": "a whole run on a GPU",
    "scripts/test_demo.py": "scripts/demo.sh",
    "scripts/test_in_chinese.py": "whole commands in Chinese",
}
"""What is tested in no single file, and why."""


def test_every_test_file_has_the_name_of_what_it_tests() -> None:
    stray = []
    for room in ("configs", "eval", "scripts"):
        for file in (ROOT / "tests" / room).rglob("test_*.py"):
            name = file.relative_to(ROOT / "tests")
            tested = ROOT / name.parent / name.name.removeprefix("test_")
            found = tested.is_file() or tested.with_suffix("").is_dir()
            if not found and str(name) not in OF_SEVERAL:
                stray.append(f"tests/{name}: there is no {tested.relative_to(ROOT)}")
    assert stray == []
