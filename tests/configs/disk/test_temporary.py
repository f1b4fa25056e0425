"""Nothing of a killed command stays in the temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs.disk import temporary
from configs.disk.temporary import temporary_folder

WAITING = "from configs.disk.temporary import *\nwith temporary_folder() as folder: print(folder, flush=True); input()"


def test_the_next_command_removes_what_a_killed_one_left_and_nothing_of_one_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "NEW_S", 0)
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as works:
        assert works.stdout is not None
        folder = Path(works.stdout.readline().strip())
        (folder / "rows").touch()
        with temporary_folder() as own:
            assert {*tmp_path.iterdir()} == {folder, own}
        works.kill()
        works.wait()
        assert [*tmp_path.iterdir()] == [folder]
        with temporary_folder() as own:
            assert [*tmp_path.iterdir()] == [own]
    assert not [*tmp_path.iterdir()]
