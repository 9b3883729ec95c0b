"""The HTTP client of the figures: one process, raw sockets, a closed loop.

It must cost much less than what it loads, and be the same for us and for a rival. So it knows
just enough HTTP/1.1: keep-alive, one request at a time on each connection, ``Content-Length``.
It imports no library, and of ours one pure module.
``python -m loadtest.bench.load '{"port": …}'`` prints a `Report` as JSON.
"""

from __future__ import annotations

import json
import math
import resource
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

from shortlist.domain.percentiles import nearest_rank

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, and for how long.

    Either for ``seconds`` after ``warmup_seconds`` that are not counted, or ``count`` requests.
    ``paths_file`` has a path per line, taken in turns.
    """

    port: int
    method: str = "POST"
    path: str = "/applications"
    paths_file: str | None = None
    body: str | None = None
    connections: int = 64
    seconds: float = 4.0
    warmup_seconds: float = 1.0
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What came back. ``all_requests`` includes the warm-up: what a server's CPU time was for."""

    requests: int
    all_requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]
    client_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def request_bytes(method: str, path: str, body: str | None) -> bytes:
    """One request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    content = body.encode()
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def is_whole(answer: bytes, *, has_body: bool) -> bool:
    """Whether these bytes are a whole answer."""
    end = answer.find(_HEAD_END)
    if end < 0:
        return False
    if not has_body:
        return True
    head = answer[:end].lower()
    at = head.find(_LENGTH)
    if at < 0:
        raise ValueError(f"an answer without Content-Length: {head!r}")
    line_end = head.find(b"\r\n", at)
    length = int(head[at + len(_LENGTH) : line_end if line_end >= 0 else None])
    return len(answer) >= end + len(_HEAD_END) + length


@dataclass
class _Run:
    """The state of one run."""

    load: Load
    started: float = field(default_factory=time.perf_counter)
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[bytes] = field(default_factory=Counter)
    sent: int = 0
    answered: int = 0

    def __post_init__(self) -> None:
        load = self.load
        warmup = 0.0 if load.count else load.warmup_seconds
        self.counts_from = self.started + warmup
        self.until = math.inf if load.count else self.counts_from + load.seconds
        self.limit = load.count or sys.maxsize
        self.has_body = load.method != "HEAD"
        paths = Path(load.paths_file).read_text().split() if load.paths_file else [load.path]
        self.requests = cycle([request_bytes(load.method, path, load.body) for path in paths])
        self.poll = select.epoll()
        self.open: dict[int, socket.socket] = {}
        self.sent_at: dict[int, float] = {}
        self.partial: dict[int, bytes] = {}

    def connect(self) -> None:
        for _ in range(min(self.load.connections, self.limit)):
            connection = socket.create_connection(("127.0.0.1", self.load.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.poll.register(connection, select.EPOLLIN)
            self.open[connection.fileno()] = connection

    def send(self, descriptor: int, now: float) -> None:
        self.sent += 1
        self.sent_at[descriptor] = now
        self.open[descriptor].sendall(next(self.requests))

    def receive(self, descriptor: int) -> bool:
        """Read; whether the answer is whole and was counted."""
        data = self.open[descriptor].recv(65_536)
        if not data:
            raise ConnectionError("the server closed a connection")
        answer = self.partial.pop(descriptor, b"") + data
        if not is_whole(answer, has_body=self.has_body):
            self.partial[descriptor] = answer
            return False
        self.answered += 1
        now = time.perf_counter()
        if now >= self.counts_from:
            self.latencies.append(now - self.sent_at[descriptor])
            self.statuses[answer[9:12]] += 1
        if now < self.until and self.sent < self.limit:
            self.send(descriptor, now)
        else:
            del self.sent_at[descriptor]
        return True

    def go(self) -> Report:
        self.connect()
        for descriptor in self.open:
            self.send(descriptor, time.perf_counter())
        while self.sent_at:
            events = self.poll.poll(30.0)
            if not events:
                raise TimeoutError("no answer for 30 s")
            for descriptor, _ in events:
                self.receive(descriptor)
        return self.report(time.perf_counter())

    def report(self, ended: float) -> Report:
        ordered = sorted(self.latencies)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Report(
            requests=len(ordered),
            all_requests=self.answered,
            seconds=ended - self.counts_from,
            p50_ms=1000 * nearest_rank(ordered, 0.50),
            p99_ms=1000 * nearest_rank(ordered, 0.99),
            statuses={status.decode(): count for status, count in self.statuses.items()},
            client_cpu_seconds=usage.ru_utime + usage.ru_stime,
        )


def run(load: Load) -> Report:
    """Send a load, in this process."""
    return _Run(load).go()


if __name__ == "__main__":
    print(json.dumps(asdict(run(Load(**json.loads(sys.argv[1]))))))
