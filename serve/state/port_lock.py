"""One server a port: a lock that lives exactly as long as the processes that hold it, on the machine that has the port.

It is the name of a socket that no file stands for (Linux's abstract addresses). The kernel gives it back when the last
process that holds it is gone, it is there for as many machines or containers as the port is, and two users see the
same one. Nothing is ever sent to it.
"""

from __future__ import annotations

import errno
import os
import socket


class PortLock:
    """The lock of one port, held until `release`, or until every process that has its descriptor is gone."""

    def __init__(self, port: int, holder: socket.socket) -> None:
        self.port = port
        self._holder = holder

    @classmethod
    def take(cls, port: int) -> PortLock | None:
        """The lock, None where another process holds it."""
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(_address(port))
        except OSError as error:
            holder.close()
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        return cls(port, holder)

    @classmethod
    def inherit(cls, port: int, descriptor: int) -> PortLock:
        """The lock that another process of ours took, by the descriptor that it passed on."""
        os.set_inheritable(descriptor, False)
        return cls(port, socket.socket(fileno=descriptor))

    @property
    def descriptor(self) -> int:
        """For `subprocess`'s `pass_fds`: a process that has it holds the lock too."""
        return self._holder.fileno()

    def release(self) -> None:
        """Lets go of it; other processes that have its descriptor hold it still."""
        self._holder.close()


def is_held(port: int) -> bool:
    """Whether any process holds the lock of a port."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_address(port))
        except ConnectionRefusedError:
            return False
    return True


def _address(port: int) -> str:
    return f"\0tuneserve/port/{port}"
