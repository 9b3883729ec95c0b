"""What each guard of the product prevents, put back in place of the guard: a few lines each.

An off-switch test starts a process with one of these (`support.stack.Stack.start`) and expects the
test of the guard to fail.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def replace(target: str, new: Any) -> Any:
    """Put ``new`` where ``package.module:Name.attribute`` is; returns what was there.

    Raises `AttributeError` when nothing is there: the guard moved, and its patch must follow.
    """
    module_name, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module_name)
    for attribute in owners:
        owner = getattr(owner, attribute)
    old = getattr(owner, name)
    setattr(owner, name, new)
    return old


def _nothing(*_: object) -> None:
    """In place of what a guard does."""


async def _counts_none(*_: object) -> int:
    return 0


async def _pings(client: Any) -> bool:
    return bool(await client.ping())


def _prepare_behind_a_pooler() -> None:
    async def opened(url: Any, **more: Any) -> Any:
        return await old(url, **(more | {"statement_cache_size": 100}))

    old = replace("shortlist.storage.postgres:_open", opened)


def _let_the_driver_parse() -> None:
    def understand(self: Any, _: object) -> None:
        self._arguments = {"dsn": self.get_secret_value(), "target_session_attrs": None}

    replace("shortlist.urls.database:DatabaseUrl._understand", understand)
    replace("shortlist.urls.database:_taken_apart", str)


def _pass_the_shell_s_variables_on() -> None:
    replace("shortlist.embedded.programs:environment", lambda: dict(os.environ))


GUARDS: dict[str, Callable[[], object]] = {
    "disown": lambda: replace("shortlist.storage.workers:disown", _counts_none),
    "redis_left": lambda: replace("shortlist.storage.redis_pool:_mark", _nothing),
    "server_watch": lambda: replace("shortlist.storage.watch:Watch._leave_all", _nothing),
    "redis_written": lambda: replace("shortlist.storage.redis:takes_writes", _pings),
    "other_postgres": _pass_the_shell_s_variables_on,
    "url_parser": _let_the_driver_parse,
    "nothing_prepared": _prepare_behind_a_pooler,
}
"""By name: applies the patch in the process that is starting."""


def _each_looks_anew() -> None:
    """Who names a pipeline that is not known waits for a lock, and then looks for it."""
    import asyncio  # noqa: PLC0415
    import time  # noqa: PLC0415

    lock = asyncio.Lock()

    async def submit(lines: Any, pipeline: str, since: float | None = None) -> Any:
        del since
        if pipeline not in lines._gauges:
            async with lock:
                await lines._learn(time.monotonic() + lines._database.timeout_seconds)
        return lines._gauges[pipeline]

    replace("shortlist.ingest.lines:Lines.find", submit)


def _deadline_of_the_batch() -> None:
    """Each batch begins a time-out of its own, and nobody waits too long for one."""
    import time  # noqa: PLC0415

    async def run(timely: Any, asked: Any) -> Any:
        return await timely._run(asked, time.monotonic() + 1.5)

    replace("shortlist.ingest.timely:Timely._run_in_time", run)
    replace("shortlist.ingest.timely:Timely._look_later", lambda *_: None)


GUARDS["one_look_for_all"] = _each_looks_anew
GUARDS["deadline_of_the_request"] = _deadline_of_the_batch
GUARDS["page_deadline"] = lambda: replace("shortlist.ingest.pages:_ANSWER_SECONDS", 10.0)


def _deadly_payloads() -> None:
    from deadly import deadly  # noqa: PLC0415 (found by PYTHONPATH, in the process that starts)

    from shortlist.worker.scorers.simulated import SimulatedScorer  # noqa: PLC0415 (as above)

    replace(
        "shortlist.worker.scorers.simulated:SimulatedScorer.score", deadly(SimulatedScorer.score)
    )


def _deadly_to_claude() -> None:
    from deadly import deadly  # noqa: PLC0415 (found by PYTHONPATH, in the process that starts)

    from shortlist.worker.scorers.claude import ClaudeScorer  # noqa: PLC0415 (as above)

    replace("shortlist.worker.scorers.claude:ClaudeScorer.score", deadly(ClaudeScorer.score))


GUARDS["deadly_payloads"] = _deadly_payloads
GUARDS["deadly_to_claude"] = _deadly_to_claude
GUARDS["hangs_soon"] = lambda: replace("shortlist.worker.watchdog:HANGING_SECONDS", 3.0)
"""Not a guard: the watchdog, sooner than in 20 s."""
GUARDS["hangs_in_10_s"] = lambda: replace("shortlist.worker.watchdog:HANGING_SECONDS", 10.0)
"""Not a guard either: longer than a test stops a worker."""
GUARDS["watchdog"] = lambda: replace(
    "shortlist.worker.watchdog:faulthandler.dump_traceback_later", lambda *_, **__: None
)
GUARDS["cleaning"] = lambda: replace("shortlist.storage.text:_cleaned", lambda value: value)
GUARDS["isolation"] = lambda: replace("shortlist.storage.claims:SUSPECT_AFTER", None)
GUARDS["conviction_alone"] = lambda: replace(
    "shortlist.domain.sweep:is_convicted",
    lambda *, abandoned, alone, others_end: abandoned - alone >= 3 + 0 * others_end,
)
GUARDS["proof_of_life"] = lambda: replace("shortlist.worker.runner:is_proved", lambda _: True)


def _asks_again_soon() -> None:
    """Not a guard: a minute between two questions to a model that refuses is long for a test."""
    for module in ("canary", "claude_errors"):
        for name in ("REFUSED_SECONDS", "UNREACHABLE_SECONDS"):
            replace(f"shortlist.worker.scorers.{module}:{name}", 2.0)


def _waits_are_short() -> None:
    """Not a guard: what a model asks for by ``Retry-After`` is bounded, at 5 s instead of 5 min."""
    replace("shortlist.domain.scoring:LONGEST_PAUSE_SECONDS", 5.0)  # before others import it
    replace("shortlist.worker.scorers.claude_errors:THROTTLED_SECONDS", 3.0)
    _asks_again_soon()


def _refusals_are_everyones() -> None:
    """Whatever is refused is blamed on the application that asked."""
    from shortlist.domain import scoring  # noqa: PLC0415 (only this one needs it)

    class Blamed(scoring.PermanentScoringError):
        def __init__(self, message: str, _: float) -> None:
            super().__init__(message)

    for module in ("canary", "claude_errors"):
        replace(f"shortlist.worker.scorers.{module}:RefusedError", Blamed)


def _one_asks_again() -> None:
    """Each task asks again whenever it likes."""

    async def may_ask(*_: object) -> bool:
        return True

    replace("shortlist.worker.gate:Gate._may_ask", may_ask)


def _backoff() -> None:
    """A service that names no wait, or 0, is asked again at once."""
    for module in ("gate", "scorers.claude_errors"):
        replace(f"shortlist.worker.{module}:LEAST_PAUSE_SECONDS", 0.0)
    replace("shortlist.domain.retry:full_jitter", lambda *_: 0.0)


GUARDS["asks_again_soon"] = _asks_again_soon
GUARDS["waits_are_short"] = _waits_are_short
GUARDS["refusals_are_everyones"] = _refusals_are_everyones
GUARDS["one_asks_again"] = _one_asks_again
GUARDS["backoff"] = _backoff
GUARDS["others_end"] = lambda: replace(
    "shortlist.domain.suspicion:CONVICTED_WITHOUT_OTHERS_AFTER", 4
)


GUARDS["stand_aside"] = lambda: replace(
    "shortlist.embedded.first_process:stand_aside", lambda: None
)
GUARDS["standard_files"] = lambda: replace("shortlist.start:open_standard_files", lambda: None)


def _trailers_are_headers() -> None:
    """What uvicorn does: a trailer's fields are kept among the head's, however many they are."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415 (as above)

    replace("shortlist.http.protocol:BoundedProtocol.on_header", HttpToolsProtocol.on_header)
    replace("shortlist.http.protocol:HEAD_LIMIT_BYTES", 1 << 60)


