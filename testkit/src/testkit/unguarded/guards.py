"""What each guard of the product prevents, put back in place of the guard: a few lines each.

An off-switch test starts a process with one of these (`testkit.processes.stack.Stack.start`) and
expects the test of the guard to fail.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from functools import partial
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


async def _says_nothing(*_: object) -> None:
    """In place of an asynchronous guard."""


async def _pings(client: Any) -> bool:
    return bool(await client.ping())


def _prepare_behind_a_pooler() -> None:
    async def opened(url: Any, **more: Any) -> Any:
        return await old(url, **(more | {"statement_cache_size": 100}))

    old = replace("shortlist.storage.postgres.connection:_open", opened)


def _let_the_driver_parse() -> None:
    def understand(self: Any, _: object) -> None:
        self._arguments = {"dsn": self.get_secret_value(), "target_session_attrs": None}

    replace("shortlist.urls.database:DatabaseUrl._understand", understand)
    replace("shortlist.urls.database:_taken_apart", str)


def _pass_the_shell_s_variables_on() -> None:
    replace("shortlist.embedded.servers.programs:environment", lambda: dict(os.environ))


GUARDS: dict[str, Callable[[], object]] = {
    "redis_left": lambda: replace("shortlist.storage.redis.connection_pool:_mark", _nothing),
    "server_watch": lambda: replace("shortlist.storage.watch:Watch._leave_all", _nothing),
    "postgres_written": lambda: replace(
        "shortlist.storage.postgres:refuse_read_only", _says_nothing
    ),
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
        if pipeline not in lines._capacities:
            async with lock:
                await lines._learn(time.monotonic() + lines._database.timeout_seconds)
        return lines._capacities[pipeline]

    replace("shortlist.ingest.admission.line_registry:LineRegistry.find", submit)


def _deadline_of_the_batch() -> None:
    """Each batch begins a time-out of its own, and no timer ends a wait that is too long."""
    import time  # noqa: PLC0415

    async def run(timely: Any, asked: Any) -> Any:
        return await timely._run(asked, time.monotonic() + 1.5)

    replace("shortlist.storage.deadline_batcher:DeadlineBatcher._run_in_time", run)
    replace(
        "shortlist.storage.deadline_batcher:DeadlineBatcher._schedule_refusals", lambda *_: None
    )


GUARDS["one_look_for_all"] = _each_looks_anew
GUARDS["deadline_of_the_request"] = _deadline_of_the_batch
GUARDS["read_deadline_of_the_page"] = lambda: replace(
    "shortlist.dashboard.snapshot_reader:READ_TIMEOUT_SECONDS", 10.0
)
GUARDS["check_deadline"] = lambda: replace("shortlist.runtime.probes:_CHECK_TIMEOUT_SECONDS", 10.0)
GUARDS["page_deadline"] = lambda: replace(
    "shortlist.ingest.routes.dashboard_proxy:_ANSWER_SECONDS", 10.0
)


def _deadly_payloads() -> None:
    from deadly import deadly  # noqa: PLC0415 (found by PYTHONPATH, in the process that starts)

    from shortlist.worker.scorers.simulated import SimulatedScorer  # noqa: PLC0415 (as above)

    replace(
        "shortlist.worker.scorers.simulated:SimulatedScorer.score", deadly(SimulatedScorer.score)
    )


def _deadly_to_claude() -> None:
    from deadly import deadly  # noqa: PLC0415 (found by PYTHONPATH, in the process that starts)

    from shortlist.worker.scorers.claude.scorer import ClaudeScorer  # noqa: PLC0415 (as above)

    replace("shortlist.worker.scorers.claude.scorer:ClaudeScorer.score", deadly(ClaudeScorer.score))


GUARDS["deadly_payloads"] = _deadly_payloads
GUARDS["deadly_to_claude"] = _deadly_to_claude
GUARDS["hangs_soon"] = lambda: replace("shortlist.worker.watchdog:HANGING_SECONDS", 3.0)
"""Not a guard: the watchdog, sooner than in 20 s."""
GUARDS["hangs_in_10_s"] = lambda: replace("shortlist.worker.watchdog:HANGING_SECONDS", 10.0)
"""Not a guard either: longer than a test stops a worker."""
GUARDS["watchdog"] = lambda: replace(
    "shortlist.worker.watchdog:faulthandler.dump_traceback_later", lambda *_, **__: None
)
GUARDS["cleaning"] = lambda: replace(
    "shortlist.storage.postgres.text:_cleaned", lambda value: value
)
GUARDS["isolation"] = lambda: replace(
    "shortlist.storage.postgres.queries.claims:SUSPECT_AFTER", None
)


def _suspects_in_the_worker() -> None:
    from shortlist.worker.scorers import make_scorer  # noqa: PLC0415 (only a process that asks)

    async def score(isolated: Any, payload: str) -> Any:
        return await make_scorer(isolated._settings).score(payload)

    isolated = "shortlist.worker.isolation.isolated:IsolatedScorer"
    replace(f"{isolated}.score", score)
    replace(f"{isolated}.start", _says_nothing)


GUARDS["own_process"] = _suspects_in_the_worker


def _a_fork_server_starts_slowly() -> None:
    """Not a guard: it takes two seconds more, as on a machine that is busy."""
    import sys  # noqa: PLC0415 (only a process that asks)
    import time  # noqa: PLC0415

    def configure(*arguments: Any) -> None:
        if "fork_server" in sys.argv[0]:
            time.sleep(2)
        old(*arguments)

    old = replace("shortlist.telemetry.logs:configure", configure)


GUARDS["fork_server_starts_slowly"] = _a_fork_server_starts_slowly
GUARDS["conviction_alone"] = lambda: replace(
    "shortlist.domain.line.sweep:is_convicted",
    lambda *, abandoned, alone, others_end: abandoned - alone >= 3 + 0 * others_end,
)
GUARDS["proof_of_life"] = lambda: replace("shortlist.worker.runner:is_proved", lambda _: True)


def _asks_again_soon() -> None:
    """Not a guard: a minute between two questions to a model that refuses is long for a test."""
    for module in ("canary", "errors"):
        for name in ("REFUSED_SECONDS", "UNREACHABLE_SECONDS"):
            replace(f"shortlist.worker.scorers.claude.{module}:{name}", 2.0)


def _waits_are_short() -> None:
    """Not a guard: what a model asks for by ``Retry-After`` is bounded, at 5 s instead of 5 min."""
    replace("shortlist.domain.line.scoring:LONGEST_PAUSE_SECONDS", 5.0)  # before others import it
    replace("shortlist.worker.scorers.claude.errors:THROTTLED_SECONDS", 3.0)
    _asks_again_soon()


def _refusals_are_everyones() -> None:
    """Whatever is refused is blamed on the application that asked."""
    from shortlist.domain.line import scoring  # noqa: PLC0415 (only this one needs it)

    class Blamed(scoring.PermanentScoringError):
        def __init__(self, message: str, _: float) -> None:
            super().__init__(message)

    for module in ("canary", "errors"):
        replace(f"shortlist.worker.scorers.claude.{module}:RefusedError", Blamed)


def _one_asks_again() -> None:
    """Each task asks again whenever it likes."""

    async def may_ask(*_: object) -> bool:
        return True

    replace("shortlist.worker.gate:Gate._may_ask", may_ask)


def _backoff() -> None:
    """A service that names no wait, or 0, is asked again at once."""
    for module in ("gate", "scorers.claude.errors"):
        replace(f"shortlist.worker.{module}:LEAST_PAUSE_SECONDS", 0.0)
    replace("shortlist.domain.line.retry:full_jitter", lambda *_: 0.0)


GUARDS["asks_again_soon"] = _asks_again_soon
GUARDS["waits_are_short"] = _waits_are_short
GUARDS["refusals_are_everyones"] = _refusals_are_everyones
GUARDS["one_asks_again"] = _one_asks_again
GUARDS["backoff"] = _backoff
GUARDS["others_end"] = lambda: replace(
    "shortlist.domain.line.suspicion:CONVICTED_WITHOUT_OTHERS_AFTER", 4
)


GUARDS["stand_aside"] = lambda: replace(
    "shortlist.embedded.supervision.first_process:stand_aside", lambda: None
)
GUARDS["standard_files"] = lambda: replace("shortlist.cli.main:open_standard_files", lambda: None)


def _trailers_are_headers() -> None:
    """What uvicorn does: a trailer's fields are kept among the head's, however many they are."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415 (as above)

    replace("shortlist.http.protocol:BoundedProtocol.on_header", HttpToolsProtocol.on_header)
    replace("shortlist.http.protocol:HEAD_LIMIT_BYTES", 1 << 60)


