"""Where a figure was measured, and with which versions: without that it means little."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from loadtest.bench.peers import PEERS
from shortlist.embedded.servers.binaries import postgres_binary, valkey_binary

_LIBRARIES = ("shortlist", "fastapi", "uvicorn", "uvloop", "asyncpg", "redis", "hiredis")


def describe() -> dict[str, str]:
    """Return what to print above the tables; one line each."""
    memory_gib = psutil.virtual_memory().total / (1 << 30)
    return {
        "when": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores of {_cpu()}, {memory_gib:.0f} GiB",
        "load before": "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg()),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Postgres": _version(postgres_binary("postgres")) + ", fsync on",
        "Valkey": _version(valkey_binary()) + ", appendfsync everysec",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        "peers": ", ".join(f"{p.title} {version(p.distribution)}" for p in PEERS.values()),
    }


def _cpu() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _version(binary: str) -> str:
    output = subprocess.run(  # noqa: S603 (our own binaries)
        [binary, "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"\d+(\.\d+)+", output)
    return found[0] if found else output.strip()
