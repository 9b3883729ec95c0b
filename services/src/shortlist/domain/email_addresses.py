"""How addresses are compared: one person has one, however it is written."""

from __future__ import annotations

import unicodedata
from contextlib import suppress


def email_key(address: str) -> str:
    """Return what two addresses have in common when they are one.

    Without spaces around it, without regard to case, in one Unicode form, and with the domain as
    DNS has it (IDNA). The part before the ``@`` is otherwise left as it is: only its mail server
    knows whether ``a.b`` and ``ab`` are one.
    """
    local, _, domain = unicodedata.normalize("NFC", address.strip()).casefold().rpartition("@")
    with suppress(UnicodeError):  # no name that DNS has: compared as it is
        domain = domain.encode("idna").decode("ascii")
    return f"{local}@{domain}"