GUARDS["trailers"] = _trailers_are_headers
GUARDS["silence"] = lambda: replace("shortlist.storage.silence:SILENCE_SECONDS", 1e9)
GUARDS["first_answer"] = lambda: replace("shortlist.http.reachable:FIRST_ANSWER_SECONDS", 1e3)
GUARDS["queue"] = lambda: replace("shortlist.http.protocol:QUEUE_LIMIT", 1 << 60)
GUARDS["budget"] = lambda: replace("shortlist.http.budget:Budget.is_full", new=False)


def _trouble_is_survived() -> None:
    """What a server says leaves the step that asked for it, whosever trouble it is."""

    def raised(_: object, error: BaseException) -> None:
        raise error

    replace("shortlist.storage.trouble:Trouble.met", raised)


GUARDS["trouble_is_survived"] = _trouble_is_survived


def _without(target: str, text: str, instead: str) -> Callable[[], object]:
    """Change a statement of ``storage/postgres/sql``, by its name."""

    def patch() -> None:
        from shortlist.storage.postgres.statements import SQL, Statement  # noqa: PLC0415 (only a process that asks)

        old = SQL[target]
        assert text in old.source
        SQL[target] = Statement(target, old.parameters, old.source.replace(text, instead))

    return patch


def _all(*patches: Callable[[], object]) -> Callable[[], object]:
    def apply() -> None:
        for patch in patches:
            patch()

    return apply


