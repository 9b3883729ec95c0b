"""The same database as another role."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from shortlist.storage.roles import Login


def as_user(database_url: str, login: Login) -> str:
    """``database_url`` with another role's name and password."""
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    user, password = (quote(text, safe="") for text in (login.user, login.password))
    return parts._replace(netloc=f"{user}:{password}@{place}").geturl()
