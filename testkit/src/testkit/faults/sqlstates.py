"""At which steps Postgres is made to refuse, with what, and where in the tests.

`rows` are refused in real processes while applications are posted
(`acceptance/test_every_sqlstate_at_every_step.py`). `ELSEWHERE` need more than a load to happen:
each names the test that refuses it. `BY_THE_SAME_GUARD` have no refusal
of their own: each names what survives them. `NOT_OF_A_PROCESS` belong to commands that an operator
runs, and whose errors the operator reads. `unit/test_every_step_has_a_row.py` compares all of them
with the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from shortlist.storage import postgres
from testkit.faults.steps import postgres_steps
from testkit.processes.stack import status_of
from testkit.proxies.postgres import EVERYONES, SERVERS
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.storage.postgres import Connection
    from testkit.processes.place import Running

ALL = (*SERVERS, *EVERYONES)
ITEMS_AND_BUGS = ("22021", "22P05", "23505", "23514", "54000", "P0001")

KINDS = ("25006", "53100", "57P01", "42501")
"""A kind each: it takes a turn of an agent to meet one, and all go the same way."""

ONE = ("53100",)
"""For what happens once in seconds."""


async def post_and_read(run: Running) -> None:
    """What clients do."""
    await run.ledger.post()
    newest = next(reversed(run.ledger.accepted), None)
    for path in ("readyz", f"applications/{newest}", "leaderboard"):
        await status_of(f"{run.ingest.url}/{path}")


async def look_at_the_dashboard(run: Running) -> None:
    """What a page asks for, which `running` has started after maintenance."""
    await status_of(f"{run.others[1].url}/dashboard/recent.json")


async def post_twice(run: Running) -> None:
    """The same application with the same key."""
    key = f"key-{uuid4()}"
    for _ in range(2):
        await run.ledger.post(key=key)


async def nothing(_: Running) -> None:
    """The load alone."""


async def depose(run: Running) -> None:
    """The leader must stand again."""

    async def deposed() -> bool:
        return bool(
            await run.ledger.query(
                "UPDATE leases SET expires_at = '-infinity', term = term + 1"
                " WHERE expires_at > clock_timestamp() RETURNING true"
            )
        )

    await until(deposed, within_seconds=30, what="one leads")


_former: list[Connection] = []


async def stand_in_the_way(run: Running) -> None:
    """The leader must stand again, and the transaction of a former one is in its way."""
    former = await postgres.connect(run.stack.database_url, application_name="former leader")
    _former.append(former)  # Postgres ends it: nothing here does
    await former.execute("BEGIN")
    await former.execute(
        "SELECT pg_advisory_xact_lock_shared(hashtext('shortlist.lease'), hashtext('maintenance'))"
    )
    await depose(run)


async def end_the_workers_own_connection(run: Running) -> None:
    """A perJob worker must enrol anew."""

    async def ended() -> bool:
        return bool(
            await run.ledger.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1"
                " AND starts_with(application_name, 'shortlist-worker')",
                postgres_steps()["server.read_only"],
            )
        )

    await until(ended, within_seconds=30, what="a worker's own connection is ended")


async def give_the_leader_work(run: Running) -> None:
    """A retry is due (of what is finished: it harms nothing), and a worker is dead."""
    await run.ledger.query(
        "INSERT INTO retries (application_id, pipeline, due_at)"
        " SELECT application_id, pipeline, now() FROM results LIMIT 1 ON CONFLICT DO NOTHING"
    )
    await run.ledger.query(
        "INSERT INTO workers (id, pipeline, lease_expires_at)"
        " SELECT gen_random_uuid(), 'default', now() - interval '1 s'"
        " WHERE NOT EXISTS (SELECT FROM workers WHERE lease_expires_at < now())"
    )


@dataclass(frozen=True)
class Row:
    """Steps that are refused at once, each as often as there are states."""

    steps: tuple[str, ...]
    states: tuple[str, ...]
    begin: Callable[[Running], Awaitable[None]] = nothing
    """Done once, when they are refused."""
    provoke: Callable[[Running], Awaitable[None]] = post_and_read
    """Done again and again until all were refused."""


EVERY_MODE = (
    Row(("applications.recent",), ALL, provoke=look_at_the_dashboard),
    Row(("applications.accept",), ALL),
    Row(("applications.accept_keyed",), ALL, provoke=post_twice),
    Row(("applications.idempotency_owners",), KINDS, provoke=post_twice),
    Row(("claims.claim",), ALL),
    Row(("claims.complete",), ALL),
    Row(("applications.views", "schema.versions", "applications.leaderboard"), ALL),
    Row(("pipelines.capacities", "applications.newest"), ALL, provoke=nothing),
    Row(
        (
            "recovery.unfinished", "recovery.observe", "recovery.newest", "recovery.pipelines",
            "recovery.clock_milliseconds", "retries.next_due", "retries.counts", "workers.dead",
            "leases.renew", "server.clock", "deadlines.next_due", "deadlines.due", "due_scores.due",
        ),
        KINDS,
    ),
    Row(
        (
            "retries.pipelines_due", "retries.take_due",
            "workers.forget", "leases.check", "leases.lock_shared",
        ),
        KINDS,
        provoke=give_the_leader_work,
    ),
    Row(("server.read_only",), (*KINDS, *KINDS)),
    Row(("recovery.save_mark", "workers.registered", "hiring_figures.places"), ONE),
    Row(
        ("leases.running", "server.lock_timeout", "leases.lock_alone", "leases.take"),
        KINDS,
        begin=depose,
    ),
    Row(("leases.give_up", "retention.witness_time"), ONE, begin=depose),
    Row(("retention.oldest",), ONE, begin=depose),
    Row(("retention.remove_idempotency_keys",), ONE, begin=depose),
    Row(("hiring_retention.remove_answers",), ONE, begin=depose),
    Row(("leases.end_former_leaders",), ONE, begin=stand_in_the_way),
)  # fmt: skip
PER_WRITE = (
    Row(("workers.renew",), ("25006", "53100")),
    Row(("workers.renew",), ("57P01", "42501")),
    Row(("workers.renew", "workers.enrol"), ONE),
)
PER_JOB = (
    Row(("workers.enrol",), ONE, begin=end_the_workers_own_connection),
    Row(("server.try_lock",), ALL),
    Row(("server.unlock",), KINDS),
    Row(("claims.complete", "claims.owns"), ("08006", "57P01")),
)


def rows(mode: str) -> tuple[Row, ...]:
    """Those of a connection mode."""
    return (*EVERY_MODE, *(PER_JOB if mode == "perJob" else PER_WRITE))


AT_THE_START = ("workers.enrol", "pipelines.ensure")
"""Refused while a worker starts."""

_WORKERS_TESTS = "integration/worker/test_refused_writes.py"
_BUGS_TESTS = "integration/worker/test_bugs.py"
ELSEWHERE = {
    "claims.end_attempt": f"{_WORKERS_TESTS}::test_every_call_at_an_attempts_end_is_tried_again",
    "claims.ended": f"{_WORKERS_TESTS}::test_every_call_at_an_attempts_end_is_tried_again",
    "claims.others_scored": f"{_BUGS_TESTS}::test_the_question_about_others_is_asked_again",
    **dict.fromkeys(
        ("claims.latest_attempt", "claims.fail"),
        f"{_WORKERS_TESTS}::test_a_claim_that_is_refused_for_its_data_fails_alone",
    ),
    "claims.postpone": f"{_WORKERS_TESTS}::test_a_postponement_that_is_refused_comes_later",
}

HIRING_READS = (
    "line.ahead", "line.write_fences", "audit_views.after", "audit_views.before",
    "audit_views.of_placements", "audit_views.of_applicant_before",
    "audit_views.of_applicant_after", "audit_views.count_of_applicant", "audit_views.to_fold",
    "audit_views.live", "heads.newest", "heads.sums", "heads.between", "job_views.openings",
    "job_views.opening", "job_views.count_openings", "job_views.applicants",
    "job_views.applicant", "job_views.count_applicants", "moments.at_time",
    "moments.at_sequence", "moments.rules", "moments.waiting", "moments.holders",
    "moments.changes", "moments.people", "placement_views.waiting", "placement_views.holders",
    "placement_views.of_applicant", "placement_views.one", "placement_views.scores",
    "placement_views.moved_ahead", "placement_views.offers", "placement_views.found",
)  # fmt: skip

_BY_DATABASE = "shortlist.storage.postgres.database:Database.run"
_OF_ACTS = (
    "openings.lock",
    "openings.lock_free",
    "openings.new_id",
    "openings.insert",
    "openings.update",
    "placements.by_id",
    "placements.ended_offers",
    "placements.head",
    "placements.live_elsewhere",
    "placements.live_openings",
    "placements.around",
    "placements.last",
    "placements.insert",
    "placements.update",
    "placements.end_standings",
    "opening_events.tails",
    "opening_events.append",
    "opening_events.is_there",
    "opening_events.between",
    "applicants.new_id",
    "applicants.insert",
    "applicants.of_address",
    "applicants.present",
    "applicants.applying",
    "applicants.applying_by_address",
    "applicants.make",
    "applicants.unmake",
    "applicants.lock",
    "applicants.erase",
    "applicants.forget_payloads",
    "hiring_answers.take",
    "hiring_answers.given",
    "hiring_answers.keep",
    "hiring_answers.give_back",
    "hiring_actions.new_id",
    "hiring_actions.insert",
    "hiring_actions.of_id",
    "payloads.expect",
)
"""Statements of hiring's acts: a transaction that fails is tried again, whole."""