_LEASE_END = " AND clock_timestamp() + make_interval(secs => "
GUARDS["hung_children_soon"] = _all(
    lambda: replace("shortlist.embedded.supervision.child:MOST_SILENCES", 2),
    lambda: replace("shortlist.embedded.supervision.child:_POLL_INTERVAL_SECONDS", 0.5),
)
"""Not a guard: a child that does not answer, ended sooner than in 20 s."""


async def _never(*_: object) -> None:
    """In place of what would end a child."""


GUARDS["hung_children"] = lambda: replace(
    "shortlist.embedded.supervision.child:Child._end_when_hung", _never
)
GUARDS["bounded_leases"] = _all(
    _without(
        "leases.running", _LEASE_END + ":longest_seconds)", _LEASE_END + "1e9 * :longest_seconds)"
    ),
    _without("leases.take", _LEASE_END + "2 * :seconds)", _LEASE_END + "1e9 * :seconds)"),
)
GUARDS["bounded_retries"] = _all(
    _without("retries.next_due", "interval '10 min'", "interval '1000 years'"),
    _without("retries.take_due", "interval '10 min'", "interval '1000 years'"),
    _without("claims.claim", "now() + interval '10 min'", "'infinity'"),
)


# --- clocks: docs/decisions/0024-clocks.md names one of these for each of its rows

_CLAIMS_END = " AND clock_timestamp() + interval '6 s'"
for _name, _step in (
    ("claim", "claims.claim"),
    ("observe", "recovery.observe"),
    ("dead_workers", "workers.dead"),
    ("forget_workers", "workers.forget"),
):
    GUARDS[f"bounded_lease_at_{_name}"] = _without(_step, _CLAIMS_END, " AND 'infinity'")
