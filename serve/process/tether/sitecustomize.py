"""Ties every Python process of a server to its guardian: the kernel kills it the moment the guardian is gone.

Python imports this module at the start of each process whose PYTHONPATH has this folder, which the guardian sees to;
so vLLM's engine and workers have it too, long before they load anything. The guardian holds the writing end of a named
pipe; when it dies in whatever way, the kernel sends SIGKILL to every process that reads the pipe (O_ASYNC with a signal
of our choice). Nothing of ours needs to be alive for that, and no interpreter needs to run. Standard library only.
"""

import fcntl
import os
import signal
import sys

TETHER_VARIABLE = "TUNESERVE_TETHER"


def tie() -> None:
    """Ties this process, or ends it where the guardian is gone already."""
    try:
        pipe = os.open(os.environ[TETHER_VARIABLE], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
        held = os.read(pipe, 1) != b""  # the end of the pipe: nobody holds the writing end
    except BlockingIOError:
        held = True  # nothing to read, and somebody who could write
    except FileNotFoundError:
        held = False  # the guardian removes the pipe when it ends
    if not held:
        os.kill(os.getpid(), signal.SIGKILL)


def _next_sitecustomize() -> None:
    """Runs the module that this one stands in front of, where the environment has one."""
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != here]
    own = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # noqa: F401
    except ModuleNotFoundError:  # most environments have none
        sys.modules["sitecustomize"] = own


if TETHER_VARIABLE in os.environ:
    tie()
    os.register_at_fork(after_in_child=tie)
    _next_sitecustomize()
