"""Notes every address that a Python process connects to or looks up, in the file that WATCH_NETWORK names.

Python imports this by itself where its folder stands on PYTHONPATH, in child processes too. A datagram socket that is
only connected sends nothing: that is how programs ask for their own address. Stands in front of `tests/quick_start`,
and begins with what that one does.
"""

import os
import runpy
import socket
import sys
from typing import Any

FILE = os.environ.get("WATCH_NETWORK")


def _note(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        address = args[0]
    elif event in {"socket.connect", "socket.sendto"} and isinstance(args[1], tuple):
        if event == "socket.connect" and args[0].type & socket.SOCK_DGRAM:
            return
        address = args[1][0]
    else:
        return
    name = address.decode(errors="replace") if isinstance(address, bytes) else str(address)
    program = " ".join(sys.orig_argv)[:200].replace("\n", " ")
    with open(str(FILE), "a", encoding="utf-8") as file:
        file.write(f"{name}\t{event}\t{program}\n")


if FILE:
    sys.addaudithook(_note)
runpy.run_path(os.path.join(os.path.dirname(__file__), "..", "..", "quick_start", "sitecustomize.py"))
