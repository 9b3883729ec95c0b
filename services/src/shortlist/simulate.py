"""The simulated clients of the job server: what its existing users do, many times side by side.

A client makes three jobs, asks for each once a second until all are completed, and starts over. It
waits as long as ``Retry-After`` says. A job that was answered 202 and is 404 later is lost, which
must never happen: it is told, and the command fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from shortlist.domain.errors import ShortlistError
from shortlist.domain.percentiles import nearest_rank_of_counts
from shortlist.http.reachable import trouble_with
from shortlist.http.retry_after import retry_after_seconds
from shortlist.runtime import exit_codes
from shortlist.runtime.process import Stopping
from shortlist.runtime.tasks import wait_until_set
from shortlist.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

JOBS_PER_ROUND = 3
POLL_SECONDS = 1.0
LEAST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 60.0
REQUEST_TIMEOUT_SECONDS = 30.0

_NEVER = frozenset({400, 401, 403, 404, 405})
"""Answers to a good job that no patience will change."""

_SHOWN_LOST = 10
_REFRESH_SECONDS = 0.2
_BUCKETS_PER_DOUBLING = 32
"""Neighbouring buckets are 2.2 % apart, so that is the error of a percentile."""


async def run(
    *, url: str, clients: int, seconds: float | None = None, rounds: int | None = None
) -> int:
    """Play ``clients`` clients against ``url`` until told to stop; returns the exit code.

    Args:
        url: where ingest listens, such as ``http://127.0.0.1:8000``.
        clients: how many, side by side.
        seconds: stop after this time.
        rounds: each client stops after so many rounds of three jobs.

    With neither it goes on until Ctrl-C (or SIGTERM), which is then its ordinary end. 0: all went
    well; 1: a job was lost or failed, or nothing answers at ``url``; 130: stopped by Ctrl-C before
    ``seconds`` or ``rounds`` were over. The summary goes to standard output, all else to standard
    error.
    """
    console = Console(stderr=True)
    if trouble := await trouble_with(url):
        _say(console, trouble)
        return exit_codes.FAILED
    tally = Tally()
    with Stopping().listening() as stopping:
        try:
            over = wait_until_set(stopping.drain, seconds)
            await _play(tally, over, console, url=url, clients=clients, rounds=rounds)
        except NotAJobServerError as error:
            _say(console, str(error))
            return exit_codes.FAILED
    tally.ended = time.monotonic()
    Console().print(*summary(tally), sep="\n")
    if tally.lost or tally.failed:
        return exit_codes.FAILED
    bounded = seconds is not None or rounds is not None
    return exit_codes.STOPPED if bounded and stopping.drain.is_set() else exit_codes.DONE


class NotAJobServerError(ShortlistError):
    """What answers does not speak the job server's contract; the message says so."""


class Latencies:
    """Seconds, counted in buckets that grow by a constant factor: bounded, however long it runs."""

    def __init__(self) -> None:
        """Nothing measured yet."""
        self._buckets: Counter[int] = Counter()
        self.longest = 0.0

    def record(self, seconds: float) -> None:
        """Count one."""
        self._buckets[round(math.log2(max(seconds, 1e-6)) * _BUCKETS_PER_DOUBLING)] += 1
        self.longest = max(self.longest, seconds)

    @property
    def count(self) -> int:
        """How many were recorded."""
        return self._buckets.total()

    def percentile(self, percent: float) -> float:
        """Return the nearest-rank percentile in seconds, to 2.2 %; 0 when nothing was recorded."""
        if not self._buckets:
            return 0.0
        bucket = nearest_rank_of_counts(self._buckets, percent / 100)
        return min(2 ** (bucket / _BUCKETS_PER_DOUBLING), self.longest)