BY_THE_SAME_GUARD = {
    **dict.fromkeys(_OF_ACTS, _BY_DATABASE),
    **dict.fromkeys(HIRING_READS, "shortlist.storage.postgres.database:Database.run"),
    **dict.fromkeys(
        (
            "heads.write",
            "heads.wanted",
            "deadlines.lock_free",
            "deadlines.lock",
            "due_scores.lock",
            "due_scores.done",
            "hiring_retention.applicants_done",
        ),
        "shortlist.maintenance.context:LeaderContext.repeat",
    ),
    "server.run": "shortlist.embedded.scaling.observer:Observer",
    "recovery.not_unfinished": "shortlist.maintenance.context:LeaderContext.repeat",
    "retention.remove_finished": "shortlist.maintenance.context:LeaderContext.repeat",
    "applications.unfinished_count": "shortlist.ingest.admission.line_registry:LineRegistry",
    "applications.count_existing": "shortlist.storage.postgres.database:Database.run",
    **dict.fromkeys(
        ("event_feed.heads", "imports.live"), "shortlist.storage.postgres.database:Database.run"
    ),
    "api_keys.valid": "shortlist.storage.postgres.database:Database.run",
    "api_keys.used": "shortlist.ingest.admission.api_keys:ApiKeys.write_uses",
    "workers.leave": "shortlist.worker.membership:Membership.leave",
    "server.sight": "shortlist.storage.watch:Watch",
    "pooled.execute": "shortlist.storage.trouble:Trouble.met",
    "pooled.execute 2": "shortlist.storage.trouble:Trouble.met",
    "pooled._alone": "shortlist.storage.trouble:Trouble.met",
    "pooled._alone 2": "shortlist.storage.trouble:Trouble.met",
    "pooled._alone 3": "shortlist.storage.trouble:Trouble.met",
    "connection_limits.limits": "shortlist.embedded.scaling.observer:Observer",
    "connection_limits.open_by_worker": "shortlist.embedded.scaling.observer:Observer",
    "server.answers": "shortlist.embedded.scaling.observer:Observer",
    "pipelines.configure": "shortlist_operator.observe:Observer.make_known",
}
"""Step → the function or class whose caller survives whatever is raised there.

Statements behind a pooler raise in the function that sent them, whose guard catches it.
"""

NOT_OF_A_PROCESS = {
    "retries.requeue", "retries.failed",  # shortlist requeue
    "schema.found", "schema.lock_migrations",  # shortlist migrate
    "roles.current", "roles.count_existing", "roles.make", "roles.grants", "roles.handed_over",
    "roles.ensure", "roles.ensure_owner", "roles._ensure_role", "server.lock",
    "api_keys.create", "api_keys.listed", "api_keys.revoke",  # shortlist keys
    "audits.has_digest",  # shortlist audit
    "seeds.titles", "seeds.is_there", "seeds.applicants", "seeds.placement_ids",
    "seeds.set_created_at",  # shortlist seed
}  # fmt: skip