GUARDS["bounded_terms"] = _without(
    "leases.check", _LEASE_END + ":longest_seconds)", _LEASE_END + "1e9 * :longest_seconds)"
)


def _given_up_now() -> None:
    """Who gives the lease up says when, by a clock."""

    async def give_up(connection: Any, lease: Any) -> None:
        await connection.execute(
            "UPDATE leases SET expires_at = clock_timestamp() WHERE term = $1", lease.term
        )

    replace("shortlist.storage.postgres.queries.leases:give_up", give_up)


GUARDS["given_up_on_any_clock"] = _given_up_now


async def _does_nothing(*_: object) -> None: ...


GUARDS["patrol"] = lambda: replace(
    "shortlist.maintenance.agents.sweep:Sweeps._patrol", _does_nothing
)
GUARDS["patrol_beyond_clocks"] = lambda: replace(
    "shortlist.maintenance.agents.sweep:Sweeps._inspect_odd_ids", _does_nothing
)
GUARDS["patience_after_a_step"] = lambda: replace(
    "shortlist.storage.postgres:ServerClock.was_set_since", lambda *_: False
)


def _clock_is_learnt_once() -> None:
    def learn(database: Any, clock: Any) -> None:
        database.clock = database.clock or clock

    replace("shortlist.storage.postgres.database:Database.learn_clock", learn)


GUARDS["deadlines_look_again"] = _clock_is_learnt_once


def _script_without(name: str, line: str) -> Callable[[], object]:
    """A script of ``storage/redis/lua`` without the line that begins so."""

    def patch() -> None:
        from shortlist.storage.redis.scripts import SCRIPTS, Script  # noqa: PLC0415 (only a process that asks)

        lines = SCRIPTS[name].text.splitlines()
        kept = [one for one in lines if not one.strip().startswith(line)]
        assert len(kept) == len(lines) - 1
        SCRIPTS[name] = Script("\n".join(kept))

    return patch


GUARDS["debts_are_counted_anew"] = _script_without("take", "if written and")
GUARDS["bounded_probes"] = _script_without("may_ask", "if redis.call('PTTL'")
GUARDS["bounded_pauses"] = lambda: replace(
    "shortlist.storage.redis.model_limits:_LONGEST_PAUSE_MILLISECONDS", 1 << 50
)


def _heartbeats_are_believed() -> None:
    import time  # noqa: PLC0415

    def live(_: Any, beats: Any, now: float) -> Any:
        del now
        return [beat for beat in beats if abs(time.time() - beat.at) <= 5]

    replace("shortlist.storage.redis.heartbeats:Pulse.live", live)


def _entries_are_believed() -> None:
    def see(_: Any, head: Any, server_seconds: float, now: float) -> float:
        del now
        return 0.0 if head is None else float(server_seconds - head[0] / 1000)

    replace("shortlist.domain.line.age:HeadAge.see", see)


def _ids_follow_the_clock() -> None:
    import time  # noqa: PLC0415

    def learn(ids: Any, now: Any, newest: Any) -> None:
        del newest
        ids._ahead_milliseconds = (now.timestamp() - time.monotonic()) * 1000

    replace("shortlist.ingest.ids:Ids.learn", learn)


def _dates_by_our_clock() -> None:
    import datetime as dt  # noqa: PLC0415

    for module in ("http.retry_after", "worker.scorers.claude.scorer"):
        replace(f"shortlist.{module}:server_time", lambda _: dt.datetime.now(dt.UTC))


def _time_need_not_be_witnessed() -> None:
    replace("shortlist.maintenance.witness:_DRIFT", 1e12)
    replace("shortlist.maintenance.witness:_TAKEN_ON_TRUST_SECONDS", 1e9)


def _times_are_old_alone() -> None:
    from uuid import UUID  # noqa: PLC0415

    replace("shortlist.maintenance.agents.retention:_lowest_id", lambda _: UUID(int=(1 << 128) - 1))


