"""A listener on this machine's loopback serves this machine only: not the pages it looks at.

A browser lets any page send a form to ``http://127.0.0.1``, and a name that is made to point there
(DNS rebinding) makes that page one of ours. So on such a listener the ``Host`` must be a name of
this machine, and what changes something must not come from another site's page. Clients that are no
browsers send neither ``Origin`` nor ``Sec-Fetch-Site``.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shortlist.domain.memo import remembers_short
from shortlist.http.errors import error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""They change nothing (RFC 9110, 9.2.1)."""

_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::[0-9]*)?")
_ORIGIN = re.compile(r"https?://([^/@]*)")

TELLS_OF_A_BROWSER = frozenset({b"origin", b"sec-fetch-site"})
"""The headers that decide, beside ``Host``."""


class LocalNames:
    """The names by which a loopback listener may be called."""

    def __init__(self, more: str) -> None:
        """``more``: names beside ``localhost`` and the loopback addresses, split by commas."""
        self._more = frozenset(filter(None, (name.strip().lower() for name in more.split(","))))
        self.is_ours = remembers_short(maxsize=256)(self._is_ours)

    def _is_ours(self, authority: bytes) -> bool:
        """Tell whether a ``Host`` is of this machine; whatever its port, which may be forwarded."""
        name = _name_of(authority.decode("latin-1"))
        return name is not None and (name in self._more or is_loopback_name(name))

    def refusal(self, method: str, headers: dict[bytes, bytes]) -> str | None:
        """Return why a request is not for this listener; None when it is."""
        host = headers.get(b"host")
        if host is not None and not self.is_ours(host):
            return "This listener serves this machine only, by its own names."
        if method not in _SAFE_METHODS and self._is_of_another_site(headers):
            return "A page of another site must not change anything here."
        return None

    def _is_of_another_site(self, headers: dict[bytes, bytes]) -> bool:
        name = _site_of(headers.get(b"origin"))
        if name in self._more:
            return False
        is_foreign = name is not None and not is_loopback_name(name)
        return is_foreign or headers.get(b"sec-fetch-site") == b"cross-site"


class LocalOnly:
    """Answers 403 to what `LocalNames` refuses, and hands everything else on."""

    def __init__(self, app: ASGIApp, names: LocalNames, open_path: str | None = None) -> None:
        """``app`` is what answers; below ``open_path`` it answers the pages of any site."""
        self._app = app
        self._names = names
        self._open_path = open_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        why = None
        if self._open_path is None or not scope["path"].startswith(self._open_path):
            why = self._names.refusal(scope["method"], dict(scope["headers"]))
        if why is None:
            await self._app(scope, receive, send)
            return
        await _read_on(receive)
        body = error_body(why, "FORBIDDEN")
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _read_on(receive: Receive) -> None:
    """Throw the body away: a connection that is closed while it comes resets, answer and all."""
    while (await receive()).get("more_body", False):
        pass


def listens_on_loopback(listener: socket.socket) -> bool:
    """Tell whether only this machine can connect."""
    address = listener.getsockname()
    is_tcp = isinstance(address, tuple)  # no browser opens a Unix socket
    return is_tcp and is_loopback_name(address[0])


def loopback_twin(listener: socket.socket, backlog: int) -> socket.socket | None:
    """Listen on ``::1``, too, where a listener is on ``127.0.0.1``: ``localhost`` may mean either.

    None for any other listener, and where that address is not to be had.
    """
    if listener.family != socket.AF_INET or listener.getsockname()[0] != "127.0.0.1":
        return None
    with suppress(OSError):
        return socket.create_server(
            ("::1", listener.getsockname()[1]), family=socket.AF_INET6, backlog=backlog
        )
    return None


def _site_of(origin: bytes | None) -> str | None:
    """Parse an ``Origin``'s host; ``""`` for one that names none (``null``), None without one."""
    if origin is None:
        return None
    found = _ORIGIN.fullmatch(origin.decode("latin-1"))
    return (_name_of(found[1]) if found else None) or ""


def _name_of(authority: str) -> str | None:
    """Parse a name or an address, without its port; None when it is neither."""
    found = _AUTHORITY.fullmatch(authority)
    return None if found is None else (found["v6"] or found["name"] or "").lower().rstrip(".")


@remembers_short(maxsize=256)
def is_loopback_name(name: str) -> bool:
    """Tell whether a name or an address is this machine's own, whatever a resolver says."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1
    return (mapped or address).is_loopback
