"""The command line in the process of the test, and the trainer's children as forks of it, which import nothing anew.

For tests of what is said and refused before anything is trained. That real children are started, end with their
parent and hold its locks is for other tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest

from configs.disk import locks
from configs.terminal.console import OUTPUT
from configs.terminal.language import LANG
from scripts.cli import main
from trainer import __main__ as stages
from trainer import check
from trainer.data.template import ChatCodec

MODEL = Path(__file__).parents[2] / "configs" / "demo" / "model"
MAINS = {"trainer": stages.main, "trainer.check": check.main}
IN_LOADED = """
import sys
from configs.process import child
from scripts.cli import main
from tests.scripts.forked import run_forked
child.run_child = run_forked
main(sys.argv[1:])
"""
"""The command line for `Preloaded.run`: the trainer's children are forks of a process that has imported everything.

For `train` and `merge`, which start no thread and read no Parquet before their children: a fork of a process with
threads of Arrow's may wait for ever.
"""


def run_forked(command: Sequence[str], environment: dict[str, str]) -> int:
    """What `configs.process.child.run_child` does, for a module of the trainer's."""
    module, *arguments = command[command.index("-m") + 1 :]
    ChatCodec.load(MODEL)  # what every one of them would import
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.environ.clear()
        os.environ.update(environment, **{locks.INHERITED: " ".join(map(str, locks.held()))})
        code = MAINS[module](arguments)
    except BaseException:  # noqa: BLE001 - shown, as Python itself would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def tuneserve(capture: pytest.CaptureFixture[str], *args: str | Path) -> subprocess.CompletedProcess[str]:
    """What `tuneserve ARGS` gives here."""
    words = [str(arg) for arg in args]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("configs.process.child.run_child", run_forked)
        for name in (LANG, OUTPUT):  # put back afterwards, whatever options made of them
            patch.setenv(name, os.environ.get(name, ""))
        with pytest.raises(SystemExit) as end:
            main(list(words))
    said = capture.readouterr()
    return subprocess.CompletedProcess(["tuneserve", *words], int(end.value.code or 0), said.out, said.err)