GUARDS["heartbeats_change"] = _heartbeats_are_believed
GUARDS["head_is_no_older"] = _entries_are_believed
GUARDS["bounded_starts"] = lambda: replace(
    "shortlist.domain.sizing.fleet:_LONGEST_START_SECONDS", 1e12
)
GUARDS["ids_of_postgres"] = lambda: replace("shortlist.ingest.ids:Ids.learn", _nothing)
GUARDS["ids_only_grow"] = _ids_follow_the_clock
GUARDS["odd_ids_are_not_followed"] = lambda: replace(
    "shortlist.ingest.ids:MOST_AHEAD_MILLISECONDS", 1 << 60
)
GUARDS["date_of_the_answer"] = _dates_by_our_clock
GUARDS["witnessed_time"] = _time_need_not_be_witnessed
GUARDS["old_ids"] = _times_are_old_alone


def _renewals_are_read_by_the_clock() -> None:
    """As a reader of a Lease would that believes its times."""
    import datetime as dt  # noqa: PLC0415

    def may_take(lease: Any, found: Any, now: float) -> bool:
        del now
        spec = found["spec"]
        if spec.get("holderIdentity") in ("", None, lease._identity):
            return True
        renewed = dt.datetime.fromisoformat(spec["renewTime"])
        age = dt.datetime.now(dt.UTC) - renewed
        return age.total_seconds() > float(spec["leaseDurationSeconds"])

    replace("shortlist_operator.kubernetes.lease:OperatorLease._may_take", may_take)


GUARDS["operators_lease"] = _renewals_are_read_by_the_clock

GUARDS["memory_kills"] = lambda: replace("shortlist.runtime.machine:memory_kills", lambda: 0)


GUARDS["memory_bound"] = lambda: replace(
    "shortlist.embedded.scaling.machine:Machine.workers_in_memory", property(lambda _: 1000)
)
GUARDS["start_pipe"] = lambda: replace("shortlist.runtime.start_pipe:until_open", _says_nothing)
GUARDS["plain_owner"] = _without("roles.make", "' NOSUPERUSER ", "' SUPERUSER ")


async def _one_after_the_other(_: object, things: Any, step: Any) -> None:
    """The first pipeline that fails ends the turn."""
    for thing in things:
        await step(thing)


def _one_publisher_for_all() -> None:
    import asyncio  # noqa: PLC0415

    turn = asyncio.Lock()

    async def publish(lane: Any, group: Any) -> None:
        async with turn:
            await old(lane, group)

    old = replace("shortlist.ingest.publisher:_Lane._publish", publish)


def _any_run_is_the_same() -> None:
    from shortlist.storage.redis.scripts import SCRIPTS, Script  # noqa: PLC0415 (only a process that asks)

    assert "read_epoch" in SCRIPTS
    SCRIPTS["read_epoch"] = Script("return {redis.call('GET', KEYS[1]) or '', ''}")


GUARDS["pipelines_apart"] = lambda: replace(
    "shortlist.maintenance.apart:Apart.each", _one_after_the_other
)
GUARDS["lanes_apart"] = _one_publisher_for_all
GUARDS["epoch_of_a_server"] = _any_run_is_the_same
GUARDS["lost_acknowledgements"] = lambda: replace(
    "shortlist.worker.outbox:Outbox._have_pending_read", _nothing
)


# --- accepting, scoring, leading and scaling


def _answered_before_the_commit() -> None:
    """A client is told 202 before its application is committed."""
    import asyncio  # noqa: PLC0415

    from shortlist.storage.postgres.queries.applications import Accepted  # noqa: PLC0415

    def accept(group_commit: Any, application: Any, since: float | None = None) -> Any:
        old(group_commit, application, since)
        answered = asyncio.get_running_loop().create_future()
        answered.set_result(Accepted(application.id))
        return answered

    old = replace("shortlist.ingest.group_commit:GroupCommit.accept", accept)


async def _holds_nothing(*_: object, **__: object) -> set[Any]:
    """In place of a sweep, which returns the workers that hold something."""
    return set()


