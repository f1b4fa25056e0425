"""Whether a port is free, and who has it when it is not."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import time
from contextlib import suppress

import psutil

from configs.errors import ConfigError
from serve.state.port_lock import PortLock, is_held
from serve.state.servers import known_state

ENDING_WAIT_S = 30.0
"""What a server that is on its way out gets to leave its port."""
BEGINNING_WAIT_S = 3.0
"""What one that has just taken the port gets to say who it is."""
POLL_S = 0.1


def require_free_port(host: str, port: int) -> None:
    """Raises a ConfigError that names the owner when a server could not listen on host and port."""
    take_port(host, port).release()


def take_port(host: str, port: int, key: str = "serve.port=") -> PortLock:
    """The lock of a port on which a server can listen. Where a server of ours is just ending there, its end is awaited.

    Args:
        key: what another port is given by.

    Raises:
        ConfigError: another server has the port, or has just been started on it; it is named.
    """
    began = time.monotonic()
    while (lock := PortLock.take(port)) is None:
        waited, owner = time.monotonic() - began, known_state(port)
        other = f"choose another port: {key}{free_port_after(host, port)}"
        if owner is not None and owner.alive and owner.state not in ("stopping", "stopped", "failed"):
            raise ConfigError(
                f"port {port} is taken by {', '.join(owner.names)} from {owner.served}, which is {owner.state} "
                f"(pid {owner.supervisor_pid}, started {owner.started})",
                f"stop it: `tuneserve serve stop {port}`, or {other}",
            )
        if waited > (ENDING_WAIT_S if owner is not None else BEGINNING_WAIT_S):
            raise ConfigError(
                f"port {port} is taken by another server of tuneserve: {port_owner(port) or 'it does not listen yet'}",
                f"wait for its end, or {other}",
            )
        time.sleep(POLL_S)
    try:
        require_bindable(host, port, key)
    except BaseException:
        lock.release()
        raise
    return lock


def require_address(host: str) -> None:
    """Raises a ConfigError for a name: it may stand for another machine too, to which requests would take the key."""
    if host in ("", "localhost"):
        return
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise ConfigError(
            f"serve.host is {host!r}, a name, which may stand for another machine too: that would be sent the key",
            "write an address: 127.0.0.1, 0.0.0.0 for all of this machine's, or one that `hostname -I` prints",
        ) from error


def require_bindable(host: str, port: int, key: str = "serve.port=") -> None:
    """Raises a ConfigError where a server that has the port's lock could not listen."""
    reason = bind_error(host, port)
    if reason is None:
        return
    if reason != errno.EADDRINUSE:
        raise ConfigError(
            f"{host}:{port} cannot be listened on: {errno.errorcode.get(reason, reason)}",
            "set serve.host to an address of this machine and serve.port to a number above 1023",
        )
    raise ConfigError(
        f"port {port} is taken by {port_owner(port) or 'a process of another user'}",
        f"stop it, or choose another port: {key}{free_port_after(host, port)}",
    )


def bind_error(host: str, port: int) -> int | None:
    """The errno with which a listening socket is refused, None when it is not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # What vLLM sets too: connections that are only lingering do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except socket.gaierror:
            return errno.EADDRNOTAVAIL
        except OSError as error:
            return error.errno
    return None


def port_owner(port: int) -> str | None:
    """`name (pid N): command line` of the process that listens on a port; None when it belongs to another user."""
    return next((_described(pid) for pid, _ in _listeners(port)), None)


def port_sharers(port: int, session: int) -> str | None:
    """The processes outside a session that listen on one of its addresses and a port; None where there are none.

    vLLM's way of listening lets two servers of one user have one address and port, each with a part of the requests.
    """
    addresses, strangers = set(), []
    for pid, address in _listeners(port):
        with suppress(ProcessLookupError):  # it has ended
            if os.getsid(pid) == session:
                addresses.add(address)
            else:
                strangers.append((pid, address))
    return ", ".join(_described(pid) for pid, address in strangers if address in addresses) or None


def _listeners(port: int) -> list[tuple[int, str]]:
    """Process and address of everything that listens on a port and may be looked at."""
    found = psutil.net_connections("tcp")
    listening = ((c.pid, c.laddr) for c in found if c.status == psutil.CONN_LISTEN and c.pid and c.laddr)
    return sorted({(pid, local.ip) for pid, local in listening if local.port == port})


def _described(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return f"{process.name()} (pid {pid}): {' '.join(process.cmdline())[:120]}"
    except psutil.Error:  # it ended while we looked, or may not be looked at
        return f"pid {pid}"


def free_port_after(host: str, port: int) -> int:
    """The next port that is free, and that no server of ours is about to listen on."""
    later = range(port + 1, min(port + 200, 65536))
    return next((p for p in later if not is_held(p) and bind_error(host, p) is None), port + 1)
