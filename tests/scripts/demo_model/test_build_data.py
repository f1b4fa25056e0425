"""The committed data files are what the script writes."""

import pytest

from scripts.demo_model import build_data


@pytest.mark.parametrize("name", list(build_data.files()))
def test_committed_data_is_what_the_script_writes(name: str):
    assert (build_data.DATA_DIR / f"{name}.jsonl").read_text() == build_data.text_of(build_data.files()[name])


def test_there_is_enough_of_everything():
    sizes = {name: len(rows) for name, rows in build_data.files().items()}
    assert sizes["train"] >= 600
    assert sizes["test_qa"] >= 120
    assert sizes["test_extract"] >= 60
    assert sizes["test_summary"] >= 60
    assert 400 <= sizes["replay"] <= 800
    assert sum(size for name, size in sizes.items() if name.startswith("heldout_")) >= 900
