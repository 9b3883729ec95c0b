"""The parts of a server's URL, and what all such URLs have in common.

``urllib.parse`` is not used: it drops tabs and line breaks without a word, and its messages repeat
what it could not read, which may be half of a password.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, unquote

from pydantic import SecretStr
from pydantic_core import core_schema

from shortlist.domain.errors import ShortlistError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ENCODE = (
    "percent-encode the user, the password and the parameters, each by itself (% is %25, @ is %40, "
    "/ is %2F, ? is %3F, # is %23)"
)

UNKNOWN_PARAMETER = (
    f"has a parameter that is not known (docs/servers.md lists those that are); {ENCODE}"
)
"""It is not named: it may be the rest of a password."""

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CREDENTIALS = re.compile(r"(://).*@")
"""To the last @: a password that was not encoded may have anything in it."""

_HOST = re.compile(r"[\w.\-]+")  # names of containers have underscores
_MOST_PORTS = 65535


class BadUrlError(ShortlistError, ValueError):
    """A URL cannot be used. The message says why and repeats no part of it."""


def without_credentials(text: str) -> str:
    """Hide the user and the password of URLs in a text (a proxy's, a collector's …)."""
    return _CREDENTIALS.sub(r"\1********@", text)


@dataclass(frozen=True, slots=True)
class Host:
    """One server of a URL: a name, an address, or the directory of a Unix socket."""

    name: str
    port: int | None

    def __str__(self) -> str:
        """Write it as it stands in a URL."""
        name = f"[{self.name}]" if ":" in self.name else quote(self.name, safe="")
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True, repr=False)
class Parts:
    """A URL, taken apart and decoded."""

    scheme: str
    user: str | None
    password: str | None
    hosts: tuple[Host, ...]
    path: str
    """Decoded, with its slash; empty when there is none."""
    query: Mapping[str, str]


class ServerUrl(SecretStr):
    """A server's URL: a secret that knows how to show itself. False when it is empty."""

    def __init__(self, secret_value: str) -> None:
        """Keep the URL, without the white space around it; raises `BadUrlError`."""
        super().__init__(secret_value.strip())

    @property
    def shown(self) -> str:
        """The URL for people: without password and parameters."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        """Let the reason of a refusal reach the one who sets it: a `SecretStr` swallows it."""
        return core_schema.no_info_plain_validator_function(
            cls._validated,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, when_used="json-unless-none"
            ),
        )

    @classmethod
    def _validated(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str):
            raise BadUrlError("has to be a text")
        return cls(text)


def take_apart(url: str, schemes: Collection[str], wanted: str) -> Parts:
    """Split a URL of one of ``schemes``; raises `BadUrlError`. ``wanted``: what it begins with."""
    text = url.strip()
    if any(character < " " or character == "\x7f" for character in text):
        raise BadUrlError(f"has a control character in it; {ENCODE}")
    if text[:1] in ('"', "'"):
        raise BadUrlError("begins with a quotation mark; leave the quotation marks out")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise BadUrlError(f"has to begin with {wanted}")
    if "#" in rest:
        raise BadUrlError(ENCODE)
    authority, path, query = _split(rest)
    if "@" in path or "@" in query:  # it ends a password that has a / or a ? in it
        raise BadUrlError(ENCODE)
    credentials, at, hosts = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    return Parts(
        scheme=scheme.lower(),
        user=decoded(user) if at and user else None,
        password=decoded(password) if colon else None,
        hosts=hosts_of(hosts),
        path=decoded(path),
        query=_parameters(query),
    )


def _split(rest: str) -> tuple[str, str, str]:
    """Split into authority, path, query."""
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    return authority, slash + path, query


def decoded(text: str) -> str:
    """Decode a part's %-escapes; raises `BadUrlError` when they make no text."""
    if _BAD_ESCAPE.search(text):
        raise BadUrlError(ENCODE)
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadUrlError(f"is not UTF-8; {ENCODE}") from None
    if "\0" in plain:
        raise BadUrlError("has a NUL (%00) in it")
    return plain


def hosts_of(text: str) -> tuple[Host, ...]:
    """``host``, ``host:port``, ``[address]:port``, ``%2Fsocket%2Fdirectory``; split by commas."""
    return tuple(_host(one) for one in text.split(",")) if text else ()


def _host(text: str) -> Host:
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")) or not _is_ipv6(decoded(address)):
            raise BadUrlError("has no IPv6 address between its brackets")
        return Host(decoded(address), port_of(port[1:]))
    if text.count(":") > 1:
        raise BadUrlError(f"has a host with colons: put an IPv6 address in brackets, or {ENCODE}")
    name, _, port = text.partition(":")
    plain = decoded(name)
    if not (plain.startswith("/") or _HOST.fullmatch(plain)):
        raise BadUrlError(f"has a host that is none; {ENCODE}")
    return Host(plain, port_of(port))


def port_of(text: str) -> int | None:
    """Parse a port; None for an empty text."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MOST_PORTS):
        raise BadUrlError(f"has a port that is no number up to {_MOST_PORTS}; {ENCODE}")
    return int(text)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _parameters(query: str) -> dict[str, str]:
    found = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if part and not equals:
            raise BadUrlError(f"has a parameter without a value; {ENCODE}")
        if part:
            found[decoded(name)] = decoded(value)
    return found
