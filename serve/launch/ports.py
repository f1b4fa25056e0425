"""Whether a port is free, and who has it when it is not."""

from __future__ import annotations

import errno
import socket

import psutil

from configs.errors import ConfigError


def require_free_port(host: str, port: int) -> None:
    """Raises a ConfigError that names the owner when a server could not listen on host and port."""
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
        f"stop it, or choose another port: serve.port={free_port_after(host, port)}",
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
    for connection in psutil.net_connections("tcp"):
        local = connection.laddr
        if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
            try:
                owner = psutil.Process(connection.pid)
                return f"{owner.name()} (pid {owner.pid}): {' '.join(owner.cmdline())[:120]}"
            except psutil.Error:  # it ended while we looked, or may not be looked at
                return f"pid {connection.pid}"
    return None


def free_port_after(host: str, port: int) -> int:
    """The next port that is free."""
    return next((p for p in range(port + 1, min(port + 200, 65536)) if bind_error(host, p) is None), port + 1)
