"""Certificates of an authority of a test's own, made with ``openssl``."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """Files as servers and clients want them."""

    certificate: Path
    key: Path

    def hand_over(self, owner: int) -> None:
        """Give the key to the user that the server runs as; no other may read it."""
        if owner != os.geteuid():
            os.chown(self.key, owner, owner)
        self.key.chmod(0o600)


def authority(directory: Path, name: str) -> Certificate:
    """Make an authority."""
    made = _files(directory, name)
    usage = "keyUsage=critical,keyCertSign,cRLSign"
    _openssl(
        "req", "-x509", *_KEY, "-days", "30", "-subj", f"/CN={name}", "-addext", usage,
        "-keyout", made.key, "-out", made.certificate,
    )  # fmt: skip
    return made


def issued(by: Certificate, directory: Path, *names: str) -> Certificate:
    """Make a server's certificate for some names (``IP:127.0.0.1``, ``DNS:example.org``)."""
    made, wanted = _files(directory, "server"), directory / "server.csr"
    _openssl("req", *_KEY, "-subj", "/CN=server", "-keyout", made.key, "-out", wanted)
    extensions = directory / "server.ext"
    extensions.write_text(
        f"subjectAltName={','.join(names)}\nauthorityKeyIdentifier=keyid\n", encoding="utf-8"
    )
    _openssl(
        "x509", "-req", "-in", wanted, "-CA", by.certificate, "-CAkey", by.key, "-CAcreateserial",
        "-days", "30", "-extfile", extensions, "-out", made.certificate,
    )  # fmt: skip
    return made


def _files(directory: Path, name: str) -> Certificate:
    directory.mkdir(exist_ok=True)
    return Certificate(directory / f"{name}.crt", directory / f"{name}.key")


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)
