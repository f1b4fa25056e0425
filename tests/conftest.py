"""Which tests run beside which: those that share a trained model or a server stay together.

`scripts/test.sh` runs three processes of tests. Each of the groups below makes what is dear once, and the longest come
first, so that no process is left waiting for another at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.terminal.language import LANG
from tests.quick_start import sitecustomize

os.environ[LANG] = "en"
"""Tests read what is said in English, whatever the locale of the machine; those of the Chinese set their own."""

QUICK_START = Path(sitecustomize.__file__).parent
"""What every Python begins with that a test starts, unless the test gives another PYTHONPATH; and what this one has."""
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(QUICK_START), os.environ.get("PYTHONPATH"))))


@pytest.fixture(autouse=True)
def own_modules_only_for_one_test() -> Iterator[None]:
    """What a command that ran in this process sets for the programs that it starts is not left to the next test."""
    before = [(name, os.environ.get(name)) for name in ("PYTHONSAFEPATH", "LD_LIBRARY_PATH")]
    yield
    for name, value in before:
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


GROUPS = {
    "scripts/test_demo.py": "demo",
    "scripts/run/test_scaling.py": "demo",
    "serve": "serve",
    "docs": "serve",
    "trainer": "trainer",
    "scripts/demo_model": "demo_model",
}
"""File or folder of tests to the group that shares; in the order in which they are begun. The rest goes by file."""
ALONE = (
    "tests/scripts/run/test_kills.py",
    "tests/scripts/test_demo.py::test_a_run_that_is_killed_at_any_stage_goes_on_where_it_stopped",
)
"""Long, and shares nothing with its neighbours: begun when the groups are handed out."""
ON_GPU = "test_on_gpu.py"
"""Files of tests that need a GPU, which are no part of the groups: each of their tests is handed out by itself."""


def group_of(nodeid: str) -> str:
    """The group of a test, by its id: `tests/serve/test_x.py::test_y`."""
    file = nodeid.partition("::")[0]
    if file.endswith(ON_GPU):
        return nodeid
    for alone in ALONE:
        if alone in (file, nodeid):
            return alone
    place = file.removeprefix("tests/")
    return next((group for start, group in GROUPS.items() if f"{place}/".startswith(f"{start}/")), file)


def has_gpu() -> bool:
    """Whether NVIDIA's driver shows a GPU; makes no CUDA context."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return bool(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs a GPU where there is none, and puts the groups in order."""
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu and not has_gpu():
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
    rank = {group: number for number, group in enumerate([*dict.fromkeys(GROUPS.values()), *ALONE])}
    slow = {group_of(item.nodeid) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (rank.get(group_of(item.nodeid), len(rank)), group_of(item.nodeid) not in slow))
    # What needs the GPU's shared run waits for the test that makes it, and others go on meanwhile.
    sharing = [item for item in gpu if "gpu_demo" in getattr(item, "fixturenames", ())]
    for item in sharing[1:]:
        items.remove(item)
        items.append(item)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands out groups as wholes. (xdist's own groups need an attribute that pytest 9.2 has no more.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

        def _reschedule(self, node: Any) -> None:
            # xdist hands out the next group when two tests of one's own are left. With one left it is early enough, and
            # what would wait behind a long one is begun by another process.
            if node.shutting_down or not self.workqueue or self._pending_of(self.assigned_work[node]) <= 1:
                super()._reschedule(node)

    return ByGroup(config, log)
