"""Where `shortlist up` listens: its socket, the address to tell, and who can come in."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from shortlist.domain.addresses import is_loopback
from shortlist.embedded.supervisor import StartError

if TYPE_CHECKING:
    from shortlist.settings import Settings

_BACKLOG = 2048
_NO_ADDRESS = (
    "{} is no address of this machine. Use 127.0.0.1 (this machine alone), 0.0.0.0 (every "
    "network) or one of its own with --host."
)


def listen(settings: Settings) -> socket.socket:
    """The socket; raises `StartError` with what to do about it."""
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StartError(_why_not_there(host, port, error)) from error
    except (UnicodeError, ValueError) as error:  # no name, or no address, that there could be
        raise StartError(_NO_ADDRESS.format(host)) from error


def _why_not_there(host: str, port: int, error: OSError) -> str:
    is_unknown = error.errno is not None and error.errno < 0  # getaddrinfo's errors are negative
    if is_unknown or error.errno == errno.EADDRNOTAVAIL:
        return _NO_ADDRESS.format(host)
    if error.errno == errno.EACCES:
        return (
            f"Port {port} of {host} is not for ordinary users. Choose one above 1023 with --port."
        )
    return (
        f"Port {port} of {host} cannot be had: {error.strerror or error}. Stop what listens there, "
        "or choose another with --port."
    )


def exposure(listener: socket.socket) -> str | None:
    """A sentence when others than this machine can come in."""
    host, port = listener.getsockname()[:2]
    if is_loopback(host):
        return None
    everywhere = "every address of this machine" if host in ("0.0.0.0", "::") else host  # noqa: S104 (what we are told)
    return f"It listens on {everywhere}, port {port}: open to the network, without authentication."


def url(listener: socket.socket) -> str:
    """What to type on this machine."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 (what we are told)
    return f"http://{shown}:{port}"
