"""Where `shortlist up` listens: its sockets, the addresses to tell, and who can come in."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.addresses import is_loopback, is_unspecified, local
from shortlist.embedded.supervision.supervisor import StartError
from shortlist.http.local import loopback_twin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shortlist.settings import Settings

_LOOPBACK = "127.0.0.1"
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Listeners:
    """Ingest's sockets, which stay open while it is started anew."""

    public: socket.socket
    twin: socket.socket | None
    """The public one's on ``::1``, where that is on ``127.0.0.1``."""
    health: socket.socket
    """Probes and metrics, on loopback."""
    private: socket.socket | None
    """Everything, for staff; None: that is on the public one too."""

    @property
    def all(self) -> list[socket.socket]:
        """Those that there are."""
        there_or_not = (self.public, self.twin, self.health, self.private)
        return [one for one in there_or_not if one is not None]

    def close_for_clients(self) -> None:
        """Have new clients refused, and not left waiting."""
        for one in (self.public, self.twin, self.private):
            if one is not None:
                one.close()

    def sentences(self) -> list[str]:
        """Name the listeners beside the public one, and the clients that can reach them."""
        told = [f"Probes and metrics are at {url(self.health)}."]
        if self.private is not None:
            told.append(f"Leaderboards and pages are at {url(self.private)} only.")
        return told + [sentence for one in self.all if (sentence := exposure(one))]


@contextmanager
def listening(settings: Settings) -> Iterator[Listeners]:
    """Open all of them for the length of the block; raises `StartError` with what to do."""
    with ExitStack() as stack:
        public = stack.enter_context(listen(settings.host, settings.port, "--"))
        if (twin := loopback_twin(public, _BACKLOG)) is not None:
            stack.enter_context(twin)
        port = settings.metrics_port or 0
        health = stack.enter_context(listen(_LOOPBACK, port, "SHORTLIST_METRICS_"))
        private = None
        if settings.private_port is not None:
            where = (settings.private_host, settings.private_port)
            private = stack.enter_context(listen(*where, "SHORTLIST_PRIVATE_"))
        yield Listeners(public, twin, health, private)


def listen(host: str, port: int, prefix: str) -> socket.socket:
    """Open one socket; raises `StartError` with what to do about it.

    ``prefix``: what the names of the settings of its host and port begin with, ``--`` for options.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StartError(_why_not_there(host, port, prefix, error)) from error
    except (UnicodeError, ValueError) as error:  # no name, or no address, that there could be
        raise StartError(_no_address(host, prefix)) from error


def _why_not_there(host: str, port: int, prefix: str, error: OSError) -> str:
    is_unknown = error.errno is not None and error.errno < 0  # getaddrinfo's errors are negative
    setting = _setting(prefix, "port")
    if is_unknown or error.errno == errno.EADDRNOTAVAIL:
        return _no_address(host, prefix)
    if error.errno == errno.EACCES:
        return (
            f"Port {port} of {host} is not for ordinary users. "
            f"Choose one above 1023 with {setting}."
        )
    return (
        f"Port {port} of {host} cannot be had: {error.strerror or error}. Stop what listens there, "
        f"or choose another with {setting}."
    )


def _no_address(host: str, prefix: str) -> str:
    return (
        f"{host} is no address of this machine. Use 127.0.0.1 (this machine alone), 0.0.0.0 (every "
        f"network) or one of its own with {_setting(prefix, 'host')}."
    )


def _setting(prefix: str, name: str) -> str:
    return prefix + (name if prefix == "--" else name.upper())


def exposure(listener: socket.socket) -> str | None:
    """Return a sentence when others than this machine can come in."""
    host, port = listener.getsockname()[:2]
    if is_loopback(host):
        return None
    where = "every address of this machine" if is_unspecified(host) else host
    return f"It listens on {where}, port {port}: open to the network, without authentication."


def url(listener: socket.socket) -> str:
    """Return what to type on this machine."""
    host, port = listener.getsockname()[:2]
    shown = local(host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