@dataclass
class Tally:
    """What all clients saw, together."""

    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    posts: Latencies = field(default_factory=Latencies)
    polls: Latencies = field(default_factory=Latencies)
    completions: Latencies = field(default_factory=Latencies)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By call and status code; an error's name where there was no answer."""
    waiting: int = 0
    failed: int = 0
    lost: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it went on, at least a millisecond."""
        return max(1e-3, (self.ended or time.monotonic()) - self.started)


class _Client:
    """One simulated client, with connections of its own."""

    def __init__(self, http: httpx2.AsyncClient, number: int, tally: Tally) -> None:
        self._http = http
        self._number = number
        self._tally = tally

    async def run(self, rounds: int | None, clients: int) -> None:
        """Play rounds; the clients begin spread over one interval, as they would in life."""
        await asyncio.sleep(POLL_SECONDS * self._number / clients)
        turn = 0
        while rounds is None or turn < rounds:
            turn += 1
            await self._round(turn)

    async def _round(self, turn: int) -> None:
        jobs = {}
        for n in range(JOBS_PER_ROUND):
            payload = f"client {self._number}, round {turn}, job {n}"
            jobs[await self._submit(payload)] = time.monotonic()
        while jobs:
            await asyncio.sleep(POLL_SECONDS)
            for job in list(jobs):
                if await self._is_over(job, jobs[job]):
                    del jobs[job]

    async def _submit(self, payload: str) -> str:
        """Submit a job until it is accepted; return its id."""
        while True:
            answer = await self._call("POST", "/job", self._tally.posts, {"payload": payload})
            if answer is not None and answer.status_code == HTTPStatus.ACCEPTED:
                self._tally.waiting += 1
                return str(answer.json()["id"])
            if answer is not None and answer.status_code in _NEVER:
                place = without_credentials(str(answer.url))
                raise NotAJobServerError(
                    f"POST {place} answered {answer.status_code}: that is no job server."
                )
            await asyncio.sleep(_wait_seconds(answer))

    async def _is_over(self, job: str, submitted: float) -> bool:
        """Ask once; whether there is nothing more to ask for."""
        answer = await self._call("GET", f"/status/{job}", self._tally.polls)
        status = None if answer is None else answer.status_code
        if answer is not None and status == HTTPStatus.OK:
            if answer.json().get("status") == "COMPLETED":
                self._tally.completions.record(time.monotonic() - submitted)
            else:
                self._tally.failed += 1
        elif status == HTTPStatus.GONE:
            self._tally.failed += 1
        elif status == HTTPStatus.NOT_FOUND:
            self._tally.lost.append(job)
        elif status == HTTPStatus.TOO_EARLY:
            return False
        else:
            await asyncio.sleep(_wait_seconds(answer))
            return False
        self._tally.waiting -= 1
        return True

    async def _call(
        self, method: str, path: str, latencies: Latencies, body: dict[str, str] | None = None
    ) -> httpx2.Response | None:
        """Make one request, measured and counted; None when no answer came."""
        call = f"{method} /{path.split('/')[1]}"
        started = time.monotonic()
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx2.TransportError as error:
            self._tally.answers[call, type(error).__name__] += 1
            return None
        latencies.record(time.monotonic() - started)
        self._tally.answers[call, str(answer.status_code)] += 1
        return answer


def _say(console: Console, sentence: str) -> None:
    console.print(f"shortlist: {sentence}", markup=False, highlight=False, soft_wrap=True)


def _wait_seconds(answer: httpx2.Response | None) -> float:
    """Return what the server asked for, or the clients' own interval."""
    return retry_after_seconds(
        {} if answer is None else answer.headers,
        default_seconds=POLL_SECONDS,
        least_seconds=LEAST_WAIT_SECONDS,
        longest_seconds=LONGEST_WAIT_SECONDS,
    )


async def _play(
    tally: Tally,
    over: Coroutine[Any, Any, bool],
    console: Console,
    *,
    url: str,
    clients: int,
    rounds: int | None,
) -> None:
    """Run all clients until they are done or it is ``over``; raises what a client raised."""
    tls = ssl.create_default_context()  # 20 ms each, so all share one
    async with contextlib.AsyncExitStack() as stack:
        plays = []
        for number in range(clients):
            http = httpx2.AsyncClient(base_url=url, timeout=REQUEST_TIMEOUT_SECONDS, verify=tls)
            client = _Client(await stack.enter_async_context(http), number, tally)
            plays.append(client.run(rounds, clients))
        total = None if rounds is None else clients * rounds * JOBS_PER_ROUND
        stopped = asyncio.create_task(over)
        all_played = asyncio.gather(*plays)
        ends: set[asyncio.Future[Any]] = {stopped, all_played}
        with _progress(console) as progress:
            bar = progress.add_task(f"{clients} clients", total=total, counts="")
            done: set[asyncio.Future[Any]] = set()
            while not done:
                done, _ = await asyncio.wait(
                    ends, timeout=_REFRESH_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                progress.update(bar, completed=_ended(tally), counts=_describe(tally))
        stopped.cancel()
        all_played.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await all_played


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        console=console,
    )


def _ended(tally: Tally) -> int:
    return tally.completions.count + tally.failed + len(tally.lost)


def _describe(tally: Tally) -> str:
    rate = tally.completions.count / tally.seconds
    counts = f"{tally.completions.count} completed ({rate:.1f}/s), {tally.waiting} waiting"
    return f"{counts}, {len(tally.lost)} lost" if tally.lost else counts


def summary(tally: Tally) -> Iterator[Table | str]:
    """Yield what is printed at the end: times, answers, and what went wrong."""
    table = Table("", "count", "per second", "p50", "p90", "p99", "longest", title="Seconds")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = (
        ("POST /job", tally.posts),
        ("GET /status", tally.polls),
        ("submit to completed", tally.completions),
    )
    for name, latencies in rows:
        times = (*(latencies.percentile(percent) for percent in (50, 90, 99)), latencies.longest)
        rate = f"{latencies.count / tally.seconds:.1f}"
        table.add_row(name, str(latencies.count), rate, *(f"{seconds:.3f}" for seconds in times))
    yield table
    for (call, answer), count in sorted(tally.answers.items()):
        yield f"{call} → {answer}: {count}"
    yield (
        f"{tally.completions.count} completed, {tally.failed} failed, {len(tally.lost)} lost, "
        f"{tally.waiting} still waiting, in {tally.seconds:.1f} s"
    )
    for job in tally.lost[:_SHOWN_LOST]:
        yield f"lost: {job}"
    if len(tally.lost) > _SHOWN_LOST:
        yield f"… and {len(tally.lost) - _SHOWN_LOST} more"