_COMPLETE_WITHOUT_FENCE = """
WITH input AS (
    SELECT *
    FROM unnest(
        :ids::uuid[], :attempts::int[], :statuses::text[], :scores::float8[], :reasons::text[],
        :details::jsonb[]
    ) AS i (id, attempt, status, score, reason, detail)
), written AS (
    INSERT INTO results (application_id, attempt, pipeline, status, score, reason, detail)
    SELECT id, attempt, :pipeline, status, score, reason, detail FROM input i
    ON CONFLICT (application_id) DO UPDATE SET
        attempt = excluded.attempt, score = excluded.score, finished_at = excluded.finished_at
    RETURNING application_id, attempt, status
), audited AS (
    INSERT INTO audit_log (application_id, event, actor, attempt)
    SELECT application_id, status, 'worker:' || :worker_id::uuid::text, attempt FROM written
)
SELECT application_id FROM written
"""
"""``claims.complete``, where the last writer wins."""


def _any_attempt_writes() -> None:
    """A worker writes its verdict whether its attempt is the latest or not."""
    from shortlist.storage.postgres import try_lock  # noqa: PLC0415
    from shortlist.storage.postgres.statements import SQL, Statement  # noqa: PLC0415

    async def reclaim(connection: Any, claim: Any, _: object) -> bool:
        return await try_lock(connection, claim.application_id)

    parameters = SQL["claims.complete"].parameters
    SQL["claims.complete"] = Statement("claims.complete", parameters, _COMPLETE_WITHOUT_FENCE)
    replace("shortlist.storage.postgres.queries.claims:reclaim", reclaim)


async def _is_lost(*_: object) -> bool:
    """In place of claiming again."""
    return False


def _waits_for_postgres() -> None:
    """Ingest waits for Postgres for 11 days."""

    def patient(make: Any, *arguments: Any, **more: Any) -> Any:
        return make(*arguments, **(more | {"timeout_seconds": 1e6}))

    for target in ("main:Database", "group_commit:DeadlineBatcher"):
        old = replace(f"shortlist.ingest.{target}", None)
        replace(f"shortlist.ingest.{target}", partial(patient, old))


GUARDS["sweeps_often"] = lambda: replace(  # not a guard: a test need not wait for 2 s
    "shortlist.maintenance.agents.sweep:INTERVAL_SECONDS", 0.3
)
GUARDS["leads_for_a_minute"] = lambda: replace(  # not a guard: a lease that does not run out
    "shortlist.maintenance.leader:LEASE_SECONDS", 60.0
)


def _breaks_at_its_start() -> None:
    """Not a guard: a bug, where every process begins to listen."""

    def broken(_: Any) -> None:
        raise RuntimeError("a bug")

    replace("shortlist.runtime.http_server:_bound_buffers", broken)


GUARDS["breaks_at_its_start"] = _breaks_at_its_start


def _stops_at_once() -> None:
    """A worker or an ingest that is asked to stop drops what it has begun."""

    def ask(stopping: Any) -> None:
        stopping.at_once.set()
        stopping.drain.set()

    replace("shortlist.runtime.process:Stopping.ask", ask)


def _leads_on() -> None:
    """A leader goes on when another leads, or its lease has run out."""

    async def keep(candidate: Any, leadership: Any) -> None:
        while True:
            await old(candidate, leadership)

    old = replace("shortlist.maintenance.leader:Candidate._keep", keep)
    replace("shortlist.maintenance.leader:Leadership.check", _nothing)
    replace("shortlist.storage.postgres.queries.leases:_refuse_former_leader", _says_nothing)


def _removed_before_they_are_empty() -> None:
    """A worker is stopped as soon as it is chosen."""

    def plan(*arguments: Any, **more: Any) -> Any:
        made = old(*arguments, **more)
        return dataclasses.replace(made, removable=frozenset(made.draining))

    old = replace("shortlist.domain.sizing.drain:plan", plan)