GUARDS["trailers"] = _trailers_are_headers
GUARDS["queue"] = lambda: replace("shortlist.http.protocol:QUEUE_LIMIT", 1 << 60)
GUARDS["budget"] = lambda: replace("shortlist.http.budget:Budget.is_full", new=False)


def _trouble_is_survived() -> None:
    """What a server says leaves the step that asked for it, whosever trouble it is."""

    def raised(_: object, error: BaseException) -> None:
        raise error

    replace("shortlist.storage.trouble:Trouble.met", raised)


GUARDS["trouble_is_survived"] = _trouble_is_survived


def _without(target: str, text: str, instead: str) -> Callable[[], object]:
    """Change a statement of ``queries.sql``, by its name."""

    def patch() -> None:
        from shortlist.storage.sql import SQL  # noqa: PLC0415 (only a process that asks)

        assert text in SQL[target]
        SQL[target] = SQL[target].replace(text, instead)

    return patch


def _all(*patches: Callable[[], object]) -> Callable[[], object]:
    def apply() -> None:
        for patch in patches:
            patch()

    return apply


_LEASE_END = " AND clock_timestamp() + make_interval(secs => "
GUARDS["bounded_leases"] = _all(
    _without("running_lease", _LEASE_END + "$2)", " AND 'infinity'"),
    _without("take_lease", _LEASE_END + "2 * $3)", " AND 'infinity'"),
)
GUARDS["bounded_retries"] = _all(
    _without("next_retry", "interval '10 min'", "interval '1000 years'"),
    _without("take_due_retries", "interval '10 min'", "interval '1000 years'"),
    _without("claim", "now() + interval '10 min'", "'infinity'"),
)
