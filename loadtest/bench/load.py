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
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.domain.percentiles import nearest_rank

if TYPE_CHECKING:
    from collections.abc import Iterator

_SILENCE_SECONDS = 30.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, and for how long.

    Either for ``seconds`` after ``warmup_seconds`` that are not counted, or ``count`` requests.
    ``paths_file`` has a path per line, taken in turns; ``bodies_file`` a body per line, each sent
    once: the run ends with them. ``authorization``: the header, if any. ``per_second``: requests
    begin at that pace, as far as the connections suffice; None: as soon as one is free.
    """

    port: int
    method: str = "POST"
    path: str = "/applications"
    paths_file: str | None = None
    body: str | None = None
    bodies_file: str | None = None
    authorization: str | None = None
    connections: int = 64
    seconds: float = 4.0
    warmup_seconds: float = 1.0
    count: int | None = None
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What came back. ``all_requests`` includes the warm-up: what a server's CPU time was for."""

    requests: int
    all_requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    statuses: dict[str, int]
    client_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def request_bytes(
    method: str, path: str, body: str | None, authorization: str | None = None
) -> bytes:
    """One request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if authorization is not None:
        head += f"Authorization: {authorization}\r\n"
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
    started: float = field(init=False)
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[bytes] = field(default_factory=Counter)
    sent: int = 0
    answered: int = 0

    def __post_init__(self) -> None:
        load = self.load
        warmup = 0.0 if load.count else load.warmup_seconds
        self.limit = load.count or sys.maxsize
        self.requests = self.prepare()
        self.started = time.perf_counter()
        self.counts_from = self.started + warmup
        self.until = math.inf if load.count else self.counts_from + load.seconds
        self.has_body = load.method != "HEAD"
        self.free: deque[int] = deque()
        self.poll = select.epoll()
        self.open: dict[int, socket.socket] = {}
        self.sent_at: dict[int, float] = {}
        self.partial: dict[int, bytes] = {}

    def prepare(self) -> Iterator[bytes]:
        """All requests, made before the first is sent."""
        load = self.load
        if load.bodies_file is None:
            paths = Path(load.paths_file).read_text().split() if load.paths_file else [load.path]
            return cycle([self.request(path, load.body) for path in paths])
        bodies = Path(load.bodies_file).read_text().splitlines()
        self.limit = min(self.limit, len(bodies))
        return iter([self.request(load.path, body) for body in bodies])

    def request(self, path: str, body: str | None) -> bytes:
        return request_bytes(self.load.method, path, body, self.load.authorization)

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
            self.closed(descriptor)
            return False
        answer = self.partial.pop(descriptor, b"") + data
        if not is_whole(answer, has_body=self.has_body):
            self.partial[descriptor] = answer
            return False
        self.answered += 1
        now = time.perf_counter()
        if now >= self.counts_from:
            self.latencies.append(now - self.sent_at[descriptor])
            self.statuses[answer[9:12]] += 1
        del self.sent_at[descriptor]
        self.free.append(descriptor)
        self.send_what_is_due(now)
        return True

    def closed(self, descriptor: int) -> None:
        """Take note: a server may close what has been idle for a while, and nothing else."""
        if descriptor in self.sent_at:
            raise ConnectionError("the server closed a connection")
        self.free.remove(descriptor)
        self.open.pop(descriptor).close()

    def is_over(self, now: float) -> bool:
        return now >= self.until or self.sent >= self.limit

    def due_at(self) -> float:
        """When the next request is to begin."""
        pace = self.load.per_second
        return self.started if pace is None else self.started + self.sent / pace

    def send_what_is_due(self, now: float) -> None:
        while self.free and not self.is_over(now) and self.due_at() <= now:
            self.send(self.free.popleft(), now)

    def wait(self, now: float) -> list[tuple[int, int]]:
        """Answers that came; none when a request is due before."""
        is_paced = bool(self.free) and not self.is_over(now)
        events = self.poll.poll(max(0.0, self.due_at() - now) if is_paced else _SILENCE_SECONDS)
        if not events and not is_paced:
            raise TimeoutError(f"no answer for {_SILENCE_SECONDS:g} s")
        return events

    def go(self) -> Report:
        self.connect()
        self.free.extend(self.open)
        now = time.perf_counter()
        while self.sent_at or not self.is_over(now):
            self.send_what_is_due(now)
            for descriptor, _ in self.wait(now):
                self.receive(descriptor)
            now = time.perf_counter()
        self.disconnect()
        return self.report(now)

    def disconnect(self) -> None:
        for connection in self.open.values():
            connection.close()
        self.poll.close()

    def report(self, ended: float) -> Report:
        ordered = sorted(self.latencies)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Report(
            requests=len(ordered),
            all_requests=self.answered,
            seconds=ended - self.counts_from,
            p50_ms=1000 * nearest_rank(ordered, 0.50),
            p95_ms=1000 * nearest_rank(ordered, 0.95),
            p99_ms=1000 * nearest_rank(ordered, 0.99),
            statuses={status.decode(): count for status, count in self.statuses.items()},
            client_cpu_seconds=usage.ru_utime + usage.ru_stime,
        )


def run(load: Load) -> Report:
    """Send a load, in this process."""
    return _Run(load).go()


if __name__ == "__main__":
    print(json.dumps(asdict(run(Load(**json.loads(sys.argv[1]))))))