def _counts_claims_in_a_row() -> None:
    """Each claim updates a row of its worker, and an old snapshot keeps every version."""

    async def claim(connection: Any, ids: Any, worker_id: Any, **more: Any) -> Any:
        await connection.executemany(
            "UPDATE workers SET lease_expires_at = lease_expires_at WHERE id = $1",
            [(worker_id,)] * len(ids),
        )
        return await old(connection, ids, worker_id, **more)

    old = replace("shortlist.storage.postgres.queries.claims:claim_leased", claim)


def _bodies_of_any_size() -> None:
    async def body(call: Any, _: int) -> Any:
        return await old(call, 1 << 40)

    old = replace("shortlist.ingest.endpoint:Call.body", body)


GUARDS["durable_accept"] = _answered_before_the_commit
GUARDS["sweep"] = _all(
    lambda: replace("shortlist.maintenance.agents.sweep:Sweep.run", _holds_nothing),
    lambda: replace("shortlist.maintenance.agents.redis_loss:RedisLoss._restore", _does_nothing),
    GUARDS["patrol"],
)
GUARDS["fence"] = _any_attempt_writes
GUARDS["resume"] = lambda: replace("shortlist.worker.claims.per_job:PerJobClaim._reclaim", _is_lost)
GUARDS["line_capacity"] = lambda: replace(
    "shortlist.ingest.admission.line_capacity:LineCapacity.is_full", new=False
)
GUARDS["commit_timeout"] = _waits_for_postgres
GUARDS["graceful_drain"] = _stops_at_once
GUARDS["leader_fence"] = _leads_on
GUARDS["grant_limit"] = lambda: replace(
    "shortlist.worker.membership:slots_for", lambda _, *, concurrency, **__: concurrency
)
GUARDS["connection_budget"] = lambda: replace(
    "shortlist.storage.snapshots:ConnectionsSnapshot.budget", lambda *_, **__: 1_000_000
)
GUARDS["drain_first"] = _removed_before_they_are_empty
GUARDS["snapshot_safe"] = _counts_claims_in_a_row
GUARDS["body_limit"] = _bodies_of_any_size
GUARDS["short_collections"] = lambda: replace(
    "shortlist.ingest.tuning:COLLECT_AFTER", (50_000, 50, 50)
)


def _once_at(step: str) -> Callable[[], object]:
    """One step of a worker is tried once: what Postgres says leaves it, whosever trouble it is."""

    def patch() -> None:
        async def persistently(operation: Any, at: str, **more: Any) -> Any:
            return await (operation() if at == step else old(operation, at, **more))

        for module in ("store", "per_job"):
            old = replace(f"shortlist.worker.claims.{module}:persistently", persistently)

    return patch


def _ends_with(step: str) -> Callable[[], object]:
    """One loop ends with what a server says, whosever trouble it is; for each pipeline too."""

    def patch() -> None:
        def met(trouble: Any, error: BaseException) -> Any:
            if trouble.step == step or trouble.step.startswith(f"{step} of "):
                raise error
            return old(trouble, error)

        old = replace("shortlist.storage.trouble:Trouble.met", None)
        replace("shortlist.storage.trouble:Trouble.met", met)

    return patch


for _step in ("claiming", "completing", "ending an attempt", "counting errors"):
    GUARDS[f"once_at {_step}"] = _once_at(_step)
for _step in (
    "staying enrolled", "beating", "pulling", "acknowledging", "publishing",
    "maintaining: sweep", "maintaining: retries", "maintaining: dead workers",
    "standing for leader", "renewing the lease",
):  # fmt: skip
    GUARDS[f"ends_with {_step}"] = _ends_with(_step)
GUARDS["held_lists"] = _without("recovery.observe", "t.lists < w.lists", "false")


# --- hiring


def _acts_settle_nothing() -> None:
    """An act, and the leader, find an opening as it was left, whatever has run out since."""
    from shortlist.domain.hiring.draft import Draft  # noqa: PLC0415 (only a process that asks)

    replace("shortlist.domain.hiring.acts:settle", lambda locked: (Draft(locked), False))


def _sequences_are_given_out() -> None:
    """A number is given out once, as a sequence of Postgres does it, whatever comes of it."""
    given: dict[int, int] = {}

    def appended(tail: Any, **more: Any) -> Any:
        last = given[tail.opening_id] = max(given.get(tail.opening_id, 0), tail.sequence) + 1
        return old(dataclasses.replace(tail, sequence=last - 1), **more)

    old = replace("shortlist.domain.hiring.draft:appended", appended)


GUARDS["settled_first"] = _acts_settle_nothing
GUARDS["sequence_of_the_audit"] = _sequences_are_given_out
GUARDS["opening_lock"] = _all(
    _without("openings.lock", "FOR NO KEY UPDATE", ""),
    _without("openings.lock_free", "FOR NO KEY UPDATE SKIP LOCKED", ""),
)
GUARDS["applicants_stay"] = _without("applicants.applying", "FOR KEY SHARE", "")
GUARDS["one_address"] = lambda: replace("shortlist.hiring.acts:email_key", str)
GUARDS["standings_end"] = lambda: replace(
    "shortlist.storage.postgres.queries.hiring.placements:end_standings", _says_nothing
)
GUARDS["floors_follow"] = lambda: replace(
    "shortlist.storage.postgres.queries.hiring.floors:after_join",
    lambda floors, key, **_: floors or (key,),
)

# --- hiring: what the leader does


def _done_before_it_is_written() -> None:
    """A score is marked as done in a transaction of its own, before the one that does it."""
    from shortlist.storage.postgres.queries.hiring.leader import due_scores  # noqa: PLC0415 (only this one needs it)

    async def settle(agent: Any, connection: Any, openings: Any) -> Any:
        ids = [one for opening in openings for one in agent._found[opening]]
        async with agent._desk.connection() as another:
            await due_scores.done(another, ids)
        return await old(agent, connection, openings)

    _without("due_scores.lock", " AND is_due", "")()
    old = replace("shortlist.maintenance.agents.hiring.scores:Scores._settle", settle)


def _due_by_our_clock() -> None:
    """The leader's own clock says which deadlines have passed."""
    import time  # noqa: PLC0415 (only this one needs it)

    async def due(connection: Any, *arguments: Any) -> Any:
        seconds = await connection.fetchval("SELECT extract(epoch FROM now())::float8")
        ahead = time.time() - seconds
        return [one for one in await old(connection, *arguments) if one.late_seconds + ahead > 0]

    old = replace("shortlist.storage.postgres.queries.hiring.leader.deadlines:due", due)


GUARDS["locked_openings_are_left"] = _without("deadlines.lock_free", " SKIP LOCKED", "")
GUARDS["broken_openings_are_left"] = lambda: replace(
    "shortlist.maintenance.agents.hiring.settler:fault_of", lambda _: None
)
GUARDS["scores_are_done_when_written"] = _done_before_it_is_written


async def _none_live(*_: object) -> list[Any]:
    """In place of a second look at what an applicant has."""
    return []


GUARDS["erased_only_when_done"] = lambda: replace(
    "shortlist.maintenance.agents.hiring.retention:placements.live_of", _none_live
)
GUARDS["floor_of_deadlines"] = lambda: replace(
    "shortlist.maintenance.agents.hiring.floor:Floor.nothing_is_due", _nothing
)
GUARDS["deadlines_of_postgres"] = _due_by_our_clock
GUARDS["commits_are_awaited"] = lambda: replace(
    "shortlist.hiring.transactions.committing:GRACE_LOOKS", 0
)


async def _as_it_comes(statement: Any, **_: object) -> Any:
    """In place of a look for an answer after the deadline."""
    return await statement


def _never_looks() -> None:
    for place in ("ingest.group_commit", "hiring.transactions.committing"):
        replace(f"shortlist.{place}:outcome_of", _as_it_comes)


GUARDS["answers_are_looked_for"] = _never_looks
GUARDS["commits_begin_in_time"] = lambda: replace("shortlist.ingest.group_commit:_COMMIT_SHARE", 0)
